# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The metrics kind: what a service's own counters say of the time between two scrapes. PRIVATE to the collection."""

from __future__ import annotations

import math
import re
import time
from dataclasses import dataclass
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional

from ..outcome import FAIL, WARN, Attempt, CheckFailed
from ..session import RunningAttempt, healthy
from ..spec.check import parse_timeout
from ..spec.options import Options
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
from .fetch import REQUEST_OPTIONS, HttpTarget, fetch, parse_http_connection, parse_request, parse_request_url
from .kind import Kind
from .thresholds import ERRORS, Thresholds, parse_thresholds

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


@dataclass(frozen=True)
class MetricsTarget(HttpTarget):
    """A page of counters, and what they have to say."""

    thresholds: Thresholds

    @property
    def least_seconds(self) -> float:
        return self.thresholds.window


def _parse(options: Options) -> MetricsTarget:
    url = parse_request_url(options)
    connection = parse_http_connection(options, url)
    request = parse_request(options, url, connection)
    thresholds = parse_thresholds(options)
    timeout = parse_timeout(options, thresholds.window)
    if thresholds.window >= timeout:
        raise options.error(
            "timeout",
            f"of {timeout:g} s ends before the window of {thresholds.window:g} s between the two scrapes",
            "raise timeout or shorten metrics.window",
        )
    return MetricsTarget(connection, request, thresholds)


def _attempt(running: RunningAttempt, target: MetricsTarget) -> Attempt:
    """Two scrapes, window apart. With too little traffic the first one is kept, so that the next attempt sees more."""
    wanted = target.thresholds
    memory = running.session.memory
    before = memory.get(_MEMORY)
    if before is None:
        before = memory[_MEMORY] = (time.monotonic(), _scrape(running, target))
    running.deadline.pause(max(0.0, before[0] + wanted.window - time.monotonic()))
    running.deadline.require("waiting for the end of the window")
    after = (time.monotonic(), _scrape(running, target))
    begun_anew = _begun_anew(before[1], after[1], wanted)
    windows = {name: _window(name, [] if begun_anew else before[1][name], after[1][name]) for name in _counters(wanted)}
    verdict = _judge(running, wanted, windows, begun_anew)
    if verdict is None:
        memory.pop(_MEMORY)
        return healthy(running, f"{running.check.target}: {_summary(running)}")
    if verdict.counts:
        memory.pop(_MEMORY)
    elif begun_anew or any(window.growth.restarted for window in windows.values()):
        memory[_MEMORY] = after
    raise verdict


def _window(name: str, before: list[Sample], after: list[Sample]) -> Window:
    return Window(name, before, after, growth(before, after))


def _scrape(running: RunningAttempt, target: MetricsTarget) -> Scrape:
    response, wanted = fetch(running, target), target.thresholds
    if not 200 <= response.status <= 299:
        raise CheckFailed("status", f"{target} answers {response.status}, wanted 200-299")
    names = [*_counters(wanted), *_beginnings(wanted)]
    openmetrics = (response.header("content-type") or "").strip().lower().startswith("application/openmetrics-text")
    try:
        page = samples(response.content, names, openmetrics)
    except FormatError as error:
        raise CheckFailed("metrics", f"{target} is not in the Prometheus text format: {error}") from error
    return {
        name: entries if name == _STARTED else list(selected(entries, wanted.labels)) for name, entries in page.items()
    }


def _counters(wanted: Thresholds) -> list[str]:
    return [name for name in (wanted.requests, _buckets(wanted)) if name is not None]


def _beginnings(wanted: Thresholds) -> list[str]:
    """Metrics that say when the process started, or a counter was created."""
    stems = [wanted.histogram] if wanted.histogram is not None else []
    if wanted.requests is not None:
        stems.append(wanted.requests[: -len("_total")] if wanted.requests.endswith("_total") else wanted.requests)
    return [_STARTED, *(f"{stem}_created" for stem in stems)]


def _begun_anew(before: Scrape, after: Scrape, wanted: Thresholds) -> Optional[str]:
    """What says that another process answered the second time. Its counters may be higher all the same."""
    for name in _beginnings(wanted):
        later = {row.labels: row.value for row in after[name]}
        for labels, value in before[name]:
            now = later.get(labels, value)
            if math.isfinite(value) and math.isfinite(now) and abs(now - value) > _SAME:
                return f"{series(name, labels)} was {value:.0f} and is {now:.0f}"
    return None


def _buckets(wanted: Thresholds) -> Optional[str]:
    return None if wanted.histogram is None else f"{wanted.histogram}_bucket"


def _judge(
    running: RunningAttempt, wanted: Thresholds, windows: Mapping[str, Window], begun_anew: Optional[str]
) -> Optional[CheckFailed]:
    """The worst of what the two pages say; None where all is well."""
    verdicts: list[Optional[CheckFailed]] = []
    if begun_anew is not None:
        verdicts.append(_doubt(running, f"{begun_anew}: a restart in the window hides what came before it"))
    if wanted.requests is not None and _judged(wanted.max_error_ratio, wanted.warn_error_ratio):
        verdicts.append(_judge_errors(running, wanted, windows[wanted.requests]))
    buckets = _buckets(wanted)
    if buckets is not None and _judged(wanted.max_quantile, wanted.warn_quantile):
        verdicts.append(_judge_quantile(running, wanted, windows[buckets]))
    return _worst(verdicts)


def _judged(most: Optional[float], warn: Optional[float]) -> bool:
    return most is not None or warn is not None


def _worst(verdicts: Iterable[Optional[CheckFailed]]) -> Optional[CheckFailed]:
    """Failed before inconclusive before warned: doubt is never outvoted by a mere warning."""
    given = [verdict for verdict in verdicts if verdict is not None]
    return min(given, key=lambda one: 0 if one.state == FAIL else 2 if one.counts else 1) if given else None


