# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Processes as /proc tells of them. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import Iterator, Optional

from ..outcome import Process
from .build_id import build_ids

PROC = "/proc"


def every_pid() -> list[int]:
    return [int(name) for name in os.listdir(PROC) if name.isdigit()]


def start_time(pid: int) -> Optional[int]:
    """Clock ticks since boot; None when there is no such process (any more), or only its zombie."""
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            # The name in brackets may itself hold blanks and brackets.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def alive(process: Process) -> bool:
    return start_time(process.pid) == process.started


def exe(pid: int) -> Optional[str]:
    try:
        return os.readlink(f"{PROC}/{pid}/exe")
    except OSError:
        return None


def exe_file(pid: int) -> Optional[tuple[int, int]]:
    """Device and inode of the running executable, also when its file was replaced or deleted."""
    return file_id(f"{PROC}/{pid}/exe")


def file_id(path: str) -> Optional[tuple[int, int]]:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def units(pid: int) -> tuple[str, ...]:
    """Names of the units and slices around the process, innermost first."""
    try:
        with open(f"{PROC}/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return ()
    found: list[str] = []
    for line in lines:
        hierarchy, controllers, path = [*line.split(":", 2), "", ""][:3]
        if hierarchy == "0" or controllers == "name=systemd":
            found.extend(reversed([_unescaped(part) for part in path.split("/") if part]))
    return tuple(found)


def _unescaped(name: str) -> str:
    # systemd puts an underscore before names that could be taken for the kernel's own files.
    return name[1:] if name.startswith("_") else name


def service_of(pid: int) -> Optional[str]:
    return next((name for name in units(pid) if name.endswith((".service", ".scope"))), None)


def holds(pid: int, inode: int) -> bool:
    """Whether the process has the socket open. PermissionError where that may not be seen."""
    wanted = f"socket:[{inode}]"
    return any(link == wanted for link in _links(pid))


def _links(pid: int) -> Iterator[str]:
    folder = f"{PROC}/{pid}/fd"
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, ProcessLookupError):
        return
    for name in names:
        try:
            yield os.readlink(f"{folder}/{name}")
        except (FileNotFoundError, ProcessLookupError):
            continue


def describe(pid: int) -> Optional[Process]:
    """None when the process is gone."""
    started = start_time(pid)
    if started is None:
        return None
    ids = build_ids(f"{PROC}/{pid}/exe")
    return Process(pid, started, exe(pid), service_of(pid), ids.get("go") or ids.get("gnu"))
