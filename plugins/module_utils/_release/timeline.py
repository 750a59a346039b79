# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened when in one swap, in a bounded number of figures. This file is PRIVATE to the collection.

However long a swap takes, a series has no more than MOST points: where there would be more, two become one.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, Optional

MOST = 120
# The span of time of one point, in seconds, as long as the swap is short.
STEP = 0.25


class Requests:
    """The requests of a probe by the time at which they were sent."""

    def __init__(self, begun: float, most: int = MOST) -> None:
        self._begun = begun
        self._most = most
        self._step = STEP
        self._points: list[tuple[int, int, Optional[float]]] = []

    def add(self, at: float, failed: bool, seconds: Optional[float]) -> None:
        """seconds: how long the answer took; None without one."""
        index = max(math.floor((at - self._begun) / self._step), 0)
        while index >= self._most:
            self._halve()
            index //= 2
        self._points.extend([(0, 0, None)] * (index + 1 - len(self._points)))
        self._points[index] = _together(self._points[index], (1, int(failed), seconds))

    def _halve(self) -> None:
        points = [*self._points, (0, 0, None)]
        self._points = [_together(points[i], points[i + 1]) for i in range(0, len(self._points), 2)]
        self._step *= 2

    def figures(self, zero: float) -> dict[str, Any]:
        """In seconds from `zero`; a point without an answer has no duration."""
        return {
            "begins": round(self._begun - zero, 3),
            "step": self._step,
            "sent": [sent for sent, _failed, _longest in self._points],
            "failed": [failed for _sent, failed, _longest in self._points],
            "max_ms": [None if longest is None else round(longest * 1000, 2) for _s, _f, longest in self._points],
        }


def _together(
    one: tuple[int, int, Optional[float]], other: tuple[int, int, Optional[float]]
) -> tuple[int, int, Optional[float]]:
    longest = max((seconds for seconds in (one[2], other[2]) if seconds is not None), default=None)
    return one[0] + other[0], one[1] + other[1], longest


class Look(NamedTuple):
    """The evidence at one time, and what had been counted by then, where that is kept."""

    at: float
    errors: float
    latency: float
    counts: tuple[int, ...] = ()


class Evidence:
    """The evidence of a canary at each look; of two that become one, the higher counts."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._looks: list[Look] = []

    def add(self, at: float, errors: float, latency: float, counts: tuple[int, ...] = ()) -> None:
        self._looks.append(Look(at, errors, latency, counts))
        if len(self._looks) > self._most:
            pairs = [self._looks[i : i + 2] for i in range(0, len(self._looks), 2)]
            self._looks = [
                pair[-1]._replace(errors=max(one.errors for one in pair), latency=max(one.latency for one in pair))
                for pair in pairs
            ]

    def figures(self, zero: float) -> dict[str, Any]:
        counts = {"counts": [list(one.counts) for one in self._looks]} if any(o.counts for o in self._looks) else {}
        return {
            "at": [round(one.at - zero, 2) for one in self._looks],
            "errors": [one.errors for one in self._looks],
            "latency": [one.latency for one in self._looks],
            **counts,
        }
