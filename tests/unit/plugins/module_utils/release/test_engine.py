# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator can rely on when nothing breaks but the release itself."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.plugins.module_utils._release import gate, preflight, stage
from ansible_collections.slipway.go.plugins.module_utils._release.context import Context
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import Store, load_settings
from ansible_collections.slipway.go.plugins.module_utils._release.verbs.rollback import automatic_target
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    NAME,
    Behaviour,
    Faults,
    Host,
    Killed,
)

BAD = {
    "cannot start": (Behaviour(boots=False), "not_started"),
    "never ready": (Behaviour(ready=False), "was not ready within"),
    "unhealthy": (Behaviour(healthy=False), "did not become healthy"),
    "dies while it is asked": (Behaviour(dies_after=1), "did not stay up"),
    "dies in the soak": (Behaviour(dies_after=4), "did not stay up"),
    "is restarted in the soak": (Behaviour(restarts_after=4), "did not stay up"),
    "sick in the soak": (Behaviour(sick_after=3), "failed 3 checks in a row"),
    "hangs in the soak": (Behaviour(sick_after=2, check_takes=5.0), "failed 3 checks in a row"),
}


@pytest.fixture(params=["socket", "restart"])
def host(request, tmp_path, monkeypatch):
    return Host(str(tmp_path), request.param).install(monkeypatch)


@pytest.fixture
def sockets(tmp_path, monkeypatch):
    return Host(str(tmp_path), "socket").install(monkeypatch)


@pytest.fixture
def restarts(tmp_path, monkeypatch):
    return Host(str(tmp_path), "restart").install(monkeypatch)


def fails(act, code):
    with pytest.raises(SlipwayError) as caught:
        act()
    assert caught.value.code == code, str(caught.value)
    return caught.value


def test_first_release(host):
    outcome = host.release("v1")
    assert host.settled() == host.id_of("v1") == outcome.current
    assert (outcome.changed, outcome.action, outcome.previous, outcome.pruned) == (True, "release", None, [])
    assert outcome.diff() == {"before": "none\n", "after": f"{outcome.current}\n"}
    assert host.leftovers() == []


def test_second_release_takes_over(host):
    first = host.release("v1").current
    outcome = host.release("v2")
    assert host.settled() == host.id_of("v2") == outcome.current
    assert outcome.previous == first
    assert host.layout.staged() == [first, outcome.current]
    assert host.leftovers() == []


def test_socket_overlaps_and_restart_does_not(host):
    host.release("v1")
    host.watch()
    outcome = host.release("v2")
    if host.strategy == "socket":
        assert (host.systemd.lowest, host.systemd.most) == (1, 2)
        assert outcome.downtime_seconds is None
    else:
        assert (host.systemd.lowest, host.systemd.most) == (0, 1)
        assert outcome.downtime_seconds > 0
    assert outcome.as_dict()["swap_seconds"] >= (outcome.downtime_seconds or 0)


def test_the_first_release_has_no_downtime(restarts):
    assert restarts.release("v1").downtime_seconds is None


def test_phases_are_those_of_the_strategy(host):
    outcome = host.release("v1")
    swap = {
        "socket": ["INTENT", "OVERLAP", "FLIP", "DRAIN", "SOAK", "COMMIT"],
        "restart": ["INTENT", "DRAIN", "FLIP", "START", "SOAK", "COMMIT"],
    }[host.strategy]
    assert list(outcome.phases) == ["STAGE", *swap, "PRUNE"]
    assert outcome.phases["SOAK"] >= host.soak_time


def test_unchanged_release_does_nothing(host):
    current = host.release("v1").current
    host.systemd.commands.clear()
    before = host.store.journal.events()
    outcome = host.release("v1")
    assert (outcome.changed, outcome.action, outcome.current) == (False, "none", current)
    assert [c for c in host.systemd.commands if not c.startswith("show ")] == []
    assert host.store.journal.events() == before
    assert outcome.diff() == {"before": f"{current}\n", "after": f"{current}\n"}


def test_a_corrected_health_check_reaches_the_release_that_serves(host):
    current = host.release("v1").current
    host.health = {**host.health, "timeout": 3}
    host.soak_time += 1
    foreseen = host.engine().predict(host.spec("v1"))
    assert (foreseen.changed, foreseen.action, foreseen.needs_judgement(True)) == (True, "settings", False)
    host.systemd.commands.clear()
    outcome = host.release("v1")
    assert (outcome.changed, outcome.action, outcome.current) == (True, "settings", current)
    assert outcome.diff() == {"before": f"{current}\n", "after": f"{current}\n"}
    assert [c for c in host.systemd.commands if not c.startswith("show ")] == []
    kept = load_settings(NAME, os.path.dirname(host.layout.state))
    assert (kept.health, kept.soak_time) == (host.health, host.soak_time)
    assert host.store.health(current) == host.health
    assert host.release("v1").action == "none"
    assert host.settled() == current


def test_a_health_check_that_what_serves_does_not_pass_is_not_taken_over(host):
    current = host.release("v1").current
    before = load_settings(NAME, os.path.dirname(host.layout.state))
    host.health = {**host.health, "timeout": 3}
    host.behave("v1").healthy = False
    refused = fails(lambda: host.release("v1"), "unhealthy")
    assert f"{current} serves, and does not pass the release_health that is specified now" in refused.message
    assert load_settings(NAME, os.path.dirname(host.layout.state)) == before
    assert host.store.health(current) == before.health
    assert host.settled() == current


@pytest.mark.parametrize("what", ["environment", "shared environment", "configuration", "unit"])
def test_changed_configuration_is_a_new_release(host, what):
    first = host.release("v1").current
    changes = {"environment": {"OWN": "other"}} if what == "environment" else {}
    if what == "shared environment":
        with open(os.path.join(host.layout.config, "environment"), "a", encoding="utf-8") as stream:
            stream.write('MORE="1"\n')
    if what == "configuration":
        with open(os.path.join(host.layout.config, "config", "new.toml"), "w", encoding="utf-8") as stream:
            stream.write("x = 1\n")
    if what == "unit":
        host.write_unit("changed", "shop@.service")
    outcome = host.release("v1", **changes)
    assert outcome.changed
    assert outcome.previous == first != outcome.current
    assert host.settled() == outcome.current


