# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict on users' requests: what it refuses, what it cannot tell, and that it does not cry wolf."""

from __future__ import annotations

import math
import pickle
import random

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.traffic import Totals, between
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import (
    ENOUGH,
    Counts,
    Pair,
    Rule,
    Trial,
    Verdict,
    describe,
    log_evidence,
    log_proof,
)
from hypothesis import given
from hypothesis import strategies as st

RULE = Rule()


def judged(*stages, rule=RULE, before=(0, 0)):
    """The verdict after stages of (percent, new requests, new failed, old requests, old failed)."""
    found = Verdict(rule)
    found.count(Counts(), Counts(*before), 0.0)
    for percent, new, new_failed, old, old_failed in stages:
        found.begin(percent)
        found.count(Counts(new, new_failed), Counts(old, old_failed), 30.0)
    return found


def by_grid(trial, margin):
    """The evidence, with the best allowed pair of rates looked for one by one."""

    def log_likelihood(rate, hits, total):
        if (hits and rate <= 0) or (total > hits and rate >= 1):
            return -math.inf
        return (hits * math.log(rate) if hits else 0) + ((total - hits) * math.log(1 - rate) if total > hits else 0)

    rates = [i / 400 for i in range(401)]
    best = max(
        log_likelihood(new, trial.new, trial.of_new) + log_likelihood(old, trial.old, trial.of_old)
        for old in rates
        for new in rates
        if new <= old + margin + 1e-12
    )
    return log_evidence([trial], 1.0) + best_anywhere(trial) - best


def best_anywhere(trial):
    found = 0.0
    for hits, total in ((trial.new, trial.of_new), (trial.old, trial.of_old)):
        for part in (hits, total - hits):
            found += part * math.log(part / total) if part else 0.0
    return found


@pytest.mark.parametrize("margin", [0.0, 0.01, 0.1])
@pytest.mark.parametrize("trial", [(3, 3, 0, 60), (5, 20, 2, 80), (20, 100, 20, 100), (0, 10, 5, 10), (9, 10, 1, 10)])
def test_the_evidence_is_against_the_best_of_all_rates_that_are_allowed(trial, margin):
    assert log_evidence([Trial(*trial)], margin) == pytest.approx(by_grid(Trial(*trial), margin), abs=0.05)


def test_all_requests_failing_is_refused_after_a_few():
    assert judged((5, 3, 3, 60, 0)).verdict == "fail"
    assert "3 of 3 requests of users failed (0 of 60 at the old release)" in judged((5, 3, 3, 60, 0)).look()


def test_what_fails_at_both_is_no_fault_of_the_new_one():
    assert judged((5, 100, 20, 1900, 380)).verdict == "pass"
    assert judged((5, 100, 0, 1900, 0), (25, 500, 500, 1500, 1500)).verdict == "pass"
    assert judged((25, 500, 100, 1500, 300), (100, 4000, 800, 0, 0)).verdict == "pass"


def test_without_old_requests_beside_it_the_allowed_rate_decides():
    assert judged((100, 200, 1, 0, 0)).verdict == "pass"
    assert judged((100, 200, 20, 0, 0)).verdict == "inconclusive"
    assert judged((100, 200, 190, 0, 0)).verdict == "fail"
    assert judged((100, 200, 190, 0, 0), before=(20, 19)).verdict == "inconclusive"
    assert judged((100, 200, 120, 0, 0), before=(4, 3)).verdict == "inconclusive"
    assert judged((100, 200, 20, 0, 0), before=(1000, 100)).verdict == "pass"
    assert judged((100, 200, 40, 0, 0), before=(1000, 0)).verdict == "fail"


