# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release that failed has said: the end of its log, and its answer. This file is PRIVATE to the collection.

It goes to people who have no shell on the host. So it is bounded, printable, and without the release's secrets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Sequence

from .._core.errors import SlipwayError
from .._health.outcome import printable
from .._host import journald
from . import stage
from .gate import Unhealthy
from .state.layout import Layout

LINES = 10
IN_MESSAGE = 3
SHORTEST_SECRET = 4
MASK = "********"


@dataclass(frozen=True)
class Diagnostics:
    """log: the last lines of the unit's log, the oldest first. answer: the body of the last answer that was refused."""

    log: tuple[str, ...] = ()
    answer: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The keys of a result and of an event; what is not known has none."""
        said: dict[str, Any] = {"log": list(self.log), "answer": self.answer}
        return {key: value for key, value in said.items() if value}

    def sentences(self) -> str:
        """What a message ends with; empty where nothing is known."""
        log = f" Its log ends: {' | '.join(self.log[-IN_MESSAGE:])}" if self.log else ""
        return log + (f" It answered: {self.answer}" if self.answer else "")


def diagnose(layout: Layout, release_id: str, unit: str, since: float, until: float, error: Exception) -> Diagnostics:
    """What the release has said in that span of the wall clock, and in the answer that the error is about.

    Nothing where it cannot be read, or where it is not known what of it is secret: a failure goes on being told.
    """
    try:
        secrets = stage.secrets(layout, release_id)
        lines = journald.last_lines(unit, since, until, LINES)
    except (OSError, SlipwayError):
        return Diagnostics()
    answer = error.answer if isinstance(error, Unhealthy) else ""
    return Diagnostics(tuple(printable(masked(line, secrets)) for line in lines), printable(masked(answer, secrets)))


def masked(text: str, secrets: Sequence[str]) -> str:
    """The text without these values; very short ones would mask half of every text."""
    for secret in sorted({s for s in secrets if len(s) >= SHORTEST_SECRET}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return text