@pytest.mark.parametrize("what", BAD)
def test_bad_release_leaves_the_good_one(host, what):
    behaviour, reason = BAD[what]
    good = host.release("v1").current
    host.behaviours["v2"] = replace(behaviour)
    error = fails(lambda: host.release("v2"), "rolled_back")
    assert reason.replace("not_started", "did not start") in str(error)
    assert error.details["rolled_back"] is True
    assert error.details["current"] == good
    assert error.details["failed_release"] == host.id_of("v2")
    assert host.settled() == good
    assert host.id_of("v2") in host.layout.staged(), "its files stay as evidence"
    assert host.store.journal.outcomes()[-1]["event"] == "rolled_back"


@pytest.mark.parametrize("what", BAD)
def test_no_bad_release_ever_leaves_the_socket_alone(sockets, what):
    sockets.release("v1")
    sockets.behaviours["v2"] = replace(BAD[what][0])
    # A release that dies after the old one has drained is the one thing an overlap cannot help with.
    dies_alone = what in ("dies in the soak",)
    sockets.watch()
    fails(lambda: sockets.release("v2"), "rolled_back")
    assert sockets.systemd.lowest == (0 if dies_alone else 1)


@pytest.mark.parametrize("what", ["cannot start", "never ready", "unhealthy", "dies while it is asked"])
def test_what_fails_before_the_flip_never_becomes_current(sockets, what):
    good = sockets.release("v1").current
    sockets.behaviours["v2"] = replace(BAD[what][0])
    error = fails(lambda: sockets.release("v2"), "rolled_back")
    assert error.details["failed_phase"] == "OVERLAP"
    assert sockets.layout.current_id() == good
    assert not any(c.startswith(f"stop shop@{good}") for c in sockets.systemd.commands)


def test_an_instance_without_the_socket_is_refused(sockets):
    good = sockets.release("v1").current
    sockets.behaviours["v2"] = Behaviour(inherits=False)
    error = fails(lambda: sockets.release("v2"), "rolled_back")
    assert "does not listen on the service's socket" in str(error)
    assert sockets.settled() == good


@pytest.mark.parametrize("what", BAD)
def test_bad_first_release_leaves_a_bare_host(host, what):
    host.behaviours["v1"] = replace(BAD[what][0])
    error = fails(lambda: host.release("v1"), "rolled_back")
    assert "it was the first release" in str(error)
    assert host.systemd.running() == []
    assert host.systemd.socket is None
    assert (host.layout.current_id(), host.layout.last_good_id(), host.boot_id()) == (None, None, None)
    assert host.store.load() is None
    host.behaviours["v2"] = Behaviour()
    assert host.release("v2").previous is None
    assert host.settled() == host.id_of("v2")


def test_a_repaired_release_is_taken(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: host.release("v2"), "rolled_back")
    host.behaviours["v2"].healthy = True
    outcome = host.release("v2", force=True)
    assert "STAGE" not in outcome.phases, "it is on the host already"
    assert host.settled() == host.id_of("v2")


def test_a_dead_current_release_is_started_again_by_releasing_it(host):
    host.release("v1")
    host.release("v2")
    host.systemd.die(host.id_of("v2"))
    host.behave("v2").boots = True
    outcome = host.release("v2")
    assert outcome.changed
    assert host.settled() == host.id_of("v2")


def test_a_dead_only_release_is_started_again_by_releasing_it(host):
    host.release("v1")
    host.systemd.die(host.id_of("v1"))
    host.behave("v1").boots = True
    assert host.release("v1").changed
    assert host.settled() == host.id_of("v1")


def test_when_the_current_release_is_dead_and_stays_so_the_one_before_serves_also_after_a_reboot(host):
    first = host.release("v1").current
    host.release("v2")
    host.systemd.die(host.id_of("v2"))
    error = fails(lambda: host.release("v2"), "rolled_back")
    assert error.details["current"] == first
    assert host.settled() == first
    host.reboot()
    assert host.settled() == first


def test_with_a_dead_current_release_a_bad_one_does_not_bar_the_way_for_a_good_one(host):
    host.release("v1")
    host.systemd.die(host.id_of("v1"))
    host.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: host.release("v2"), "rollback_failed")
    host.release("v3")
    assert host.settled() == host.id_of("v3")


def test_the_release_before_comes_back_even_if_it_does_not_pass_the_check_any_more(host):
    """The check may ask for what only the new release has; the old one is still the one that was good."""
    first = host.release("v1").current
    host.behaviours["v2"] = Behaviour(sick_after=2)
    host.behave("v1").healthy = False
    error = fails(lambda: host.release("v2"), "rollback_failed")
    assert "v1" in str(error)
    assert "did not become healthy" in str(error)
    assert host.settled() == first


def test_a_release_that_does_not_end_does_not_keep_the_old_one_from_coming_back(restarts, monkeypatch):
    first = restarts.release("v1").current
    restarts.behaviours["v2"] = Behaviour(healthy=False)
    stop = restarts.systemd.stop
    stuck = [f"shop@{restarts.id_of('v2')}.service"]

    def slow(unit, timeout):
        if unit in stuck:
            stuck.remove(unit)
            raise SlipwayError("command_timeout", f"systemctl stop {unit} did not end within {timeout:g} s.")
        stop(unit, timeout)

    monkeypatch.setattr(restarts.systemd, "stop", slow)
    fails(lambda: restarts.release("v2"), "rolled_back")
    assert stuck == []
    assert restarts.settled() == first


def test_a_release_before_that_is_tried_again_and_again_ends_when_the_new_one_is_kept(host):
    """The run was cut short when the new release had proven itself, and the old one comes up no more."""
    host.confirm = 0
    host.release("v1")
    host.behave("v1").loops = True
    host.artefact("v2")
    steps = host.copy(f"{host.folder}.count")
    with pytest.MonkeyPatch.context() as patch:
        steps.install(patch).release("v2")
    last_look = max(i for i, s in enumerate(steps.faults.seen) if s.startswith("systemctl show"))
    host.faults = Faults("kill", last_look)
    with pytest.raises(Killed):
        host.release("v2")
    host.faults = Faults()
    host.systemd.die(host.id_of("v1"))
    host.engine().recover()
    assert host.settled() == host.id_of("v2")


