# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the watch exports while a run is at work on the service."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics, watch
from ansible_collections.slipway.go.plugins.module_utils._release.operator import operator as module
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator, WatchOptions
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

INTERVAL = 15.0


class Watched:
    """The watch looks every now and then while a run is at work, as its timer has it."""

    def __init__(self, host, monkeypatch, folder):
        self.host = host
        self.options = WatchOptions(watch.Policy(), folder)
        self.seen = []
        self.interval = INTERVAL
        self._due = None
        pass_time = host.clock.sleep

        def sleep(seconds):
            pass_time(seconds)
            if self._due is not None and host.clock.now >= self._due:
                self._due = None  # a look takes time of its own
                self.look()

        monkeypatch.setattr(host.clock, "sleep", sleep)

    def look(self):
        decision = Operator(self.host.settings(), self.host.layout, self.host.systemd).watch(self.options)
        assert decision.action == watch.NOTHING
        swap = self.host.store.load()
        self.seen.append((swap.phase if swap else None, self.host.clock.now, self.figures()))
        self._due = self.host.clock.now + self.interval

    def figures(self):
        path = metrics.path(self.options.metrics, "shop")
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
        families = re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
        assert sorted(families) == sorted(set(families))
        return {name: float(value) for name, value in re.findall(r"^(\w+)\{[^}]*\} (\S+)$", text, re.MULTILINE)}


@pytest.fixture
def watched(memory, monkeypatch):
    """v1 serves behind HAProxy, and a release gives each share of users a minute."""
    host = Host(memory, "proxy").install(monkeypatch)
    monkeypatch.setattr(module, "time", host.clock)
    host.users, host.proxy, host.soak_time = 100.0, {"weights": [5, 25], "step_time": 60}, 60.0
    host.release("v1")
    folder = os.path.join(memory, "metrics")
    os.mkdir(folder)
    watched = Watched(host, monkeypatch, folder)
    watched.look()
    return watched


def ages(watched, name):
    return [now - figures[name] for _phase, now, figures in watched.seen]


@contextmanager
def at_work(host, phase, to="v1", source=None):
    """A run that holds the lock, with its swap in that phase."""
    with host.store.locked(0):
        swap = host.store.begin(host.id_of(to), source, "proxy", "release")
        swap.phase = phase
        host.store.save(swap)
        yield


def test_a_long_canary_is_looked_at_all_the_time(watched):
    watched.host.release("v2")
    assert {phase for phase, _now, _figures in watched.seen} >= {"CANARY", "SOAK"}
    assert max(ages(watched, "slipway_health_timestamp_seconds")) == 0
    assert max(ages(watched, "slipway_watch_timestamp_seconds")) == 0
    running = {figures["slipway_swap_running"] for phase, _now, figures in watched.seen if phase in ("CANARY", "SOAK")}
    assert running == {1}
    assert {figures["slipway_swap_unfinished"] for _phase, _now, figures in watched.seen[:-1]} == {0}


def test_a_release_that_is_starting_keeps_the_last_look(watched):
    """A look might be answered by either release: it would tell nothing."""
    host = watched.host
    host.behaviours["v2"] = Behaviour(fails_first=20)
    watched.interval = 1.0
    watched.look()
    host.release("v2")
    overlaps = [(now, figures) for phase, now, figures in watched.seen if phase == "OVERLAP"]
    assert len(overlaps) > 1
    for now, figures in overlaps:
        assert (figures["slipway_swap_running"], figures["slipway_watch_timestamp_seconds"]) == (1, now)
        assert figures["slipway_up"] == 1
    (looked,) = {figures["slipway_health_timestamp_seconds"] for _now, figures in overlaps}
    assert looked < overlaps[0][0]


def test_the_next_look_says_that_no_swap_is_running(watched):
    watched.host.release("v2")
    watched.look()
    assert watched.seen[-1][2]["slipway_swap_running"] == 0


def test_a_swap_whose_run_was_killed_is_not_running(watched):
    host = watched.host
    with at_work(host, "CANARY"):
        watched.look()
    assert (watched.figures()["slipway_swap_running"], watched.figures()["slipway_swap_unfinished"]) == (1, 0)
    watched.look()
    assert (watched.figures()["slipway_swap_running"], watched.figures()["slipway_swap_unfinished"]) == (0, 1)


