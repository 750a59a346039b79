"""What an early end is worth and what it may cost, by simulation of the collection's own code.

A release goes 25 → 100 % with a step and a soak of 300 s each. Each may end after 10 s, and is looked at every second.
Of a good release, the seconds count. One that is worse than `release_max_errors` allows, or just that much worse, has
passed early if its step or its soak ends before its time.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from typing import Optional

from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import Counts, Rule, Verdict
from ansible_collections.slipway.go.tests.bench.canary import MARGIN, MEDIAN, SPREAD, bucket, share, write

STEPS, LEAST = ((25, 300), (100, 300)), 10
WHOLE = sum(seconds for _percent, seconds in STEPS)
MARKS = "<!-- early table -->", "<!-- end of the early table -->"


@dataclass(frozen=True)
class Case:
    rate: int  # users' requests a second
    old: float  # share of errors
    new: float
    slower: float = 1.0  # times the durations of the new release
    later: bool = False  # whether it is worse only once it has all users

    @property
    def is_timed(self) -> bool:
        """Without durations to compare, more errors are the only thing in the way of an early end."""
        return self.new == self.old

    @property
    def is_good(self) -> bool:
        return self.new == self.old and self.slower == 1

    @property
    def name(self) -> str:
        if self.slower > 1:
            return f"equal; the new one takes {self.slower:g} times as long"
        if self.is_good:
            return f"equal, {100 * self.old:g} %"
        where = " with all users only" if self.later else ""
        return f"{100 * self.old:g} %, the new one {100 * (self.new - self.old):g} more{where}"


@dataclass(frozen=True)
class Run:
    seconds: int
    early: tuple[bool, ...]  # for each step


def _durations(rng: random.Random, slower: float) -> tuple[list[int], list[int]]:
    """Milliseconds, and how many of 4000 requests take that or less by their place in the list."""
    table = Counter(bucket(slower * MEDIAN * rng.lognormvariate(0, SPREAD)) for _turn in range(4000))
    return list(table), list(accumulate(table.values()))


class Users:
    """Requests of one case: durations are drawn from a table, as there are many."""

    def __init__(self, case: Case, rng: random.Random) -> None:
        self._case, self._rng = case, rng
        self._tables = {new: _durations(rng, case.slower if new else 1.0) for new in (False, True)}

    def ask(self, mean: float, new: bool, errors: float) -> Counts:
        rng = self._rng
        requests = max(round(rng.gauss(mean, mean**0.5)), 0)
        failed, at = 0, self._gap(errors)
        while at <= requests:
            failed, at = failed + 1, at + self._gap(errors)
        times, weights = self._tables[new]
        drawn = rng.choices(times, cum_weights=weights, k=requests) if requests and self._case.is_timed else []
        return Counts(requests, failed, dict(Counter(drawn)))

    def _gap(self, errors: float) -> float:
        """How many requests it takes to the next one that fails."""
        return 1 + math.log(1 - self._rng.random()) // math.log(1 - errors) if errors else math.inf


def run(case: Case, seed: int) -> Run:
    rng = random.Random(seed)
    users, verdict = Users(case, rng), Verdict(Rule(max_errors=MARGIN, min_time=LEAST))
    total, early = 0, []
    for percent, seconds in STEPS:
        verdict.begin(percent)
        errors = case.old if case.later and percent < 100 else case.new
        for at in range(1, seconds + 1):
            part = percent / 100
            new = users.ask(case.rate * part, True, errors)
            old = users.ask(case.rate * (1 - part), False, case.old) if part < 1 else Counts()
            verdict.count(new, old, float(at))
            total += 1
            if at >= LEAST and verdict.prove():
                break
        early.append(verdict.stages[-1].proof is not None)
    return Run(total, tuple(early))


def chunk(job: tuple[Case, int, int]) -> list[Run]:
    case, begin, end = job
    return [run(case, seed) for seed in range(begin, end)]


def row(case: Case, runs: list[Run]) -> str:
    times = sorted(one.seconds for one in runs)
    judged = [case.is_good or (case.later and percent < 100) for percent, _seconds in STEPS]
    wrong = sum(any(e and not good for e, good in zip(one.early, judged)) for one in runs)
    cells = [
        case.name, str(case.rate), f"{statistics.median(times):g} s", f"{times[int(0.9 * (len(times) - 1))]} s",
        share(sum(all(one.early) for one in runs), len(runs)),
        "-" if case.is_good else share(wrong, len(runs)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD = """\
| errors | users' requests/s | took, median | took, 90th percentile | both ended early | passed early although worse |
|---|---|---|---|---|---|"""


def cases() -> list[Case]:
    good = [Case(rate, errors, errors) for errors in (0.0, 0.001, 0.01) for rate in (10, 40, 200)]
    worse = [Case(40, old, old + more) for old, more in ((0.0, 0.01), (0.01, 0.01), (0.05, 0.01), (0.0, 0.02))]
    return [*good, *worse, Case(200, 0.0, 0.01), Case(200, 0.0, 0.02, later=True), Case(40, 0.0, 0.0, 3.0)]


def main(arguments: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="of a release that is worse; of good ones, a fifth")
    parser.add_argument("--page", help="the page whose table to write")
    options = parser.parse_args(arguments)
    lines, failed = [], False
    with ProcessPoolExecutor() as pool:
        for case in cases():
            total = max(options.runs // 5, 1) if case.is_timed else options.runs
            size = max(total // 8, 1)
            jobs = [(case, at, min(at + size, total)) for at in range(0, total, size)]
            runs = [one for part in pool.map(chunk, jobs) for one in part]
            lines.append(row(case, runs))
            print(lines[-1], flush=True)
            limit = 0.005 * (1 if case.later else len(STEPS)) + 0.01
            wrong = not case.is_good and sum(one.early[-1] for one in runs) > limit * len(runs)
            failed = failed or wrong
    if options.page:
        said = f"{options.runs} releases a row, and {max(options.runs // 5, 1)} where both fail as often."
        write(options.page, [HEAD, *lines], said, MARKS)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
