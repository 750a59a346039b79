# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is handed back: always the same keys. This file is PRIVATE to the collection."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Collection, Optional, Sequence

from .outcome import FAIL, PHASES, STATES, WARN, Attempt, no_latency
from .spec.check import Check
from .verdict import Verdict

KEPT = 5
PERCENTILES = (("p50", 50), ("p95", 95), ("p99", 99))
_NO_PROCESS = {"pid": None, "started": None, "exe": None, "unit": None, "build_id": None}


@dataclass(frozen=True)
class CheckResult:
    name: str
    kind: str
    phase: str
    target: str
    state: str
    reason: str
    message: str
    attempts: tuple[Attempt, ...]
    elapsed: float
    latency: dict[str, Optional[float]]

    @property
    def last(self) -> Optional[Attempt]:
        return telling(self.attempts)

    def as_dict(self, kept: int = KEPT) -> dict[str, Any]:
        last = self.last
        shown = self.attempts[max(0, len(self.attempts) - kept) :] if self.state == FAIL else ()
        process = last.process.as_dict() if last and last.process else dict(_NO_PROCESS)
        return {
            "name": self.name,
            "kind": self.kind,
            "phase": self.phase,
            "target": self.target,
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "attempts": len(self.attempts),
            "elapsed": round(self.elapsed, 3),
            "status": last.status if last else None,
            "latency": self.latency,
            "process": process,
            "certificate_days": last.certificate_days if last else None,
            "details": last.details if last else {},
            "last_attempts": [made.as_dict() for made in shown],
        }


def telling(attempts: Sequence[Attempt]) -> Optional[Attempt]:
    """The last attempt that had its whole time. What the deadline cut short says nothing, unless nothing else does."""
    whole = [made for made in attempts if not made.clipped]
    return (whole or list(attempts))[-1] if attempts else None


def percentile(values: Collection[float], rank: int) -> Optional[float]:
    """Nearest rank: a value that was measured, never one in between."""
    return nearest_rank(sorted(values), rank)


def nearest_rank(ordered: Sequence[float], rank: int) -> Optional[float]:
    """The same of values that are sorted already."""
    return ordered[max(0, math.ceil(len(ordered) * rank / 100) - 1)] if ordered else None


def latencies(attempts: Sequence[Attempt]) -> dict[str, Optional[float]]:
    """Phases of the last attempt that had its time, percentiles over the attempts that had an answer."""
    last = telling(attempts)
    phases = last.latency if last else no_latency()
    totals = [made.latency["total"] for made in attempts if made.state != FAIL]
    measured = [total for total in totals if total is not None]
    figures = {name: phases[name] for name in PHASES}
    figures.update((name, percentile(measured, rank)) for name, rank in PERCENTILES)
    return figures


def summarise(check: Check, attempts: Sequence[Attempt], verdict: Verdict, elapsed: float) -> CheckResult:
    latency = latencies(attempts)
    verdict = _slow(check, verdict, latency)
    return CheckResult(
        name=check.name,
        kind=check.kind,
        phase=check.phase,
        target=str(check.target),
        state=verdict.state,
        reason=verdict.reason,
        message=verdict.message,
        attempts=tuple(attempts),
        elapsed=elapsed,
        latency=latency,
    )


def _slow(check: Check, verdict: Verdict, latency: dict[str, Optional[float]]) -> Verdict:
    """A healthy answer that came too late is not one."""
    if verdict.state == FAIL:
        return verdict
    for state, thresholds in ((FAIL, check.max_latency), (WARN, check.warn_latency)):
        for name, most in thresholds:
            measured = latency[name]
            if measured is not None and measured > most:
                message = f"{check.target} answers, but its {name} is {measured:.3f} s, wanted {most:g} s or less"
                return Verdict(state, "latency", message)
    return verdict


def overall(results: Sequence[CheckResult]) -> str:
    """The worst of the states."""
    return max((result.state for result in results), key=STATES.index)


def cause(results: Sequence[CheckResult]) -> list[str]:
    """One line for each check that does not pass."""
    return [f"{one.name}: {one.message} ({one.reason})" for one in results if one.state != STATES[0]]
