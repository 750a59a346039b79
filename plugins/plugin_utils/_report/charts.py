# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The charts of a report, each beside a table of the same figures. Pure. PRIVATE to the collection.

A chart has shapes only and stretches to any width; its words are HTML, which stays legible on a phone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ansible_collections.slipway.go.plugins.plugin_utils._report.html import Html, join, tag

WIDTH = 1000
_STRIP, _TOP, _FLOOR, _LANE, _HEIGHT = 18, 28, 130, 136, 150
_COLOURS = {
    "INTENT": "e",
    "OVERLAP": "a",
    "START": "a",
    "CANARY": "b",
    "FLIP": "e",
    "DRAIN": "c",
    "SOAK": "d",
    "PROBATION": "e",
    "COMMIT": "e",
    "ROLLBACK": "back",
}
# What is longer is no name of a phase.
_NAME = 20
# The evidence that is drawn at least: less of it says nothing.
_LEAST = 0.01
# A scale of failed requests ends there at least, so that one of a thousand is no summit.
_LEAST_PERCENT = 1.0
# Requests and failed ones, of the new release and of the one before.
_COUNTED = 4


class Phase(NamedTuple):
    """In seconds from the beginning of the swap."""

    name: str
    begins: float
    took: float


class Point(NamedTuple):
    """The requests that were sent in one span of time."""

    begins: float
    ends: float
    sent: int
    failed: int
    max_ms: float | None


class Look(NamedTuple):
    """The evidence at one time. counts: requests and failed ones of the new release and of the one before by then."""

    at: float
    errors: float
    latency: float
    counts: tuple[int, ...] = ()


