# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When attempts are enough to say yes or no. Pure: times come from outside. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .outcome import FAIL, WARN, Attempt
from .spec.check import Check


@dataclass(frozen=True)
class Verdict:
    state: str
    reason: str
    message: str


class Judge:
    """Counts one check's attempts.

    Up after rise good ones in a row, and then it has to stay up for min_healthy_time. Down after fall bad ones in a
    row. A check with a deadline may still be starting, so it is given up before that only where fall was asked for.
    """

    def __init__(self, check: Check) -> None:
        self.check = check
        self.fall = check.fall or 1
        self.gives_up = check.fall is not None or check.deadline is None
        self.good = 0
        self.bad = 0
        self.up_since: Optional[float] = None
        self.was_up = False
        self.last: Optional[Attempt] = None

    @property
    def up(self) -> bool:
        return self.up_since is not None

    def healthy_for(self, now: float) -> float:
        return 0.0 if self.up_since is None else now - self.up_since

    def add(self, attempt: Attempt, now: float) -> Optional[Verdict]:
        """Count one attempt that ended now."""
        if not attempt.clipped or self.last is None:
            self.last = attempt
        if not attempt.counts:
            return self._undecided(attempt)
        if attempt.clipped and not attempt.good:
            return None  # the deadline cut it short; out_of_time() has the word
        return self._add_good(attempt, now) if attempt.good else self._add_bad(attempt, now)

    def _add_good(self, attempt: Attempt, now: float) -> Optional[Verdict]:
        self.good += 1
        self.bad = 0
        if self.good >= self.check.rise and self.up_since is None:
            self.up_since = now
            self.was_up = True
        if self.up_since is None or self.healthy_for(now) < self.check.min_healthy_time:
            return None
        return Verdict(attempt.state, attempt.reason, attempt.message)

    def _add_bad(self, attempt: Attempt, now: float) -> Optional[Verdict]:
        self.bad += 1
        self.good = 0
        if self.bad < self.fall:
            return None
        held = self.healthy_for(now)
        fell = self.up
        self.up_since = None
        if not self.gives_up:
            return None
        if fell:
            return self.unstable(f"healthy for {held:.1f} s, then: {attempt.message}")
        return Verdict(attempt.state, attempt.reason, attempt.message)

    def _undecided(self, attempt: Attempt) -> Optional[Verdict]:
        """Says nothing for or against; without a deadline nobody would ever end the waiting."""
        if self.check.deadline is not None:
            return None
        return Verdict(attempt.state, attempt.reason, attempt.message)

    def unstable(self, why: str) -> Verdict:
        return Verdict(FAIL, "unstable", why)

    def next_start(self, started: float, now: float) -> float:
        """When the next attempt begins: after the interval, but not long after the end of the healthy window."""
        due = max(now, started + self.check.interval)
        if self.up_since is not None:
            due = min(due, max(now, self.up_since + self.check.min_healthy_time))
        return due

    def out_of_time(self, now: float) -> Verdict:
        """The deadline came before a verdict."""
        last, within = self.last, f"not healthy within {self.check.deadline:g} s"
        if last is None:
            return Verdict(FAIL, "timeout", within)
        if not last.counts and last.state == WARN:
            return Verdict(WARN, last.reason, last.message)
        if self.was_up:
            wanted = f"of the {self.check.min_healthy_time:g} s wanted when the deadline came"
            return self.unstable(f"healthy for {self.healthy_for(now):.1f} s {wanted}; last: {last.message}")
        if last.good:
            return self.unstable(f"{within}: {self.good} of {self.check.rise} good attempts in a row; {last.message}")
        return Verdict(FAIL, last.reason, f"{within}: {last.message}")
