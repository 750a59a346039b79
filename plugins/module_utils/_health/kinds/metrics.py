# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics kind: what a service's own counters say of the time between two scrapes. PRIVATE to the collection."""

from __future__ import annotations

import math
import re
import time
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional

from ..outcome import FAIL, WARN, Attempt, CheckFailed, need
from ..session import Probe, healthy
from ..spec.check import ERRORS, Metrics
from .exposition import (
    FormatError,
    Growth,
    Sample,
    error_ratio,
    growth,
    quantile,
    samples,
    selected,
    series,
    uncountable,
)
from .fetch import fetch

_MEMORY = "metrics"
_HTTP_STATUS = re.compile("[1-5](?:[0-9]{2}|xx|XX)")
_SHOWN = 3
_STARTED = "process_start_time_seconds"
_SAME = 1.0  # seconds: some compute when they started from how long they run

Scrape = Dict[str, List[Sample]]


class Window(NamedTuple):
    """One metric between two scrapes."""

    name: str
    before: list[Sample]
    after: list[Sample]
    growth: Growth


def attempt(probe: Probe) -> Attempt:
    """Two scrapes, window apart. With too little traffic the first one is kept, so that the next attempt sees more."""
    wanted = need(probe.check.metrics)
    memory = probe.session.memory
    before = memory.get(_MEMORY)
    if before is None:
        before = memory[_MEMORY] = (time.monotonic(), _scrape(probe, wanted))
    probe.deadline.pause(max(0.0, before[0] + wanted.window - time.monotonic()))
    probe.deadline.require("waiting for the end of the window")
    after = (time.monotonic(), _scrape(probe, wanted))
    begun_anew = _begun_anew(before[1], after[1], wanted)
    windows = {name: _window(name, [] if begun_anew else before[1][name], after[1][name]) for name in _counters(wanted)}
    verdict = _judge(probe, wanted, windows, begun_anew)
    if verdict is None:
        memory.pop(_MEMORY)
        return healthy(probe, f"{probe.check.target}: {_summary(probe)}")
    if verdict.counts:
        memory.pop(_MEMORY)
    elif begun_anew or any(window.growth.restarted for window in windows.values()):
        memory[_MEMORY] = after
    raise verdict


def _window(name: str, before: list[Sample], after: list[Sample]) -> Window:
    return Window(name, before, after, growth(before, after))


def _scrape(probe: Probe, wanted: Metrics) -> Scrape:
    response = fetch(probe)
    where = probe.check.target
    if not 200 <= response.status <= 299:
        raise CheckFailed("status", f"{where} answers {response.status}, wanted 200-299")
    names = [*_counters(wanted), *_beginnings(wanted)]
    openmetrics = (response.header("content-type") or "").strip().lower().startswith("application/openmetrics-text")
    try:
        found = samples(response.body, names, openmetrics)
    except FormatError as error:
        raise CheckFailed("metrics", f"{where} is not in the Prometheus text format: {error}") from error
    return {
        name: entries if name == _STARTED else list(selected(entries, wanted.labels)) for name, entries in found.items()
    }


def _counters(wanted: Metrics) -> list[str]:
    return [name for name in (wanted.requests, _buckets(wanted)) if name is not None]


def _beginnings(wanted: Metrics) -> list[str]:
    """Metrics that say when the process started, or a counter was created."""
    stems = [wanted.histogram] if wanted.histogram is not None else []
    if wanted.requests is not None:
        stems.append(wanted.requests[: -len("_total")] if wanted.requests.endswith("_total") else wanted.requests)
    return [_STARTED, *(f"{stem}_created" for stem in stems)]


def _begun_anew(before: Scrape, after: Scrape, wanted: Metrics) -> Optional[str]:
    """What says that another process answered the second time. Its counters may be higher all the same."""
    for name in _beginnings(wanted):
        later = {row.labels: row.value for row in after[name]}
        for labels, value in before[name]:
            now = later.get(labels, value)
            if math.isfinite(value) and math.isfinite(now) and abs(now - value) > _SAME:
                return f"{series(name, labels)} was {value:.0f} and is {now:.0f}"
    return None


def _buckets(wanted: Metrics) -> Optional[str]:
    return None if wanted.histogram is None else f"{wanted.histogram}_bucket"


def _judge(
    probe: Probe, wanted: Metrics, windows: Mapping[str, Window], begun_anew: Optional[str]
) -> Optional[CheckFailed]:
    """The worst of what the two pages say; None where all is well."""
    verdicts: list[Optional[CheckFailed]] = []
    if begun_anew is not None:
        verdicts.append(_doubt(probe, f"{begun_anew}: a restart in the window hides what came before it"))
    if wanted.requests is not None and _judged(wanted.max_error_ratio, wanted.warn_error_ratio):
        verdicts.append(_judge_errors(probe, wanted, windows[wanted.requests]))
    buckets = _buckets(wanted)
    if buckets is not None and _judged(wanted.max_quantile, wanted.warn_quantile):
        verdicts.append(_judge_quantile(probe, wanted, windows[buckets]))
    return _worst(verdicts)


def _judged(most: Optional[float], warn: Optional[float]) -> bool:
    return most is not None or warn is not None


