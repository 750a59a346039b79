# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What happened when in one swap, in a bounded number of figures. This file is PRIVATE to the collection.

However long a swap takes, a series has no more than MOST points: where there would be more, two become one.
"""

from __future__ import annotations

import math
from typing import Any, Optional

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


class Evidence:
    """The evidence of a canary at each look; of two that become one, the higher counts."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._points: list[tuple[float, float, float]] = []

    def add(self, at: float, errors: float, latency: float) -> None:
        self._points.append((at, errors, latency))
        if len(self._points) > self._most:
            pairs = [self._points[i : i + 2] for i in range(0, len(self._points), 2)]
            self._points = [(pair[-1][0], max(p[1] for p in pair), max(p[2] for p in pair)) for pair in pairs]

    def figures(self, zero: float) -> dict[str, Any]:
        return {
            "at": [round(at - zero, 2) for at, _errors, _latency in self._points],
            "errors": [errors for _at, errors, _latency in self._points],
            "latency": [latency for _at, _errors, latency in self._points],
        }
