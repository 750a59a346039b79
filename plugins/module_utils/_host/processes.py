# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes as /proc tells of them (proc(5)). This file is PRIVATE to the collection.

A process may be gone at any moment: then there is nothing to tell, which is no error.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Iterator, Optional

from .._core import files

PROC = "/proc"
_EXITING = 0x4
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def every_pid() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def name(pid: int) -> str:
    return files.text(f"{PROC}/{pid}/comm").strip() or "?"


def _fields(pid: int) -> list[bytes]:
    """/proc/PID/stat from its third field, the state, on; none where there is no such process."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as stream:
            # The name in brackets may itself hold blanks and brackets.
            return stream.read().rpartition(b")")[2].split()
    except OSError:
        return []


def start_time(pid: int) -> Optional[int]:
    """Clock ticks since boot; None when there is no such process (any more), or only its zombie."""
    fields = _fields(pid)
    return int(fields[19]) if fields and fields[0] not in (b"Z", b"X") else None


def alive(pid: int) -> bool:
    """Whether it runs and has not begun to end: from then on, the kernel closes what it has open, one by one.

    Source: proc(5), field 9 of /proc/PID/stat, and PF_EXITING in the kernel's linux/sched.h.
    """
    fields = _fields(pid)
    return bool(fields) and fields[0] not in (b"Z", b"X") and not int(fields[6]) & _EXITING


def parent(pid: int) -> int:
    """0 when there is none, or no such process."""
    fields = _fields(pid)
    return int(fields[1]) if fields else 0


def executable(pid: int) -> str:
    """A path that opens what the process runs, also when its file was replaced or deleted."""
    return f"{PROC}/{pid}/exe"


def executable_name(pid: int) -> Optional[str]:
    """Where that file was when the process started, with " (deleted)" behind it when it is gone."""
    try:
        return os.readlink(executable(pid))
    except OSError:
        return None


def file_id(path: str) -> Optional[tuple[int, int]]:
    """Device and inode of a file; of executable() also when it was replaced or deleted."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def environment(pid: int) -> dict[str, str]:
    """The variables the process was started with; none where they may not be seen."""
    pairs = (entry.partition("=") for entry in files.text(f"{PROC}/{pid}/environ").split("\0"))
    return {variable: value for variable, separator, value in pairs if separator}


def _control_groups(pid: int) -> Iterator[tuple[bool, list[str]]]:
    """The parts of each control group, and whether it is of the hierarchy that systemd names its units in."""
    for line in files.text(f"{PROC}/{pid}/cgroup").splitlines():
        hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
        yield hierarchy == "0" or controllers == "name=systemd", [part for part in path.split("/") if part]


def units(pid: int) -> tuple[str, ...]:
    """Names of the units and slices around the process, innermost first."""
    groups = [parts for is_of_systemd, parts in _control_groups(pid) if is_of_systemd]
    return tuple(_unescaped(part) for parts in groups for part in reversed(parts))


def _unescaped(part: str) -> str:
    # systemd puts an underscore before names that could be taken for the kernel's own files.
    return part[1:] if part.startswith("_") else part


def in_unit(pid: int, prefix: str) -> bool:
    """Whether the process runs in a unit whose name starts with prefix, whichever control group says so."""
    return any(part.startswith(prefix) for _is_of_systemd, parts in _control_groups(pid) for part in parts)


def service_of(pid: int) -> Optional[str]:
    return next((unit for unit in units(pid) if unit.endswith((".service", ".scope"))), None)


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of the sockets the process has open. PermissionError where they may not be seen."""
    folder = f"{PROC}/{pid}/fd"
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for descriptor in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                found = _SOCKET.fullmatch(os.readlink(f"{folder}/{descriptor}"))
                if found:
                    yield found.group(1)


def open_files(pid: int) -> Optional[int]:
    """How many descriptors it has open; None where that may not be seen, or it is gone."""
    try:
        return len(os.listdir(f"{PROC}/{pid}/fd"))
    except OSError:
        return None


def holds(pid: int, inode: int) -> bool:
    """Whether the process has the socket open. PermissionError where that may not be seen."""
    return any(one == str(inode) for one in _sockets(pid))


def socket_inodes(pid: int) -> set[str]:
    """The sockets a process holds; none where they may not be seen."""
    found = set()
    with contextlib.suppress(OSError):
        for inode in _sockets(pid):
            found.add(inode)
    return found
