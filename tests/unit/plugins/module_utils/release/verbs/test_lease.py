# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine under a lease: a swap of another run is refused, a rollback never is, and no death locks a host."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.meant import Meant
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.module_utils._release.state import lease as module
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import Claim, Moment
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import lease as verb
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    Behaviour,
    Faults,
    Host,
    Killed,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

ALICE, BOB = {"person": "alice", "controller": "ctl1"}, {"person": "bob", "controller": "ctl2"}


@pytest.fixture
def host(memory, monkeypatch):
    made = Host(memory).install(monkeypatch)
    monkeypatch.setattr(module, "time", made.clock)
    monkeypatch.setattr(module, "now", lambda: Moment("boot", made.clock.now))
    monkeypatch.setattr(module.Leases.__init__, "__defaults__", (lambda: Moment("boot", made.clock.now),))
    return made


def engine(host, run, by, **claim):
    return Engine(host.settings(), host.layout, host.systemd, by, Claim(run, 600.0, **claim))


def release(host, version, run, by=None, **claim):
    one = engine(host, run, by or {}, **claim)
    done = one.release(host.spec(version))
    return one.confirm(done.unconfirmed) if done.unconfirmed else done


def test_a_run_that_has_the_lease_releases_and_another_does_not(host):
    release(host, "v1", "first")
    engine(host, "x", ALICE).take_lease()
    refused(lambda: release(host, "v3", "y", BOB), "leased", "alice on ctl1")
    refused(lambda: host.swap("v3"), "leased")
    release(host, "v2", "x", ALICE, held=True)
    refused(lambda: release(host, "v3", "y", BOB), "leased")
    assert verb.give_back(host.store, "x", 0)
    release(host, "v3", "y", BOB)
    assert host.settled() == host.id_of("v3")


def test_a_refusal_changes_nothing_and_waits_for_no_lock(host):
    release(host, "v1", "first")
    engine(host, "x", ALICE).take_lease()
    with host.store.locked(0):
        refused(lambda: release(host, "v2", "y", BOB), "leased")
    host.faults = Faults()
    refused(lambda: release(host, "v2", "y", BOB), "leased")
    assert host.faults.seen == []


def test_who_comes_back_late_does_not_release_over_another(host):
    release(host, "v1", "first")
    engine(host, "x", ALICE).take_lease()
    host.clock.sleep(601)
    release(host, "v3", "y", BOB)
    refused(lambda: release(host, "v2", "x", ALICE, held=True), "lease_lost", "bob on ctl2")
    assert host.settled() == host.id_of("v3")


def test_a_rollback_goes_on_whoever_has_the_lease(host):
    release(host, "v1", "first")
    release(host, "v2", "second")
    engine(host, "x", ALICE).take_lease()
    host.engine().rollback()
    assert host.settled() == host.id_of("v1")
    assert verb.leases_of(host.store).told()["left"] > 0


def test_a_run_takes_back_what_it_has_released_as_long_as_it_has_the_lease(host):
    release(host, "v1", "first")
    engine(host, "x", ALICE).take_lease()
    release(host, "v2", "x", ALICE, held=True)
    host.clock.sleep(601)
    assert engine(host, "x", ALICE, held=True).rollback(mark_bad=False).changed
    assert host.settled() == host.id_of("v1")


@pytest.mark.parametrize("touched", [True, False])
def test_a_run_that_somebody_takes_back_holds_up_no_other_one(host, touched):
    """Also on the hosts that it has not come to."""
    release(host, "v1", "first")
    engine(host, "x", ALICE, name="29").take_lease()
    if touched:
        one = engine(host, "x", ALICE, held=True, name="29")
        one.confirm(one.release(host.spec("v2", run="29")).unconfirmed)
    assert host.engine().rollback(meant=Meant(run="30")) is not None
    assert verb.leases_of(host.store).told()["left"] > 0
    took = Engine(host.settings(), host.layout, host.systemd, BOB).rollback(meant=Meant(run="29"))
    assert (took.changed, host.settled()) == (touched, host.id_of("v1"))
    ended = verb.leases_of(host.store).told()
    assert (ended["state"], ended["ended_by"]["person"]) == ("ended", "bob")
    refused(lambda: release(host, "v3", "x", ALICE, held=True, name="29"), "lease_ended", "bob")
    release(host, "v3", "y", BOB)


def test_a_run_that_was_taken_back_meanwhile_has_nothing_left_to_take_back(host):
    release(host, "v1", "first")
    engine(host, "x", ALICE, name="29").take_lease()
    one = engine(host, "x", ALICE, held=True, name="29")
    one.confirm(one.release(host.spec("v2", run="29")).unconfirmed)
    Engine(host.settings(), host.layout, host.systemd, BOB).rollback(meant=Meant(run="29"))
    late = engine(host, "x", ALICE, held=True, name="29")
    assert not late.predict_rollback(None, Meant(run="29")).changed
    assert not late.rollback(meant=Meant(run="29"), mark_bad=False).changed
    assert host.settled() == host.id_of("v1")


