# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at a service and its host has found, as plain data. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Mapping, Optional, Sequence

from .._core.problems import Problem
from .._drift.item import Finding as Difference

# What systemd could not do before it came to the program: systemd.exec(5), "Process Exit Codes".
BEFORE_THE_PROGRAM = {
    "200/CHDIR": "could not change to the unit's WorkingDirectory",
    "203/EXEC": "could not execute the program",
    "209/STDOUT": "could not open the unit's StandardOutput",
    "216/GROUP": "could not become the unit's Group",
    "217/USER": "could not become the unit's User",
    "218/CAPABILITIES": "could not set the unit's capabilities",
    "226/NAMESPACE": "could not make the unit's view of the file system",
    "228/SECCOMP": "could not apply the unit's SystemCallFilter",
    "233/RUNTIME_DIRECTORY": "could not make the unit's RuntimeDirectory",
    "238/STATE_DIRECTORY": "could not make the unit's StateDirectory",
    "243/CREDENTIALS": "could not hand over the unit's credentials",
}


class Rank(IntEnum):
    """How near a finding is to the cause of a failure; the nearest come first."""

    CAUSE = 1  # explains by itself why the service fails
    SUSPECT = 2  # may be why
    SYMPTOM = 3  # what the failure looks like
    NOTE = 4  # no failure yet


@dataclass(frozen=True)
class Finding:
    """lines: what the service or the kernel has said about it, the oldest first."""

    rank: Rank
    problem: Problem
    lines: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        return {"rank": self.rank.name.lower(), **self.problem._asdict(), "lines": list(self.lines)}


@dataclass(frozen=True)
class Ending:
    """How a process of the service has ended. how: exited, killed or dumped. status: as systemd writes it, 203/EXEC.

    result: systemd's word for it, such as exit-code, signal, oom-kill, timeout, watchdog, start-limit-hit. starting:
    the time limit was that of its start.
    """

    how: str = ""
    status: str = ""
    result: str = ""
    starting: bool = False

    @property
    def in_a_stop(self) -> bool:
        """Somebody stopped it, and it took too long."""
        return self.result == "timeout" and not self.starting


@dataclass(frozen=True)
class Volume:
    """A file system. Sizes are in bytes; inodes are 0 where it has no fixed number of them. silent: no answer."""

    path: str
    free: int = 0
    size: int = 0
    free_inodes: int = 0
    inodes: int = 0
    read_only: bool = False
    silent: bool = False


@dataclass(frozen=True)
class Usage:
    """How much of what is limited is in use; None where that is not known or not limited. Memory is in bytes."""

    open_files: Optional[int] = None
    most_files: Optional[int] = None
    tasks: Optional[int] = None
    most_tasks: Optional[int] = None
    most_memory: Optional[int] = None
    free_memory: Optional[int] = None
    host_memory: Optional[int] = None


@dataclass(frozen=True)
class Dependency:
    """What the service needs of others, asked once. state: pass, warn, fail, skipped. priority: high, medium, low."""

    name: str
    priority: str
    target: str
    state: str
    reason: str
    message: str
    certificate_days: Optional[float] = None


@dataclass(frozen=True)
class Clock:
    """None where the host does not say."""

    synchronised: Optional[bool] = None
    zone: str = ""


@dataclass(frozen=True)
class Evidence:
    """status: what `slipway status` says. umbrella: SERVICE.service, as its ActiveState. running: the release itself.

    damage: of the release's files. unit_problems: what keeps the unit from starting its program. port: who else has
    one of the service's. front: what HAProxy is, where it is down and users come through it. closed: what the firewall
    should let in and does not. endings, log: of the last minutes. said: what PID 1 wrote of SERVICE.service. denials:
    what SELinux or AppArmor have refused it.
    """

    service: str
    status: Mapping[str, Any]
    umbrella: str = "active"
    enabled: str = "enabled"
    running: bool = True
    damage: Optional[Problem] = None
    unit_problems: Sequence[Problem] = ()
    volumes: Sequence[Volume] = ()
    usage: Usage = field(default_factory=Usage)
    port: Optional[Problem] = None
    front: Optional[str] = None
    closed: Sequence[str] = ()
    dependencies: Sequence[Dependency] = ()
    denials: Sequence[str] = ()
    differences: Sequence[Difference] = ()
    endings: Sequence[Ending] = ()
    log: Sequence[str] = ()
    said: Sequence[str] = ()
    watched: bool = True
    clock: Clock = field(default_factory=Clock)

    @property
    def well(self) -> bool:
        """It runs, answers as it should, and has not ended by itself in the last minutes."""
        return self.running and self.status["health"] in ("pass", "warn") and not self.endings
