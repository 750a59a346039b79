# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run of the engine did, or would do. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from typing import Any, Iterator, Optional, Sequence

from .phases import Phase


@dataclass
class Outcome:
    """What a run did. Durations are in seconds; downtime is None where the strategy has none by design."""

    changed: bool
    current: Optional[str]
    previous: Optional[str]
    action: str
    phases: dict[Phase, float] = field(default_factory=dict)
    swap_seconds: float = 0.0
    downtime_seconds: Optional[float] = None
    pruned: list[str] = field(default_factory=list)
    restarted_because: Optional[str] = None
    probe: Optional[dict[str, Any]] = None
    traffic: Optional[dict[str, Any]] = None
    unconfirmed: Optional[str] = None
    cut: int = 0
    draining: list[str] = field(default_factory=list)
    earlier_credentials: list[str] = field(default_factory=list)
    once: Optional[dict[str, Any]] = None
    timeline: Optional[dict[str, Any]] = None
    paused: Optional[dict[str, Any]] = None

    @property
    def warnings(self) -> list[str]:
        """What nobody may overlook although all went well."""
        blind = (self.probe or {}).get("blind")
        cut = [describe_cut(self.cut)] if self.cut else []
        earlier = [_describe_earlier(self.earlier_credentials)] if self.earlier_credentials else []
        return ([str(blind)] if blind else []) + cut + earlier

    def as_dict(self) -> dict[str, Any]:
        return {
            "changed": self.changed,
            "current": self.current,
            "previous": self.previous,
            "action": self.action,
            "phases": {str(phase): round(seconds, 3) for phase, seconds in self.phases.items()},
            "swap_seconds": round(self.swap_seconds, 3),
            "downtime_seconds": None if self.downtime_seconds is None else round(self.downtime_seconds, 3),
            "restarted_because": self.restarted_because,
            "pruned": self.pruned,
            "probe": self.probe,
            "traffic": self.traffic,
            "paused": self.paused,
            "unconfirmed": self.unconfirmed,
            "cut": self.cut,
            "draining": self.draining,
        }

    def needs_judgement(self, predicted: bool) -> bool:
        """Whether the controller still has to judge the artefact against this host."""
        return self.action == "upload" or (predicted and self.action == "release")

    def diff(self) -> dict[str, str]:
        """What Ansible's diff mode shows."""
        before = self.previous if self.changed and self.action != "settings" else self.current
        return {"before": f"{before or 'none'}\n", "after": f"{self.current or 'none'}\n"}


def describe_cut(cut: int) -> str:
    """A sentence on the connections that outlived the drain of the old release."""
    return (
        f"connections to the old release that were still open when its drain ended, and were cut: {cut}. "
        "Raise service_drain_timeout or release_drain_background if they must end by themselves."
    )


def _describe_earlier(names: Sequence[str]) -> str:
    """A sentence on the secrets that a rollback brings back."""
    return (
        f"the release that the rollback goes to has earlier values of these credentials: {', '.join(names)}. "
        "If one was revoked, release with the new value, then purge the others (release_purge: [others])."
    )


def unchanged(current: Optional[str], action: str = "none") -> Outcome:
    """Nothing has happened; the action says what the host needs first, if anything."""
    return Outcome(False, current, None, action)


@contextlib.contextmanager
def timed(phases: dict[Phase, float], phase: Phase) -> Iterator[None]:
    """Note how long a phase takes that comes to its end."""
    begun = time.monotonic()
    yield
    phases[phase] = time.monotonic() - begun
