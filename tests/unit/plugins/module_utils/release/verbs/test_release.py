# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator can rely on when nothing breaks but the release itself."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.plugins.module_utils._release import preflight
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import load_settings
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    BAD,
    NAME,
    Behaviour,
    Faults,
    Host,
    Killed,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


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
    spans = outcome.timeline["phases"]
    assert [name for name, _begins, _took in spans] == swap
    assert all(later[1] >= round(begins + took, 3) - 0.002 for (_name, begins, took), later in zip(spans, spans[1:]))
    assert "timeline" not in outcome.as_dict()


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
    error = refused(lambda: host.release("v1"), "unhealthy")
    assert f"{current} serves, and does not pass the release_health that is specified now" in error.message
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
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert reason.replace("not_started", "did not start") in str(error)
    assert error.details["rolled_back"] is True
    assert error.details["current"] == good
    assert error.details["failed_release"] == host.id_of("v2")
    ends = [name for name, _begins, _took in error.details["timeline"]["phases"]][-2:]
    assert ends == [error.details["failed_phase"], "ROLLBACK"]
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
    refused(lambda: sockets.release("v2"), "rolled_back")
    assert sockets.systemd.lowest == (0 if dies_alone else 1)


@pytest.mark.parametrize("what", ["cannot start", "never ready", "unhealthy", "dies while it is asked"])
def test_what_fails_before_the_flip_never_becomes_current(sockets, what):
    good = sockets.release("v1").current
    sockets.behaviours["v2"] = replace(BAD[what][0])
    error = refused(lambda: sockets.release("v2"), "rolled_back")
    assert error.details["failed_phase"] == "OVERLAP"
    assert sockets.layout.current_id() == good
    assert not any(c.startswith(f"stop shop@{good}") for c in sockets.systemd.commands)


def test_an_instance_without_the_socket_is_refused(sockets):
    good = sockets.release("v1").current
    sockets.behaviours["v2"] = Behaviour(inherits=False)
    error = refused(lambda: sockets.release("v2"), "rolled_back")
    assert "does not listen on the service's socket" in str(error)
    assert sockets.settled() == good


@pytest.mark.parametrize("what", BAD)
def test_bad_first_release_leaves_a_bare_host(host, what):
    host.behaviours["v1"] = replace(BAD[what][0])
    error = refused(lambda: host.release("v1"), "rolled_back")
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
    refused(lambda: host.release("v2"), "rolled_back")
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
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert error.details["current"] == first
    assert host.settled() == first
    host.reboot()
    assert host.settled() == first


def test_with_a_dead_current_release_a_bad_one_does_not_bar_the_way_for_a_good_one(host):
    host.release("v1")
    host.systemd.die(host.id_of("v1"))
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.release("v2"), "rollback_failed")
    host.release("v3")
    assert host.settled() == host.id_of("v3")


def test_the_release_before_comes_back_even_if_it_does_not_pass_the_check_any_more(host):
    """The check may ask for what only the new release has; the old one is still the one that was good."""
    first = host.release("v1").current
    host.behaviours["v2"] = Behaviour(sick_after=2)
    host.behave("v1").healthy = False
    error = refused(lambda: host.release("v2"), "rollback_failed")
    assert "v1" in str(error)
    assert "did not become healthy" in str(error)
    assert error.fix == "look at systemctl status 'shop@*', then release a version that works"
    assert [one["code"] for one in error.details["problems"]] == ["unhealthy_in_soak", "unhealthy"]
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
    refused(lambda: restarts.release("v2"), "rolled_back")
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
    refused(lambda: host.release("v2"), "rollback_failed")
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
    refused(lambda: host.release("v2"), "rollback_failed")
    host.release("v3")
    assert [e["event"] for e in host.store.journal.outcomes()] == ["committed", "given_up", "committed"]
    assert "did not start" in host.store.journal.outcomes()[1]["reason"]


def test_a_dead_only_release_that_fails_again_is_still_what_the_next_boot_starts(host):
    """Its database may be back by then."""
    first = host.release("v1").current
    host.systemd.die(first)
    error = refused(lambda: host.release("v1"), "not_proven")
    assert error.details["current"] == first
    assert (host.layout.current_id(), host.layout.last_good_id(), host.boot_id()) == (first, first, first)
    host.behave("v1").boots = True
    host.reboot()
    assert host.settled() == first


def test_a_failed_rollback_is_not_called_one(host):
    host.release("v1")
    host.systemd.die(host.id_of("v1"))
    host.behaviours["v2"] = Behaviour(healthy=False)
    error = refused(lambda: host.release("v2"), "rollback_failed")
    assert error.details["rolled_back"] is False