def test_what_is_given_up_is_tried_again_by_systemd(host):
    """Neither the new release nor the old one comes up now, but the old one may, once its database is back."""
    first = host.release("v1").current
    host.behave("v1").loops = True
    host.systemd.die(first)
    host.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: host.release("v2"), "rollback_failed")
    host.engine().recover()
    assert host.systemd.running() == []
    host.behave("v1").boots = True
    for _ignored in range(2):
        host.systemd.show(f"shop@{first}.service")
    assert host.settled() == first


def test_what_is_given_up_is_in_the_history(host):
    host.release("v1")
    host.systemd.die(host.id_of("v1"))
    host.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: host.release("v2"), "rollback_failed")
    host.release("v3")
    assert [e["event"] for e in host.store.journal.outcomes()] == ["committed", "given_up", "committed"]
    assert "did not start" in host.store.journal.outcomes()[1]["reason"]


def test_a_dead_only_release_that_fails_again_is_still_what_the_next_boot_starts(host):
    """Its database may be back by then."""
    first = host.release("v1").current
    host.systemd.die(first)
    error = fails(lambda: host.release("v1"), "not_proven")
    assert error.details["current"] == first
    assert (host.layout.current_id(), host.layout.last_good_id(), host.boot_id()) == (first, first, first)
    host.behave("v1").boots = True
    host.reboot()
    assert host.settled() == first


def test_a_failed_rollback_is_not_called_one(host):
    host.release("v1")
    host.systemd.die(host.id_of("v1"))
    host.behaviours["v2"] = Behaviour(healthy=False)
    error = fails(lambda: host.release("v2"), "rollback_failed")
    assert error.details["rolled_back"] is False


def test_what_failed_is_not_released_again_unless_forced(host):
    good = host.release("v1").current
    host.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: host.release("v2"), "rolled_back")
    before = len(host.systemd.commands)
    error = fails(lambda: host.release("v2"), "known_bad")
    assert "did not become healthy" in str(error)
    assert "release_force" in error.fix
    assert all(c.startswith("show ") for c in host.systemd.commands[before:])
    fails(lambda: host.engine().predict(host.spec("v2")), "known_bad")
    assert host.engine().predict(host.spec("v2", configured=False)).changed, "another configuration may be to come"
    assert host.engine().predict(host.spec("v2", force=True)).changed
    fails(lambda: host.release("v2", force=True), "rolled_back")
    host.behaviours["v2"].healthy = True
    host.release("v2", force=True)
    host.release("v1")
    host.release("v2")
    assert host.settled() == host.id_of("v2") != good, "once good, it is no longer marked"


def test_what_was_rolled_back_from_is_not_released_again_unless_forced(host):
    host.release("v1")
    host.release("v2")
    host.rollback()
    assert "rolled back from it" in str(fails(lambda: host.release("v2"), "known_bad"))
    host.release("v2", force=True)
    assert host.settled() == host.id_of("v2")


def test_upload_is_asked_for_and_nothing_happens(host):
    artefact = replace(host.artefact("v1"), path=None)
    outcome = host.release("v1", artefact=artefact)
    assert (outcome.changed, outcome.action) == (False, "upload")
    assert host.layout.staged() == []
    assert host.systemd.running() == []
    host.release("v1")
    assert host.release("v1", artefact=artefact).action == "none", "what is there is not asked for again"


def test_prediction_changes_nothing_and_comes_true(host):
    def everything():
        found = []
        for base, folders, names in os.walk(host.folder):
            found += [os.path.join(base, name) for name in folders + names]
        return sorted(found)

    host.release("v1")
    host.artefact("v2")
    before, commands = everything(), len(host.systemd.commands)
    predicted = host.engine().predict(host.spec("v2"))
    assert everything() == before
    assert all(c.startswith("show ") for c in host.systemd.commands[commands:])
    done = host.release("v2")
    assert (predicted.changed, predicted.current, predicted.previous, predicted.action) == (
        done.changed,
        done.current,
        done.previous,
        done.action,
    )
    assert not host.engine().predict(host.spec("v2")).changed


def test_rollback_goes_to_the_release_before(host):
    first = host.release("v1").current
    second = host.release("v2").current
    predicted = host.engine().predict_rollback()
    outcome = host.rollback()
    assert (outcome.changed, outcome.current, outcome.previous, outcome.action) == (True, first, second, "rollback")
    assert (predicted.changed, predicted.current, predicted.previous) == (True, first, second)
    assert host.settled() == first


@pytest.mark.parametrize("phase", ["INTENT", "FLIP", "DRAIN", "SOAK", "COMMIT"])
@pytest.mark.parametrize("named", [False, True])
def test_a_rollback_after_a_run_that_was_cut_short_goes_where_it_was_predicted(host, monkeypatch, phase, named):
    host.confirm = 0
    host.release("v1")
    second = host.release("v2").current
    save = Store.save

    def killed(store, transaction):
        save(store, transaction)
        if transaction.phase == phase:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Store, "save", killed)
        with pytest.raises(Killed):
            host.release("v3")
    wanted = second if named else None
    predicted = host.engine().predict_rollback(wanted)
    done = host.rollback(wanted)
    assert (predicted.changed, predicted.action, predicted.current) == (done.changed, done.action, done.current)
    assert host.settled() == done.current == second


def test_second_rollback_changes_nothing(host):
    host.release("v1")
    second = host.release("v2").current
    host.release("v3")
    host.rollback()
    assert not host.engine().predict_rollback().changed
    outcome = host.rollback()
    assert (outcome.changed, outcome.action, outcome.current) == (False, "none", second)
    assert host.settled() == second


def test_rollback_after_a_release_after_a_rollback_skips_what_was_left(host):
    first = host.release("v1").current
    host.release("v2")
    host.rollback()
    host.release("v3")
    assert host.rollback().current == first, "v2 was rolled back from, nobody calls it good"
    assert host.settled() == first


