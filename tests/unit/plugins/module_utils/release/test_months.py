# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Months on one host, in any order: releases good and bad, rollbacks, crashes, reboots, full disks, killed runs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import (
    Behaviour,
    Faults,
    Host,
    Killed,
)
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

GOOD = Behaviour()
BEHAVIOURS = [
    *[GOOD] * 5,
    Behaviour(boots=False),
    Behaviour(ready=False),
    Behaviour(healthy=False),
    Behaviour(sick_after=2),
    Behaviour(dies_after=4),
    Behaviour(restarts_after=4),
    Behaviour(healthy=False, plays_along=True),
]
# What an operator may be told. Anything else is a defect of the engine.
ENDS = {
    *("ok", "os_error", "killed", "command_failed", "no_last_good", "known_bad", "refused", "not_proven"),
    *(
        "too_late",
        "interrupted",
        "no_timer",
        "rolled_back",
        "rollback_failed",
        "not_committed",
        "unhealthy",
        "not_started",
        "start_timeout",
    ),
}
FAULTS = st.one_of(
    st.none(),
    st.none(),
    st.builds(Faults, st.sampled_from(["fail", "late", "full", "kill", "torn"]), st.integers(0, 99)),
)
VERSIONS = st.sampled_from(["v1", "v2", "v3", "v4", "v5"])