def test_few_requests_and_a_difference_that_may_be_chance_are_inconclusive():
    for found in (judged(), judged((100, 0, 0, 0, 0)), judged((25, 49, 0, 1000, 0)), judged((25, 60, 2, 200, 0))):
        assert found.verdict == "inconclusive"
        assert found.figures()["reason"]
    assert judged((25, 50, 0, 1000, 0)).verdict == "pass"
    assert judged((25, 10, 0, 1000, 0), rule=Rule(min_requests=10)).verdict == "pass"


def test_a_margin_of_everything_refuses_nothing():
    assert judged((50, 100, 100, 100, 0), rule=Rule(max_errors=100)).verdict == "pass"


def timed(new, old, ratio=2.0):
    found = Verdict(Rule(max_latency_ratio=ratio))
    found.begin(50)
    found.count(*(Counts(sum(ms.values()), 0, dict(ms)) for ms in (new, old)), 30.0)
    return found


def test_requests_that_take_longer_are_refused():
    old, new = {20: 300, 60: 10}, {60: 300, 180: 10}
    assert timed(new, old).verdict == "fail"
    assert (
        "310 of 310 requests took 60 ms or longer, and 10 of 310 at the old release 30 ms or longer"
        in timed(new, old).look()
    )
    assert timed(new, old, 0).verdict == "pass"
    assert timed({30: 300, 90: 10}, old).verdict == "pass"
    assert timed({3: 300, 9: 10}, {0: 300, 2: 10}).verdict == "pass", "what nobody notices"


def test_latency_is_compared_only_while_both_serve():
    """A machine that has other work after the swap makes every release slower than what was counted before."""
    found = Verdict(Rule())
    found.count(Counts(), Counts(500, 0, {5: 500}), 0.0)
    found.begin(100)
    found.count(Counts(500, 0, {400: 500}), Counts(), 10.0)
    assert found.verdict == "pass"
    weighted = Verdict(Rule())
    weighted.begin(50)
    weighted.count(Counts(200, 0, {5: 200}), Counts(200, 0, {5: 200}), 10.0)
    weighted.begin(100)
    weighted.count(Counts(500, 0, {400: 500}), Counts(), 10.0)
    assert weighted.verdict == "pass"


@given(
    st.lists(st.tuples(*[st.integers(0, 500)] * 4), min_size=1, max_size=4), st.sampled_from([0.0, 0.001, 0.01, 1.0])
)
def test_any_counts_have_a_verdict(numbers, margin):
    stages = [(25, a + b, b, c + d, d) for a, b, c, d in numbers]
    found = judged(*stages, (100, 10, 0, 0, 0), rule=Rule(max_errors=100 * margin))
    figures = found.figures()
    assert figures["verdict"] in ("pass", "inconclusive", "fail")
    assert len(figures["steps"]) == len(stages) + 1
    assert figures["verdict"] in describe(figures)


def test_a_look_every_second_raises_no_false_alarm_more():
    """One percent is allowed. `make canary-table` does this for many rates."""
    alarms = 0
    for seed in range(200):
        rng, found = random.Random(seed), Verdict(Rule())
        for percent in (5, 25):
            found.begin(percent)
            for second in range(30):
                new = sum(rng.random() < percent / 100 for _request in range(10))
                counts = [Counts(n, sum(rng.random() < 0.2 for _one in range(n))) for n in (new, 10 - new)]
                found.count(*counts, second)
                if found.errors >= ENOUGH:
                    break
        alarms += found.errors >= ENOUGH
    assert alarms <= 4


def test_counts_between_two_readings():
    before = {(1, "a"): Totals(10, 2, {5: 3}), (2, "a"): Totals(100, 9, {})}
    now = {(1, "a"): Totals(15, 3, {5: 4, 70: 1}), (3, "a"): Totals(7, 0, {1: 7}), (1, "b"): Totals(50, 50, {})}
    assert between(before, now, "a") == Counts(12, 1, {5: 1, 70: 1, 1: 7})
    assert between({(1, "a"): Totals(9, 9, {1: 9})}, {(1, "a"): Totals(3, 1, {1: 2})}, "a") == Counts()


