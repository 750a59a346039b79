# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A check of any kind, typed: when it is made, and what counts. This file is PRIVATE to the collection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Optional, Sequence

from .connection import Connection, Identity
from .options import Options

PHASES = ("startup", "readiness", "liveness")
TIMEOUT = 5.0
INTERVAL = 1.0
LIVENESS_FALL = 3

# The options that every kind has.
COMMON_OPTIONS = frozenset(
    {
        "name",
        "kind",
        "phase",
        "timeout",
        "interval",
        "initial_delay",
        "rise",
        "fall",
        "deadline",
        "min_healthy_time",
        "max_latency",
        "warn_latency",
    }
)


class Target(ABC):
    """What is checked, and what a healthy answer is. Each kind has its own; as a text it is for people."""

    @abstractmethod
    def __str__(self) -> str:
        """What is checked, in a few words."""

    @property
    def watched_unit(self) -> Optional[str]:
        """The unit of systemd that must not restart in between."""
        return None

    @property
    def least_seconds(self) -> float:
        """How long one attempt takes, however fast the answers are."""
        return 0.0

    def with_variables(self, _variables: Sequence[tuple[str, str]]) -> Target:
        """The same; a program gets these variables in addition to the environment."""
        return self


@dataclass(frozen=True)
class ConnectedTarget(Target):
    """What is reached over a connection."""

    connection: Connection

    def __str__(self) -> str:
        return str(self.connection.endpoint)

    @property
    def watched_unit(self) -> Optional[str]:
        identity = self.connection.identity
        return None if identity is None else identity.unit


@dataclass(frozen=True)
class Check:
    name: str
    kind: str
    target: Target
    phase: str = "readiness"
    timeout: float = TIMEOUT
    interval: float = INTERVAL
    initial_delay: float = 0.0
    rise: int = 1
    fall: Optional[int] = None
    deadline: Optional[float] = None
    min_healthy_time: float = 0.0
    max_latency: tuple[tuple[str, float], ...] = ()
    warn_latency: tuple[tuple[str, float], ...] = ()

    @property
    def connection(self) -> Optional[Connection]:
        return self.target.connection if isinstance(self.target, ConnectedTarget) else None

    @property
    def identity(self) -> Optional[Identity]:
        connection = self.connection
        return None if connection is None else connection.identity

    def with_identity(self, identity: Identity) -> Check:
        """The same over its connection, answered by that process."""
        if not isinstance(self.target, ConnectedTarget):
            return self
        connection = replace(self.target.connection, identity=identity)
        return replace(self, target=replace(self.target, connection=connection))


def build_check(options: Options, name: str, kind: str, target: Target) -> Check:
    """The check of that target, with the options that every kind has."""
    phase = options.text("phase", PHASES) or "readiness"
    made = Check(
        name=name,
        kind=kind,
        target=target,
        phase=phase,
        timeout=parse_timeout(options, target.least_seconds),
        interval=options.seconds("interval", INTERVAL),
        initial_delay=options.seconds("initial_delay", 0.0),
        rise=options.whole("rise", 1, 1) or 1,
        fall=options.whole("fall", LIVENESS_FALL if phase == "liveness" else None, 1),
        deadline=options.number("deadline", None, 0, above=True),
        min_healthy_time=options.seconds("min_healthy_time", 0.0),
        max_latency=_parse_thresholds(options, "max_latency"),
        warn_latency=_parse_thresholds(options, "warn_latency"),
    )
    least = made.initial_delay + made.min_healthy_time
    if made.deadline is not None and least >= made.deadline:
        raise options.error(
            "deadline",
            f"of {made.deadline:g} s leaves no time beside initial_delay and min_healthy_time",
            f"give more than {least:g} s",
        )
    return made


def parse_timeout(options: Options, least: float) -> float:
    """Seconds for one attempt that takes at least that long by itself."""
    return options.seconds("timeout", TIMEOUT + least, above=True)


def _parse_thresholds(options: Options, name: str) -> tuple[tuple[str, float], ...]:
    nested = options.nested(name)
    if nested is None:
        return ()
    names = ("p50", "p95", "p99")
    nested.only(names)
    return tuple((key, nested.seconds(key, 0.0, above=True)) for key in names if key in nested.raw)