def _worst(verdicts: Iterable[Optional[CheckFailed]]) -> Optional[CheckFailed]:
    """Failed before inconclusive before warned: doubt is never outvoted by a mere warning."""
    found = [verdict for verdict in verdicts if verdict is not None]
    return min(found, key=lambda one: 0 if one.state == FAIL else 2 if one.counts else 1) if found else None


def _judge_errors(probe: Probe, wanted: Metrics, window: Window) -> Optional[CheckFailed]:
    unusable = _unusable(probe, wanted, window)
    if unusable is not None:
        return unusable
    total, ratio = error_ratio(window.growth.series, wanted.status_label, wanted.errors)
    if math.isinf(total):
        return _doubt(probe, f"the counters of {window.name} are too large to be added up")
    probe.details.update(requests=total, error_ratio=None if ratio is None else round(ratio, 6))
    if total < wanted.min_requests or ratio is None:
        return _too_few(probe, total, "requests", wanted)
    words = f"{ratio:.2%} of {total:g} requests failed"
    return _worst(
        [
            _over(probe, ratio, wanted.max_error_ratio, wanted.warn_error_ratio, words, "{:.2%}"),
            _unlabelled(probe, wanted, window),
            _unknown_status(probe, wanted, window),
            _restarted(probe, window),
        ]
    )


def _unusable(probe: Probe, wanted: Metrics, window: Window) -> Optional[CheckFailed]:
    if not window.after:
        return _missing(probe, window.name, wanted)
    odd = uncountable([*window.before, *window.after])
    if odd is not None:
        return _doubt(probe, f"{series(window.name, odd.labels)} is {odd.value:g}, which counts nothing")
    return None


def _unlabelled(probe: Probe, wanted: Metrics, window: Window) -> Optional[CheckFailed]:
    """Requests whose status nobody can see may all be errors."""
    label = wanted.status_label
    without = [row.labels for row in window.after if label not in dict(row.labels)]
    if not without:
        return None
    names = sorted({name for row in window.after for name, _value in row.labels})
    probe.details.update(labels=names, unlabelled=len(without))
    found = f"the labels there are {', '.join(names)}" if names else "there are no labels at all"
    return _doubt(
        probe,
        f"{len(without)} of {len(window.after)} series of {window.name} have no label {label}, such as "
        f"{series(window.name, without[0])}; {found}: set metrics.status_label to the one that holds the status",
    )


def _unknown_status(probe: Probe, wanted: Metrics, window: Window) -> Optional[CheckFailed]:
    """What is no HTTP status can be an error that the default of errors never matches."""
    if wanted.errors.pattern != ERRORS:
        return None
    values = {dict(row.labels).get(wanted.status_label, "") for row in window.after}
    odd = sorted(value for value in values if value and not _HTTP_STATUS.fullmatch(value))
    if not odd:
        return None
    shown = ", ".join(repr(value) for value in odd[:_SHOWN])
    return _doubt(
        probe,
        f"the label {wanted.status_label} of {window.name} holds {shown}, no HTTP status: "
        "set metrics.errors to a regular expression for the values that are errors",
    )


def _restarted(probe: Probe, window: Window) -> Optional[CheckFailed]:
    fallen = window.growth.restarted
    if not fallen:
        return None
    what = f"{len(fallen)} series of {window.name} fell or went away, such as {series(window.name, fallen[0])}"
    return _doubt(probe, f"{what}: a restart in the window hides what came before it")


def _judge_quantile(probe: Probe, wanted: Metrics, window: Window) -> Optional[CheckFailed]:
    unusable = _unusable(probe, wanted, window)
    if unusable is not None:
        return unusable
    try:
        total, seconds = quantile(window.growth.series, wanted.quantile)
    except FormatError as error:
        return CheckFailed("metrics", f"{probe.check.target}: {wanted.histogram}: {error}")
    if math.isinf(total):
        return _doubt(probe, f"the counters of {window.name} are too large to be added up")
    finite = seconds if seconds is not None and math.isfinite(seconds) else None
    probe.details.update(observations=total, quantile=None if finite is None else round(finite, 6))
    if total < wanted.min_requests or seconds is None:
        return _too_few(probe, total, "observations", wanted)
    shown = f"{seconds:.3f} s" if finite is not None else "more than the largest bucket"
    words = f"the {wanted.quantile:g} quantile of {wanted.histogram} is {shown} over {total:g} observations"
    over = _over(probe, seconds, wanted.max_quantile, wanted.warn_quantile, words, "{:g} s")
    return _worst([over, _restarted(probe, window)])


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
    return _doubt(probe, f"no metric {name}{only} is there: no traffic yet, or another name")


def _too_few(probe: Probe, total: float, what: str, wanted: Metrics) -> CheckFailed:
    return _doubt(probe, f"{total:g} {what} in the window, a verdict takes {wanted.min_requests:g}")


def _doubt(probe: Probe, what: str) -> CheckFailed:
    return CheckFailed("inconclusive", f"{probe.check.target}: {what}", WARN, counts=False)


def _summary(probe: Probe) -> str:
    parts: list[tuple[str, object]] = [(name, probe.details.get(name)) for name in ("error_ratio", "quantile")]
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None)