def proof_by_grid(trial, margin):
    """The evidence that it is good, with the best pair of rates that is worse by the margin looked for one by one."""

    def log_likelihood(rate, hits, total):
        if (hits and rate <= 0) or (total > hits and rate >= 1):
            return -math.inf
        return (hits * math.log(rate) if hits else 0) + ((total - hits) * math.log(1 - rate) if total > hits else 0)

    rates = [i / 400 for i in range(401)]
    news, olds = ([log_likelihood(one, *of) for one in rates] for of in (trial[:2], trial[2:]))
    best = max(
        new + old
        for at_old, old in zip(rates, olds)
        for at_new, new in zip(rates, news)
        if at_new >= at_old + margin - 1e-12
    )
    alone = [Trial(*of, 0, 0) for of in (trial[:2], trial[2:])]
    return sum(log_proof(one, 0.0) for one in alone) + best_anywhere(Trial(*trial)) - best


@pytest.mark.parametrize("margin", [0.0025, 0.01, 0.1])
@pytest.mark.parametrize("trial", [(0, 90, 0, 60), (5, 20, 2, 80), (20, 100, 20, 100), (0, 10, 5, 10), (9, 10, 1, 10)])
def test_a_proof_is_against_the_best_of_all_rates_that_are_worse(trial, margin):
    assert log_proof(Trial(*trial), margin) == pytest.approx(proof_by_grid(trial, margin), abs=0.05)


def test_a_stage_ends_early_only_with_evidence_of_its_own():
    assert not judged((5, 600, 0, 9000, 0)).prove()
    good = judged((5, 1200, 0, 20000, 0))
    assert good.prove()
    early = good.figures()["steps"][0]["early"]
    assert early["evidence"] >= 200
    assert 0.3 < early["at_most"] <= 1
    good.begin(25)
    good.count(Counts(60), Counts(180), 1.0)
    assert not good.prove(), "it may fail only with more users"
    assert "early" not in good.figures()["steps"][1]
    assert describe(good.figures()) == (
        f"pass; 5 %: 0 of 1200 failed (ended early after 30.0 s: at most {early['at_most']} percentage points more "
        f"than at the old release, evidence {early['evidence']}), 25 %: 0 of 60 failed"
    )


def test_what_fails_at_both_is_no_reason_against_an_early_end():
    assert judged((25, 5000, 50, 15000, 150)).prove()
    assert not judged((25, 5000, 100, 15000, 150)).prove()


def test_in_the_soak_the_old_release_of_the_last_step_is_what_counts():
    assert judged((25, 100, 2, 300, 6), (100, 1200, 0, 0, 0)).prove()
    assert not judged((25, 300, 0, 1500, 0), (100, 1200, 12, 0, 0)).prove()
    assert judged((100, 1200, 0, 0, 0)).prove(), "less than one in a hundred fails, whatever the old one did"


def test_no_tolerance_is_never_proven_and_any_tolerance_at_once():
    assert not judged((25, 50000, 0, 150000, 0), rule=Rule(max_errors=0)).prove()
    assert judged((25, 60, 30, 180, 0), rule=Rule(max_errors=100)).prove()
    assert not judged((25, 40, 0, 180, 0), rule=Rule(max_errors=100)).prove(), "fewer than min_requests"


def of_chosen(*stages, chosen, known=(1000, 10)):
    found = Verdict(RULE, None, Counts(*known))
    for percent, new, old in stages:
        found.begin(percent)
        found.count(Counts(new), Counts(old), 30.0, Pair(Counts(*chosen), Counts()))
    return found