def test_rollback_after_a_release_that_failed_is_done_already(host):
    first = host.release("v1").current
    second = host.release("v2").current
    host.behaviours["v3"] = Behaviour(healthy=False)
    fails(lambda: host.release("v3"), "rolled_back")
    done = host.rollback()
    assert (done.changed, done.current) == (False, second), (
        "the last good one serves; going further back must be asked for"
    )
    assert host.rollback(first).current == first


def test_a_rollback_after_a_refusal_leaves_what_has_served_all_along(host):
    """A job that takes back what has just failed, on this host or on a hundred, does not mean that one."""
    host.rehearse()
    first, second = (host.release(version).current for version in ("v1", "v2"))
    host.behaviours["v3"] = Behaviour(healthy=False)
    fails(lambda: host.release("v3"), "refused")
    for act in (host.engine().predict_rollback, host.rollback):
        done = act()
        assert (done.changed, done.current) == (False, second)
    assert host.rollback(first).current == first


def test_rollback_when_the_current_release_is_dead(host):
    first = host.release("v1").current
    host.systemd.die(host.release("v2").current)
    assert host.rollback().current == first
    assert host.settled() == first


def test_rollback_when_the_link_to_the_current_release_is_lost(host):
    host.release("v1")
    second = host.release("v2").current
    os.unlink(host.layout.current)
    host.rollback(second)
    assert host.settled() == second


def test_rollback_that_finds_the_old_one_broken_keeps_the_current(host):
    host.release("v1")
    second = host.release("v2").current
    host.behaviours["v1"].healthy = False
    fails(host.rollback, "rolled_back")
    assert host.settled() == second


class Moved:
    """v1 answers at one port and v2 at another; each is asked at its own, whoever asks."""

    def __init__(self, host, monkeypatch):
        self.host, self.asked = host, []
        attempt = gate.attempt

        def recorded(check, deadline=None):
            self.asked.append(
                (check.identity.executable.split("/")[-3].partition("-")[0], check.connection.endpoint.port)
            )
            return attempt(check, deadline)

        monkeypatch.setattr(gate, "attempt", recorded)
        host.release("v1")
        host.health = {**host.health, "url": "http://127.0.0.1:9090/readyz"}
        host.write_unit("ListenStream=9090")

    def kept(self):
        """The port that the watch and the next rollback ask at."""
        return load_settings("shop", self.host.layout.state_root).health["url"].split("/")[2].partition(":")[2]


@pytest.fixture
def moved(host, monkeypatch):
    return Moved(host, monkeypatch)


def test_a_rollback_asks_a_release_where_it_listens(moved):
    moved.host.release("v2")
    moved.asked.clear()
    moved.host.rollback()
    assert set(moved.asked) == {("v1", 8080)}
    assert moved.kept() == "8080"


def test_a_release_that_fails_elsewhere_leaves_the_old_one_healthy_where_it_was(moved):
    moved.host.behave("v2").healthy = False
    moved.asked.clear()
    fails(lambda: moved.host.release("v2"), "rolled_back")
    assert set(moved.asked) == {("v2", 9090), ("v1", 8080)}
    assert moved.kept() == "8080"


def test_an_interrupted_commit_keeps_how_the_release_is_asked(moved, monkeypatch):
    """The boot that finishes it knows no more than what is on the host."""
    before, save = moved.host.health, Store.save

    def killed_in_commit(store, transaction):
        save(store, transaction)
        if transaction.phase == "COMMIT":
            raise Killed

    monkeypatch.setattr(Store, "save", killed_in_commit)
    with pytest.raises(Killed):
        moved.host.release("v2")
    moved.host.health = {**before, "url": "http://127.0.0.1:8080/readyz"}
    moved.host.engine().recover()
    assert moved.host.settled() == moved.host.layout.current_id()
    assert moved.kept() == "9090"


def test_named_rollback(host):
    first = host.release("v1").current
    host.release("v2")
    host.release("v3")
    assert host.engine().predict_rollback(first).current == first
    assert host.rollback(first).current == first
    assert host.settled() == first
    assert not host.rollback(first).changed


def test_rollback_to_a_release_that_never_was_good_must_prove_itself(host):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: host.release("v2"), "rolled_back")
    error = fails(lambda: host.rollback(host.id_of("v2")), "rolled_back")
    assert error.details["failed_release"] == host.id_of("v2")
    assert host.settled() == host.id_of("v1")


@pytest.mark.parametrize("wanted", ["../../etc", "v1", "", "v1-0123456789\n", "v1-0123456789/.."])
def test_a_rollback_to_nonsense_is_refused(host, wanted):
    host.release("v1")
    error = fails(lambda: host.rollback(wanted), "invalid_release")
    assert "release_info" in error.fix


def test_a_rollback_to_what_is_not_there_names_what_is(host):
    first = host.release("v1").current
    error = fails(lambda: host.rollback("v9-0123456789"), "unknown_release")
    assert first in error.fix
    assert host.settled() == first


def test_no_earlier_good(host):
    fails(host.rollback, "no_last_good")
    first = host.release("v1").current
    error = fails(host.rollback, "no_last_good")
    fails(host.engine().predict_rollback, "no_last_good")
    assert error.fix
    assert host.settled() == first


def test_prune_keeps_the_newest(host):
    host.keep = 2
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    assert host.layout.staged() == ids[-2:]


def test_prune_never_takes_what_is_needed(host):
    host.keep = 2
    first = host.release("v1").current
    for version in ("v2", "v3", "v4"):
        host.behaviours[version] = Behaviour(healthy=False)
        fails(lambda version=version: host.release(version), "rolled_back")
    last = host.release("v5").current
    assert host.layout.staged() == [first, last]
    assert host.rollback().current == first


@pytest.mark.parametrize("keep", [2, 5])
def test_refused_releases_never_take_the_way_back_along(host, keep):
    host.keep = keep
    host.rehearse()
    first, second = (host.release(version).current for version in ("v1", "v2"))
    for number in range(keep + 1):
        host.behaviours[f"bad{number}"] = Behaviour(healthy=False)
        fails(lambda number=number: host.release(f"bad{number}"), "refused")
    last = host.id_of(f"bad{keep}")
    assert {first, second, last} <= set(host.layout.staged())
    assert len(host.layout.staged()) == max(keep, 3)
    assert automatic_target(Context(host.settings(), host.layout, host.systemd), second) == first
    assert host.rollback(first).current == first


