# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ends what a program has started, also what has left its process group. This file is PRIVATE to the collection.

A process that loses its parent gets the nearest subreaper among its ancestors, see prctl(2). The program is made one,
so it keeps all that it starts while it runs; this process is one, too, and gets the rest when the program ends. Root is
not needed. What another process starts for the program, such as systemd, is not among its descendants.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import threading
import time
from typing import Any, Callable, Iterator, NamedTuple, Protocol, TypeVar

_PROC = "/proc"
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
_SECONDS = 1.0
_LOOKS = 200
_PAUSE = 0.001


class Program(Protocol):
    """A child of this process."""

    @property
    def pid(self) -> int: ...


Started = TypeVar("Started", bound=Program)


class _Process(NamedTuple):
    pid: int
    parent: int
    session: int
    started: int  # clock ticks since boot


@functools.lru_cache(maxsize=None)
def libc() -> Any:
    """The C library, or None where it cannot be loaded."""
    import ctypes  # takes longer to import than this file, and most callers need no such thing

    try:
        return ctypes.CDLL(None)
    except OSError:
        return None


class _Programs:
    """The programs that this process runs at the moment, in whatever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: dict[int, int] = {}  # when each was started
        self._earlier: dict[int, set[tuple[int, int]]] = {}  # the children before each, and when they were started
        self._was_subreaper = False

    def start(self, make: Callable[[Any], Started]) -> Started:
        # Under the lock, or another thread could take the new process for an orphan.
        with self._lock:
            if not self._running:
                self._was_subreaper = _is_subreaper()
            _set_subreaper(True)
            earlier = {(one.pid, one.started) for one in self._own()}
            try:
                program = make(libc() and functools.partial(libc().prctl, _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
                self._running[program.pid] = next((one.started for one in _read([program.pid])), 0)
                self._earlier[program.pid] = earlier
            finally:
                self._restore()
            return program

    def end_orphans(self, program: Program) -> None:
        """Kill what the program, which has ended, has left; and what that leaves, until there is nothing more."""
        end = time.monotonic() + _SECONDS
        spared: set[int] = set()
        looks = 0
        # On a busy machine, the time may be over before what was killed has ended.
        while libc() and (time.monotonic() < end or looks < _LOOKS):
            looks += 1
            # Twice, because the kernel may leave out a child while others end.
            orphans = (self._orphans(program) or self._orphans(program)) - spared
            if not orphans:
                break
            spared |= {pid for pid in orphans if not _kill(pid)}
            time.sleep(_PAUSE)
        with self._lock:
            self._running.pop(program.pid, None)
            self._earlier.pop(program.pid, None)
            self._restore()

    def _restore(self) -> None:
        if not self._running:
            _set_subreaper(self._was_subreaper)

    def _orphans(self, program: Program) -> set[int]:
        """Children that this process has not started: of another session than its own, and younger than the program.

        Two that began in the same tick have the same age, so those that were there before it are known one by one.
        """
        session = os.getsid(0)
        with self._lock:
            since, earlier = self._running.get(program.pid, 0), self._earlier.get(program.pid, set())
            return {
                one.pid
                for one in self._own()
                if one.session != session
                and one.started >= since
                and one.pid not in self._running
                and (one.pid, one.started) not in earlier
            }

    @staticmethod
    def _own() -> list[_Process]:
        own = os.getpid()
        return [one for one in _read(_children()) if one.parent == own]


def _is_subreaper() -> bool:
    if not libc():
        return False
    import ctypes

    answer = ctypes.c_int()
    libc().prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(answer), 0, 0, 0)
    return bool(answer.value)


def _set_subreaper(wanted: bool) -> None:
    if libc():
        libc().prctl(_PR_SET_CHILD_SUBREAPER, int(wanted), 0, 0, 0)


def _children() -> list[int]:
    """The children of this process, or where the kernel does not list them all processes."""
    tasks = f"{_PROC}/self/task"
    try:
        return [int(pid) for task in os.listdir(tasks) for pid in _text(f"{tasks}/{task}/children").split()]
    except OSError:  # no such file, or the thread has ended and its children are another one's
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]


def _text(path: str) -> str:
    with open(path, encoding="ascii") as stream:
        return stream.read()


def _read(pids: list[int]) -> Iterator[_Process]:
    for pid in pids:
        with contextlib.suppress(OSError), open(f"{_PROC}/{pid}/stat", "rb") as stream:
            # The name in brackets may itself hold blanks and brackets.
            fields = stream.read().rpartition(b")")[2].split()
            yield _Process(pid, int(fields[1]), int(fields[3]), int(fields[19]))


def _kill(pid: int) -> bool:
    """Whether it ends, or has ended: as a child of this process it stays until it is waited for."""
    try:
        os.kill(pid, signal.SIGKILL)
    except PermissionError:  # it has become somebody else
        return False
    except ProcessLookupError:
        return True
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    return True


_programs = _Programs()
start = _programs.start
end_orphans = _programs.end_orphans
