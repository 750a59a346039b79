# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics kind: what a service's own counters say of the time between two scrapes. PRIVATE to the collection."""

from __future__ import annotations

import math
import time
from typing import Dict, List, Optional

from .check import Metrics
from .exposition import FormatError, Sample, error_ratio, growth, quantile, samples, selected
from .http import fetch
from .outcome import FAIL, WARN, Attempt, CheckFailed, need
from .session import Probe, healthy

_MEMORY = "metrics"

Scrape = Dict[str, List[Sample]]


def attempt(probe: Probe) -> Attempt:
    """Two scrapes, window apart. With too little traffic the first one is kept, so that the next attempt sees more."""
    wanted = need(probe.check.metrics)
    memory = probe.session.memory
    before = memory.get(_MEMORY)
    if before is None:
        before = memory[_MEMORY] = (time.monotonic(), _scrape(probe, wanted))
    probe.deadline.pause(max(0.0, before[0] + wanted.window - time.monotonic()))
    probe.deadline.require("waiting for the end of the window")
    after = _scrape(probe, wanted)
    verdict = _judge(probe, wanted, before[1], after)
    if verdict is None:
        memory.pop(_MEMORY)
        return healthy(probe, f"{probe.check.target}: {_summary(probe)}")
    if verdict.counts:
        memory.pop(_MEMORY)
    raise verdict


def _scrape(probe: Probe, wanted: Metrics) -> Scrape:
    response = fetch(probe)
    where = probe.check.target
    if not 200 <= response.status <= 299:
        raise CheckFailed("status", f"{where} answers {response.status}, wanted 200-299")
    names = [name for name in (wanted.requests, _buckets(wanted)) if name is not None]
    try:
        found = samples(response.body.decode("utf-8", "replace"), names)
    except FormatError as error:
        raise CheckFailed("metrics", f"{where} is not in the Prometheus text format: {error}") from error
    return {name: list(selected(entries, wanted.labels)) for name, entries in found.items()}


def _buckets(wanted: Metrics) -> Optional[str]:
    return None if wanted.histogram is None else f"{wanted.histogram}_bucket"


def _judge(probe: Probe, wanted: Metrics, before: Scrape, after: Scrape) -> Optional[CheckFailed]:
    """The worst of what the two pages say; None where all is well."""
    verdicts = []
    if wanted.requests is not None and _judged(wanted.max_error_ratio, wanted.warn_error_ratio):
        verdicts.append(_judge_errors(probe, wanted, before[wanted.requests], after[wanted.requests]))
    buckets = _buckets(wanted)
    if buckets is not None and _judged(wanted.max_quantile, wanted.warn_quantile):
        verdicts.append(_judge_quantile(probe, wanted, before[buckets], after[buckets]))
    found = [verdict for verdict in verdicts if verdict is not None]
    return min(found, key=_rank) if found else None


def _judged(most: Optional[float], warn: Optional[float]) -> bool:
    return most is not None or warn is not None


def _rank(verdict: CheckFailed) -> int:
    """Failed before inconclusive before warned: doubt is never outvoted by a mere warning."""
    return 0 if verdict.state == FAIL else 2 if verdict.counts else 1


def _judge_errors(probe: Probe, wanted: Metrics, before: list[Sample], after: list[Sample]) -> Optional[CheckFailed]:
    if not after:
        return _missing(probe, str(wanted.requests), wanted)
    total, ratio = error_ratio(growth(before, after), wanted.status_label, wanted.errors)
    probe.details.update(requests=total, error_ratio=None if ratio is None else round(ratio, 6))
    if total < wanted.min_requests or ratio is None:
        return _inconclusive(probe, total, "requests", wanted)
    words = f"{ratio:.2%} of {total:g} requests failed"
    return _over(probe, ratio, wanted.max_error_ratio, wanted.warn_error_ratio, words, "{:.2%}")


def _judge_quantile(probe: Probe, wanted: Metrics, before: list[Sample], after: list[Sample]) -> Optional[CheckFailed]:
    if not after:
        return _missing(probe, str(_buckets(wanted)), wanted)
    try:
        total, seconds = quantile(growth(before, after), wanted.quantile)
    except FormatError as error:
        return CheckFailed("metrics", f"{probe.check.target}: {wanted.histogram}: {error}")
    finite = seconds if seconds is not None and math.isfinite(seconds) else None
    probe.details.update(observations=total, quantile=None if finite is None else round(finite, 6))
    if total < wanted.min_requests or seconds is None:
        return _inconclusive(probe, total, "observations", wanted)
    shown = f"{seconds:.3f} s" if finite is not None else "more than the largest bucket"
    words = f"the {wanted.quantile:g} quantile of {wanted.histogram} is {shown} over {total:g} observations"
    return _over(probe, seconds, wanted.max_quantile, wanted.warn_quantile, words, "{:g} s")


def _over(
    probe: Probe, value: float, most: Optional[float], warn: Optional[float], words: str, form: str
) -> Optional[CheckFailed]:
    for state, limit in ((FAIL, most), (WARN, warn)):
        if limit is not None and not value <= limit:
            return CheckFailed("metrics", f"{probe.check.target}: {words}, wanted {form.format(limit)} or less", state)
    return None


def _missing(probe: Probe, name: str, wanted: Metrics) -> CheckFailed:
    """Many services show a counter only once there is something to count."""
    only = "".join(f", {key}={value!r}" for key, value in wanted.labels)
    message = f"{probe.check.target} has no metric {name}{only}: no traffic yet, or another name"
    return CheckFailed("inconclusive", message, WARN, counts=False)


def _inconclusive(probe: Probe, total: float, what: str, wanted: Metrics) -> CheckFailed:
    return CheckFailed(
        "inconclusive",
        f"{probe.check.target}: {total:g} {what} in the window, a verdict takes {wanted.min_requests:g}",
        WARN,
        counts=False,
    )


def _summary(probe: Probe) -> str:
    parts: list[tuple[str, object]] = [(name, probe.details.get(name)) for name in ("error_ratio", "quantile")]
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None)