def test_what_was_never_good_goes_before_what_was(host):
    host.keep = 4
    host.rehearse()
    good = [host.release(f"v{number}").current for number in range(3)]
    for version in ("bad1", "bad2"):
        host.behaviours[version] = Behaviour(healthy=False)
        fails(lambda version=version: host.release(version), "refused")
    assert set(host.layout.staged()) == {*good, host.id_of("bad2")}


def test_a_rollback_leaves_a_release_to_go_back_to(host):
    first, second, third = (host.release(version).current for version in ("v1", "v2", "v3"))
    host.keep = 2
    assert host.rollback().current == second
    assert set(host.layout.staged()) == {first, second, third}


def test_a_changed_socket_is_opened_anew_before_the_release_takes_it(sockets):
    sockets.release("v1")
    old = sockets.systemd.socket
    sockets.release("v2")
    assert sockets.systemd.socket == old, "the same unit, the same socket"
    sockets.write_unit("another backlog")
    sockets.release("v3")
    assert sockets.systemd.socket != old
    assert sockets.settled() == sockets.id_of("v3")


def test_units_that_systemd_has_not_read_yet_are_read_before_the_release_starts(host):
    """The role wrote them, and then the daemon-reload failed or never came."""
    host.release("v1")
    known = dict(host.systemd.loaded)
    host.write_unit("another sandbox", "shop@.service")
    host.systemd.loaded = known
    host.release("v2")
    assert "another sandbox" in host.systemd.loaded["shop@.service"]


def test_after_a_bad_release_with_a_changed_socket_the_old_one_serves_on_the_socket_that_is_open(sockets):
    good = sockets.release("v1").current
    sockets.write_unit("another backlog")
    sockets.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: sockets.release("v2"), "rolled_back")
    assert sockets.settled() == good


SWITCHES = [("restart", "socket"), ("socket", "restart")]


@pytest.mark.parametrize(("before", "after"), SWITCHES)
def test_the_strategy_may_change_and_change_back(tmp_path, monkeypatch, before, after):
    host = Host(str(tmp_path), before).install(monkeypatch)
    first = host.release("v1").current
    host.switch(after)
    second = host.release("v2")
    assert second.downtime_seconds > 0, "one had to end before the other could begin"
    assert host.settled() == second.current
    host.reboot()
    assert host.settled() == second.current
    assert host.rollback().current == first
    assert host.settled() == first
    host.reboot()
    assert host.settled() == first
    host.switch(before)
    host.release("v3")
    assert host.settled() == host.id_of("v3")


@pytest.mark.parametrize("what", BAD)
@pytest.mark.parametrize(("before", "after"), SWITCHES)
def test_a_bad_release_with_another_strategy_is_undone(tmp_path, monkeypatch, before, after, what):
    host = Host(str(tmp_path), before).install(monkeypatch)
    first = host.release("v1").current
    host.switch(after)
    host.behaviours["v2"] = replace(BAD[what][0])
    fails(lambda: host.release("v2"), "rolled_back")
    assert host.settled() == first
    host.reboot()
    assert host.settled() == first


def test_a_release_comes_back_in_the_units_it_was_released_with(host):
    host.write_unit("old sandbox", "shop@.service")
    first = host.release("v1").current
    host.write_unit("new sandbox", "shop@.service")
    host.release("v2")
    assert "new sandbox" in host.systemd.loaded["shop@.service"]
    assert host.rollback().current == first
    assert "old sandbox" in host.systemd.loaded["shop@.service"]
    host.behaviours["v3"] = Behaviour(healthy=False)
    host.write_unit("newer sandbox", "shop@.service")
    fails(lambda: host.release("v3"), "rolled_back")
    assert "old sandbox" in host.systemd.loaded["shop@.service"]


def test_leftover_instances_are_stopped(host):
    host.release("v1")
    stray = host.systemd.instance("v0-0123456789")
    stray.state = "active"
    host.release("v2")
    assert host.systemd.running() == [host.id_of("v2")]


@pytest.mark.parametrize(
    ("health", "option"),
    [
        ({"interval": "often"}, "interval"),
        ({"interval": -1}, "interval"),
        ({"rise": 0}, "rise"),
        ({"rise": "two"}, "rise"),
        ({"fall": 0}, "fall"),
        ({"fall": 1.5}, "fall"),
        ({"deadline": float("nan")}, "deadline"),
        ({"deadline": -1}, "deadline"),
        ({"urll": "http://127.0.0.1:1/"}, "urll"),
    ],
)
def test_bad_health_options_are_refused_before_anything_happens(host, health, option):
    host.release("v1")
    host.release("v2")
    host.health = {**host.health, **health}
    before = len(host.systemd.commands)
    for act in (
        lambda: host.release("v3"),
        host.rollback,
        lambda: host.engine().predict(host.spec("v3")),
        lambda: host.engine().predict_rollback(),
    ):
        with pytest.raises(SlipwayError) as caught:
            act()
        assert option in str(caught.value)
        assert caught.value.fix
    assert not any(c.startswith(("start", "stop", "restart")) for c in host.systemd.commands[before:])
    host.health = {"url": host.health["url"]}
    assert host.settled() == host.id_of("v2")


def test_what_the_host_has_against_it_is_told_before_anything_happens(host, monkeypatch):
    first = host.release("v1").current
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=1, f_frsize=4096))
    before = len(host.systemd.commands)
    for act in (lambda: host.release("v2"), lambda: host.engine().predict(host.spec("v2"))):
        error = fails(act, "disk_full")
        assert [p["code"] for p in error.details["problems"]] == ["disk_full"]
        assert error.details["problems"][0]["fix"]
    assert all(c.startswith("show ") for c in host.systemd.commands[before:])
    assert host.layout.staged() == [first]


