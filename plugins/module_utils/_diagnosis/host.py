# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What surrounds a service: disks, limits, what PID 1 and the kernel have logged. Reads only. PRIVATE."""

from __future__ import annotations

import os
import re
import threading
from dataclasses import replace
from typing import Callable, Iterable, Iterator, Optional, Sequence, TypeVar, Union

from .._core import command, files
from .._core.errors import SlipwayError
from .._host import journald, processes
from .._host.systemd import Systemd, parse_properties
from .evidence import BEFORE_THE_PROGRAM, Clock, Ending, Usage, Volume

LINES = 200
SILENT = 3.0  # seconds after which a file system does not answer
COMM = 15  # characters of a process's name that the kernel keeps
EXECUTING = 8  # characters of the program's name, in the name of the process that is about to execute it
SECONDS = 5.0  # for one program
LOCALTIME = "/etc/localtime"
Found = TypeVar("Found")
_PROCESS = re.compile(r": (Main|Control) process exited, code=(\w+), status=(\S+?),?(?:\s|$)")
_START = re.compile(r": start\S* operation timed out")
_RESULT = re.compile(r": Failed with result '([\w-]+)'")
_OPEN_FILES = re.compile(r"^Max open files\s+(\d+)", re.MULTILINE)
_MEMORY = re.compile(r"^(MemTotal|MemAvailable):\s+(\d+) kB$", re.MULTILINE)
_DENIED = re.compile(r'apparmor="DENIED"|avc:\s+denied')


def volumes(paths: Iterable[str]) -> list[Volume]:
    """The file systems that these paths are on, each once, under the first path that is on it."""
    found: dict[int, Volume] = {}
    for path in paths:
        try:
            device, volume = within(SILENT, lambda: _volume(path))  # noqa: B023 - it is over before the next path
        except TimeoutError:
            device, volume = -len(found) - 1, Volume(path, silent=True)
        except OSError:
            continue
        found.setdefault(device, volume)
    return list(found.values())


def _volume(path: str) -> tuple[int, Volume]:
    device, told = os.stat(path).st_dev, os.statvfs(path)
    volume = Volume(
        path=path,
        free=told.f_bavail * told.f_frsize,
        size=told.f_blocks * told.f_frsize,
        free_inodes=told.f_favail,
        inodes=told.f_files,
        read_only=bool(told.f_flag & os.ST_RDONLY),
    )
    return device, volume


def within(seconds: float, look: Callable[[], Found]) -> Found:
    """What look returns or raises; TimeoutError where it takes longer: a dead network file system never answers."""
    ended: list[Union[Found, Exception]] = []

    def run() -> None:
        try:
            ended.append(look())
        except Exception as error:
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not ended:
        raise TimeoutError(f"no answer within {seconds:g} s")
    if isinstance(ended[0], Exception):
        raise ended[0]
    return ended[0]


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


def endings(name: str, unit: str, since: float, until: float, kernel: Sequence[str]) -> list[Ending]:
    """How processes of the unit have failed in that span of the wall clock, the oldest first.

    kernel: its log, for systemd says oom-kill only with control groups of the second version.
    """
    found = list(parse_endings(journald.said_by_systemd(unit, since, until, LINES)))
    killer = re.compile(
        rf"oom-kill:.*\btask={re.escape(name[:COMM])},|Out of memory: Killed process \d+ \({re.escape(name[:COMM])}\)"
    )
    if any(killer.search(line) for line in kernel):
        return [replace(one, result="oom-kill") if one.status == "9/KILL" else one for one in found]
    return found


def parse_endings(lines: Sequence[str]) -> Iterator[Ending]:
    """One for each failure that PID 1 has logged; a process that ended because it was stopped is none."""
    now = Ending()
    for line in lines:
        main, result = _PROCESS.search(line), _RESULT.search(line)
        if _START.search(line):
            now = replace(now, starting=True)
        elif main and (main[1] == "Main" or main[3] in BEFORE_THE_PROGRAM):
            now = replace(now, how=main[2], status=main[3])
        elif result:
            yield replace(now, result=result[1])
            now = Ending()


def kernel_log(since: float, until: float) -> list[str]:
    """Empty where it cannot be read, as in a container."""
    try:
        return journald.said_by_kernel(since, until, LINES)
    except SlipwayError:
        return []


def denials(name: str, kernel: Sequence[str]) -> list[str]:
    """What SELinux or AppArmor have refused processes of that name, or systemd as it was about to become one."""
    own = (f'comm="{name[:COMM]}"', f'comm="({name[-EXECUTING:]})"')
    return [line for line in kernel if _DENIED.search(line) and any(word in line for word in own)]


def clock() -> Clock:
    """Whether it is kept right, as timedatectl(1) says, and the zone; a container has the clock of its host."""
    zone = os.path.realpath(LOCALTIME).partition("/zoneinfo/")[2]
    if command.run(["systemd-detect-virt", "--container", "--quiet"], SECONDS).code == 0:
        return Clock(None, zone)
    told = parse_properties(command.run(["timedatectl", "show", "--property=NTPSynchronized"], SECONDS).text)
    return Clock({"yes": True, "no": False}.get(told.get("NTPSynchronized", "")), zone)
