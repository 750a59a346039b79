# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Prometheus text format, read as strictly as Prometheus does. This file is PRIVATE to the collection.

Only a line feed ends a line. A label's value may hold any other character, and clients choose many of them.
"""

from __future__ import annotations

import math
import re
from typing import Iterable, Iterator, Mapping, NamedTuple, Optional, Pattern, Tuple

Labels = Tuple[Tuple[str, str], ...]

_QUOTED = r'"([^"\\]*(?:\\.[^"\\]*)*)"'
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_BLANKS = re.compile(r"[ \t]*")
_CLOSING = re.compile(r"[ \t]*\}")
_TERM = re.compile(rf"[ \t]*(?:([a-zA-Z_][a-zA-Z0-9_]*)|{_QUOTED})[ \t]*(?:=[ \t]*{_QUOTED}[ \t]*)?([,}}])")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?inf(?:inity)?|[+-]?nan", re.I)
_ABOUT = re.compile(r"#[ \t]*(?:HELP|TYPE)[ \t]")
_HELP_OR_TYPE = re.compile(
    rf"#[ \t]*(?:HELP[ \t]+(?:{_NAME.pattern}|{_QUOTED})(?:[ \t].*)?|TYPE[ \t]+(?:{_NAME.pattern}|{_QUOTED})[ \t]+"
    "(?:counter|gauge|histogram|gaugehistogram|summary|untyped|unknown|info|stateset))"
)
_EXEMPLAR = re.compile(r"#[ \t]*\{")
_ESCAPE = re.compile(r'\\([n"\\])')
_ESCAPES = {"n": "\n", '"': '"', "\\": "\\"}
_EOF = b"# EOF"
_SHOWN = 80


class Sample(NamedTuple):
    labels: Labels
    value: float


class Growth(NamedTuple):
    """How much each series grew between two pages, and which of them fell or went away: their process restarted."""

    series: Mapping[Labels, float]
    restarted: tuple[Labels, ...] = ()


class FormatError(ValueError):
    """A line is not in the text format."""


def samples(page: bytes, names: Iterable[str], openmetrics: bool = False) -> dict[str, list[Sample]]:
    """The samples of the named metrics. Every line has to be in the format: of a damaged page nothing is believed."""
    series_of: dict[str, dict[Labels, Sample]] = {name: {} for name in names}
    lines = page.split(b"\n")
    end = _end(lines) if openmetrics else len(lines)
    for number, line in enumerate(lines[:end], 1):
        try:
            _add(series_of, line.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise FormatError(f"line {number} is not UTF-8: {line[:_SHOWN]!r}") from error
        except FormatError as error:
            raise FormatError(f"line {number}: {error}") from error
    return {name: list(rows.values()) for name, rows in series_of.items()}


def _end(lines: list[bytes]) -> int:
    """OpenMetrics ends with a line that says so; without it the page was cut short."""
    last = len(lines) if lines[-1] else len(lines) - 1
    if lines[:last].count(_EOF) != 1 or lines[last - 1] != _EOF:
        raise FormatError("an OpenMetrics page has to end with # EOF")
    return last - 1


def _add(series_of: dict[str, dict[Labels, Sample]], line: str) -> None:
    line = line.strip(" \t")
    if not line or line.startswith("#"):
        if _ABOUT.match(line) and _HELP_OR_TYPE.fullmatch(line) is None:
            raise FormatError(f"neither the help nor the type of a metric: {_shown(line)}")
        return
    name, row = _sample(line)
    rows = series_of.get(name)
    if rows is None:
        return
    if row.labels in rows:
        raise FormatError(f"the same series once more: {_shown(line)}")
    rows[row.labels] = row


def _sample(line: str) -> tuple[str, Sample]:
    name, position, labels = _head(line)
    value, position = _number_at(line, position)
    position = _timestamp(line, position)
    exemplar = _EXEMPLAR.match(line, position)
    if exemplar is not None:
        _name, position, _labels = _terms(line, exemplar.end(), "exemplar")
        _value, position = _number_at(line, position)
        position = _timestamp(line, position)
    if position != len(line):
        raise FormatError(f"more than a value and a timestamp: {_shown(line)}")
    return name, Sample(labels, value)


def _head(line: str) -> tuple[str, int, Labels]:
    """The metric's name, in front of the brace or quoted as the first term inside, and the labels."""
    match = _NAME.match(line)
    name, position = (match.group(), match.end()) if match is not None else ("", 0)
    after = _skip(line, position)
    if line[after : after + 1] == "{":
        return _terms(line, after + 1, name)
    if not name:
        raise FormatError(f"no name of a metric: {_shown(line)}")
    if after == position:
        raise FormatError(f"no value after the name: {_shown(line)}")
    return name, after, ()


