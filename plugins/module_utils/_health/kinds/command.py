# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs a program for a bounded time and ends it with all its children. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Optional, Sequence

from ..deadline import Deadline
from ..outcome import CheckFailed, need

OUTPUT_LIMIT = 65536
_AFTER_EXIT = 0.05  # a child that lives on may hold the pipe open: what is not there by then is not waited for
_POLL = 0.02
_ENDING = 0.002  # its output is closed: the end is near


@dataclass(frozen=True)
class Finished:
    rc: int
    output: bytes


def execute(argv: Sequence[str], deadline: Deadline, variables: Sequence[tuple[str, str]] = ()) -> Finished:
    """Exit status and output (both streams), at most OUTPUT_LIMIT bytes of it; variables are added to its own."""
    deadline.require(f"starting {argv[0]}")
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **dict(variables)},
            start_new_session=True,
            close_fds=True,
        )
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise CheckFailed("exec", f"{argv[0]} cannot be run: {words}") from error
    try:
        return _finish(child, argv[0], deadline)
    finally:
        _end(child)


def _finish(child: subprocess.Popen[bytes], name: str, deadline: Deadline) -> Finished:
    output = need(child.stdout).fileno()
    os.set_blocking(output, False)
    chunks: list[bytes] = []
    quiet: Optional[float] = None
    while True:
        open_still = _drain(output, chunks)
        rc = child.poll()
        if rc is not None:
            quiet = quiet or time.monotonic() + _AFTER_EXIT
            if not open_still or time.monotonic() >= quiet:
                return Finished(rc, b"".join(chunks))
        if deadline.passed():
            raise CheckFailed("timeout", f"{name} did not end within {deadline.seconds:g} s and was killed")
        pause = _POLL if open_still else _ENDING
        _wait(output if open_still else None, min(pause, max(0.0, deadline.left())))


def _drain(descriptor: int, chunks: list[bytes]) -> bool:
    """Take what is there; False once the pipe is closed. What is over the limit is read and dropped."""
    for _turn in range(16):
        try:
            data = os.read(descriptor, OUTPUT_LIMIT)
        except BlockingIOError:
            return True
        if not data:
            return False
        room = OUTPUT_LIMIT - sum(map(len, chunks))
        chunks.append(data[: max(0, room)])
    return True


def _wait(descriptor: Optional[int], seconds: float) -> None:
    if descriptor is None:
        time.sleep(seconds)
        return
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.poll(int(seconds * 1000) + 1)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Nothing a check started outlives it."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdout is not None:
        child.stdout.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(0.2)
