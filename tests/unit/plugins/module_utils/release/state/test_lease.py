# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lease: of two runs, never both release, whatever the order of their steps and however late one comes back."""

from __future__ import annotations

import itertools
import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state import lease as module
from ansible_collections.slipway.go.plugins.module_utils._release.state.journal import Journal
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import (
    GIVEN_BACK,
    LONGEST,
    Claim,
    Lease,
    Leases,
    Moment,
    parse_lease,
)
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

ALICE = {"person": "alice", "controller": "ctl1", "reason": "repairs the checkout"}
BOB = {"person": "bob", "controller": "ctl2"}
SECONDS = 600.0
X, Y = Claim("x", SECONDS, name="1704", version="2.0.0"), Claim("y", SECONDS)


class Clock:
    def __init__(self):
        self.boot, self.seconds = "boot-1", 1000.0

    def __call__(self):
        return Moment(self.boot, self.seconds)

    def reboot(self):
        self.boot, self.seconds = "boot-2", 5.0


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def leases(tmp_path, clock):
    layout = Layout("shop", str(tmp_path / "root"), state_root=str(tmp_path))
    os.makedirs(layout.state)
    return Leases(layout, Journal(os.path.join(layout.state, "journal.jsonl")), clock)


def held(claim):
    return Claim(claim.run, claim.seconds, held=True)


def test_another_run_is_refused_and_told_who_has_it(leases):
    leases.take(X, ALICE)
    error = refused(lambda: leases.take(Y, BOB), "leased", "alice on ctl1", "run 1704", "version 2.0.0", "since ")
    assert "at most 600 s more" in error.message
    assert "repairs the checkout" in error.message
    assert "release_end_lease to x" in error.fix
    assert error.details["lease"]["by"] == ALICE
    refused(lambda: leases.admit(Y, BOB), "leased")
    refused(lambda: leases.admit(None, {}), "leased")


def test_the_run_that_has_it_goes_on_and_takes_it_again(leases, clock):
    leases.take(X, ALICE)
    clock.seconds += SECONDS - 1
    leases.admit(held(X), ALICE)
    leases.begin(held(X), ALICE)
    clock.seconds += SECONDS - 1
    refused(lambda: leases.take(Y, BOB), "leased")
    leases.take(X, ALICE)


def test_it_ends_by_the_clock_of_the_host(leases, clock):
    leases.take(X, ALICE)
    clock.seconds += SECONDS - 0.5
    assert leases.holder() is not None
    clock.seconds += 0.5
    assert leases.holder() is None
    leases.take(Y, BOB)


def test_a_clock_that_is_set_changes_nothing(leases, monkeypatch):
    leases.take(X, ALICE)
    monkeypatch.setattr(module.time, "time", lambda: 4e9)
    assert leases.holder().run == "x"


def test_after_a_reboot_it_holds_for_its_whole_time_at_most(leases, clock):
    """When it was taken cannot be known any more; that it is as old as the boot, can."""
    leases.take(X, ALICE)
    clock.reboot()
    refused(lambda: leases.admit(Y, BOB), "leased")
    leases.admit(held(X), ALICE)
    clock.seconds = SECONDS
    leases.admit(Y, BOB)


def test_who_comes_back_late_goes_on_where_nobody_else_was(leases, clock):
    leases.take(X, ALICE)
    clock.seconds += 10 * SECONDS
    leases.admit(held(X), ALICE)
    leases.begin(held(X), ALICE)
    refused(lambda: leases.take(Y, BOB), "leased")


@pytest.mark.parametrize("over", [False, True])
def test_who_comes_back_late_is_refused_where_another_was(leases, clock, over):
    leases.take(X, ALICE)
    clock.seconds += SECONDS
    leases.take(Y, BOB)
    if over:
        leases.give_back("y")
        clock.seconds += 10 * SECONDS
    refused(lambda: leases.admit(held(X), ALICE), "lease_lost" if over else "leased", "bob on ctl2")


