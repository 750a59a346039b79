"""The canary's verdict by simulation of the collection's own code: false alarms, and what is caught at which cost.

A release goes 5 → 25 → 100 % with 30 s at each share and a soak of 60 s; requests arrive at random, and the counts are
looked at every second. `before` is the rule of 0.x: at the end of a step, five failures or more and a rate beyond the
old release's by max_errors, with the 20 probes a second of the engine among the requests, and no look at latency.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Optional

from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import (
    FAIL,
    PASS,
    Counts,
    Rule,
    Verdict,
)

SHARES, STEP, SOAK, MARGIN, PROBES = (5, 25), 30, 60, 1.0, 20
MEDIAN, SPREAD = 40.0, 0.6  # milliseconds, log-normal: p99 is 160 ms


@dataclass(frozen=True)
class Case:
    rate: float  # users' requests a second
    old: float  # share of errors
    new: float
    slower: float = 1.0  # times the durations of the new release

    @property
    def name(self) -> str:
        if self.slower > 1:
            return f"p99 x {self.slower:g} in the new one only"
        if self.old == self.new:
            return f"equal, {100 * self.old:g} %"
        return f"{100 * self.new:g} % in the new one only"


@dataclass(frozen=True)
class Run:
    before: bool  # whether the former rule refused it
    lost_before: int
    verdict: str
    lost: int


def poisson(rng: random.Random, mean: float) -> int:
    limit, count, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        count, product = count + 1, product * rng.random()
    return count


def bucket(milliseconds: float) -> int:
    """As HAProxy counts them."""
    whole = int(milliseconds)
    return whole if whole < 100 else whole // 10 * 10 if whole < 1000 else whole // 100 * 100


def second(rng: random.Random, rate: float, errors: float, slower: float) -> Counts:
    found = Counts(poisson(rng, rate))
    for _request in range(found.requests):
        found.failed += rng.random() < errors
        key = bucket(slower * MEDIAN * math.exp(rng.gauss(0, SPREAD)))
        found.milliseconds[key] = found.milliseconds.get(key, 0) + 1
    return found


def former(step: tuple[Counts, Counts]) -> bool:
    """Its own requests answered well at both."""
    new, old = step
    rates = [100 * c.failed / c.requests if c.requests else 0.0 for c in (new, old)]
    return new.failed >= 5 and rates[0] > rates[1] + MARGIN


def run(case: Case, seed: int) -> Run:
    rng = random.Random(seed)
    verdict, former_refused = Verdict(Rule(max_errors=MARGIN)), False
    lost = lost_before = 0
    for _second in range(2):
        verdict.count(Counts(), second(rng, case.rate, case.old, 1.0), 0.0)
    stopped = False
    for percent, seconds in (*((share, STEP) for share in SHARES), (100, SOAK)):
        if stopped and former_refused:
            break
        if not stopped:
            verdict.begin(percent)
        seen = Counts(), Counts()
        for at in range(1, seconds + 1):
            share = percent / 100
            new = second(rng, case.rate * share, case.new, case.slower)
            old = second(rng, case.rate * (1 - share), case.old, 1.0) if share < 1 else Counts()
            if not stopped:
                lost += new.failed
                verdict.count(new, old, at)
                stopped = verdict.look() is not None
            for one, more, part in zip(seen, (new, old), (share, 1 - share)):
                one.add(more)
                one.requests += round(PROBES * part)
            lost_before += 0 if former_refused else new.failed
        former_refused = former_refused or (percent < 100 and former(seen))
    return Run(former_refused, lost_before, verdict.verdict, lost)


def chunk(job: tuple[Case, int, int]) -> list[Run]:
    case, begin, end = job
    return [run(case, seed) for seed in range(begin, end)]


def share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %"


def median(values: list[int]) -> str:
    return f"{statistics.median(values):g}" if values else "-"


def row(case: Case, runs: list[Run]) -> str:
    caught, caught_before = [r for r in runs if r.verdict == FAIL], [r for r in runs if r.before]
    cells = [
        case.name, f"{case.rate:g}",
        share(len(caught_before), len(runs)), median([r.lost_before for r in runs]),
        share(len(caught), len(runs)), median([r.lost for r in runs]),
        share(sum(r.verdict == PASS for r in runs), len(runs)),
        share(len(runs) - len(caught) - sum(r.verdict == PASS for r in runs), len(runs)),
    ]  # fmt: skip
    return f"| {' | '.join(cells)} |"


HEAD = """\
| errors | users' requests/s | refused before | lost before | refused now | lost now | pass | inconclusive |
|---|---|---|---|---|---|---|---|"""


def cases() -> list[Case]:
    rates = (1.0, 10.0, 40.0)
    equal = [Case(rate, share, share) for share in (0.0, 0.01, 0.02, 0.05, 0.2) for rate in rates]
    worse = [Case(rate, 0.0, share) for share in (0.02, 0.05, 0.2, 1.0) for rate in rates]
    return [*equal, *worse, *(Case(rate, 0.0, 0.0, 3.0) for rate in rates)]


def main(arguments: Optional[list[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--page", help="the page whose table to write")
    options = parser.parse_args(arguments)
    lines, failed = [], False
    size = max(options.runs // 8, 1)
    with ProcessPoolExecutor() as pool:
        for case in cases():
            jobs = [(case, at, min(at + size, options.runs)) for at in range(0, options.runs, size)]
            runs = [one for part in pool.map(chunk, jobs) for one in part]
            lines.append(row(case, runs))
            print(lines[-1], flush=True)
            wrong = sum(one.verdict == FAIL for one in runs)
            failed = failed or (case.old == case.new and case.slower == 1 and wrong > 0.01 * len(runs))
    if options.page:
        write(options.page, [HEAD, *lines], f"{options.runs} releases a row.")
    return int(failed)


MARKS = "<!-- canary table -->", "<!-- end of the canary table -->"


def write(page: str, table: list[str], said: str, marks: tuple[str, str] = MARKS) -> None:
    begin, end = marks
    with open(page, encoding="utf-8") as stream:
        before, _begin, rest = stream.read().partition(begin)
    _old, found, after = rest.partition(end)
    if not found:
        raise SystemExit(f"{page} has no place for the table")
    with open(page, "w", encoding="utf-8") as stream:
        stream.write(before + begin + "\n" + said + "\n\n" + "\n".join(table) + "\n" + end + after)


if __name__ == "__main__":
    sys.exit(main())