class Months(RuleBasedStateMachine):
    strategy = "socket"

    def __init__(self):
        super().__init__()
        place = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.folder = tempfile.TemporaryDirectory(prefix="slipway-", dir=place)
        self.patch = pytest.MonkeyPatch()
        self.host = Host(self.folder.name, self.strategy).install(self.patch)
        self.host.keep, self.host.soak_time, self.host.health["deadline"] = 3, 0.3, 1
        self.clean = False  # nothing broke in the last run, and nothing happened since
        self.fresh = 0
        self.length = 120  # effects of a run, so that at can be a percentage of them

    def teardown(self):
        self.patch.undo()
        self.folder.cleanup()

    def healthy(self, release_id):
        return self.host.behave(release_id.rsplit("-", 1)[0]) == GOOD

    def run(self, act, faults):
        """Let the engine run once, and see that nobody lost anything by it."""
        host = self.host
        before = [i for i in host.systemd.serving() if self.healthy(i) and i == host.layout.last_good_id()]
        in_flight = os.path.exists(os.path.join(host.layout.state, "state.json"))
        host.watch()
        host.faults = Faults(faults.how, faults.at * self.length // 100) if faults else Faults()
        try:
            act()
            ended = "ok"
        except SlipwayError as error:
            ended = error.code
        except OSError:
            ended = "os_error"
        except Killed:
            ended = "killed"
        broken = host.faults
        if ended == "ok" and len(broken.seen) > 50:
            self.length = len(broken.seen)
        host.faults = Faults()
        self.clean = not (broken.how and len(broken.seen) > broken.at)
        assert ended in ENDS
        if before and ended != "killed":
            switches = host.layout.manifest(before[0])["strategy"] != host.strategy
            hopeless = ended == "rollback_failed" and (broken.how in ("fail", "late") or (broken.how and switches))
            assert host.systemd.serving() or hopeless, ended
        if before and self.clean and not in_flight and ended not in ("ok", "rollback_failed"):
            assert host.settled() == before[0], ended
        return ended

    @initialize(rehearsed=st.booleans())
    def begin(self, rehearsed):
        if rehearsed:
            self.host.rehearse()

    @rule(
        version=VERSIONS,
        behaviour=st.sampled_from(BEHAVIOURS),
        strategy=st.sampled_from(["socket", "restart"]),
        force=st.booleans(),
        faults=FAULTS,
    )
    def release(self, version, behaviour, strategy, force, faults):
        """The role `service` and the release, as in site.yml."""
        known = self.host.behaviours.get(version)
        if known is None:
            self.host.behaviours[version] = replace(behaviour)
        self.host.switch(strategy)
        ended = self.run(lambda: self.host.release(version, force=force), faults)
        if ended == "ok":
            self.settled(version)

    @rule(version=VERSIONS, force=st.booleans(), faults=FAULTS)
    def release_without_a_word(self, version, force, faults):
        """The controller is gone before it could confirm."""
        self.host.behave(version)
        self.run(lambda: self.host.swap(version, force=force), faults)

    @rule(faults=FAULTS)
    def confirm(self, faults):
        """An operator does."""
        waits = self.waiting()
        ended = self.run(lambda: self.host.engine().confirm(), faults)
        if ended == "ok":
            assert not waits or self.host.settled() == waits

    @rule()
    def deadline(self):
        good, waits = self.host.layout.last_good_id(), self.waiting()
        armed = self.host.timer is not None
        with contextlib.suppress(SlipwayError):
            self.host.expire()
        if waits and armed:
            assert self.waiting() is None
            assert not self.healthy(good) or self.host.systemd.serving() == [good]

    def waiting(self):
        left = self.host.store.load()
        return left.to if left and left.phase == "PROBATION" else None

    @rule(faults=FAULTS)
    def roll_back(self, faults):
        before = self.host.layout.current_id()
        ended = self.run(self.host.rollback, faults)
        if ended == "ok":
            self.settled()
            if self.clean:
                now = self.host.layout.current_id()
                assert not self.host.rollback().changed, "a second rollback goes further"
                last = self.host.store.journal.outcomes()[-1]
                assert now != before or (last["event"], last["kind"]) != ("rolled_back", "rollback")

    @precondition(lambda self: self.host.layout.staged())
    @rule(number=st.integers(0, 5), faults=FAULTS)
    def roll_back_to(self, number, faults):
        staged = self.host.layout.staged()
        wanted = staged[number % len(staged)]
        if self.run(lambda: self.host.rollback(wanted), faults) == "ok":
            assert self.host.settled() == wanted

    @rule()
    def reboot(self):
        good = self.host.layout.last_good_id()
        in_flight = os.path.exists(os.path.join(self.host.layout.state, "state.json"))
        self.host.reboot()
        if good and not in_flight and self.healthy(good):
            assert self.host.systemd.serving() == [good]

    @precondition(lambda self: self.host.systemd.serving())
    @rule(for_good=st.booleans())
    def crash(self, for_good):
        """The release that serves ends, for a while or for good."""
        self.clean = False
        running = self.host.systemd.serving()[0]
        boots = self.host.systemd.instance(running).behaviour.boots
        self.host.systemd.die(running)
        self.host.systemd.instance(running).behaviour.boots = boots and not for_good

    @rule(version=VERSIONS)
    def repair(self, version):
        """The database is back."""
        self.host.behave(version).__dict__.update(GOOD.__dict__)

    @rule(number=st.integers(0, 2))
    def change_unit(self, number):
        """The role alone: what serves is not touched, and would start in its own units at the next boot."""
        self.host.write_unit(f"edition {number}")

    @rule(faults=st.none())
    def a_good_release_always_goes_through(self, faults):
        """Whatever has been: the next good release finds its way."""
        self.fresh += 1
        version = f"w{self.fresh}"
        self.host.apply_role()
        assert self.run(lambda: self.host.release(version), faults) == "ok"
        self.settled(version)
        assert self.host.leftovers() == []
        assert not self.host.rehearsal or self.host.systemd.rehearsing() == []

    def settled(self, version=None):
        now = self.host.settled()
        assert version is None or now.rsplit("-", 1)[0] == version

    @invariant()
    def what_is_there_is_whole(self):
        layout = self.host.layout
        for release_id in layout.staged():
            assert os.path.exists(layout.binary(release_id))
            assert layout.manifest(release_id)["version"] == release_id.rsplit("-", 1)[0]
        for release_id in (layout.last_good_id(), layout.current_id()):
            assert release_id is None or release_id in layout.staged()


class MonthsOfRestarts(Months):
    strategy = "restart"


TestSocket = Months.TestCase
TestRestart = MonthsOfRestarts.TestCase
TestSocket.settings = TestRestart.settings = settings(stateful_step_count=15)
