# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Time that runs out once, for everything together. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from typing import Optional

from .outcome import CheckFailed, no_latency


class Deadline:
    """A point on the monotonic clock that every wait of an attempt is measured against."""

    __slots__ = ("end", "seconds")

    def __init__(self, end: float, seconds: float) -> None:
        self.end = end
        self.seconds = seconds

    @classmethod
    def after(cls, seconds: float, no_later_than: Optional[float] = None) -> Deadline:
        now = time.monotonic()
        end = now + seconds
        if no_later_than is not None:
            end = min(end, no_later_than)
        return cls(end, max(0.0, end - now))

    def remaining(self) -> float:
        return self.end - time.monotonic()

    def passed(self) -> bool:
        return self.remaining() <= 0

    def require(self, doing: str, reason: str = "timeout") -> float:
        """Seconds left, more than none; otherwise the attempt ends here."""
        remaining = self.remaining()
        if remaining <= 0:
            raise CheckFailed(reason, f"no complete answer within {self.seconds:g} s: still {doing}")
        return remaining

    def at_most(self, seconds: float) -> Deadline:
        return Deadline.after(seconds, self.end)

    def pause(self, seconds: float) -> None:
        remaining = self.remaining()
        if remaining > 0:
            time.sleep(min(seconds, remaining))


class Stopwatch:
    """Seconds per phase of one attempt."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._mark = self.started
        self.latency = no_latency()

    def restart(self) -> None:
        """The next phase begins now."""
        self._mark = time.monotonic()

    def reset(self) -> None:
        """Measure a repeated connection as if it were the first."""
        self.started = self._mark = time.monotonic()
        self.latency = no_latency()

    def stop(self, phase: str) -> None:
        """The phase that began at the last mark is over."""
        now = time.monotonic()
        self.latency[phase] = round(now - self._mark, 6)
        self._mark = now

    def finish(self) -> dict[str, Optional[float]]:
        self.latency["total"] = round(time.monotonic() - self.started, 6)
        return self.latency