@pytest.mark.parametrize("over", [False, True])
def test_who_comes_back_late_takes_nothing_back_from_another(host, over):
    """The other run has found the release there, and it stays."""
    release(host, "v1", "first")
    engine(host, "x", ALICE).take_lease()
    release(host, "v2", "x", ALICE, held=True)
    host.clock.sleep(601)
    engine(host, "y", BOB).take_lease()
    release(host, "v2", "y", BOB, held=True)
    if over:
        verb.give_back(host.store, "y", 0)
    late = engine(host, "x", ALICE, held=True)
    code = "lease_lost" if over else "leased"
    refused(lambda: late.rollback(mark_bad=False), code, "bob on ctl2")
    refused(late.predict_rollback, code, "bob on ctl2")
    assert host.settled() == host.id_of("v2")


def test_the_way_back_is_refused_to_a_run_whose_lease_was_ended(host):
    release(host, "v1", "first")
    engine(host, "x", ALICE).take_lease()
    release(host, "v2", "x", ALICE, held=True)
    verb.end(host.store, BOB, 0)
    refused(lambda: engine(host, "x", ALICE, held=True).rollback(mark_bad=False), "lease_ended", "bob on ctl2")
    assert host.settled() == host.id_of("v2")


def test_the_watch_and_the_timer_go_on_whoever_has_the_lease(host):
    release(host, "v1", "first")
    engine(host, "x", ALICE).take_lease()
    assert engine(host, "x", ALICE, held=True).release(host.spec("v2")).unconfirmed
    host.expire()
    assert host.settled() == host.id_of("v1")
    release(host, "v3", "x", ALICE, held=True)
    assert host.engine().roll_back_automatically(host.id_of("v3"), "it crashed").current == host.id_of("v1")


def test_a_service_that_was_never_released_is_leased_too(host):
    engine(host, "x", ALICE).take_lease()
    refused(lambda: host.swap("v1"), "leased")
    release(host, "v1", "x", ALICE, held=True)
    assert host.settled() == host.id_of("v1")


def test_status_says_who_has_it(host):
    release(host, "v1", "first")
    assert Operator(host.settings(), host.layout, host.systemd).status(0)["lease"] is None
    engine(host, "x", ALICE).take_lease()
    told = Operator(host.settings(), host.layout, host.systemd).status(0)["lease"]
    assert (told["run"], told["by"]) == ("x", ALICE)
    assert 590 < told["left"] <= 600


def test_a_plan_says_what_serves_and_how_long_the_last_swaps_took(host):
    assert engine(host, "x", {}).plan() == {"serving": None, "returns_to": None, "took": [], "lease": None}
    for version in ("v1", "v2", "v3", "v4"):
        release(host, version, "first")
    plan = engine(host, "x", {}).plan()
    assert plan["serving"] == plan["returns_to"] == host.id_of("v4")
    assert len(plan["took"]) == 3
    host.behaviours["v5"] = Behaviour(healthy=False)
    refused(lambda: release(host, "v5", "second"), "rolled_back")
    assert engine(host, "x", {}).plan() == plan


def test_why_it_was_released_in_a_freeze_is_kept_and_logged(host):
    by = {**ALICE, "break_glass": "users cannot pay"}
    release(host, "v1", "first", by)
    assert host.store.journal.last_outcome()["by"] == by
    assert host.log[-1]["SLIPWAY_BREAK_GLASS"] == "users cannot pay"
    assert "released in a freeze: users cannot pay" in host.log[-1]["MESSAGE"]


@pytest.mark.parametrize("how", ["kill", "torn", "fail", "full"])
def test_a_death_at_any_moment_of_taking_it_locks_nobody_out_for_long(memory, monkeypatch, host, how):
    release(host, "v1", "first")
    host.faults = Faults()
    engine(host, "x", ALICE).take_lease()
    count = len(host.faults.seen)
    assert count > 5
    verb.give_back(host.store, "x", 0)
    for at in range(count):
        host.faults = Faults(how, at)
        with contextlib.suppress(Killed, OSError):
            engine(host, "x", ALICE).take_lease()
        host.faults = Faults()
        holder = verb.leases_of(host.store).told()
        assert holder["run"] == "x"
        if holder["left"]:
            refused(lambda: engine(host, "y", BOB).take_lease(), "leased")
        engine(host, "x", ALICE).take_lease()
        host.clock.sleep(601)
        engine(host, "y", BOB).take_lease()
        verb.give_back(host.store, "y", 0)
        engine(host, "x", ALICE).take_lease()
        verb.give_back(host.store, "x", 0)
