# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decompresses with zstd(1), where this machine has it. This file is PRIVATE to the collection.

The program reads a pipe and writes a pipe. It gets no more input than its reader takes output, and it is killed when
the reader has enough or the time is over. It refuses by itself what takes more than 128 MiB of memory.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import time
from typing import IO, Protocol, cast

from ..._core import command

MAGIC = b"\x28\xb5\x2f\xfd"
SECONDS = 300.0
CHUNK = 1 << 16
_PROGRAM = "zstd"
_ARGUMENTS = ("--decompress", "--stdout", "--quiet")


class Source(Protocol):
    """Where the compressed bytes are read from."""

    def read(self, __size: int) -> bytes: ...


class ZstdError(ValueError):
    """The input is no whole zstd stream, or it took too long."""


def is_available() -> bool:
    return shutil.which(_PROGRAM, path=command.PATH) is not None


class Decompressed:
    """The decompressed bytes. start: what was read of raw before."""

    def __init__(self, start: bytes, raw: Source, seconds: float = SECONDS) -> None:
        self._input, self._raw = start, raw
        self._seconds, self._end = seconds, time.monotonic() + seconds
        self._child = command.start_filter([_PROGRAM, *_ARGUMENTS])
        self._to, self._from = cast(IO[bytes], self._child.stdin), cast(IO[bytes], self._child.stdout)
        os.set_blocking(self._to.fileno(), False)
        self._is_fed = False

    def read(self, size: int) -> bytes:
        """Between 1 and size bytes, or none at the end."""
        while True:
            if self._is_ready():
                data = os.read(self._from.fileno(), min(size, CHUNK))
                return data or self._finish()
            if not self._is_fed:
                self._feed()

    def close(self) -> None:
        self._child.kill()
        for stream in (self._to, self._from):
            with contextlib.suppress(OSError):
                stream.close()
        self._child.wait()

    def _is_ready(self) -> bool:
        """Whether there is output, or its end; otherwise the program takes input, or the time is over."""
        poller = select.poll()
        poller.register(self._from, select.POLLIN)
        if not self._is_fed:
            poller.register(self._to, select.POLLOUT)
        left = self._end - time.monotonic()
        ready = dict(poller.poll(int(left * 1000) + 1)) if left > 0 else {}
        if not ready:
            raise ZstdError(f"zstd has not ended within {self._seconds:g} s")
        return self._from.fileno() in ready

    def _feed(self) -> None:
        self._input = self._input or self._raw.read(CHUNK)
        with contextlib.suppress(BrokenPipeError):
            if self._input:
                self._input = self._input[os.write(self._to.fileno(), self._input) :]
                return
        # All is written, or the program wants no more of it.
        self._is_fed = True
        with contextlib.suppress(BrokenPipeError):
            self._to.close()

    def _finish(self) -> bytes:
        """Its end, unless it says that it has failed."""
        code = self._child.wait()
        if code != 0:
            raise ZstdError(f"zstd ended with {code}")
        return b""
