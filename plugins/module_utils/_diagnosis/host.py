# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What surrounds a service: disks, limits, what PID 1 and the kernel have logged. Reads only. PRIVATE."""

from __future__ import annotations

import os
import re
from typing import Iterable, Iterator, Optional, Sequence

from .._core import command, files
from .._core.errors import SlipwayError
from .._host import journald, processes
from .._host.systemd import Systemd, parse_properties
from .evidence import Clock, Ending, Usage, Volume

LINES = 200
SECONDS = 5.0  # for one program
LOCALTIME = "/etc/localtime"
_MAIN = re.compile(r": Main process exited, code=(\w+), status=(\S+?),?(?:\s|$)")
_RESULT = re.compile(r": Failed with result '([\w-]+)'")
_OPEN_FILES = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)
_MEMORY = re.compile(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", re.MULTILINE)
_DENIED = re.compile(r'apparmor="DENIED"|avc:\s+denied')


def volumes(paths: Iterable[str]) -> list[Volume]:
    """The file systems that these paths are on, each once, under the first path that is on it."""
    found: dict[int, Volume] = {}
    for path in paths:
        try:
            device, told = os.stat(path).st_dev, os.statvfs(path)
        except OSError:
            continue
        found.setdefault(
            device,
            Volume(
                path=path,
                free=told.f_bavail * told.f_frsize,
                size=told.f_blocks * told.f_frsize,
                free_inodes=told.f_favail,
                inodes=told.f_files,
                read_only=bool(told.f_flag & os.ST_RDONLY),
            ),
        )
    return list(found.values())


def usage(systemd: Systemd, unit: str, pid: int) -> Usage:
    """pid: of the unit's main process; 0 where it does not run."""
    told = systemd.properties(unit, "TasksCurrent", "TasksMax", "MemoryMax")
    memory = {name: int(number) << 10 for name, number in _MEMORY.findall(files.text("/proc/meminfo"))}
    limit = _OPEN_FILES.search(files.text(f"/proc/{pid}/limits")) if pid else None
    return Usage(
        open_files=processes.open_files(pid) if pid else None,
        most_files=int(limit[1]) if limit else None,
        tasks=_number(told["TasksCurrent"]) if pid else None,
        most_tasks=_number(told["TasksMax"]),
        most_memory=_number(told["MemoryMax"]),
        free_memory=memory.get("MemAvailable"),
        host_memory=memory.get("MemTotal"),
    )


def _number(text: str) -> Optional[int]:
    """A number of systemd's, which says 2^64-1 for one that it does not know."""
    return int(text) if text.isdigit() and int(text) < 1 << 63 else None


def endings(unit: str, since: float, until: float) -> list[Ending]:
    """How processes of the unit have failed in that span of the wall clock, the oldest first."""
    return list(parse_endings(journald.said_by_systemd(unit, since, until, LINES)))


def parse_endings(lines: Sequence[str]) -> Iterator[Ending]:
    """One for each failure that PID 1 has logged; a process that ended because it was stopped is none."""
    how = status = ""
    for line in lines:
        main, result = _MAIN.search(line), _RESULT.search(line)
        if main:
            how, status = main.groups()
        elif result:
            yield Ending(how, status, result[1])
            how = status = ""


def denials(name: str, since: float, until: float) -> list[str]:
    """What SELinux or AppArmor have refused processes of that name; empty where the kernel's log cannot be read."""
    try:
        lines = journald.said_by_kernel(since, until, LINES)
    except SlipwayError:
        return []
    # The kernel cuts a process's name after 15 characters.
    return [line for line in lines if _DENIED.search(line) and f'comm="{name[:15]}"' in line]


def clock() -> Clock:
    """Whether it is kept right, as timedatectl(1) says, and the zone; a container has the clock of its host."""
    zone = os.path.realpath(LOCALTIME).partition("/zoneinfo/")[2]
    if command.run(["systemd-detect-virt", "--container", "--quiet"], SECONDS).code == 0:
        return Clock(None, zone)
    told = parse_properties(command.run(["timedatectl", "show", "--property=NTPSynchronized"], SECONDS).text)
    return Clock({"yes": True, "no": False}.get(told.get("NTPSynchronized", "")), zone)
