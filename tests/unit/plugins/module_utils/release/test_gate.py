# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When a release counts as healthy, and when no longer."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._health import runner
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import Attempt
from ansible_collections.slipway.go.plugins.module_utils._host import processes
from ansible_collections.slipway.go.plugins.module_utils._host import sockets as _sockets
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import UnitState
from ansible_collections.slipway.go.plugins.module_utils._release import gate as module
from ansible_collections.slipway.go.plugins.module_utils._release.gate import (
    Early,
    Gate,
    parse_pace,
    verify_shared_socket,
)
from ansible_collections.slipway.go.plugins.module_utils._release.state.journal import RELEASE_FAULTS
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Clock
from hypothesis import given
from hypothesis import strategies as st

ID = "1.0-0123456789"
UNIT = f"shop@{ID}.service"
UP = UnitState("loaded", "active", "running", 42, 0, "success", 0)
URL = "http://127.0.0.1:8080/readyz"


class Answers:
    """What systemd and the health check say, one after the other; the last one for ever."""

    def __init__(self, monkeypatch, checks, states=(UP,), takes=0.0, looks=0.0):
        self.looks = looks
        self.checks, self.states, self.takes = list(checks), list(states), takes
        self.asked = []
        self.clock = Clock()
        monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setattr(module, "attempt", self.attempt)

    def attempt(self, check, deadline=None):
        self.asked.append((self.clock.now, deadline))
        self.clock.now += self.takes
        state = self.checks.pop(0) if len(self.checks) > 1 else self.checks[0]
        if deadline is not None and self.clock.now >= deadline:
            return Attempt("fail", "timeout", "no complete answer within 0 s", clipped=True)
        return Attempt(state, "status", "HTTP 503", answer=b"not ready")

    def show(self, _unit):
        self.clock.now += self.looks
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def gate(self, strategy="socket", **health):
        return Gate(Layout("shop", "/opt/shop"), self, {"url": URL, **health}, strategy == "socket")


def failure(act):
    with pytest.raises(SlipwayError) as caught:
        act()
    assert caught.value.fix
    return caught.value


def test_rise_passes_in_a_row_are_healthy(monkeypatch):
    answers = Answers(monkeypatch, ["fail", "pass", "fail", "pass", "pass", "pass", "fail"])
    gate = answers.gate(rise=3)
    gate.wait_healthy(gate.serving(ID, UNIT), UP)
    assert len(answers.asked) == 6


@pytest.mark.parametrize("active", ["reloading", "active"])
def test_an_instance_that_reads_its_configuration_again_stays_up(monkeypatch, active):
    answers = Answers(monkeypatch, ["pass"], [UP, replace(UP, active=active), UP])
    gate = answers.gate(rise=3)
    gate.wait_healthy(gate.serving(ID, UNIT), UP)
    assert len(answers.asked) == 3


def test_an_attempt_cut_short_by_the_deadline_hides_no_reason(monkeypatch):
    answers = Answers(monkeypatch, ["fail"], looks=1.0)
    gate = answers.gate(deadline=2.5, interval=0.05)
    error = failure(lambda: gate.wait_healthy(gate.serving(ID, UNIT), UP))
    assert answers.asked[-1][0] >= answers.asked[-1][1]
    assert "(status: HTTP 503)" in str(error)


def test_without_any_whole_attempt_the_one_cut_short_is_told(monkeypatch):
    answers = Answers(monkeypatch, ["fail"], looks=5.0)
    gate = answers.gate(deadline=2)
    error = failure(lambda: gate.wait_healthy(gate.serving(ID, UNIT), UP))
    assert "(timeout: no complete answer within 0 s)" in str(error)
    assert error.code == "not_answered", "a check that had no time says nothing against the release"
    assert error.code not in RELEASE_FAULTS


def test_degraded_is_healthy_enough(monkeypatch):
    answers = Answers(monkeypatch, ["warn"])
    gate = answers.gate()
    gate.wait_healthy(gate.serving(ID, UNIT), UP)
    assert len(answers.asked) == 2


def test_no_attempt_may_last_longer_than_the_deadline(monkeypatch):
    answers = Answers(monkeypatch, ["fail"])
    gate = answers.gate(deadline=7)
    begun = answers.clock.now
    error = failure(lambda: gate.wait_healthy(gate.serving(ID, UNIT), UP))
    assert error.code == "unhealthy"
    assert "within 7 s" in str(error)
    assert "HTTP 503" in str(error)
    assert error.answer == b"not ready"
    assert "release_health.deadline" in error.fix
    assert answers.clock.now <= begun + 7
    assert {deadline for _ignored, deadline in answers.asked} == {begun + 7}
    assert len(answers.asked) > 7 / 0.2 - 2, "it gave up early"


DOWN = UnitState("loaded", "failed", "failed", 0, 0, "exit-code", 1)
NEW_PID = UnitState("loaded", "active", "running", 43, 0, "success", 0)
RESTARTED = UnitState("loaded", "active", "running", 42, 1, "success", 0)