def _terms(line: str, position: int, name: str) -> tuple[str, int, Labels]:
    labels: dict[str, str] = {}
    closing = _CLOSING.match(line, position)
    while closing is None:
        term = _TERM.match(line, position)
        if term is None:
            raise FormatError(f"labels that cannot be read: {_shown(line)}")
        plain, quoted, value, end = term.groups()
        key = plain if plain is not None else _unescaped(quoted)
        if value is None:
            name = _quoted_name(line, name, plain, key)
        elif key in labels:
            raise FormatError(f"the label {key} twice: {_shown(line)}")
        else:
            labels[key] = _unescaped(value)
        position = term.end()
        closing = _CLOSING.match(line, position - 1 if end == "}" else position)
    if not name:
        raise FormatError(f"no name of a metric: {_shown(line)}")
    # An empty value is the same as no label.
    return name, closing.end(), tuple(sorted((key, value) for key, value in labels.items() if value))


def _quoted_name(line: str, name: str, plain: Optional[str], key: str) -> str:
    if name or plain is not None or not key:
        raise FormatError(f"labels that cannot be read: {_shown(line)}")
    return key


def _skip(line: str, position: int) -> int:
    match = _BLANKS.match(line, position)
    return position if match is None else match.end()


def _number_at(line: str, position: int) -> tuple[float, int]:
    start = _skip(line, position)
    match = _NUMBER.match(line, start)
    if match is None:
        what = "not a number" if start < len(line) else "no value"
        raise FormatError(f"{what}: {_shown(line)}")
    end = _skip(line, match.end())
    if end == match.end() and end < len(line):
        raise FormatError(f"not a number: {_shown(line)}")
    return float(match.group()), end


def _timestamp(line: str, position: int) -> int:
    return position if line[position : position + 1] in ("", "#") else _number_at(line, position)[1]


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda match: _ESCAPES[match.group(1)], text)


def _shown(line: str) -> str:
    return repr(line[:_SHOWN])


def number(text: str) -> float:
    if _NUMBER.fullmatch(text) is None:
        raise FormatError(f"not a number: {text[:40]!r}")
    return float(text)


def series(name: str, labels: Labels) -> str:
    """A series as people know it."""
    return name + ("{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}" if labels else "")


def selected(rows: Iterable[Sample], labels: Iterable[tuple[str, str]]) -> Iterator[Sample]:
    wanted = tuple(labels)
    for row in rows:
        present = dict(row.labels)
        if all(present.get(name, "") == value for name, value in wanted):
            yield row


def uncountable(rows: Iterable[Sample]) -> Optional[Sample]:
    """A sample that no counter can have: NaN, infinite or negative."""
    return next((row for row in rows if not 0 <= row.value < math.inf), None)


def growth(before: Iterable[Sample], after: Iterable[Sample]) -> Growth:
    """A counter that fell was restarted and counts from zero."""
    earlier = {row.labels: row.value for row in before}
    later = {row.labels: row.value for row in after}
    fallen = tuple(labels for labels, value in earlier.items() if later.get(labels, -1.0) < value)
    restarted = set(fallen)
    grown = {
        labels: value - (0.0 if labels in restarted else earlier.get(labels, 0.0)) for labels, value in later.items()
    }
    return Growth(grown, fallen)


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
    histograms: dict[Labels, bool] = {}
    for labels, count in grown.items():
        bound = number(dict(labels).get("le", ""))
        if math.isnan(bound):
            raise FormatError("the histogram has a bucket with le=NaN")
        buckets[bound] = buckets.get(bound, 0.0) + count
        others = tuple(pair for pair in labels if pair[0] != "le")
        histograms[others] = histograms.get(others, False) or bound == math.inf
    for others, complete in histograms.items():
        if not complete:
            raise FormatError(f"the histogram{series('', others)} has no +Inf bucket")
    total = buckets.get(math.inf, 0.0)
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
