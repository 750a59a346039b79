# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connections that a process has accepted and that are open. This file is PRIVATE to the collection.

Format: proc(5), /proc/net/tcp (state 01 is ESTABLISHED). Where somebody listens on its local port, it was accepted.
"""

from __future__ import annotations

import contextlib
import threading
from types import TracebackType
from typing import Callable, Collection, Optional

from .._core import files
from .._core.errors import SlipwayError
from . import processes, sockets

EVERY = 1.0  # seconds between two counts
_ESTABLISHED = "01"


def parse_established(text: str) -> dict[str, str]:
    """Map the inode of each open connection in a /proc/net/tcp or tcp6 table to its local port, hexadecimal."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return {row[9]: row[1].rpartition(":")[2] for row in rows if len(row) > 9 and row[3] == _ESTABLISHED}


def listening_ports() -> set[int]:
    return set(sockets.tcp_listeners().values())


def accepted(pid: int, ports: Collection[int]) -> Optional[int]:
    """How many connections to these TCP ports the process has accepted and not closed; None where it ends or is gone.

    A process that ends closes its own ports first, so they have to be those from before.
    """
    established = {**parse_established(files.text("/proc/net/tcp")), **parse_established(files.text("/proc/net/tcp6"))}
    held, wanted = processes.socket_inodes(pid), {f"{port:04X}" for port in ports}
    counted = sum(port in wanted for inode, port in established.items() if inode in held)
    return counted if processes.alive(pid) else None


class LastCount:
    """Counts again and again while it is entered; value is the last count that could be made.

    every is in seconds. A count that does not end is not waited for.
    """

    def __init__(self, count: Callable[[], Optional[int]], first: int = 0, every: float = EVERY) -> None:
        self.value = first
        self._every = every
        self._count = count
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, daemon=True)

    def __enter__(self) -> LastCount:
        self._thread.start()
        return self

    def __exit__(self, kind: Optional[type[BaseException]], error: object, trace: Optional[TracebackType]) -> None:
        self._over.set()
        self._thread.join(self._every)

    def _go_on(self) -> None:
        while not self._over.wait(self._every):
            self._once()

    def _once(self) -> None:
        with contextlib.suppress(OSError, SlipwayError):
            counted = self._count()
            self.value = self.value if counted is None else counted