@pytest.fixture
def disk(host, monkeypatch):
    """A disk that has room for a release while no more than `fits` are on it."""

    def make(fits):
        def statvfs(_path):
            return SimpleNamespace(f_bavail=1 if len(host.layout.staged()) > fits else 1 << 20, f_frsize=4096)

        monkeypatch.setattr(os, "statvfs", statvfs)

    return make


def test_what_serves_already_is_accepted_on_a_full_disk(host, disk):
    host.release("v1")
    disk(0)
    foreseen = host.engine().predict(host.spec("v1"))
    assert (foreseen.changed, foreseen.action) == (False, "none") == (False, host.release("v1").action)


def test_on_a_full_disk_what_is_beyond_keep_goes_before_the_release_is_refused(host, disk):
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    disk(2)
    fails(lambda: host.release("v5"), "disk_full")
    assert host.layout.staged() == ids, "nothing is beyond keep"
    host.keep = 2
    last = host.release("v5").current
    assert host.settled() == last
    assert set(host.layout.staged()) == {ids[-1], last}


def test_a_full_disk_never_takes_the_way_back(host, disk):
    first, second = (host.release(version).current for version in ("v1", "v2"))
    host.behaviours["bad"] = Behaviour(healthy=False)
    fails(lambda: host.release("bad"), "rolled_back")
    host.keep = 2
    disk(0)
    fails(lambda: host.release("v3"), "disk_full")
    assert set(host.layout.staged()) == {first, second}
    assert host.rollback().changed is False, "the refused one counts as gone back from"
    assert host.rollback(first).current == first


def test_with_a_lost_link_a_full_disk_leaves_what_the_release_would_fall_back_to(host, disk):
    _older, first, second = (host.release(version).current for version in ("v0", "v1", "v2"))
    host.keep = 2
    os.utime(host.layout.release(first), (0, 0))
    os.unlink(host.layout.current)
    disk(0)
    fails(lambda: host.release("v2"), "disk_full")
    assert host.layout.staged() == [first, second]


def test_releases_that_are_rolled_back_do_not_pile_up(host):
    host.keep = 3
    first, second = (host.release(version).current for version in ("v1", "v2"))
    for number in range(5):
        host.behaviours[f"bad{number}"] = Behaviour(healthy=False)
        fails(lambda number=number: host.release(f"bad{number}"), "rolled_back")
        assert set(host.layout.staged()) == {first, second, host.id_of(f"bad{number}")}
    assert host.rollback(first).current == first


def test_old_releases_that_cannot_be_deleted_fail_nothing(host, monkeypatch):
    host.keep = 2
    host.release("v1")
    host.behaviours["bad"] = Behaviour(healthy=False)

    def broken(*_arguments):
        raise OSError(5, "Input/output error", "releases")

    monkeypatch.setattr(stage, "prune", broken)
    host.release("v2")
    fails(lambda: host.release("bad"), "rolled_back")
    assert host.release("v3").pruned == []
    assert host.settled() == host.id_of("v3")


def test_a_smaller_keep_is_taken_over_at_once(host):
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    host.keep = 2
    done = host.release("v4")
    assert (done.action, done.pruned, host.layout.staged()) == ("settings", ids[:2], ids[2:])


def test_what_the_host_cannot_start_is_told_before_it_is_tried(host, monkeypatch):
    first = host.release("v1").current
    monkeypatch.setattr(
        preflight, "linkage_problems", lambda _unit, _binary: [Problem("missing_library", "no libx.", "install it")]
    )
    before = len(host.systemd.commands)
    error = fails(lambda: host.rehearse().release("v2"), "missing_library")
    assert "no libx. Fix: install it" in str(error)
    assert error.details["current"] == first
    assert all(c.startswith("show ") for c in host.systemd.commands[before:])
    assert host.settled() == first


def test_a_rollback_to_what_the_host_cannot_start_any_more_touches_nothing(host, monkeypatch):
    host.release("v1")
    second = host.release("v2").current
    monkeypatch.setattr(
        preflight, "linkage_problems", lambda _unit, _binary: [Problem("missing_library", "no libx.", "install it")]
    )
    before = len(host.systemd.commands)
    ways = (
        host.rollback,
        host.engine().predict_rollback,
        lambda: host.engine().roll_back_automatically(second, "it falls"),
    )
    for act in ways:
        assert fails(act, "missing_library").details["current"] == second
    assert all(c.startswith("show ") for c in host.systemd.commands[before:])
    assert host.settled() == second


def test_a_packed_release_that_was_good_can_be_gone_back_to(host, monkeypatch):
    """A version before this one let it pass; a new one is refused."""
    first = host.release("v1").current
    second = host.release("v2").current
    monkeypatch.setattr(
        preflight,
        "linkage_problems",
        lambda _unit, _binary: [Problem("packed", "packed by UPX.", "release it unpacked")],
    )
    assert host.engine().can_roll_back(second)
    assert host.engine().predict_rollback().current == first
    fails(lambda: host.release("v3"), "packed")
    assert host.rollback().current == first
    assert host.settled() == first


def test_a_rollback_to_a_socket_whose_units_are_gone_is_refused(sockets):
    """Releases that were staged before they carried their units can only go where those units still are."""
    first = sockets.release("v1").current
    shutil.rmtree(os.path.join(sockets.layout.release(first), "units"))
    without = {key: value for key, value in sockets.layout.manifest(first).items() if key != "units"}
    with open(os.path.join(sockets.layout.release(first), "release.json"), "w", encoding="utf-8") as stream:
        json.dump(without, stream)
    sockets.forget(first)
    sockets.switch("restart")
    second = sockets.release("v2").current
    error = fails(sockets.rollback, "units_missing")
    assert "service_swap" in error.fix
    assert sockets.settled() == second


def test_without_a_health_check_staying_up_is_enough(host):
    host.health = {}
    host.release("v1")
    host.behaviours["v2"] = Behaviour(dies_after=1)
    fails(lambda: host.release("v2"), "rolled_back")
    assert host.settled() == host.id_of("v1")


