# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which process answers, and whether it is the wanted one. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import socket
import struct
from typing import TYPE_CHECKING, Iterable, Optional

from ..._host import processes
from ..net.errors import failure
from ..outcome import CheckFailed, Process
from .diagnosis import GONE, NOT_ACCEPTED, DiagUnavailable, server_inode
from .process import describe, has_build_id

if TYPE_CHECKING:
    from ..deadline import Deadline
    from ..net.stream import Stream
    from ..spec.connection import Identity

PATIENCE = 0.05  # how long a connection may wait for its accept before something is sent on it
_SHORTEST_PAUSE = 0.0005
_LONGEST_PAUSE = 0.01
_BLIND_SCANS = 3


class Identifier:
    """Finds the process at the other end of a connection; remembers where to look first."""

    def __init__(self, wanted: Optional[Identity]) -> None:
        self.wanted = wanted
        self._seen: list[int] = []
        self._denied = False

    def required(self, stream: Stream) -> Process:
        """The process, which is the wanted one; otherwise the attempt ends here."""
        process = self._wait(stream, stream.deadline)
        if process is None:
            raise CheckFailed(
                "timeout", f"no process accepted the connection to {stream.where} within {stream.deadline.seconds:g} s"
            )
        if self.wanted is not None:
            require_wanted(process, self.wanted)
        return process

    def early(self, stream: Stream) -> Optional[Process]:
        """The same before a word is said, or None when nobody accepts that soon."""
        process = self._wait(stream, stream.deadline.at_most(PATIENCE))
        if process is not None and self.wanted is not None:
            require_wanted(process, self.wanted)
        return process

    def glimpse(self, stream: Stream) -> Optional[Process]:
        """The process if it can be told; never a reason to fail."""
        try:
            return self._wait(stream, stream.deadline.at_most(PATIENCE))
        except CheckFailed:
            return None

    def _wait(self, stream: Stream, deadline: Deadline) -> Optional[Process]:
        pause, scans = _SHORTEST_PAUSE, 0
        while True:
            inode = _inode(stream)
            if inode == GONE:
                raise _gone(stream)
            if inode != NOT_ACCEPTED:
                process = self._owner(inode, stream.raw)
                if process is not None:
                    return process
                # Between accept() and the descriptor's entry in the table there is a moment without an owner;
                # where descriptors may not be read, waiting shows nothing.
                scans += 1
                if scans > _BLIND_SCANS and self._denied:
                    raise unseen(stream.where)
            if deadline.passed():
                return None
            deadline.pause(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _owner(self, inode: int, sock: socket.socket) -> Optional[Process]:
        self._denied = False
        if inode == UNKNOWN_PEER:
            return describe(_listener_pid(sock))
        for pid in self._in_order():
            try:
                if processes.holds(pid, inode):
                    self._remember(pid)
                    return describe(pid)
            except PermissionError:
                self._denied = True
        return None

    def _in_order(self) -> Iterable[int]:
        """Those that answered before, then those that look wanted, then all: most often the first one is right."""
        yield from self._seen
        tried = set(self._seen)
        others = [pid for pid in processes.every_pid() if pid not in tried]
        if self.wanted is not None:
            likely = candidates(others, self.wanted)
            yield from likely
            tried.update(likely)
        yield from (pid for pid in others if pid not in tried)

    def _remember(self, pid: int) -> None:
        self._seen = [pid, *(other for other in self._seen if other != pid)][:8]


UNKNOWN_PEER = -2  # a unix socket whose peer netlink does not tell


def _inode(stream: Stream) -> int:
    try:
        return server_inode(stream.raw)
    except DiagUnavailable:
        return UNKNOWN_PEER
    except OSError as error:
        if error.errno == errno.ENOTCONN:
            return GONE
        raise


def _listener_pid(sock: socket.socket) -> int:
    """Who called listen(): under socket activation that is systemd and not the service."""
    credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", credentials)[0])


def _gone(stream: Stream) -> CheckFailed:
    try:
        if stream.raw.recv(1, socket.MSG_PEEK) == b"":
            return CheckFailed("closed", f"{stream.where} accepted and closed the connection at once")
    except BlockingIOError:
        pass
    except OSError as error:
        return failure(error, stream.where)
    return CheckFailed(
        "identity",
        f"{stream.where} does not end in a socket of this host's network namespace, so no process can be named: "
        "a container, a forwarded port or another host answers",
    )


def unseen(where: str) -> CheckFailed:
    return CheckFailed(
        "identity", f"cannot see which process answers at {where}: reading /proc/PID/fd needs root (become: true)"
    )


def candidates(pids: Iterable[int], wanted: Identity) -> list[int]:
    """Processes that could be the wanted one, told cheaply."""
    if wanted.executable is not None:
        file = processes.file_id(wanted.executable)
        return [pid for pid in pids if file is not None and processes.file_id(processes.executable(pid)) == file]
    if wanted.unit is not None:
        unit = unit_name(wanted.unit)
        return [pid for pid in pids if unit in processes.units(pid)]
    return []


def unit_name(name: str) -> str:
    suffixes = (".service", ".scope", ".slice", ".socket", ".target", ".mount", ".timer")
    return name if name.endswith(suffixes) else name + ".service"


def require_wanted(process: Process, wanted: Identity) -> None:
    """Raise unless the process is the wanted one. What a shared socket's other process says does not count."""
    difference = _difference(process, wanted)
    if difference:
        who = f"pid {process.pid} ({process.exe or 'executable not visible'}) answers"
        failed = CheckFailed("identity", f"{who}: {difference}", counts=not wanted.shared)
        failed.process = process
        raise failed


def _difference(process: Process, wanted: Identity) -> Optional[str]:
    if wanted.executable is not None:
        deployed = processes.file_id(wanted.executable)
        if deployed is None:
            return f"the wanted executable {wanted.executable} is not there"
        running = processes.file_id(processes.executable(process.pid))
        if running is None:
            return "what it runs cannot be seen, which takes root (become: true)"
        if running != deployed:
            return f"it does not run the file {wanted.executable}"
    if wanted.unit is not None and unit_name(wanted.unit) not in processes.units(process.pid):
        return f"it belongs to {process.unit or 'no unit'}, not to {unit_name(wanted.unit)}"
    if wanted.build_id is not None and not has_build_id(process.pid, wanted.build_id):
        return f"its build id is {process.build_id or 'missing'}, not {wanted.build_id}"
    return None