@pytest.mark.parametrize("state", [DOWN, NEW_PID, RESTARTED])
def test_another_process_is_another_release(monkeypatch, state):
    for act in ("wait_healthy", "soak"):
        answers = Answers(monkeypatch, ["pass"], [UP, state])
        gate = answers.gate()
        more = () if act == "wait_healthy" else (5,)
        error = failure(lambda act=act, gate=gate, more=more: getattr(gate, act)(gate.serving(ID, UNIT), UP, *more))
        assert error.code == "crashed"
        assert f"shop@{ID}.service did not stay up: {state.describe()}" in str(error)
        assert len(answers.asked) == 1


def test_a_soak_forgives_less_than_fall_failures_in_a_row(monkeypatch):
    answers = Answers(monkeypatch, ["pass", "fail", "fail", "pass", "fail", "fail", "pass"])
    gate = answers.gate(fall=3)
    gate.soak(gate.serving(ID, UNIT), UP, 5)
    assert len(answers.asked) > 20


def test_a_soak_ends_with_fall_failures_in_a_row(monkeypatch):
    answers = Answers(monkeypatch, ["pass", "fail"])
    gate = answers.gate(fall=3)
    error = failure(lambda: gate.soak(gate.serving(ID, UNIT), UP, 5))
    assert error.code == "unhealthy_in_soak"
    assert "failed 3 checks in a row (status: HTTP 503)" in str(error)
    assert len(answers.asked) == 4


@pytest.mark.parametrize(("seconds", "takes"), [(0, 0.0), (5, 5.0), (5, 30.0), (1, 0.9)])
def test_no_soak_ends_on_a_failed_check(monkeypatch, seconds, takes):
    """A release that hangs takes each check to its timeout, and there is time for few of them."""
    answers = Answers(monkeypatch, ["fail"], takes=takes)
    gate = answers.gate(fall=3)
    assert failure(lambda: gate.soak(gate.serving(ID, UNIT), UP, seconds)).code == "unhealthy_in_soak"
    assert len(answers.asked) == 3


@pytest.mark.parametrize("seconds", [0, 0.05, 3])
def test_a_soak_lasts_as_long_as_it_should(monkeypatch, seconds):
    answers = Answers(monkeypatch, ["pass"])
    gate = answers.gate()
    begun = answers.clock.now
    gate.soak(gate.serving(ID, UNIT), UP, seconds)
    assert seconds <= answers.clock.now - begun < seconds + 0.3
    assert answers.asked


def test_without_a_check_only_systemd_is_asked(monkeypatch):
    answers = Answers(monkeypatch, ["fail"], [UP, UP, DOWN])
    gate = Gate(Layout("shop", "/opt/shop"), answers, {}, False)
    gate.wait_healthy(gate.serving(ID, UNIT), UP)
    assert failure(lambda: gate.soak(gate.serving(ID, UNIT), UP, 5)).code == "crashed"
    assert answers.asked == []


def test_only_the_release_itself_may_answer(monkeypatch):
    answers = Answers(monkeypatch, ["pass"])
    for strategy, shared in (("socket", True), ("restart", False)):
        identity = answers.gate(strategy).serving(ID, UNIT).check.identity
        assert identity.executable == f"/opt/shop/releases/{ID}/bin/shop"
        assert identity.shared is shared
    rehearsed = answers.gate().rehearsing(ID, "/run/shop-rehearsal.sock")
    assert rehearsed.unit == f"shop-rehearsal@{ID}.service"
    assert rehearsed.check.connection.endpoint.path == "/run/shop-rehearsal.sock"
    assert not rehearsed.check.identity.shared
    assert answers.gate().rehearsing(ID, "18080").check.connection.endpoint.port == 18080


def test_every_kind_of_check_asks_the_release_itself(monkeypatch):
    answers = Answers(monkeypatch, ["pass"])

    def at(**health):
        return Gate(Layout("shop", "/opt/shop"), answers, health, False).at(ID, UNIT, "18081")

    metrics = at(kind="metrics", url=URL, metrics={"requests": "n", "max_error_ratio": 1}).check
    assert (metrics.connection.endpoint.port, metrics.identity.executable) == (
        18081,
        f"/opt/shop/releases/{ID}/bin/shop",
    )
    command = at(kind="exec", command=["/bin/sh", "-c", 'test "$SLIPWAY_ADDRESS" = 127.0.0.1:18081 -a -n "$PATH"'])
    ((variable, port),) = command.ports
    assert (variable, port.connection.endpoint.port, port.identity) == ("PORT", 18081, metrics.identity)
    assert runner.attempt(command.check).state == "pass"
    for unit, asked in (("shop", UNIT), ("shop.service", UNIT), ("shop@x.service", UNIT), ("redis.service",) * 2):
        subject = at(kind="systemd", unit=unit)
        assert subject.check.target.unit == asked
        assert [port.connection.endpoint.port for _variable, port in subject.ports] == [18081]