def test_a_rehearsal_comes_first_and_leaves_nothing(host):
    outcome = host.rehearse().release("v1")
    assert list(outcome.phases)[:3] == ["STAGE", "REHEARSE", "INTENT"]
    commands = host.systemd.commands
    unit = f"shop-rehearsal@{outcome.current}.service"
    assert commands.index(f"start --no-block {unit}") < commands.index(
        f"start --no-block shop@{outcome.current}.service"
    )
    assert host.settled() == outcome.current


@pytest.mark.parametrize("what", ["cannot start", "never ready", "unhealthy", "dies while it is asked"])
def test_what_fails_in_rehearsal_is_never_exposed(host, what):
    good = host.release("v1").current
    host.behaviours["v2"] = replace(BAD[what][0])
    before = len(host.systemd.commands)
    error = fails(lambda: host.rehearse().release("v2"), "refused")
    assert error.details["failed_phase"] == "REHEARSE"
    assert error.details["current"] == good
    assert not any(c.endswith(f"shop@{host.id_of('v2')}.service") for c in host.systemd.commands[before:])
    assert host.settled() == good
    assert host.systemd.rehearsing() == []
    fails(lambda: host.release("v2"), "known_bad")


@pytest.mark.parametrize("what", BAD)
def test_what_only_fails_before_users_is_rolled_back(host, what):
    good = host.release("v1").current
    host.behaviours["v2"] = replace(BAD[what][0], plays_along=True)
    fails(lambda: host.rehearse().release("v2"), "rolled_back")
    assert host.settled() == good


def test_a_rehearsal_that_was_cut_short_does_not_stand_in_the_way_of_the_next(host):
    host.rehearse().release("v1")
    stray = host.systemd._get("shop-rehearsal@v0-0123456789.service")
    stray.state = "active"
    host.release("v2")
    assert host.systemd.rehearsing() == [], "it may have the port that the next rehearsal needs"


def test_every_phase_is_in_the_journal(host):
    host.release("v1")
    events = host.store.journal.events()
    staged = events.pop(0)
    assert (staged["event"], staged["release"]) == ("staged", host.id_of("v1"))
    assert len({e["txn"] for e in events}) == 1
    assert next(e["phase"] for e in events if e["event"] == "phase") == "INTENT"
    assert events[-1]["event"] == "committed"
    assert events[-1]["release"] == host.id_of("v1")


@pytest.mark.parametrize("period", ["during", "after"])
def test_a_release_that_loses_requests_is_rolled_back(sockets, period):
    """It is ready, and healthy, and bad all the same."""
    good = sockets.release("v1").current
    sockets.behaviours["v2"] = Behaviour(loses=period)
    error = fails(lambda: sockets.release("v2"), "rolled_back")
    assert f"requests failed {period}" in error.message
    assert list(error.details["probe"])[-1] == "rollback"
    assert sockets.settled() == good
    last = sockets.store.journal.outcomes()[-1]
    assert (last["code"], list(last["probe"])[-1]) == ("probe_failed", "rollback")
    assert sockets.id_of("v2") in sockets.store.journal.bad()


def test_what_is_lost_while_nothing_serves_is_only_told(restarts):
    restarts.release("v1")
    restarts.behaviours["v2"] = Behaviour(loses="during")
    restarts.release("v2")
    assert restarts.settled() == restarts.id_of("v2")


def test_the_probe_has_no_say_in_a_rollback(host):
    host.release("v1")
    host.release("v2")
    host.behave("v1").loses = "after"
    assert list(host.rollback().probe) == ["during", "after"]
    assert host.settled() == host.id_of("v1")


def test_the_probe_begins_before_the_swap_where_something_serves(host):
    assert list(host.release("v1").probe) == ["after"]
    done = host.release("v2")
    assert list(done.probe) == ["before", "during", "after"]
    assert host.store.journal.outcomes()[-1]["probe"] == done.probe


def template(host):
    """Of the unit that releases start in: what is in force."""
    with open(host.layout.template_unit, encoding="utf-8") as stream:
        return stream.readline().strip()


def test_units_for_the_next_release_are_not_in_force_under_the_one_that_serves(host):
    """A crash, a boot or a restart would start it with arguments that it does not know."""
    host.write_unit("first", "shop@.service")
    host.release("v1")
    host.write_unit("second", "shop@.service")
    assert template(host) == "# first"
    host.behaviours["v2"] = Behaviour(healthy=False)
    fails(lambda: host.rehearse().release("v2"), "refused")
    assert template(host) == "# first"
    host.release("v3")
    assert template(host) == "# second"


def test_after_a_rollback_the_next_release_still_has_its_units_beside_its_environment(host):
    host.write_unit("first", "shop@.service")
    host.release("v1")
    host.write_unit("second", "shop@.service")
    with open(os.path.join(host.layout.config, "environment"), "w", encoding="utf-8") as stream:
        stream.write('SHARED="second"\n')
    host.behaviours["v2"] = Behaviour(sick_after=3)
    fails(lambda: host.release("v2"), "rolled_back")
    assert template(host) == "# first"
    current = host.release("v3").current
    assert template(host) == "# second"
    with open(os.path.join(host.layout.release(current), "environment"), encoding="utf-8") as stream:
        assert 'SHARED="second"' in stream.read()


DAMAGES = {"truncated": '{"txn": "', "empty": "", "a list": "[]", "wrong types": '{"txn": 1, "phase": [], "to": 7}'}


def damage(host, text):
    path = os.path.join(host.layout.state, "state.json")
    if os.path.exists(path):
        os.unlink(path)
    if text is None:
        os.mkdir(path)
        return
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(text)


@pytest.mark.parametrize("text", [*DAMAGES.values(), None], ids=[*DAMAGES, "a directory"])
def test_a_damaged_state_is_rebuilt_from_the_journal(host, text):
    """The release that waited to be confirmed is taken back at its deadline all the same."""
    first = host.release("v1").current
    second = host.swap("v2").unconfirmed
    whole = host.store.load()
    damage(host, text)
    host.store.repair()
    found = host.store.load()
    assert (found.txn, found.to, found.source, found.phase) == (second, whole.to, first, whole.phase)
    assert (found.kind, found.strategy) == (whole.kind, whole.strategy)
    damage(host, text)
    host.expire()
    assert host.settled() == first
    assert host.release("v2").current == host.settled()