def _judge_errors(running: RunningAttempt, wanted: Thresholds, window: Window) -> Optional[CheckFailed]:
    unusable = _unusable(running, wanted, window)
    if unusable is not None:
        return unusable
    total, ratio = error_ratio(window.growth.series, wanted.status_label, wanted.errors)
    if math.isinf(total):
        return _doubt(running, f"the counters of {window.name} are too large to be added up")
    running.details.update(requests=total, error_ratio=None if ratio is None else round(ratio, 6))
    if total < wanted.min_requests or ratio is None:
        return _too_few(running, total, "requests", wanted)
    words = f"{ratio:.2%} of {total:g} requests failed"
    return _worst(
        [
            _over(running, ratio, wanted.max_error_ratio, wanted.warn_error_ratio, words, "{:.2%}"),
            _unlabelled(running, wanted, window),
            _unknown_status(running, wanted, window),
            _restarted(running, window),
        ]
    )


def _unusable(running: RunningAttempt, wanted: Thresholds, window: Window) -> Optional[CheckFailed]:
    if not window.after:
        return _missing(running, window.name, wanted)
    odd = uncountable([*window.before, *window.after])
    if odd is not None:
        return _doubt(running, f"{series(window.name, odd.labels)} is {odd.value:g}, which counts nothing")
    return None


def _unlabelled(running: RunningAttempt, wanted: Thresholds, window: Window) -> Optional[CheckFailed]:
    """Requests whose status nobody can see may all be errors."""
    label = wanted.status_label
    without = [row.labels for row in window.after if label not in dict(row.labels)]
    if not without:
        return None
    names = sorted({name for row in window.after for name, _value in row.labels})
    running.details.update(labels=names, unlabelled=len(without))
    labels = f"the labels there are {', '.join(names)}" if names else "there are no labels at all"
    return _doubt(
        running,
        f"{len(without)} of {len(window.after)} series of {window.name} have no label {label}, such as "
        f"{series(window.name, without[0])}; {labels}: set metrics.status_label to the one that holds the status",
    )


def _unknown_status(running: RunningAttempt, wanted: Thresholds, window: Window) -> Optional[CheckFailed]:
    """What is no HTTP status can be an error that the default of errors never matches."""
    if wanted.errors.pattern != ERRORS:
        return None
    values = {dict(row.labels).get(wanted.status_label, "") for row in window.after}
    odd = sorted(value for value in values if value and not _HTTP_STATUS.fullmatch(value))
    if not odd:
        return None
    shown = ", ".join(repr(value) for value in odd[:_SHOWN])
    return _doubt(
        running,
        f"the label {wanted.status_label} of {window.name} holds {shown}, no HTTP status: "
        "set metrics.errors to a regular expression for the values that are errors",
    )


def _restarted(running: RunningAttempt, window: Window) -> Optional[CheckFailed]:
    fallen = window.growth.restarted
    if not fallen:
        return None
    what = f"{len(fallen)} series of {window.name} fell or went away, such as {series(window.name, fallen[0])}"
    return _doubt(running, f"{what}: a restart in the window hides what came before it")


def _judge_quantile(running: RunningAttempt, wanted: Thresholds, window: Window) -> Optional[CheckFailed]:
    unusable = _unusable(running, wanted, window)
    if unusable is not None:
        return unusable
    try:
        total, seconds = quantile(window.growth.series, wanted.quantile)
    except FormatError as error:
        return CheckFailed("metrics", f"{running.check.target}: {wanted.histogram}: {error}")
    if math.isinf(total):
        return _doubt(running, f"the counters of {window.name} are too large to be added up")
    finite = seconds if seconds is not None and math.isfinite(seconds) else None
    running.details.update(observations=total, quantile=None if finite is None else round(finite, 6))
    if total < wanted.min_requests or seconds is None:
        return _too_few(running, total, "observations", wanted)
    shown = f"{seconds:.3f} s" if finite is not None else "more than the largest bucket"
    words = f"the {wanted.quantile:g} quantile of {wanted.histogram} is {shown} over {total:g} observations"
    over = _over(running, seconds, wanted.max_quantile, wanted.warn_quantile, words, "{:g} s")
    return _worst([over, _restarted(running, window)])


def _over(
    running: RunningAttempt, value: float, most: Optional[float], warn: Optional[float], words: str, form: str
) -> Optional[CheckFailed]:
    for state, limit in ((FAIL, most), (WARN, warn)):
        if limit is not None and not value <= limit:
            return CheckFailed(
                "metrics", f"{running.check.target}: {words}, wanted {form.format(limit)} or less", state
            )
    return None


def _missing(running: RunningAttempt, name: str, wanted: Thresholds) -> CheckFailed:
    """Many services show a counter only once there is something to count."""
    only = "".join(f", {key}={value!r}" for key, value in wanted.labels)
    return _doubt(running, f"no metric {name}{only} is there: no traffic yet, or another name")


def _too_few(running: RunningAttempt, total: float, what: str, wanted: Thresholds) -> CheckFailed:
    return _doubt(running, f"{total:g} {what} in the window, a verdict takes {wanted.min_requests:g}")


def _doubt(running: RunningAttempt, what: str) -> CheckFailed:
    return CheckFailed("inconclusive", f"{running.check.target}: {what}", WARN, counts=False)


def _summary(running: RunningAttempt) -> str:
    parts: list[tuple[str, object]] = [(name, running.details.get(name)) for name in ("error_ratio", "quantile")]
    return ", ".join(f"{name} {value}" for name, value in parts if value is not None)


KIND = Kind(REQUEST_OPTIONS | {"metrics"}, _parse, _attempt)
