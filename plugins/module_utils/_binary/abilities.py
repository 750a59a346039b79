# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a Go program seems to do with systemd, read from the file and never run. This file is PRIVATE to the collection.

A program can read a variable only whose name it has. The linker drops what no code uses, so a program without the name
does not read it; one with the name may read it only if an option says so. Stripping removes neither strings nor the
names of functions that Go's own tables have.
"""

from __future__ import annotations

from typing import NamedTuple, Optional

from .elf import Reader
from .program import open_program

CHUNK = 1 << 20
MARKS = {"sockets": b"LISTEN_FDS", "readiness": b"NOTIFY_SOCKET", "signals": b"os/signal.Notify\0"}
_LIBRARY = "libsystemd.so"


class Abilities(NamedTuple):
    """Whether the program has what it takes: sockets from systemd, telling that it is ready, and handling signals."""

    sockets: bool
    readiness: bool
    signals: bool


def read_abilities(path: str) -> Optional[Abilities]:
    """None where the file does not say: it is packed, not Go's, or a library of systemd does it for the program."""
    with open_program(path) as opened:
        by_library = any(name.startswith(_LIBRARY) for name in opened.elf.needed)
        if by_library or opened.build_info() is None:
            return None
        found = _find(opened.reader)
    return Abilities(**{name: mark in found for name, mark in MARKS.items()})


def _find(reader: Reader) -> set[bytes]:
    """Those of the marks that the file has."""
    missing, tail = set(MARKS.values()), b""
    found: set[bytes] = set()
    overlap = max(map(len, missing)) - 1
    for position in range(0, reader.size, CHUNK):
        data = tail + reader.read(position, min(CHUNK, reader.size - position))
        found |= {mark for mark in missing if mark in data}
        missing -= found
        if not missing:
            break
        tail = data[-overlap:]
    return found
