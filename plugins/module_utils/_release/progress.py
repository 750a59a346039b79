# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release is doing just now, for the run that waits for it. This file is PRIVATE to the collection.

A small file beside the state, which a controller reads while the release goes on. It is never synced, for it says
nothing of later, and it is gone when the release has ended. Nothing that happens here reaches the release.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, Callable, Iterator, Mapping, Optional

from .state.layout import Layout

FILE = "progress.json"
# Seconds from one look at the figures to the next.
PAUSE = 1.0
# What is no phase of a swap.
ONCE, GOING_BACK, PAUSED = "ONCE", "ROLLBACK", "PAUSED"

Figures = Callable[[], Mapping[str, Any]]


class Progress:
    """The file of one service. run: the id of the run that waits; nobody does where it is empty."""

    def __init__(self, layout: Layout, run: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = os.path.join(layout.state, FILE)
        self._run = run
        self._clock = clock
        self._phase, self._within, self._least, self._later = "", 0.0, 0.0, 0.0
        self._entered = self._written = 0.0

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """No file stays. One of a run that was killed is replaced by the next one, and says which run it was."""
        try:
            yield
        finally:
            for path in (self._path, f"{self._path}.new") if self._phase else ():
                with contextlib.suppress(OSError):
                    os.unlink(path)

    def enter(self, phase: str, within: float = 0.0, lasts: float = 0.0, later: float = 0.0) -> None:
        """A phase begins. Seconds: within which it ends, that it lasts on purpose, and that those after it last so.

        0 is for what has no limit, or no length of its own.
        """
        if not self._run:
            return
        self._phase, self._within, self._least, self._later = str(phase), within, lasts, later
        self._entered = self._clock()
        self._write({})

    def look(self, figures: Figures) -> None:
        """What is known by now, no more often than every PAUSE seconds."""
        if self._phase and self._clock() >= self._written + PAUSE:
            with contextlib.suppress(Exception):
                self._write(figures())

    def _write(self, figures: Mapping[str, Any]) -> None:
        now = self._clock()
        left = max(self._least - (now - self._entered), 0.0) + self._later
        told = {"run": self._run, "phase": self._phase, "within": self._within, "left": round(left, 1), **figures}
        self._written = now
        draft = f"{self._path}.new"
        with contextlib.suppress(OSError, TypeError, ValueError):
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                stream.write(json.dumps(told) + "\n")
            os.replace(draft, self._path)


def of_traffic(figures: Optional[Mapping[str, Any]]) -> dict[str, Any]:
    """The requests of users at the new and at the old release, as [all, failed], and the verdict so far."""
    if figures is None:
        return {}
    steps = figures["steps"]
    return {
        "verdict": figures["verdict"],
        "new": [sum(step["requests"] for step in steps), sum(step["failed"] for step in steps)],
        "old": [sum(step["old_requests"] for step in steps), sum(step["old_failed"] for step in steps)],
    }