@pytest.mark.parametrize("act", ["release", "rollback", "recover"])
@pytest.mark.parametrize("text", [*DAMAGES.values(), None], ids=[*DAMAGES, "a directory"])
def test_a_damaged_state_with_nothing_in_flight_stops_nobody(host, text, act):
    first, second = (host.release(version).current for version in ("v1", "v2"))
    damage(host, text)
    acts = {"release": lambda: host.release("v3").current, "rollback": lambda: host.rollback().current}
    wanted = {"release": host.id_of("v3"), "rollback": first, "recover": second}[act]
    acts.get(act, host.engine().recover)()
    assert host.settled() == wanted
    assert os.path.lexists(os.path.join(host.layout.state, "state.json.damaged"))


def test_a_damaged_state_without_a_journal_is_not_guessed_at(host):
    host.release("v1")
    host.swap("v2")
    os.unlink(os.path.join(host.layout.state, "journal.jsonl"))
    damage(host, "{")
    error = fails(host.rollback, "damaged_state")
    assert "does not say what was in flight" in str(error)
    assert host.layout.current_id() == host.id_of("v2")
    assert not os.path.exists(os.path.join(host.layout.state, "state.json.damaged"))


def test_a_release_that_says_nothing_of_itself_is_known_from_the_journal(host):
    first = host.release("v1").current
    host.forget(first)
    with open(os.path.join(host.layout.release(first), "release.json"), "w", encoding="utf-8") as stream:
        stream.write("{")
    second = host.release("v2")
    assert (second.downtime_seconds is None) == (host.strategy == "socket")
    error = fails(lambda: host.rollback(first), "damaged_release")
    assert "release.json is not readable" in str(error)
    fails(host.rollback, "no_last_good")
    assert host.settled() == second.current


def test_what_is_beyond_keep_goes_with_a_run_that_has_nothing_else_to_do(host):
    ids = [host.release(f"v{number}").current for number in range(1, 5)]
    settings = replace(host.settings(), keep=2)
    host.store.save_settings(settings)
    host.keep = 2
    foreseen = host.engine().predict(host.spec("v4"))
    assert (foreseen.changed, foreseen.action, foreseen.pruned) == (True, "prune", ids[:2])
    done = host.release("v4")
    assert (done.changed, done.action, done.pruned, host.layout.staged()) == (True, "prune", ids[:2], ids[2:])
    again = host.release("v4")
    assert (again.changed, again.action) == (False, "none")


def test_a_confirmation_from_the_host_prunes_by_the_new_keep(host):
    ids = [host.release(f"v{number}").current for number in range(1, 4)]
    host.keep = 2
    waits = host.swap("v4").unconfirmed
    host.keep = 5  # what the tool on the host knows until the release counts
    host.engine().confirm(waits)
    assert host.layout.staged() == [ids[2], host.settled()]


def test_a_purged_release_is_gone_with_all_that_it_came_with(host):
    ids = [host.release(f"v{number}").current for number in range(1, 4)]
    slot = os.path.join(host.layout.slots, f"{ids[0]}.env")
    os.makedirs(host.layout.slots, exist_ok=True)
    with open(slot, "w", encoding="utf-8") as stream:
        stream.write("PORT=1\n")
    assert host.engine().purge([ids[0]], predict=True) == [ids[0]]
    assert host.layout.staged() == ids
    assert host.engine().purge([ids[0], "no-such"]) == [ids[0]]
    assert host.layout.staged() == ids[1:]
    assert not os.path.exists(slot)
    assert sorted(os.listdir(host.layout.releases)) == sorted(ids[1:])
    last = host.store.journal.events()[-1]
    assert (last["event"], last["release"]) == ("purged", ids[0])
    assert host.engine().purge([ids[0]]) == []
    assert host.store.journal.events()[-1] == last, "a second time changes nothing"
    assert host.rollback().current == ids[1]


def test_a_purge_that_was_cut_short_is_finished_by_the_next_one(host, monkeypatch):
    first = host.release("v1").current
    host.release("v2")
    remove_tree = stage._files.remove_tree

    def killed(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(stage._files, "remove_tree", killed)
    with pytest.raises(KeyboardInterrupt):
        host.engine().purge([first])
    monkeypatch.setattr(stage._files, "remove_tree", remove_tree)
    assert any(first in name for name in os.listdir(host.layout.releases))
    assert host.engine().purge([first]) == []
    assert not any(first in name for name in os.listdir(host.layout.releases))


def test_a_version_stands_for_all_its_releases_and_others_for_all_but_what_serves(host):
    ids = [host.release(version).current for version in ("v1", "v2", "v3", "v4")]
    assert host.engine().purge(["v1"]) == [ids[0]]
    assert host.engine().purge(["others"]) == ids[1:3]
    assert host.layout.staged() == [ids[3]]
    fails(host.rollback, "no_last_good")
    assert host.settled() == ids[3]


def test_what_is_needed_is_not_purged_and_nothing_else_is_either(host):
    first, second = (host.release(version).current for version in ("v1", "v2"))
    error = fails(lambda: host.engine().purge([first, second]), "release_needed")
    assert "serves now" in str(error)
    assert host.layout.staged() == [first, second]
    third = host.swap("v3").current
    for needed, why in ((second, "the swap in flight"), (third, "serves now")):
        fails(lambda needed=needed: host.engine().purge([needed], predict=True), "release_needed")
        assert why in str(fails(lambda needed=needed: host.engine().purge([needed]), "release_needed"))
    assert host.layout.staged() == [first, second, third]
    assert host.engine().purge([first]) == [first]


def test_a_purge_that_was_killed_is_finished_by_the_next_run(host, monkeypatch):
    def die(_path):
        raise Killed

    first, second = (host.release(version).current for version in ("v1", "v2"))
    monkeypatch.setattr(stage._files, "remove_tree", die)
    with pytest.raises(Killed):
        host.engine().purge([first])
    monkeypatch.undo()
    assert host.layout.staged() == [second]
    assert host.store.journal.events()[-1]["event"] == "purged"
    stage.collect_leftovers(host.layout)
    assert os.listdir(host.layout.releases) == [second]