def test_what_failed_is_not_released_again_unless_forced(host):
    good = host.release("v1").current
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.release("v2"), "rolled_back")
    before = len(host.systemd.commands)
    error = refused(lambda: host.release("v2"), "known_bad")
    assert "did not become healthy" in str(error)
    assert "release_force" in error.fix
    assert all(c.startswith("show ") for c in host.systemd.commands[before:])
    refused(lambda: host.engine().predict(host.spec("v2")), "known_bad")
    assert host.engine().predict(host.spec("v2", configured=False)).changed, "another configuration may be to come"
    assert host.engine().predict(host.spec("v2", force=True)).changed
    refused(lambda: host.release("v2", force=True), "rolled_back")
    host.behaviours["v2"].healthy = True
    host.release("v2", force=True)
    host.release("v1")
    host.release("v2")
    assert host.settled() == host.id_of("v2") != good, "once good, it is no longer marked"


def test_what_was_rolled_back_from_is_not_released_again_unless_forced(host):
    host.release("v1")
    host.release("v2")
    host.rollback()
    assert "rolled back from it" in str(refused(lambda: host.release("v2"), "known_bad"))
    host.release("v2", force=True)
    assert host.settled() == host.id_of("v2")


def test_what_was_good_here_and_is_taken_back_for_other_hosts_may_be_released_again(host):
    host.release("v1")
    host.release("v2")
    host.rollback(mark_bad=False)
    assert host.store.journal.bad() == {}
    assert host.store.journal.good() == [host.id_of("v1")], "no later rollback goes there"
    host.release("v2")
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
    refused(lambda: host.release("v2"), "rolled_back")
    assert host.settled() == first
    host.reboot()
    assert host.settled() == first


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
    monkeypatch.setattr(os, "statvfs", lambda _path: SimpleNamespace(f_bavail=1, f_frsize=4096, f_files=0, f_flag=0))
    before = len(host.systemd.commands)
    for act in (lambda: host.release("v2"), lambda: host.engine().predict(host.spec("v2"))):
        error = refused(act, "disk_full")
        assert [p["code"] for p in error.details["problems"]] == ["disk_full"]
        assert error.details["problems"][0]["fix"]
    assert all(c.startswith("show ") for c in host.systemd.commands[before:])
    assert host.layout.staged() == [first]


def test_what_the_host_cannot_start_is_told_before_it_is_tried(host, monkeypatch):
    first = host.release("v1").current
    monkeypatch.setattr(
        preflight, "linkage_problems", lambda _unit, _binary: [Problem("missing_library", "no libx.", "install it")]
    )
    before = len(host.systemd.commands)
    error = refused(lambda: host.rehearse().release("v2"), "missing_library")
    assert "no libx. Fix: install it" in str(error)
    assert error.details["current"] == first
    assert all(c.startswith("show ") for c in host.systemd.commands[before:])
    assert host.settled() == first


def test_without_a_health_check_staying_up_is_enough(host):
    host.health = {}
    host.release("v1")
    host.behaviours["v2"] = Behaviour(dies_after=1)
    refused(lambda: host.release("v2"), "rolled_back")
    assert host.settled() == host.id_of("v1")


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
    error = refused(lambda: sockets.release("v2"), "rolled_back")
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


def test_the_probe_begins_before_the_swap_where_something_serves(host):
    assert list(host.release("v1").probe) == ["after"]
    done = host.release("v2")
    assert list(done.probe) == ["before", "during", "after"]
    assert host.store.journal.outcomes()[-1]["probe"] == done.probe


def test_connections_that_outlive_the_drain_are_counted_and_told(host):
    host.behave("v1").keeps_open = 3
    host.release("v1")
    outcome = host.release("v2")
    assert outcome.as_dict()["cut"] == 3
    assert [
        warning
        for warning in outcome.warnings
        if warning.startswith("connections to the old release") and " cut: 3." in warning
    ]
    assert host.store.journal.last_outcome()["cut"] == 3
    assert host.settled() == host.id_of("v2")


def test_where_nothing_outlives_the_drain_nothing_is_told(host):
    host.release("v1")
    outcome = host.release("v2")
    assert (outcome.as_dict()["cut"], outcome.warnings) == (0, [])
    assert "cut" not in host.store.journal.last_outcome()


def test_what_a_drain_has_cut_is_told_of_a_release_that_fails_after_it(host):
    host.behave("v1").keeps_open = 3
    host.release("v1")
    host.behave("v2").sick_after = 3
    host.soak_time = 10
    error = refused(lambda: host.release("v2"), "rolled_back")
    assert error.details["cut"] == 3
    assert host.store.journal.last_outcome()["cut"] == 3
