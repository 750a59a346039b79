from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.operator import watch
from hypothesis import given
from hypothesis import strategies as st

POLICY = watch.Policy(fall=3, rise=2, backoff=10, cap=60, remind=600)


class Watched:
    """A watch on a timer of one second, its state going through JSON between the runs."""

    def __init__(self, policy: watch.Policy = POLICY) -> None:
        self.policy = policy
        self.text = "null"
        self.now = 1.7e9

    def runs(self, *healthy: bool | None, epoch: str = "boot") -> list[str]:
        actions = []
        for one in healthy:
            decision = watch.step(json.loads(self.text), one, self.now, self.policy, epoch, "refused")
            self.text = json.dumps(decision.state)
            self.now += 1
            actions.append(decision.action)
        return actions

    @property
    def state(self) -> dict[str, Any]:
        return dict(json.loads(self.text))


def test_nothing_is_done_about_a_healthy_service() -> None:
    assert set(Watched().runs(*[True] * 50)) == {"nothing"}


def test_fall_failures_in_a_row_restart_it() -> None:
    assert Watched().runs(False, False, True, False, False, False) == ["nothing"] * 5 + ["restart"]


def test_restarts_come_less_and_less_often_up_to_the_cap() -> None:
    watched = Watched()
    actions = watched.runs(*[False] * 400)
    times = [number for number, action in enumerate(actions) if action == "restart"]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert gaps[:4] == [10, 20, 40, 60]
    assert set(gaps[3:]) == {60}
    assert watched.state["restarts_total"] == len(times)


def test_help_is_called_for_once_in_a_while() -> None:
    actions = Watched().runs(*[False] * 1300)
    alerts = [number for number, action in enumerate(actions) if action == "alert"]
    assert len(alerts) in (1, 2)
    assert alerts[0] >= 600


def test_a_recovery_forgets_the_restarts_but_only_one_that_lasts() -> None:
    watched = Watched()
    watched.runs(*[False] * 30)
    assert watched.state["restarts"] == 2
    watched.runs(True, False)
    assert watched.state["restarts"] == 2
    watched.runs(True, True)
    assert watched.state["restarts"] == 0
    assert watched.runs(False, False, False)[-1] == "restart"


def test_no_verdict_changes_nothing() -> None:
    watched = Watched()
    watched.runs(False, False)
    before = watched.state
    assert watched.runs(None, None) == ["nothing", "nothing"]
    assert watched.state == before


def test_a_boot_or_another_release_begins_anew_and_keeps_the_total() -> None:
    watched = Watched()
    watched.runs(False, False, False)
    assert watched.runs(False, epoch="next boot") == ["nothing"]
    assert (watched.state["failures"], watched.state["restarts"], watched.state["restarts_total"]) == (1, 0, 1)


def test_a_clock_that_was_set_back_delays_a_restart_by_the_cap_at_most() -> None:
    watched = Watched()
    watched.runs(False, False, False)
    watched.now -= 1_000_000
    assert "restart" in watched.runs(*[False] * (int(POLICY.cap) + 5))


def test_the_message_names_the_cause() -> None:
    decision = watch.step(None, False, 0, POLICY, why="10.0.0.1:80 refused the connection")
    assert decision.message == "failure 1 of 3: 10.0.0.1:80 refused the connection"


@pytest.mark.parametrize(
    "state", [None, [], "x", {}, {"failures": "3"}, {"failures": -1}, {**watch.fresh(""), "good": True}]
)
def test_a_broken_state_is_a_fresh_one(state: Any) -> None:
    assert watch.step(state, None, 0, POLICY).state == watch.fresh("")


def test_years_of_failure_do_not_overflow() -> None:
    assert watch.pause(10**9, POLICY) == POLICY.cap


states = st.fixed_dictionaries(
    {
        key: st.floats(0, 1e9) if isinstance(value, float) else st.integers(0, 10**6)
        for key, value in watch.fresh("").items()
        if key != "epoch"
    }
)