def test_a_release_without_a_lease_leaves_its_name(leases, clock):
    """Of one host alone: a run that had the lease must not put its own release over it."""
    leases.take(X, ALICE)
    clock.seconds += SECONDS
    leases.admit(Y, BOB)
    leases.begin(Y, BOB)
    refused(lambda: leases.admit(held(X), ALICE), "lease_lost", "bob")
    assert leases.holder() is None


def test_a_host_alone_writes_nothing(leases):
    leases.admit(X, ALICE)
    leases.begin(X, ALICE)
    assert leases.last() is None
    assert leases.told() is None


def test_what_an_operator_ends_is_over_for_that_run(leases):
    leases.take(X, ALICE)
    assert leases.end({"person": "root"}).run == "x"
    assert leases.end({"person": "root"}) is None
    refused(lambda: leases.admit(held(X), ALICE), "lease_ended", "root")
    assert leases.told()["left"] == 0
    leases.take(Y, BOB)


def test_a_run_that_is_over_can_be_named(leases):
    leases.take(X, ALICE)
    leases.take(Claim("y", SECONDS, instead=("x",)), BOB)
    assert leases.holder().run == "y"
    refused(lambda: leases.admit(held(X), ALICE), "leased")
    leases.give_back("y")
    refused(lambda: leases.admit(held(X), ALICE), "lease_lost")


def test_a_wrong_name_ends_nothing(leases):
    leases.take(X, ALICE)
    refused(lambda: leases.take(Claim("y", SECONDS, instead=("z",)), BOB), "leased")


def test_only_the_own_lease_is_given_back(leases):
    leases.take(X, ALICE)
    assert not leases.give_back("y")
    assert leases.give_back("x")
    assert not leases.give_back("x")
    assert leases.last().state == GIVEN_BACK


def test_the_runs_that_are_over_are_remembered(leases, clock):
    """A host that has not heard of it learns it so, whoever came in between."""
    for number in range(module.REMEMBERED + 2):
        leases.take(Claim(str(number), SECONDS), {})
        leases.begin(Claim(str(number), SECONDS, held=True), {})
        leases.give_back(str(number))
    leases.take(X, ALICE)
    assert leases.told()["over"] == [str(number) for number in range(2, module.REMEMBERED + 2)]
    clock.seconds += SECONDS
    leases.take(Y, BOB)
    assert "x" not in leases.told()["over"], "of a run whose time is up nobody knows whether it is over"
    leases.end(BOB)
    leases.take(X, ALICE)
    assert leases.told()["over"][-1] == "y"


def test_without_the_file_a_run_that_had_it_begins_anew(leases):
    refused(lambda: leases.admit(held(X), ALICE), "lease_lost", "not there any more")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"run": "x"}',
        "null",
        '{"run": 1, "boot": 2}',
        '{"run": "x", "boot": "b", "taken": 1, "seconds": 1, "since": 1, "over": 7}',
        '{"run": "x", "boot": "b", "taken": 1, "seconds": 1, "since": 1, "over": [7]}',
    ],
)
def test_what_cannot_be_read_locks_nobody_out(leases, content):
    with open(leases._path, "w", encoding="utf-8") as stream:
        stream.write(content)
    leases.take(Y, BOB)
    assert leases.holder().run == "y"


def test_what_a_later_version_has_written_is_respected(leases):
    leases.take(X, ALICE)
    with open(leases._path, encoding="utf-8") as stream:
        content = json.load(stream)
    with open(leases._path, "w", encoding="utf-8") as stream:
        json.dump({**content, "colour": "blue"}, stream)
    refused(lambda: leases.take(Y, BOB), "leased", "alice")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 0])
def test_no_arithmetic_locks_for_ever(leases, seconds):
    leases.take(Claim("x", seconds), ALICE)
    assert leases.holder() is None
    leases.take(Claim("x", 1e9), ALICE)
    assert leases.told()["left"] == LONGEST


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_nothing_that_a_file_says_is_a_traceback(loaded):
    assert parse_lease(loaded) is None or isinstance(parse_lease(loaded), Lease)


