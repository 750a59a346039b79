# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The servers of an upstream in a configuration of nginx, as text. Pure. This file is PRIVATE to the collection.

Syntax: nginx's beginner's guide, "Configuration File's Structure", and ngx_http_upstream_module, "server".
"""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple, Optional

# A brace or a hash within a word is a part of it, and ${…} is a variable.
_TOKEN = re.compile(
    r"""\s+ | \#[^\n]* | (?P<mark>[;{}])
    | (?P<word> "(?:\\.|[^"\\])*" | '(?:\\.|[^'\\])*'
    | (?:\\.|\$\{[^}]*\}|[^\s;{}\\]) (?:\\.|\$\{[^}]*\}|[^\s;{\\])* )""",
    re.VERBOSE | re.DOTALL,
)


class Entry(NamedTuple):
    """A line `server NAME … ;` of an upstream.

    end: of its last word. down: where the word down is, and where the one before it ends.
    """

    name: str
    end: int
    down: Optional[tuple[int, int, int]]
    backup: bool

    @property
    def serves(self) -> bool:
        return self.down is None and not self.backup


class _Statement(NamedTuple):
    words: list[tuple[str, int, int]]  # each with its begin and end
    mark: str  # what ends it: a semicolon, or a brace


def _statements(text: str) -> Iterator[_Statement]:
    words: list[tuple[str, int, int]] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:  # a quote or a backslash without its end: nginx refuses the file, too
            return
        position = found.end()
        if found["word"]:
            words.append((found["word"].strip("\"'"), found.start(), position))
        elif found["mark"]:
            yield _Statement(words, found["mark"])
            words = []


def entries(text: str, upstream: str) -> list[Entry]:
    """The servers of all blocks `upstream NAME { … }`."""
    found: list[Entry] = []
    depth, inside = 0, None
    for words, mark in _statements(text):
        names = [word for word, _begin, _end in words]
        if inside == depth and mark == ";" and names[:1] == ["server"] and len(names) > 1:
            found.append(_entry(words))
        if mark == "{":
            depth += 1
            if names == ["upstream", upstream]:
                inside = depth
        elif mark == "}":
            inside = None if inside == depth else inside
            depth -= 1
    return found


def _entry(words: list[tuple[str, int, int]]) -> Entry:
    down = next((i for i, (word, _begin, _end) in enumerate(words) if word == "down" and i > 1), None)
    place = None if down is None else (words[down - 1][2], words[down][1], words[down][2])
    return Entry(words[1][0], words[-1][2], place, "backup" in [word for word, _begin, _end in words[2:]])


def with_server(text: str, upstream: str, server: str, down: bool) -> str:
    """The text with that server's lines marked as down, or no longer so; a comment between the words stays."""
    for entry in reversed([one for one in entries(text, upstream) if one.name == server]):
        if down and entry.down is None:
            text = f"{text[: entry.end]} down{text[entry.end :]}"
        elif not down and entry.down is not None:
            before, begin, end = entry.down
            kept = before if text[before:begin].isspace() else begin
            text = text[:kept] + text[end:]
    return text
