# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rollback goes to a release that was good, or says why not, and changes nothing then."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem
from ansible_collections.slipway.go.plugins.module_utils._release import gate, preflight
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import Store, load_settings
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Killed
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


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
    refused(lambda: host.release("v3"), "rolled_back")
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
    refused(lambda: host.release("v3"), "refused")
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
    refused(host.rollback, "rolled_back")
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
    refused(lambda: moved.host.release("v2"), "rolled_back")
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
    refused(lambda: host.release("v2"), "rolled_back")
    error = refused(lambda: host.rollback(host.id_of("v2")), "rolled_back")
    assert error.details["failed_release"] == host.id_of("v2")
    assert host.settled() == host.id_of("v1")


@pytest.mark.parametrize("wanted", ["../../etc", "v1", "", "v1-0123456789\n", "v1-0123456789/.."])
def test_a_rollback_to_nonsense_is_refused(host, wanted):
    host.release("v1")
    error = refused(lambda: host.rollback(wanted), "invalid_release")
    assert "release_info" in error.fix


def test_a_rollback_to_what_is_not_there_names_what_is(host):
    first = host.release("v1").current
    error = refused(lambda: host.rollback("v9-0123456789"), "unknown_release")
    assert first in error.fix
    assert host.settled() == first


def test_no_earlier_good(host):
    refused(host.rollback, "no_last_good")
    first = host.release("v1").current
    error = refused(host.rollback, "no_last_good")
    refused(host.engine().predict_rollback, "no_last_good")
    assert error.fix
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
        assert refused(act, "missing_library").details["current"] == second
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
    refused(lambda: host.release("v3"), "packed")
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
    error = refused(sockets.rollback, "units_missing")
    assert "service_swap" in error.fix
    assert sockets.settled() == second


def test_the_probe_has_no_say_in_a_rollback(host):
    host.release("v1")
    host.release("v2")
    host.behave("v1").loses = "after"
    assert list(host.rollback().probe) == ["during", "after"]
    assert host.settled() == host.id_of("v1")


def give_credential(host, name, value):
    folder = os.path.join(host.layout.config, "credentials")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    if value is None:
        os.unlink(path)
        return
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(value)


def test_secrets_that_come_back_are_named_and_not_shown(host):
    for name in ("database", "queue", "mail"):
        give_credential(host, name, f"first {name}")
    host.release("v1")
    give_credential(host, "database", "second database")
    give_credential(host, "mail", None)
    give_credential(host, "new", "of today")
    host.release("v2")
    assert host.engine().predict_rollback().earlier_credentials == ["database", "mail"]
    done = host.rollback()
    assert done.earlier_credentials == ["database", "mail"]
    (warning,) = done.warnings
    assert "database, mail" in warning
    assert "first" not in warning


def test_the_same_secrets_are_no_warning(host):
    give_credential(host, "database", "first")
    host.release("v1")
    host.release("v2")
    assert host.rollback().warnings == []


def test_secrets_that_come_back_from_what_waited_are_named(host):
    give_credential(host, "database", "first")
    host.release("v1")
    give_credential(host, "database", "second")
    assert host.swap("v2").unconfirmed
    assert host.engine().predict_rollback().earlier_credentials == ["database"]
    assert host.rollback().earlier_credentials == ["database"]
