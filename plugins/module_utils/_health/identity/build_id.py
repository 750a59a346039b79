# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The build ids an ELF file carries in its notes. This file is PRIVATE to the collection."""

from __future__ import annotations

import struct
from typing import BinaryIO, Iterator

_NOTE_SEGMENT = 4
_NOTE_LIMIT = 65536
_HEADER_LIMIT = 128
_GO, _GNU = (b"Go", 4), (b"GNU", 3)


def build_ids(path: str) -> dict[str, str]:
    """{"go": …, "gnu": …} as far as the file has them; empty for anything that is not an ELF file."""
    found: dict[str, str] = {}
    try:
        with open(path, "rb") as file:
            for name, kind, content in _notes(file):
                if (name, kind) == _GO:
                    found["go"] = content.decode("ascii", "replace")
                elif (name, kind) == _GNU:
                    found["gnu"] = content.hex()
    except (OSError, struct.error, ValueError):
        return found
    return found


def _notes(file: BinaryIO) -> Iterator[tuple[bytes, int, bytes]]:
    ident = file.read(64)
    if ident[:4] != b"\x7fELF" or ident[4] not in (1, 2):
        return
    order = ">" if ident[5] == 2 else "<"
    wide = ident[4] == 2
    table = struct.unpack_from(order + ("Q" if wide else "I"), ident, 32 if wide else 28)[0]
    size, count = struct.unpack_from(order + "HH", ident, 54 if wide else 42)
    file.seek(table)
    headers = file.read(min(count, _HEADER_LIMIT) * size)
    for start in range(0, len(headers) - size + 1, max(size, 1)):
        kind = struct.unpack_from(order + "I", headers, start)[0]
        if kind == _NOTE_SEGMENT:
            fields = struct.unpack_from(order + ("8xQ16xQ" if wide else "4xI8xI"), headers, start)
            file.seek(fields[0])
            yield from _segment(file.read(min(fields[1], _NOTE_LIMIT)), order)


def _segment(data: bytes, order: str) -> Iterator[tuple[bytes, int, bytes]]:
    position = 0
    while position + 12 <= len(data):
        name_size, size, kind = struct.unpack_from(order + "III", data, position)
        name_start = position + 12
        start = name_start + (name_size + 3 & ~3)
        if start + size > len(data):
            return
        yield data[name_start : name_start + name_size].rstrip(b"\0"), kind, data[start : start + size]
        position = start + (size + 3 & ~3)
