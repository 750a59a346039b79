# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A process as a result tells of it. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Optional

from ..._binary.elf import read_notes
from ..._host import processes
from ..outcome import Process


def describe(pid: int) -> Optional[Process]:
    """None when the process is gone."""
    started = processes.start_time(pid)
    if started is None:
        return None
    notes = read_notes(processes.executable(pid))
    build_id = notes.go_build_id or notes.gnu_build_id
    return Process(pid, started, processes.executable_name(pid), processes.service_of(pid), build_id)


def is_alive(process: Process) -> bool:
    return processes.start_time(process.pid) == process.started


def has_build_id(pid: int, build_id: str) -> bool:
    notes = read_notes(processes.executable(pid))
    return build_id in (notes.go_build_id, notes.gnu_build_id)
