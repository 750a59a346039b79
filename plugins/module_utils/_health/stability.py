# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what answered well is still the same process. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Optional

from .deadline import Deadline
from .identity.process import is_alive
from .outcome import Attempt, CheckFailed, Process
from .spec.check import Check

_SYSTEMCTL_SECONDS = 2.0


class Stability:
    """Remembers the processes of good attempts and how often systemd had restarted the unit by then.

    Not the latest process alone: a service may answer with several workers, and each of them has to stay.
    """

    def __init__(self, check: Check) -> None:
        lasting = check.min_healthy_time > 0 or check.rise > 1
        self.unit = check.target.watched_unit if lasting else None
        self.processes: list[Process] = []
        self.restarts: Optional[int] = None

    def broken(self, attempt: Attempt, until: Optional[float]) -> Optional[str]:
        """What has changed since the first good attempt, in words; None while nothing has."""
        if attempt.good and attempt.process is not None and attempt.process not in self.processes:
            self.processes.append(attempt.process)
        lost = next((process for process in self.processes if not is_alive(process)), None)
        if lost is not None:
            return f"pid {lost.pid} ({lost.exe or 'executable not visible'}) answered and has ended since"
        return self._restarted(attempt, until) if attempt.good and self.unit else None

    def _restarted(self, attempt: Attempt, until: Optional[float]) -> Optional[str]:
        count = self._count(attempt, until)
        if self.restarts is None:
            self.restarts = count
        if count is None or count == self.restarts:
            return None
        return f"systemd restarted {self.unit} meanwhile (NRestarts {self.restarts} → {count})"

    def _count(self, attempt: Attempt, until: Optional[float]) -> Optional[int]:
        counted = attempt.details.get("restarts")
        if isinstance(counted, int):
            return counted
        from .kinds.systemd import restarts, show

        try:
            return restarts(show(self.unit or "", Deadline.after(_SYSTEMCTL_SECONDS, until)))
        except CheckFailed:
            # No systemd here, or it does not answer: the processes themselves still tell.
            return None
