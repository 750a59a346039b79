# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checksums files: GNU, BSD and bare. This file is PRIVATE to the collection."""

from __future__ import annotations

import posixpath
import re
from typing import NamedTuple, Optional

from ..._core.errors import SlipwayError

MAX_TEXT = 1 << 20
_HEX = r"[0-9a-fA-F]"
# sha256sum(1) escapes a name with a line break or a backslash, and says so with a backslash at the start of the line.
_GNU = re.compile(rf"(\\?)({_HEX}+)(?: [ *]|\t+)(.+)")
_BSD = re.compile(rf"(\\?)([A-Za-z0-9/-]+) ?\((.+)\) ?= ?({_HEX}+)")
_BARE = re.compile(rf"{_HEX}+")
_ESCAPES = {"n": "\n", "r": "\r", "\\": "\\"}
_NAMES = {"SHA256": 64, "SHA2-256": 64, "SHA512": 128, "SHA2-512": 128}
_LENGTHS = (64, 128)  # the better known one first
_OTHER_LENGTHS = (32, 40, 56, 96)  # MD5, SHA-1, SHA-224, SHA-384


class Entry(NamedTuple):
    """One line. name is None in the bare format; digest is None for an algorithm that is not SHA-256 or SHA-512."""

    name: Optional[str]
    digest: Optional[str]
    line: int


def _unescape(name: str) -> Optional[str]:
    """None where a backslash escapes what it cannot."""
    found, rest = "", name
    while rest:
        before, backslash, rest = rest.partition("\\")
        found += before
        if backslash:
            if rest[:1] not in _ESCAPES:
                return None
            found, rest = found + _ESCAPES[rest[0]], rest[1:]
    return found


def _entry(line: str, number: int) -> Optional[Entry]:
    """None where the line is none of the formats."""
    gnu, bsd = _GNU.fullmatch(line), _BSD.fullmatch(line)
    if gnu is not None:
        escaped, digest, name, algorithm = gnu.group(1), gnu.group(2), gnu.group(3), ""
    elif bsd is not None:
        escaped, algorithm, name, digest = bsd.groups()
    elif _BARE.fullmatch(line):
        escaped, digest, name, algorithm = "", line, None, ""
    else:
        return None
    if name is not None and escaped:
        name = _unescape(name)
        if name is None:
            return None
    if name == "-":  # what sha256sum(1) has read from its standard input
        name = None
    wanted = (_NAMES.get(algorithm.upper()),) if algorithm else _LENGTHS
    if wanted == (None,):
        return Entry(name, None, number)
    if len(digest) in wanted:
        return Entry(name, digest.lower(), number)
    return Entry(name, None, number) if not algorithm and len(digest) in _OTHER_LENGTHS else None


def parse_checksums(text: str, where: str) -> list[Entry]:
    """Every line of a checksums file; blank lines and comments say nothing, anything else is refused."""
    found: list[Entry] = []
    for number, raw in enumerate(text.lstrip("\ufeff").split("\n"), 1):
        line = raw[:-1] if raw.endswith("\r") else raw
        if not line.strip() or line.startswith("#"):
            continue
        entry = None if "\0" in line else _entry(line.rstrip(" \t") if _BARE.fullmatch(line.strip()) else line, number)
        if entry is None:
            raise SlipwayError(
                "invalid_checksums",
                f"release_checksum {where}: line {number} is no checksum.",
                "write it with sha256sum or sha512sum, or as lines of SHA256 (NAME) = HEX, or as the digits alone",
            )
        found.append(entry)
    return found


def find_checksum(text: str, name: str, where: str) -> str:
    """The SHA-256, else the SHA-512, that the checksums file has for the file called name."""
    return str(find_entry(text, name, where).digest)


def find_entry(text: str, name: str, where: str) -> Entry:
    """The one entry for the file called name, in whatever folder, or the one without a name.

    SHA-512 counts where there is no SHA-256. where is what to call the checksums file in a message.
    """
    entries = parse_checksums(text, where)
    if len(entries) == 1 and entries[0].name is None and entries[0].digest:
        return entries[0]
    if len(entries) > 1 and any(entry.name is None for entry in entries):
        raise SlipwayError(
            "invalid_checksums",
            f"release_checksum {where} has a checksum without a file name beside others.",
            "give every checksum its file name, or have only one in the file",
        )
    named = [entry for entry in entries if entry.name is None or posixpath.basename(entry.name) == name]
    by_length = [[entry for entry in named if len(entry.digest or "") == length] for length in _LENGTHS]
    wanted = next(filter(None, by_length), [])
    if len(wanted) == 1:
        return wanted[0]
    if not wanted:
        raise SlipwayError(
            "no_checksum",
            f"release_checksum {where} has no SHA-256 or SHA-512 of {name}"
            f"{', only another checksum' if named else ''}; it has {_names(entries)}.",
            f"add the line that sha256sum {name} prints, or correct release_src",
        )
    lines = ", ".join(str(entry.line) for entry in wanted)
    same = len({entry.digest for entry in wanted}) == 1
    raise SlipwayError(
        "ambiguous_checksum",
        f"release_checksum {where} has {len(wanted)} {'equal' if same else 'different'} checksums of {name}, "
        f"in lines {lines}.",
        "leave one of these lines",
    )


def _names(entries: list[Entry]) -> str:
    names = sorted({repr(entry.name) for entry in entries if entry.name})
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more if names else "none with a name"