def test_counters_that_say_nothing_yet_are_no_reason_to_wait_where_no_user_asks(monkeypatch):
    answers = Answers(monkeypatch, ["warn"])
    doubt = Attempt("warn", "inconclusive", "0 requests", counts=False)
    monkeypatch.setattr(module, "attempt", lambda _check, _deadline=None: doubt)
    health = {"kind": "metrics", "url": URL, "metrics": {"requests": "n", "max_error_ratio": 1}}
    gate = Gate(Layout("shop", "/opt/shop"), answers, health, False)
    gate.wait_healthy(gate.at(ID, UNIT, "18081"), UP)
    assert failure(lambda: gate.wait_healthy(gate.serving(ID, UNIT), UP)).code == "unhealthy"


def test_pace_has_defaults_and_takes_numbers_as_text():
    assert parse_pace({}) == parse_pace({"rise": None, "fall": None, "interval": None, "deadline": None})
    assert parse_pace({"rise": "4", "interval": "0.5"}).rise == 4
    assert parse_pace({"interval": "0.5"}).interval == 0.5


@given(st.sampled_from(sorted(module.PACE)), st.one_of(st.floats(), st.integers(), st.text(max_size=4), st.just([])))
def test_a_pace_is_usable_or_refused(key, value):
    try:
        pace = parse_pace({key: value})
    except SlipwayError as error:
        text, fix = str(error), error.fix
    else:
        found = getattr(pace, key)
        assert 0 <= found < 10**400 or found == float(value)
        assert key not in ("rise", "fall") or (found >= 1 and isinstance(found, int))
        return
    assert f"release_health.{key}" in text
    assert fix


def test_the_socket_must_be_one_that_pid_1_has_and_that_listens(monkeypatch):
    sockets = {1: {"10", "11"}, 42: {"10", "99"}, 43: {"99"}, 44: {"11"}}
    monkeypatch.setattr(processes, "socket_inodes", sockets.get)
    monkeypatch.setattr(_sockets, "listening_inodes", lambda: {"10", "99"})
    verify_shared_socket("shop@x.service", 42)
    for pid in (43, 44):
        error = failure(lambda pid=pid: verify_shared_socket("shop@x.service", pid))
        assert error.code == "socket_not_inherited"
        assert "shop@x.service" in str(error)
        assert "LISTEN_FDS" in error.fix


def test_a_soak_ends_when_somebody_else_has_seen_enough(monkeypatch):
    def object_to_it():
        raise SlipwayError("probe_failed", "requests failed", "look")

    answers = Answers(monkeypatch, ["pass"], [UP])
    gate = answers.gate()
    assert failure(lambda: gate.soak(gate.serving(ID, UNIT), UP, 5, object_to_it)).code == "probe_failed"


class Enough:
    """Somebody who has seen enough after so many seconds."""

    def __init__(self, clock, after):
        self.clock, self.begun, self.after, self.asked = clock, clock.now, after, []

    def __call__(self):
        self.asked.append(self.clock.now - self.begun)
        return self.asked[-1] >= self.after


@pytest.mark.parametrize(("least", "after", "ends"), [(2, 0, 2), (2, 4, 4), (0, 0, 0), (60, 0, 10), (2, 60, 10)])
def test_a_soak_ends_early_after_its_least_time_once_there_is_enough(monkeypatch, least, after, ends):
    answers = Answers(monkeypatch, ["pass"])
    gate, enough = answers.gate(), Enough(answers.clock, after)
    gate.soak(gate.serving(ID, UNIT), UP, 10, early=Early(least, enough))
    assert ends <= answers.clock.now - enough.begun < ends + 0.5
    assert all(at >= least for at in enough.asked)


def test_no_soak_ends_early_on_a_failed_check(monkeypatch):
    """The check before the end is of that moment: with one that fails, the soak goes on."""
    answers = Answers(monkeypatch, ["pass", "fail", "pass"])
    gate, enough = answers.gate(), Enough(answers.clock, 0)
    gate.soak(gate.serving(ID, UNIT), UP, 10, early=Early(0, enough))
    assert len(answers.asked) == 4
    answers = Answers(monkeypatch, ["pass", "fail"])
    gate = answers.gate()
    error = failure(lambda: gate.soak(gate.serving(ID, UNIT), UP, 10, early=Early(0, lambda: True)))
    assert error.code == "unhealthy_in_soak"


def test_a_process_that_dies_after_the_least_time_still_counts(monkeypatch):
    answers = Answers(monkeypatch, ["pass"], [UP] * 8 + [DOWN])
    gate = answers.gate()
    assert failure(lambda: gate.soak(gate.serving(ID, UNIT), UP, 10, early=Early(0, lambda: False))).code == "crashed"
