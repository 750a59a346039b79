# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verdict on a release by its users' requests, which may be asked for at any time. PRIVATE to the collection.

A pure state machine: counts are handed in. The evidence that the new release is worse is an e-value: the likelihood of
the counts under a mixture of all failure rates, divided by the highest likelihood that any pair of rates allows with
which the new release is not worse than the old one beyond the margin. Whatever those rates are, the evidence ever
reaches 1/x with a probability of at most x, however often it is looked at (Ville's inequality). Each stage has rates of
its own, so that a failure of both releases in one stage speaks against neither.

The evidence that it is good is the same with the opposite denominator: the pairs with which it is worse by the margin
or more. Each stage has to bring its own, since a release may fail only with more users.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Mapping, NamedTuple, Optional, Sequence

PASS, INCONCLUSIVE, FAIL = "pass", "inconclusive", "fail"
# False alarms over a whole release: half of them for errors, half for latency.
ALPHA = 0.01
ENOUGH = math.log(2 / ALPHA)
# The share of failures that is too much whatever the old release did, where that is not known.
ALONE = 0.5
LOOKS = 5  # so many in a row find a request that hangs, and hardly one that is only on its way
# Beta priors of the mixture: any rate for the new release, and a rather low one for the old release.
_NEW, _OLD = (0.5, 0.5), (0.5, 5.0)
# The same for the evidence that it is good: what is to be seldom is low at both.
_LOW = (0.3, 15.0)
# So much larger may the share of slow requests be where a stage ends before its time: of those as slow as the slowest
# 2 % of the old release, and of any others. Two equal halves of 10 and of 90 ms would not be told from less otherwise.
_TAIL, _BODY = 0.01, 0.1
# Milliseconds of the old release that are compared with `max_latency_ratio` times as many of the new one.
BOUNDS = (10, 15, 20, 30, 50, 70, 100, 150, 200, 300, 500, 700, 1000, 1500, 2000, 3000, 5000)
_STEPS = 40  # of a bisection


@dataclass(frozen=True)
class Rule:
    """What is allowed. max_errors is in percentage points beyond the old release; a max_latency_ratio of 0 is none.

    A stage lasts min_time seconds at least, and ends then once it has shown that the release is good; None for all of
    its time.
    """

    max_errors: float = 1.0
    max_latency_ratio: float = 2.0
    min_requests: int = 50
    min_time: Optional[float] = None


@dataclass
class Counts:
    """Requests of users, those that failed, and how many were answered within so many milliseconds."""

    requests: int = 0
    failed: int = 0
    milliseconds: dict[int, int] = field(default_factory=dict)

    def add(self, other: Counts) -> None:
        self.requests += other.requests
        self.failed += other.failed
        for key, count in other.milliseconds.items():
            self.milliseconds[key] = self.milliseconds.get(key, 0) + count

    @property
    def timed(self) -> int:
        return sum(self.milliseconds.values())

    def slower(self, milliseconds: float) -> int:
        return sum([count for key, count in self.milliseconds.items() if key >= milliseconds])

    def p99(self) -> Optional[int]:
        """None without requests. Exact to the milliseconds that were counted together."""
        remaining = math.ceil(self.timed * 0.99)
        for key in sorted(self.milliseconds):
            remaining -= self.milliseconds[key]
            if remaining <= 0:
                return key
        return None


class Proof(NamedTuple):
    """That a release is good: the logarithm of the evidence, and how many percentage points worse it is at most."""

    evidence: float
    at_most: float


@dataclass
class Stage:
    """One share of the requests: what was counted at the new and at the old release meanwhile.

    proof: why it ended before its time.
    """

    percent: int
    new: Counts = field(default_factory=Counts)
    old: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    proof: Optional[Proof] = None


@dataclass(frozen=True)
class Trial:
    """So many of so many at the new and at the old release."""

    new: int
    of_new: int
    old: int
    of_old: int
    alone: bool = False  # too little is known of the old release: up to ALONE is allowed, too


class Pair(NamedTuple):
    """What is compared; `alone` where too little is known of the old release for that."""

    new: Counts
    old: Counts
    alone: bool = False


class Group(NamedTuple):
    """Users who are compared with each other only, and what was counted of them."""

    whose: str
    pairs: Sequence[Pair]


def log_evidence(trials: Sequence[Trial], margin: float) -> float:
    """The logarithm of the e-value that the new release does it more often than the old one and `margin` together."""
    new, of_new = sum(t.new for t in trials), sum(t.of_new for t in trials)
    old, of_old = sum(t.old for t in trials), sum(t.of_old for t in trials)
    return _mixture(_NEW, new, of_new) + _mixture(_OLD, old, of_old) - sum(_best_allowed(t, margin) for t in trials)


def log_proof(trial: Trial, margin: float, prior: tuple[float, float] = _LOW) -> float:
    """The logarithm of the e-value that the new release does it less often than the old one and `margin` together."""
    mixture = _mixture(prior, trial.new, trial.of_new) + _mixture(prior, trial.old, trial.of_old)
    return mixture - _best_worse(trial, min(margin, 1 - 1e-9))


def _upper_end(trial: Trial, margin: float) -> float:
    """The end of the confidence sequence: the least margin, up to this one, for which the evidence is enough."""
    low, high = 0.0, margin
    for _step in range(_STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if log_proof(trial, middle) >= ENOUGH else (middle, high)
    return high


def _mixture(prior: tuple[float, float], hits: int, total: int) -> float:
    a, b = prior
    return _log_beta(a + hits, b + total - hits) - _log_beta(a, b)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def _log_likelihood(rate: float, hits: int, total: int) -> float:
    logarithm = hits * math.log(rate) if hits else 0.0
    return logarithm + ((total - hits) * math.log1p(-rate) if total > hits else 0.0)


def _best_allowed(trial: Trial, margin: float) -> float:
    """The highest log-likelihood with which the rate of the new release is at most that of the old one plus margin."""
    new, old = (
        hits / total if total else 0.0 for hits, total in ((trial.new, trial.of_new), (trial.old, trial.of_old))
    )
    if trial.alone:
        best = _best_allowed(Trial(trial.new, trial.of_new, trial.old, trial.of_old), margin)
        unknown = _best_allowed(Trial(trial.new, trial.of_new, 0, 0), max(ALONE, margin))
        return max(best, unknown + _log_likelihood(old, trial.old, trial.of_old))
    if new <= old + margin or margin >= 1:
        return _log_likelihood(new, trial.new, trial.of_new) + _log_likelihood(old, trial.old, trial.of_old)
    if not trial.of_old:
        return _log_likelihood(margin, trial.new, trial.of_new) if margin > 0 else -math.inf
    # Both likelihoods have one summit, so the best pair is on the border, between the two rates.
    return _best_on_border(trial, margin, max(old, 1e-12), min(new - margin, 1 - margin - 1e-12))


def _best_worse(trial: Trial, margin: float) -> float:
    """The highest log-likelihood with which the rate of the new release is at least that of the old one plus margin."""
    new, old = (
        hits / total if total else 0.0 for hits, total in ((trial.new, trial.of_new), (trial.old, trial.of_old))
    )
    if new >= old + margin:
        return _log_likelihood(new, trial.new, trial.of_new) + _log_likelihood(old, trial.old, trial.of_old)
    # The best pair is on the border here, too; both rates stay off 0 and 1, where the likelihood may be none.
    return _best_on_border(trial, margin, max(new - margin, 1e-12), max(min(old, 1 - margin - 1e-12), 1e-12))


def _best_on_border(trial: Trial, margin: float, low: float, high: float) -> float:
    """The highest log-likelihood of an old rate between these two and a new one that is greater by margin."""
    for _step in range(_STEPS):
        middle = (low + high) / 2
        if _slope(middle + margin, trial.new, trial.of_new) + _slope(middle, trial.old, trial.of_old) > 0:
            low = middle
        else:
            high = middle
    rate = (low + high) / 2
    return _log_likelihood(rate + margin, trial.new, trial.of_new) + _log_likelihood(rate, trial.old, trial.of_old)


def _slope(rate: float, hits: int, total: int) -> float:
    return hits / rate - (total - hits) / (1 - rate)


def _mean(logarithms: Sequence[float]) -> float:
    """The logarithm of the mean; the mean of e-values is one."""
    top = max(logarithms)
    return top + math.log(sum(math.exp(one - top) for one in logarithms) / len(logarithms))


class Levels(NamedTuple):
    """What was open at the old release, as if it had all users: at first and last, each with its time, and at most."""

    first: tuple[float, float]
    last: tuple[float, float]
    most: float

    def seen(self, now: float, level: float) -> Levels:
        return Levels(self.first, (now, level), max(self.most, level))

    def expected(self, at: float) -> float:
        """The most that may be open then, if it goes on growing."""
        (first, low), (last, high) = self.first, self.last
        growth = max(high - low, 0.0) / (last - first) if last > first else 0.0
        return self.most + growth * max(at - last, 0.0)


class Verdict:
    """The requests of one release, stage by stage.

    With all requests at the new release there is no old one beside it: it is compared with the last stage that had one.
    Where no stage had requests enough, it is with what the old release did in this run until then, for an incident may
    be going on, or, where that is too little, with all it did since it was committed (`known`). What is known of
    neither is no comparison: only a release that fails more than half of its requests is refused then. Latency is
    compared only while both serve.

    Users who are chosen to meet the new release first are no sample of all users, and are compared with themselves:
    with what they met at the old release since it was committed (`chosen`, None where nobody is chosen).
    """

    def __init__(self, rule: Rule, known: Optional[Counts] = None, chosen: Optional[Counts] = None) -> None:
        self._rule = rule
        self._known = known
        self._chosen = None if chosen is None else Pair(Counts(), chosen)
        self.stages: list[Stage] = []
        self.before = Counts()
        self.stopped: Optional[str] = None
        self.is_slow = False  # whether nothing but its durations has stopped it
        self.tolerated: Optional[str] = None  # what its durations have been, where somebody may put up with them
        self._levels: Optional[Levels] = None
        # By their time: what is open at the new release.
        self._waiting: list[tuple[float, int]] = []

    def begin(self, percent: int) -> None:
        self.stages.append(Stage(percent))
        self._waiting = []

    def opened(self, new: int, old: int, now: float) -> None:
        """So many requests and connections are open at each; `now` is in seconds."""
        percent = self.stages[-1].percent if self.stages else 0
        if percent < 100:
            level = old * 100 / (100 - percent)
            self._levels = self._levels.seen(now, level) if self._levels else Levels((now, level), (now, level), level)
        if percent:
            self._waiting = [*self._waiting, (now, new)][-LOOKS:]

    @property
    def unanswered(self) -> int:
        """How many are open at the new release beyond what its share of those at the old one is."""
        if not self._waiting:
            return 0
        fewest, expected = min(new for _at, new in self._waiting), 0.0
        if self._levels:
            expected = self._levels.expected(self._waiting[-1][0]) * self.stages[-1].percent / 100
        # One may always be on its way.
        return max(math.floor(fewest - max(expected, 1.0)), 0)

    def count(self, new: Counts, old: Counts, seconds: float, chosen: Optional[Pair] = None) -> None:
        """More requests since the last look, `seconds` after the stage began; chosen are those of chosen users."""
        if self._chosen is not None and chosen is not None:
            self._chosen.new.add(chosen.new if self.stages else Counts())
            self._chosen.old.add(chosen.old)
        if not self.stages:
            self.before.add(old)
            return
        stage = self.stages[-1]
        stage.new.add(new)
        stage.old.add(old)
        stage.seconds = seconds

    @property
    def _earlier(self) -> Counts:
        """What the old release did before it had any other beside it."""
        if self._known is None or self._enough(self.before):
            return self.before
        counts = Counts()
        counts.add(self._known)
        counts.add(self.before)
        return counts

    def _enough(self, counts: Counts) -> bool:
        return counts.requests >= max(self._rule.min_requests, 1)

    @property
    def _compared(self) -> list[Pair]:
        """The counts of new and old that belong together."""
        pairs: list[Pair] = []
        for stage in self.stages:
            if stage.percent < 100:
                pairs.append(Pair(stage.new, stage.old))
                continue
            together, old = Counts(), self._earlier
            alone = not self._enough(old)
            if pairs and pairs[-1].old.requests >= min(self._rule.min_requests, old.requests):
                earlier, old, _alone = pairs.pop()
                together.add(earlier)
                alone = not old.requests
            together.add(stage.new)
            pairs.append(Pair(together, old, alone))
        return pairs

    @property
    def _groups(self) -> list[Group]:
        """Those who are compared: all users, and where there are any, the chosen ones."""
        groups = [Group("users", self._compared)]
        if self._chosen is not None:
            new, old, _alone = self._chosen
            groups.append(Group("chosen users", [Pair(new, old, not self._enough(old))]))
        return groups

    @property
    def errors(self) -> float:
        """The logarithm of the evidence that more requests fail than are allowed."""
        return _mean([self._errors(group) for group in self._groups])

    def _errors(self, group: Group) -> float:
        trials = [Trial(n.failed, n.requests, o.failed, o.requests, alone) for n, o, alone in group.pairs]
        return log_evidence(trials, self._rule.max_errors / 100)

    @property
    def latency(self) -> float:
        """The logarithm of the evidence that requests take longer than is allowed."""
        slowness = self._slowness()
        return _mean(list(slowness.values())) if slowness else 0.0

    @property
    def _side_by_side(self) -> list[tuple[Counts, Counts]]:
        """The counts of stages in which both served: what else the machine did then made both slower."""
        return [(stage.new, stage.old) for stage in self.stages if stage.percent < 100]

    def _slowness(self) -> dict[int, float]:
        """For each bound in milliseconds, the logarithm of the evidence there."""
        ratio = self._rule.max_latency_ratio
        pairs = [(n, o) for n, o in self._side_by_side if n.timed and o.timed]
        if not ratio or not pairs:
            return {}
        return {
            b: log_evidence([Trial(n.slower(ratio * b), n.timed, o.slower(b), o.timed) for n, o in pairs], 0.0)
            for b in BOUNDS
        }

    @staticmethod
    def _excess(group: Group) -> float:
        """By how many percentage points more of the requests have failed than at the old release."""
        pairs = group.pairs
        total = sum(new.requests for new, _old, _alone in pairs)
        more = sum(
            new.failed - new.requests * (old.failed / old.requests if old.requests and not alone else 0.0)
            for new, old, alone in pairs
        )
        return 100 * more / total if total else 0.0

    def look(self) -> Optional[str]:
        """What speaks against the release by now, as a sentence. Errors count for more than durations."""
        if self.stages and (self.stopped is None or self.is_slow):
            if self.errors >= ENOUGH:
                allowed = f"release_max_errors allows {self._rule.max_errors:g} % more"
                worst = max(self._groups, key=self._errors)
                if worst.pairs[-1].alone:
                    allowed = "more than half is too much whatever the old release did"
                self.stopped, self.is_slow = f"{self._said(worst)}; {allowed}", False
            elif self.stopped is None and self.tolerated is None and self.latency >= ENOUGH:
                self.stopped, self.is_slow = (
                    f"{self._said_slower()}; release_max_latency_ratio allows {self._rule.max_latency_ratio:g}",
                    True,
                )
        return self.stopped

    def tolerate(self) -> None:
        """Durations have no say any more: it is a person's to decide about those that have stopped the release."""
        self.stopped, self.is_slow, self.tolerated = None, False, self.stopped

    def insist(self) -> None:
        """Nobody puts up with them."""
        self.stopped, self.is_slow, self.tolerated = self.tolerated, True, None

    def doubt(self) -> Optional[str]:
        """Why what was seen by now is no evidence that the release is good; None where it is."""
        new = sum(stage.new.requests for stage in self.stages)
        if self._chosen is not None and not any(stage.percent for stage in self.stages):
            new = self._chosen.new.requests  # nobody else was to reach it yet
        if new < self._rule.min_requests:
            return f"{new} requests of users reached it, and release_min_requests asks for {self._rule.min_requests}"
        if self.unanswered > self._rule.max_errors / 100 * (new + self.unanswered):
            return (
                f"{self._waiting[-1][1]} requests are open at it and have no answer, {self.unanswered} more than at "
                "the old release by its share, which is more than release_max_errors allows"
            )
        more = [group for group in self._groups if self._excess(group) > self._rule.max_errors]
        if more:
            why = "may be as many as at the old release" if more[0].pairs[-1].alone else "may be chance"
            return f"{self._said(more[0])}, which is more than release_max_errors allows and {why}"
        if self.tolerated is None and self._looks_slow():
            return f"{self._said_slow()}, which is more than release_max_latency_ratio allows and may be chance"
        return None

    def prove(self) -> bool:
        """Whether this stage has shown by itself that the release is good, and may end; what it has shown is kept.

        A request that hangs counts as failed. With all requests at the new release there is no latency to compare.
        """
        if not self.stages:
            return False
        stage, margin = self.stages[-1], self._rule.max_errors / 100
        old = stage.old if stage.percent < 100 else self._compared[-1].old
        hang = self.unanswered
        trial = Trial(stage.new.failed + hang, stage.new.requests + hang, old.failed, old.requests)
        evidence = log_proof(trial, margin)
        if evidence < ENOUGH or self.verdict != PASS or not (stage.percent == 100 or self._is_as_fast(stage)):
            return False
        stage.proof = Proof(evidence, 100 * _upper_end(trial, margin))
        return True

    def _is_as_fast(self, stage: Stage) -> bool:
        """Whether it has shown that its share of slow requests is not much larger, at any bound."""
        ratio, new, old = self._rule.max_latency_ratio, stage.new, stage.old
        if self.tolerated is not None or not ratio or not (new.timed or old.timed):
            return True
        for bound in BOUNDS:
            trial = Trial(new.slower(ratio * bound), new.timed, old.slower(bound), old.timed)
            is_tail = trial.old <= 2 * _TAIL * trial.of_old
            if log_proof(trial, *((_TAIL, _LOW) if is_tail else (_BODY, _NEW))) < ENOUGH:
                return False
        return True

    @property
    def verdict(self) -> str:
        return FAIL if self.look() else INCONCLUSIVE if self.doubt() else PASS

    def _looks_slow(self) -> bool:
        new, old = self._p99s()
        ratio = self._rule.max_latency_ratio
        return bool(ratio) and new is not None and old is not None and new > ratio * max(old, BOUNDS[0])

    def _p99s(self) -> tuple[Optional[int], Optional[int]]:
        new, old = Counts(), Counts()
        for one, other in self._side_by_side:
            new.add(one)
            old.add(other)
        return new.p99(), old.p99()

    @staticmethod
    def _said(group: Group) -> str:
        new, old, alone = group.pairs[-1]
        beside = f"{old.failed} of {old.requests} at the old release" if old.requests else "nothing to compare with"
        beside += ", too few to compare with" if alone and old.requests else ""
        return f"{new.failed} of {new.requests} requests of {group.whose} failed ({beside})"

    def _said_slow(self) -> str:
        new, old = self._p99s()
        return f"the p99 of its requests is {new} ms (of the old release: {old} ms)"

    def _said_slower(self) -> str:
        """The counts at the bound that speaks most."""
        slowness, ratio = self._slowness(), self._rule.max_latency_ratio
        bound = max(slowness, key=lambda b: slowness[b])
        new, old = (
            sum(c.slower(at) for c in side) for side, at in zip(zip(*self._side_by_side), (ratio * bound, bound))
        )
        of_new, of_old = (sum(c.timed for c in side) for side in zip(*self._side_by_side))
        return (
            f"{new} of {of_new} requests took {ratio * bound:g} ms or longer, and {old} of {of_old} at the old release "
            f"{bound} ms or longer"
        )

    def figures(self) -> dict[str, Any]:
        """What the records and the result have of it."""
        figures: dict[str, Any] = {
            "verdict": self.verdict,
            "reason": self.stopped or self.doubt(),
            "evidence": {"errors": e_value(self.errors), "latency": e_value(self.latency), "enough": 2 / ALPHA},
            "before": {"requests": self._earlier.requests, "failed": self._earlier.failed},
            "steps": [_step(stage) for stage in self.stages],
        }
        if self._chosen is not None:
            figures["chosen"] = _side_by_side(*self._chosen[:2])
        if self.tolerated is not None:
            figures["tolerated"] = self.tolerated
        return figures


def e_value(logarithm: float) -> float:
    return float(f"{math.exp(min(logarithm, 100.0)):.3g}")


def _step(stage: Stage) -> Mapping[str, Any]:
    figures = {"percent": stage.percent, "seconds": round(stage.seconds, 1), **_side_by_side(stage.new, stage.old)}
    return {**figures, **({"early": told_proof(stage.proof)} if stage.proof is not None else {})}


def _side_by_side(new: Counts, old: Counts) -> dict[str, Any]:
    return {
        f"{name}{key}": value
        for name, counts in (("", new), ("old_", old))
        for key, value in (("requests", counts.requests), ("failed", counts.failed), ("p99_ms", counts.p99()))
    }


def told_proof(proof: Proof) -> Mapping[str, float]:
    """Why it ended before its time, as results have it."""
    return {"evidence": e_value(proof.evidence), "at_most": round(proof.at_most, 3)}


def describe(figures: Mapping[str, Any]) -> str:
    """The figures in one line."""
    steps = [
        f"{step.get('percent')} %: {step.get('failed')} of {step.get('requests')} failed{_describe_early(step)}"
        for step in figures.get("steps") or ()
    ]
    if not steps:
        return ""
    chosen = figures.get("chosen")
    steps += [f"chosen users: {chosen.get('failed')} of {chosen.get('requests')} failed"] if chosen else []
    reason = f" ({figures['reason']})" if figures.get("reason") else ""
    return f"{figures.get('verdict')}{reason}; {', '.join(steps)}"


def _describe_early(step: Mapping[str, Any]) -> str:
    early = step.get("early")
    if not early:
        return ""
    return f" (ended early after {step.get('seconds')} s: {describe_proof(early)})"


def describe_proof(early: Mapping[str, Any]) -> str:
    return (
        f"at most {early.get('at_most')} percentage points more than at the old release, evidence "
        f"{early.get('evidence')}"
    )