def test_a_release_that_waits_to_be_confirmed_stays_unfinished(watched):
    host = watched.host
    with at_work(host, "PROBATION"):
        watched.look()
    assert (watched.figures()["slipway_swap_running"], watched.figures()["slipway_swap_unfinished"]) == (0, 1)


def test_what_cannot_be_looked_at_during_a_swap_is_no_failure_of_the_watch(watched, monkeypatch):
    """A file that the swap is about to write may be missing."""

    def look_twice(*_arguments):
        raise SlipwayError("no_slot", "it has no slot.", "release it again")

    monkeypatch.setattr(Operator, "_look_twice", look_twice)
    with watched.host.store.locked(0):
        watched.host.clock.sleep(100)
    refused(watched.look, "no_slot")
    before = watched.figures()["slipway_health_timestamp_seconds"]
    with watched.host.store.locked(0):
        watched.look()
    assert watched.figures()["slipway_health_timestamp_seconds"] == before
    assert watched.figures()["slipway_watch_timestamp_seconds"] == watched.host.clock.now


def test_nothing_is_written_where_the_watch_has_written_nothing(watched):
    os.unlink(metrics.path(watched.options.metrics, "shop"))
    host = watched.host
    with at_work(host, "OVERLAP"):
        watched.look()
    assert watched.figures() is None


def test_a_release_that_is_being_ended_does_not_mean_that_the_service_is_down(watched):
    """Going back has no phase of its own: until the old release is current again, the new one is what ends."""
    host = watched.host
    host.release("v2")
    watched.look()
    before = watched.figures()
    with at_work(host, "SOAK", to="v2", source=host.id_of("v1")):
        host.systemd.instances[f"shop@{host.id_of('v2')}.service"].state = "deactivating"
        host.clock.sleep(100)
        watched.look()
    told = watched.figures()
    assert (told["slipway_up"], told["slipway_swap_running"]) == (1, 1)
    assert told["slipway_watch_timestamp_seconds"] == host.clock.now
    assert told["slipway_health_timestamp_seconds"] == before["slipway_health_timestamp_seconds"]


def test_a_release_that_ends_while_it_is_asked_is_not_called_sick(watched, monkeypatch):
    host = watched.host
    ask = Operator._look_twice

    def look_twice(*arguments):
        unit = host.systemd.instances[f"shop@{host.id_of('v1')}.service"]
        unit.behaviour.healthy = False
        told = ask(*arguments)
        unit.state = "deactivating"
        return told

    monkeypatch.setattr(Operator, "_look_twice", look_twice)
    before = watched.figures()
    with host.store.locked(0):
        host.clock.sleep(100)
        watched.look()
    told = watched.figures()
    assert told["slipway_health_timestamp_seconds"] == before["slipway_health_timestamp_seconds"]


def test_a_service_that_somebody_has_stopped_stays_stopped(watched):
    host = watched.host
    host.systemd.umbrella = False
    host.systemd.call("stop", f"shop@{host.id_of('v1')}.service")
    watched.look()
    assert (watched.figures()["slipway_up"], watched.figures()["slipway_stopped"]) == (0, 1)
    with host.store.locked(0):
        host.clock.sleep(100)
        watched.look()
    told = watched.figures()
    assert (told["slipway_up"], told["slipway_stopped"]) == (0, 1)
    assert told["slipway_watch_timestamp_seconds"] == host.clock.now


PLANTS = {"symlink": os.symlink, "link": os.link, "pipe": lambda _secret, target: os.mkfifo(target)}


@pytest.mark.parametrize("plant", PLANTS.values(), ids=PLANTS)
def test_what_somebody_else_put_in_the_place_of_the_metrics_is_not_published(watched, plant):
    """Whoever may write the collector's folder would have root publish what only root may read."""
    target, host = metrics.path(watched.options.metrics, "shop"), watched.host
    secret = f"{watched.options.metrics}/secret"
    with open(secret, "w", encoding="utf-8") as stream:
        stream.write("root:secret\n")
    os.unlink(target)
    plant(secret, target)
    planted = os.lstat(target)
    with at_work(host, "OVERLAP"):
        Operator(host.settings(), host.layout, host.systemd).watch(watched.options)
    assert os.path.samestat(os.lstat(target), planted)