def test_chosen_users_are_judged_by_what_they_met_before():
    assert of_chosen((0, 0, 900), chosen=(100, 1)).verdict == "pass"
    assert of_chosen((0, 0, 900), chosen=(20, 0)).doubt().startswith("20 requests of users reached it")
    assert of_chosen((0, 0, 900), (25, 10, 30), chosen=(100, 1)).doubt().startswith("10 requests of users reached it")
    assert (
        of_chosen((25, 100, 300), chosen=(20, 1)).doubt().startswith("1 of 20 requests of chosen users failed (10 of")
    )
    assert "12 of 20 requests of chosen users failed" in of_chosen((25, 100, 300), chosen=(20, 12)).look()
    assert of_chosen((25, 100, 300), chosen=(20, 8), known=(0, 0)).verdict == "inconclusive"
    assert "whatever the old release did" in of_chosen((25, 100, 300), chosen=(20, 20), known=(0, 0)).look()
    assert "chosen users: 1 of 100 failed" in describe(of_chosen((0, 0, 900), chosen=(100, 1)).figures())


def test_requests_that_hang_are_against_an_early_end():
    found = judged((25, 2000, 0, 6000, 0))
    for now in range(6):
        found.opened(12, 3, float(now))
    assert found.unanswered > 0
    assert found.doubt() is None
    assert not found.prove()


def unanswered_of_all(looks):
    """What is open beyond the share of all levels that were seen, each of them kept. looks: percent, new, old, now."""
    levels, waiting, share = [], [], None
    for percent, new, old, now in looks:
        waiting = [] if percent != share else waiting
        share = percent
        if percent < 100:
            levels.append((now, old * 100 / (100 - percent)))
        if percent:
            waiting = [*waiting, (now, new)][-5:]
    if not waiting:
        return 0
    expected = 0.0
    if levels:
        (first, low), (last, high) = levels[0], levels[-1]
        growth = max(high - low, 0.0) / (last - first) if last > first else 0.0
        expected = max(level for _at, level in levels) + growth * max(waiting[-1][0] - last, 0.0)
        expected *= share / 100
    return max(math.floor(min(new for _at, new in waiting) - max(expected, 1.0)), 0)


@given(st.lists(st.tuples(st.sampled_from([0, 5, 50, 100]), st.integers(0, 60), st.integers(0, 60)), max_size=40))
def test_what_hangs_is_told_as_if_every_look_were_kept(looks):
    found, timed_looks, share = Verdict(RULE), [], None
    for now, (percent, new, old) in enumerate(sorted(looks, key=lambda look: look[0])):
        if percent != share:
            found.begin(percent)
            share = percent
        found.opened(new, old, float(now))
        timed_looks.append((percent, new, old, float(now)))
        assert found.unanswered == unanswered_of_all(timed_looks)


def test_a_verdict_does_not_grow_with_its_looks():
    """A release may be paused for hours."""

    def size(looks):
        found = judged((25, 200, 0, 600, 0))
        for now in range(looks):
            found.opened(3, 9, 1000.0 + now)
        return len(pickle.dumps(found))

    assert size(5000) == size(50)


def test_a_release_that_may_be_slower_does_not_end_early():
    same = {10: 1000, 60: 990, 90: 10}
    assert timed(same, same).prove()
    assert not timed({10: 1000, 60: 970, 130: 30}, same).prove(), "130 ms is more than twice 60"
    assert timed({10: 1000, 60: 970, 130: 30}, same, ratio=0).prove()


def test_a_release_at_the_limit_seldom_ends_early():
    """At most 0.5 % for each stage. `make canary-table` does this for many rates."""
    wrong = 0
    for seed in range(60):
        rng, found = random.Random(seed), Verdict(Rule())
        found.begin(50)
        for second in range(40):
            counts = [Counts(50, sum(rng.random() < rate for _one in range(50))) for rate in (0.01, 0.0)]
            found.count(*counts, second)
            trial = Trial(found.stages[0].new.failed, found.stages[0].new.requests, 0, found.stages[0].old.requests)
            if log_proof(trial, 0.01) >= ENOUGH:
                wrong += 1
                break
    assert wrong <= 2