class Ids:
    """Names of elements, each once in a page."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = itertools.count(1)

    def next(self) -> str:
        return f"e{next(self._numbers)}"


def seconds(value: float) -> str:
    sign, value = ("-" if value < 0 else ""), abs(value)
    minutes, rest = divmod(round(value), 60)
    if minutes < 2:
        return f"{sign}{value:.2f} s" if value < 10 else f"{sign}{value:.1f} s"
    return f"{sign}{minutes} min {rest} s" if minutes < 120 else f"{sign}{minutes // 60} h {minutes % 60} min"


def milliseconds(value: Any) -> str:
    return f"{value:g} ms" if isinstance(value, (int, float)) else "-"


def phases(told: Any) -> list[Phase]:
    """Those of a timeline; what is no phase is left out."""
    found = []
    for one in told if isinstance(told, (list, tuple)) else ():
        if isinstance(one, (list, tuple)) and len(one) == 3 and all(map(_is_number, one[1:])):
            found.append(Phase(str(one[0])[:_NAME], float(one[1]), max(float(one[2]), 0.0)))
    return found


def points(told: Any, most: int) -> list[Point]:
    """The series of a probe with no more points than that."""
    series = told if isinstance(told, Mapping) else {}
    columns = [series.get(name) for name in ("sent", "failed", "max_ms")]
    if not all(isinstance(column, list) for column in columns) or not all(map(_is_number, _frame(series))):
        return []
    begins, step = _frame(series)
    rows = list(zip(*columns))
    size = max(math.ceil(len(rows) / most), 1)
    found = []
    for start in range(0, len(rows), size):
        part = rows[start : start + size]
        longest = [row[2] for row in part if _is_number(row[2])]
        sent, failed = (sum(int(row[i]) for row in part if _is_number(row[i])) for i in (0, 1))
        at = begins + start * step
        found.append(Point(at, at + len(part) * step, sent, failed, max(longest) if longest else None))
    return found


def _frame(series: Mapping[str, Any]) -> tuple[Any, Any]:
    return series.get("begins"), series.get("step")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def fill_of(phase: str, failed: str) -> str:
    return "fill-bad" if phase == failed else f"fill-{_COLOURS.get(phase, 'e')}"


def swatch(fill: str) -> Html:
    square = tag("rect", width=10, height=10, class_=fill)
    return tag("svg", square, class_="swatch", viewBox="0 0 10 10", aria_hidden="true")


def swap(name: str, spans: Sequence[Phase], series: Sequence[Point], failed: str, ids: Ids) -> Html:
    """The phases of a swap above, what its requests took below, and the failed ones at the bottom."""
    begins = [span.begins for span in spans] + [point.begins for point in series]
    ends = [span.begins + span.took for span in spans] + [point.ends for point in series]
    if not begins or max(ends) <= min(begins):
        return Html()
    start, end = min(begins), max(ends)
    x = _scale(start, end)
    longest = max((point.max_ms for point in series if point.max_ms is not None), default=0.0)
    lost = sum(point.failed for point in series)
    shapes: list[Html] = []
    for span in spans:
        told = f"{span.name}: {seconds(span.took)}, from {seconds(span.begins)}"
        shapes.append(_bar(x, span.begins, span.begins + span.took, 0, _STRIP, fill_of(span.name, failed), told))
    shapes.append(tag("path", d=_curve(series, x, longest), class_="curve stroke-a"))
    shapes.append(tag("path", d=f"M0 {_FLOOR}H{WIDTH}", class_="curve stroke-line"))
    for has_failed, those in itertools.groupby(series, lambda point: point.failed > 0):
        run = list(those)
        if has_failed:
            few, many = sum(point.failed for point in run), sum(point.sent for point in run)
            told = f"{few} of {many} requests failed from {seconds(run[0].begins)} to {seconds(run[-1].ends)}"
            shapes.append(_bar(x, run[0].begins, run[-1].ends, _LANE, _HEIGHT - _LANE, "fill-bad", told))
    if start < 0 < end:
        shapes.append(tag("path", d=f"M{x(0.0):.1f} 0V{_HEIGHT}", class_="curve dashed stroke-line"))
    sent = sum(point.sent for point in series)
    asked = f"{lost} of {sent} requests of the probe failed; the slowest answer took {milliseconds(longest)}."
    said = f"The phases of the swap over {seconds(end - start)}. {asked if sent else 'No probe asked.'}"
    notes = [
        tag("span", "dashes: the swap begins, 0 s") if start < 0 < end else None,
        tag("span", "slowest answer in each span of time, up to ", milliseconds(longest)) if sent else None,
        tag("span", swatch("fill-bad"), f"failed requests: {lost}") if sent else None,
    ]
    labels = [seconds(start), seconds(end)]
    return _figure(f"Timeline of the swap on {name}", said, _HEIGHT, shapes, labels, ids, notes)


def _curve(series: Sequence[Point], x: Callable[[float], float], longest: float) -> str:
    """A step for each point that has an answer, as high as that took."""
    told, is_open = [], False
    for point in series:
        if point.max_ms is None:
            is_open = False
            continue
        y = _FLOOR - (_FLOOR - _TOP) * (point.max_ms / longest if longest else 0.0)
        told.append(f"V{y:.0f}" if is_open else f"M{x(point.begins):.0f} {y:.0f}")
        told.append(f"H{x(point.ends):.0f}")
        is_open = True
    return "".join(told) or "M0 0"


def evidence(title: str, told: Any, ids: Ids) -> Html:
    """The evidence against a release over time, on a logarithmic scale, and that with which it is refused."""
    rows, limit = looks(told)
    if not rows:
        return Html()
    start, end = rows[0].at, max(rows[-1].at, rows[0].at + 1)
    errors, latency = [row.errors for row in rows], [row.latency for row in rows]
    x = _scale(start, end)
    top = math.log10(max(10 * limit, *(max(row.errors, row.latency) for row in rows)))
    low = math.log10(_LEAST)

    def y(value: float) -> float:
        return _HEIGHT - (_HEIGHT - 4) * (min(max(math.log10(max(value, _LEAST)), low), top) - low) / (top - low)

    def line(values: Sequence[float]) -> str:
        path = "".join(
            f"{'L' if i else 'M'}{x(row.at):.1f} {y(one):.1f}" for i, (row, one) in enumerate(zip(rows, values))
        )
        return f"{path}H{WIDTH}"  # a single look is a line, too

    shapes = [
        tag("path", d=f"M0 {y(limit):.1f}H{WIDTH}", class_="curve dashed stroke-bad"),
        tag("path", d=line(errors), class_="curve stroke-a"),
        tag("path", d=line(latency), class_="curve dashed stroke-b"),
    ]
    highest = [max(errors), max(latency)]
    said = (
        f"At most {highest[0]:g} for errors and {highest[1]:g} for latency; with {limit:g} the release is refused. "
        "The scale is logarithmic."
    )
    notes = [
        tag("span", swatch("fill-a"), f"errors (line), at most {highest[0]:g}"),
        tag("span", swatch("fill-b"), f"latency (dashes), at most {highest[1]:g}"),
        tag("span", swatch("fill-bad"), f"refused with {limit:g}"),
    ]
    labels = [seconds(start), seconds(end)]
    return _figure(title, said, _HEIGHT, shapes, labels, ids, notes)


def looks(told: Any) -> tuple[list[Look], float]:
    """The evidence by its time, and the limit."""
    series = told if isinstance(told, Mapping) else {}
    columns = [series.get(name) for name in ("at", "errors", "latency")]
    limit, counts = series.get("enough"), series.get("counts")
    if not all(isinstance(column, list) for column in columns) or not _is_number(limit):
        return [], 0.0
    seen = dict(enumerate(counts)) if isinstance(counts, list) else {}
    rows = [
        Look(float(at), float(errors), float(latency), _counts(seen.get(i)))
        for i, (at, errors, latency) in enumerate(zip(*columns))
        if all(map(_is_number, (at, errors, latency)))
    ]
    return rows, float(limit or 0)


def _counts(seen: Any) -> tuple[int, ...]:
    whole = isinstance(seen, list) and len(seen) == _COUNTED and all(isinstance(one, int) for one in seen)
    return tuple(seen) if whole else ()


def shares(title: str, rows: Sequence[Look], ids: Ids) -> Html:
    """What part of the requests had failed by then, at the new release and at the one before."""
    counted = [(row.at, *map(percent, row.counts[1::2], row.counts[0::2])) for row in rows if row.counts]
    if not counted:
        return Html()
    start, end = counted[0][0], max(counted[-1][0], counted[0][0] + 1)
    x = _scale(start, end)
    top = max(*(max(row[1:]) for row in counted), _LEAST_PERCENT)

    def line(column: int) -> str:
        points = ((x(row[0]), _HEIGHT - 2 - (_HEIGHT - 6) * row[column] / top) for row in counted)
        path = "".join(f"{'L' if i else 'M'}{at:.1f} {y:.1f}" for i, (at, y) in enumerate(points))
        return f"{path}H{WIDTH}"  # a single look is a line, too

    shapes = [tag("path", d=line(1), class_="curve stroke-a"), tag("path", d=line(2), class_="curve dashed stroke-b")]
    new, old = (f"{counted[-1][column]:.3g} %" for column in (1, 2))
    said = (
        f"In the end, {new} of the requests had failed with the new release and {old} with the one before. "
        f"The scale ends at {top:.3g} %."
    )
    notes = [
        tag("span", swatch("fill-a"), f"new release (line), {new} in the end"),
        tag("span", swatch("fill-b"), f"the one before (dashes), {old} in the end"),
        tag("span", f"up to {top:.3g} %"),
    ]
    return _figure(title, said, _HEIGHT, shapes, [seconds(start), seconds(end)], ids, notes)


def percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole > 0 else 0.0


class Bar(NamedTuple):
    """One host in the time of a run. look: good, bad, back or none."""

    name: str
    begins: float
    ends: float
    look: str
    said: str


def fleet(name: str, bars: Sequence[Bar], clock: Callable[[float], str], ids: Ids) -> Html:
    """When each host had its turn."""
    start, end = min(one.begins for one in bars), max(one.ends for one in bars)
    x = _scale(start, max(end, start + 0.001))
    shapes = [
        _bar(x, one.begins, one.ends, 10 * i + 1, 8, f"fill-{one.look}", f"{one.name}: {one.said}")
        for i, one in enumerate(bars)
    ]
    said = f"{len(bars)} hosts over {seconds(end - start)}, one bar for each, in the order in which they began."
    looks_of = {one.look for one in bars}
    words = (("good", "came through"), ("bad", "failed"), ("back", "taken back"), ("none", "another end"))
    notes = [tag("span", swatch(f"fill-{look}"), word) for look, word in words if look in looks_of]
    high = min(16 * len(bars), 480)
    return _figure(name, said, 10 * len(bars), shapes, [clock(start), clock(end)], ids, notes, high)


def _scale(start: float, end: float) -> Callable[[float], float]:
    return lambda at: WIDTH * (at - start) / (end - start)


def _bar(
    x: Callable[[float], float], begins: float, ends: float, y: float, height: float, fill: str, told: str
) -> Html:
    """At least as wide as can be seen."""
    left = min(x(begins), WIDTH - 3)
    width = max(x(ends) - left, 3)
    return tag("rect", tag("title", told), x=f"{left:.1f}", y=y, width=f"{width:.1f}", height=height, class_=fill)


def _figure(
    title: str,
    said: str,
    height: int,
    shapes: Sequence[Html],
    labels: Sequence[str],
    ids: Ids,
    notes: Sequence[Html | None] = (),
    shown: int = 0,
) -> Html:
    named, described = ids.next(), ids.next()
    drawn = tag(
        "svg",
        tag("title", title, id=named),
        tag("desc", said, id=described),
        *shapes,
        viewBox=f"0 0 {WIDTH} {height}",
        preserveAspectRatio="none",
        height=shown or height,
        role="img",
        aria_labelledby=f"{named} {described}",
    )
    axis = tag("div", *(tag("span", label) for label in labels), class_="axis")
    key = tag("div", join(*notes), class_="key") if any(notes) else None
    return tag("div", drawn, axis, key, class_="chart")
