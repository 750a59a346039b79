"""When attempts make a verdict: pure, with times from outside."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, result
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import Attempt, no_latency
from ansible_collections.slipway.go.plugins.module_utils._health.verdict import Judge, Verdict
from hypothesis import given
from hypothesis import strategies as st

GOOD = Attempt("pass", "ok", "fine")
WARNED = Attempt("warn", "degraded", "so so")
BAD = Attempt("fail", "refused", "no")
OTHER = Attempt("fail", "identity", "the old one", counts=False)
FEW = Attempt("warn", "inconclusive", "3 requests", counts=False)


def judged(attempts: list[Attempt], **options: Any) -> tuple[int, Verdict | None, Judge]:
    """How many attempts it took, one a second, and what came of it."""
    judge = Judge(parsing.parse_check({"kind": "tcp", "address": "h:1", **options}))
    for number, attempt in enumerate(attempts):
        verdict = judge.add(attempt, float(number))
        if verdict is not None:
            return number + 1, verdict, judge
    return len(attempts), None, judge


@pytest.mark.parametrize(
    ("attempts", "options", "taken", "outcome"),
    [
        ([GOOD], {}, 1, ("pass", "ok")),
        ([WARNED], {}, 1, ("warn", "degraded")),
        ([BAD], {}, 1, ("fail", "refused")),
        ([GOOD, GOOD, GOOD], {"rise": 3}, 3, ("pass", "ok")),
        ([GOOD, BAD], {"rise": 3}, 2, ("fail", "refused")),
        ([GOOD, BAD, GOOD, GOOD], {"rise": 2, "fall": 2}, 4, ("pass", "ok")),
        ([BAD, BAD, BAD], {"fall": 3}, 3, ("fail", "refused")),
        ([BAD, BAD, GOOD], {"fall": 3}, 3, ("pass", "ok")),
        ([BAD, BAD, BAD], {"phase": "liveness"}, 3, ("fail", "refused")),
        ([BAD, BAD, GOOD], {"phase": "liveness"}, 3, ("pass", "ok")),
        ([BAD] * 9 + [GOOD], {"deadline": 60}, 10, ("pass", "ok")),
        ([BAD] * 9, {"deadline": 60}, 9, None),
        ([BAD] * 9, {"deadline": 60, "fall": 4}, 4, ("fail", "refused")),
        ([BAD] * 9, {"deadline": 60, "phase": "startup"}, 9, None),
        ([BAD] * 9, {"deadline": 60, "phase": "liveness"}, 3, ("fail", "refused")),
        ([GOOD] * 4, {"min_healthy_time": 3}, 4, ("pass", "ok")),
        ([GOOD] * 3, {"min_healthy_time": 3}, 3, None),
        ([GOOD] * 5, {"min_healthy_time": 3, "rise": 2}, 5, ("pass", "ok")),
        ([GOOD, GOOD, BAD], {"min_healthy_time": 3}, 3, ("fail", "unstable")),
        ([GOOD, BAD, GOOD, GOOD], {"min_healthy_time": 3, "fall": 2}, 4, ("pass", "ok")),
        ([GOOD, BAD] + [GOOD] * 4, {"min_healthy_time": 3, "deadline": 60}, 6, ("pass", "ok")),
        ([OTHER], {}, 1, ("fail", "identity")),
        ([OTHER] * 5 + [GOOD], {"deadline": 60}, 6, ("pass", "ok")),
        ([OTHER, BAD, OTHER, BAD], {"deadline": 60, "fall": 2}, 4, ("fail", "refused")),
        ([GOOD, OTHER, GOOD], {"deadline": 60, "rise": 2}, 3, ("pass", "ok")),
        ([FEW], {}, 1, ("warn", "inconclusive")),
        ([FEW, FEW, GOOD], {"deadline": 60}, 3, ("pass", "ok")),
    ],
)
def test_verdicts(attempts: list[Attempt], options: dict[str, Any], taken: int, outcome: Any) -> None:
    count, verdict, _judge = judged(attempts, **options)
    assert count == taken
    assert (None if verdict is None else (verdict.state, verdict.reason)) == outcome


@pytest.mark.parametrize(
    ("attempts", "options", "outcome", "words"),
    [
        ([BAD], {}, ("fail", "refused"), "not healthy within 9 s: no"),
        ([GOOD], {"rise": 3}, ("fail", "unstable"), "1 of 3 good attempts"),
        ([GOOD], {"min_healthy_time": 5}, ("fail", "unstable"), "healthy for 2.0 s of the 5 s"),
        ([GOOD, BAD], {"min_healthy_time": 5}, ("fail", "unstable"), "healthy for 0.0 s"),
        ([OTHER], {}, ("fail", "identity"), "the old one"),
        ([FEW], {}, ("warn", "inconclusive"), "3 requests"),
    ],
)
def test_out_of_time(attempts: list[Attempt], options: dict[str, Any], outcome: Any, words: str) -> None:
    _count, verdict, judge = judged(attempts, deadline=9, **options)
    assert verdict is None
    ended = judge.out_of_time(2.0)
    assert (ended.state, ended.reason) == outcome
    assert words in ended.message


def test_an_attempt_cut_off_by_the_deadline_does_not_hide_the_cause() -> None:
    cut = Attempt("fail", "timeout", "no time left", clipped=True)
    _count, _verdict, judge = judged([BAD, cut], deadline=9)
    assert judge.out_of_time(9.0).reason == "refused"


def test_an_attempt_cut_off_by_the_deadline_is_no_verdict_either() -> None:
    cut = Attempt("fail", "timeout", "no time left", clipped=True)
    _count, verdict, judge = judged([BAD, cut], deadline=9, fall=2)
    assert verdict is None
    assert judge.out_of_time(9.0).reason == "refused"


def test_the_next_attempt_comes_after_the_interval_and_not_long_after_the_window() -> None:
    _count, _verdict, judge = judged([GOOD], interval=10, min_healthy_time=3)
    assert judge.next_start(0.0, 0.5) == 3.0
    _count, _verdict, judge = judged([GOOD], interval=1, rise=2)
    assert judge.next_start(0.0, 0.5) == 1.0
    assert judge.next_start(0.0, 4.0) == 4.0


@given(
    st.lists(st.sampled_from([GOOD, WARNED, BAD, OTHER, FEW]), max_size=12),
    st.integers(1, 3),
    st.none() | st.integers(1, 3),
    st.sampled_from([0, 2, 4]),
)
def test_no_verdict_is_good_without_the_good_answers_it_takes(
    attempts: list[Attempt], rise: int, fall: int | None, stay: int
) -> None:
    count, verdict, _judge = judged(attempts, rise=rise, fall=fall, min_healthy_time=stay, deadline=99)
    if verdict is not None and verdict.state != "fail":
        seen = attempts[:count]
        assert seen[-1].good
        assert sum(one.good for one in seen) >= rise
        assert count - 1 >= stay


@given(st.lists(st.floats(0, 100), min_size=1), st.sampled_from([50, 95, 99]))
def test_a_percentile_is_a_value_that_was_measured(values: list[float], rank: int) -> None:
    found = result.percentile(values, rank)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * rank / 100


def test_latency_counts_good_answers_only() -> None:
    def took(state: str, total: float) -> Attempt:
        return Attempt(state, "ok", "", latency={**no_latency(), "total": total})

    found = result.latencies([took("pass", 0.1), took("fail", 9.0), took("warn", 0.2)])
    assert (found["p50"], found["p99"], found["total"]) == (0.1, 0.2, 0.2)


@pytest.mark.parametrize(
    ("options", "outcome"),
    [
        ({"max_latency": {"p99": 0.5}}, ("fail", "latency")),
        ({"warn_latency": {"p50": 0.5}}, ("warn", "latency")),
        ({"max_latency": {"p99": 2}, "warn_latency": {"p50": 0.5}}, ("warn", "latency")),
        ({"max_latency": {"p99": 2}}, ("pass", "ok")),
    ],
)
def test_thresholds(options: dict[str, Any], outcome: tuple[str, str]) -> None:
    wanted = parsing.parse_check({"kind": "tcp", "address": "h:1", **options})
    attempt = Attempt("pass", "ok", "", latency={**no_latency(), "total": 1.0})
    found = result.summarise(wanted, [attempt], Verdict("pass", "ok", ""), 1.0)
    assert (found.state, found.reason) == outcome
