# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The archive of a bundle: what its bytes are, and what other archives have instead. PRIVATE to the collection.

A bundle is a tar archive as POSIX.1-1988 has it, uncompressed, and its bytes follow from its manifest: a file has one
header that it can have, and what does not have it was not written by this collection.
"""

from __future__ import annotations

from typing import Iterator, NamedTuple, Optional

from . import manifest
from .manifest import PROGRAM, Entry

BLOCK = 512
END = bytes(2 * BLOCK)
MODES = {PROGRAM: 0o755}
MODE = 0o644
_FILE = b"0"
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"5": "a folder",
    b"6": "a fifo",
    b"7": "a contiguous file",
    b"L": "a long name",
    b"K": "a long link",
    b"S": "a sparse file",
    b"x": "an extended header",
    b"g": "an extended header",
}
WITHOUT_CONTENT = tuple(_KINDS[kind] for kind in (b"1", b"2", b"3", b"4", b"5", b"6"))


class Member(NamedTuple):
    """What a header says that may be anybody's. what: empty for a file, else the kind in words."""

    name: str
    size: int
    what: str


def mode(kind: str) -> int:
    return MODES.get(kind, MODE)


def header(path: str, size: int, kind: str = "") -> bytes:
    """The one header that the file has in a bundle: no owner, no time."""
    prefix, name = manifest.split(path) or (b"", b"")
    fields = (
        name.ljust(100, b"\0"),
        b"%07o\0" % mode(kind),
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        b"%011o\0" % size,
        b"%011o\0" % 0,
        b" " * 8,
        _FILE,
        bytes(100),
        b"ustar\x0000",
        bytes(64),
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        prefix.ljust(155, b"\0"),
        bytes(12),
    )
    block = b"".join(fields)
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def header_of(entry: Entry) -> bytes:
    return header(entry.path, entry.size, entry.kind)


def padding(size: int) -> int:
    """The zeros that follow so many bytes."""
    return -size % BLOCK


def member(block: bytes) -> Optional[Member]:
    """What any header says; None where it is damaged."""
    stored = block[148:156].strip(b" \0")
    size = block[124:136].strip(b" \0")
    if stored.lstrip(b"0") != b"%o" % (sum(block[:148]) + 8 * 0x20 + sum(block[156:])):
        return None
    if any(not 0x30 <= digit <= 0x37 for digit in size):
        return None
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    full = (prefix + b"/" + name if prefix else name).decode("utf-8", "surrogateescape")
    kind = block[156:157]
    what = "" if kind in (_FILE, b"\0") else _KINDS.get(kind, f"an entry of the kind {kind!r}")
    return Member(full, int(size or b"0", 8), what)


def pieces(raw: bytes) -> Iterator[bytes]:
    """A content that is in memory, with its padding."""
    yield raw
    yield bytes(padding(len(raw)))