def test_an_end_is_in_the_journal(leases):
    leases.take(X, ALICE)
    leases.end(BOB)
    (event,) = leases._journal.events()
    assert (event["event"], event["lease"], event["of"], event["by"]) == ("lease_ended", "x", ALICE, BOB)


def test_a_write_that_is_cut_short_leaves_the_lease_before_it(leases, monkeypatch):
    leases.take(X, ALICE)

    def fail(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.files.os, "rename", fail)
    with pytest.raises(OSError, match="No space"):
        leases.give_back("x")
    assert leases.last().state == "held"


class InMemory(Leases):
    """One host of a fleet, of which thousands are made."""

    def __init__(self, clock):
        self._name, self._moment, self._kept = "shop", clock, None
        self._journal = self
        self.takers, self.swaps = [], []

    def record(self, *_arguments, **_details):
        pass

    def last(self):
        return self._kept

    def _save(self, lease):
        self._kept = lease

    def _is_paused(self):
        return False


def run(claim, hosts, outcome):
    """What a run does, step by step, as its playbook does it: all hosts are asked before it is known what they say."""
    refusals = 0
    for host in hosts:
        try:
            host.take(claim, {})
            host.takers.append(claim.run)
        except SlipwayError:
            refusals += 1
        yield
    if not refusals:
        for host in hosts:
            try:
                host.admit(held(claim), {})
                host.begin(held(claim), {})
            except SlipwayError as error:
                outcome[claim.run] = error.code
                break
            assert host.takers[-1] == claim.run, "another run has taken it since"
            host.swaps.append(claim.run)
            yield
        else:
            outcome[claim.run] = "released"
    else:
        outcome[claim.run] = "leased"
    for host in hosts:
        host.give_back(claim.run)
        yield


def play(order, first, second, jump=-1):
    """Two runs in this order of their steps; before the step `jump`, so much time passes that every lease is over."""
    clock, outcome = Clock(), {}
    hosts = [InMemory(clock), InMemory(clock)]
    runs = {"x": run(X, [hosts[i] for i in first], outcome), "y": run(Y, [hosts[i] for i in second], outcome)}
    for number, name in enumerate([*order, *"xyxyxyxyxyxyxy"]):
        if number == jump:
            clock.seconds += 2 * SECONDS
        next(runs[name], None)
    assert all(host.holder() is None for host in hosts), "a run that has ended has nothing any more"
    return hosts, outcome


STEPS = 6  # of a run on two hosts that comes through
ORDERS = [
    ["x" if place in chosen else "y" for place in range(2 * STEPS)]
    for chosen in itertools.combinations(range(2 * STEPS), STEPS)
]


@pytest.mark.parametrize("second", [(0, 1), (1, 0)])
def test_two_runs_step_by_step_leave_all_hosts_on_one_release(second):
    seen = set()
    for order in ORDERS:
        hosts, outcome = play(order, (0, 1), second)
        assert hosts[0].swaps == hosts[1].swaps, f"{order}: the fleet has come apart"
        for name in ("x", "y"):
            assert (name in hosts[0].swaps) == (outcome[name] == "released"), order
        seen.add((outcome["x"], outcome["y"]))
    # Where each has half, both give back; neither waits for the other.
    assert seen == set(itertools.product(("released", "leased"), repeat=2))


@given(st.permutations(["x", "y"] * STEPS), st.integers(0, 2 * STEPS), st.sampled_from([(0, 1), (1, 0)]))
def test_no_run_swaps_a_host_that_another_has_taken_since(order, jump, second):
    """However late it comes back; `run` asserts it at each swap."""
    _hosts, outcome = play(order, (0, 1), second, jump)
    assert set(outcome.values()) <= {"released", "leased", "lease_lost"}
