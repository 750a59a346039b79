# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Prometheus text format, as far as a health check reads it. This file is PRIVATE to the collection."""

from __future__ import annotations

import math
import re
from typing import Iterable, Iterator, Mapping, NamedTuple, Optional, Pattern, Tuple

Labels = Tuple[Tuple[str, str], ...]

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\\n]|\\.)*)"\s*(,|(?=\}))')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_NUMBERS = {"+inf": math.inf, "inf": math.inf, "-inf": -math.inf, "nan": math.nan}


class Sample(NamedTuple):
    labels: Labels
    value: float


class FormatError(ValueError):
    """A line is not in the text format."""


def samples(text: str, names: Iterable[str]) -> dict[str, list[Sample]]:
    """The samples of the named metrics; all other lines are only skipped."""
    found: dict[str, list[Sample]] = {name: [] for name in names}
    for line in text.splitlines():
        match = _NAME.match(line)
        if match is not None and match.group() in found:
            found[match.group()].append(_sample(line, match.end()))
    return found


def _sample(line: str, position: int) -> Sample:
    labels: list[tuple[str, str]] = []
    if line[position : position + 1] == "{":
        position, labels = _labels(line, position + 1)
    # After the value there may be a timestamp, and in OpenMetrics an exemplar.
    fields = line[position:].split()
    if not fields:
        raise FormatError(f"no value: {line[:80]!r}")
    return Sample(tuple(sorted(labels)), number(fields[0]))


def _labels(line: str, position: int) -> tuple[int, list[tuple[str, str]]]:
    labels: list[tuple[str, str]] = []
    while line[position : position + 1] != "}":
        match = _LABEL.match(line, position)
        if match is None:
            if line[position:].lstrip().startswith("}"):
                return line.index("}", position) + 1, labels
            raise FormatError(f"labels that cannot be read: {line[:80]!r}")
        labels.append((match.group(1), _ESCAPE.sub(_unescape, match.group(2))))
        position = match.end()
    return position + 1, labels


def _unescape(match: re.Match[str]) -> str:
    return _ESCAPES.get(match.group(1), match.group())


def number(text: str) -> float:
    known = _NUMBERS.get(text.lower())
    if known is not None:
        return known
    try:
        return float(text)
    except ValueError as error:
        raise FormatError(f"not a number: {text[:40]!r}") from error


def selected(rows: Iterable[Sample], labels: Iterable[tuple[str, str]]) -> Iterator[Sample]:
    wanted = tuple(labels)
    for row in rows:
        present = dict(row.labels)
        if all(present.get(name) == value for name, value in wanted):
            yield row


def growth(before: Iterable[Sample], after: Iterable[Sample]) -> dict[Labels, float]:
    """How much each counter grew; one that fell was restarted and counts from zero."""
    earlier = {row.labels: row.value for row in before}
    grown: dict[Labels, float] = {}
    for row in after:
        first = earlier.get(row.labels, 0.0)
        grown[row.labels] = row.value - first if row.value >= first else row.value
    return grown


def error_ratio(grown: Mapping[Labels, float], label: str, errors: Pattern[str]) -> tuple[float, Optional[float]]:
    """Requests, and the part of them whose status is an error; None without any."""
    total = bad = 0.0
    for labels, count in grown.items():
        total += count
        if errors.fullmatch(dict(labels).get(label, "")):
            bad += count
    return total, bad / total if total > 0 else None


def quantile(grown: Mapping[Labels, float], rank: float) -> tuple[float, Optional[float]]:
    """Observations, and the quantile from their cumulative buckets; infinite where it is past the last finite one."""
    buckets: dict[float, float] = {}
    for labels, count in grown.items():
        bound = number(dict(labels).get("le", ""))
        buckets[bound] = buckets.get(bound, 0.0) + count
    if math.inf not in buckets:
        raise FormatError("the histogram has no +Inf bucket")
    total = buckets[math.inf]
    return total, _interpolated(sorted(buckets.items()), rank * total) if total > 0 else None


def _interpolated(buckets: list[tuple[float, float]], rank: float) -> float:
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if math.isinf(bound) or count <= below:
                return bound
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, max(below, count)
    return math.inf