@given(states, st.lists(st.sampled_from([True, False, None]), max_size=30))
def test_two_restarts_are_never_closer_than_the_back_off(state: dict[str, Any], healthy: list[bool | None]) -> None:
    current: Any = {**state, "epoch": ""}
    last = None
    for number, one in enumerate(healthy):
        decision = watch.step(current, one, float(number), watch.Policy(fall=1, rise=99, backoff=5, cap=20))
        current = decision.state
        if decision.action == "restart":
            assert last is None or number - last >= 5
            last = number


LOOPING = watch.Policy(fall=2, rollback=3)


def test_crashes_between_two_looks_count_even_if_it_is_up_each_time() -> None:
    told = watch.step(None, True, 0, LOOPING, crashes=7)
    assert told.state["falls"] == 0, "what PID 1 counted before is another release's"
    told = watch.step(told.state, True, 10, LOOPING, crashes=9)
    assert (told.action, told.state["falls"], told.state["good"]) == (watch.NOTHING, 2, 0)
    told = watch.step(told.state, True, 20, LOOPING, crashes=10, why="exit status 1")
    assert (told.action, told.message) == (watch.ROLLBACK, "crashed or restarted 3 times: exit status 1")


def test_a_counter_that_began_anew_counts_from_zero() -> None:
    state = watch.step(None, True, 0, LOOPING, crashes=7).state
    assert watch.step(state, True, 10, LOOPING, crashes=2).state["falls"] == 2


def test_restarts_of_the_watch_count_and_good_times_end_the_count() -> None:
    told = watch.step(None, False, 0, LOOPING)
    told = watch.step(told.state, False, 10, LOOPING)
    assert (told.action, told.state["falls"]) == (watch.RESTART, 1)
    for now in (20, 30, 40, 609):
        told = watch.step(told.state, True, now, LOOPING)
        assert told.state["falls"] == 1
    assert watch.step(told.state, True, 610, LOOPING).state["falls"] == 0


def test_a_release_that_is_well_for_a_while_between_its_crashes_is_taken_back_all_the_same() -> None:
    told = watch.step(None, True, 0, LOOPING)
    for crashes in (1, 2, 3):
        for now in range(60 * crashes, 60 * crashes + 50, 10):
            told = watch.step(told.state, True, now, LOOPING, crashes=crashes)
            if told.action == watch.ROLLBACK:
                assert (crashes, told.state["falls"]) == (3, 3)
                return
    pytest.fail("it crashes once a minute, and stays")


def test_a_clock_that_was_set_back_forgets_no_crash() -> None:
    told = watch.step(watch.fresh("", 0), True, 100_000, LOOPING, crashes=2)
    assert watch.step(told.state, True, 50, LOOPING, crashes=3).action == watch.ROLLBACK


def test_without_a_way_back_crashes_change_nothing() -> None:
    state = watch.step(None, True, 0, POLICY).state
    assert watch.step(state, True, 10, POLICY, crashes=50).action == watch.NOTHING


def test_waiting_for_a_restart_is_no_recovery() -> None:
    policy = watch.Policy(fall=1, backoff=700, rollback=3)
    told, actions = watch.step(None, False, 0, policy), []
    for now in range(10, 3000, 10):
        told = watch.step(told.state, False, now, policy)
        actions.append(told.action)
    assert watch.ROLLBACK in actions


def test_what_systemd_is_at_is_left_to_it() -> None:
    told = watch.step(None, False, 0, watch.Policy(fall=1), busy=True)
    assert (told.action, told.message) == (watch.ALERT, "still unhealthy, systemd is at it")
    assert watch.step(told.state, False, 1, watch.Policy(fall=1), busy=True).action == watch.NOTHING
    assert watch.step(told.state, False, 2, watch.Policy(fall=1)).action == watch.RESTART
