# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs that the kernel hands to another one: the line with #!. This file is PRIVATE to the collection."""

from __future__ import annotations

import posixpath
from typing import NamedTuple, Optional

from .._binary.elf import Reader

FIRST = 256  # bytes that the kernel looks at
DEEPEST = 5  # scripts that start scripts
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Shebang(NamedTuple):
    interpreter: str
    argument: str

    @property
    def command(self) -> str:
        """What env(1) looks for in PATH; nothing where that is not what the line is for."""
        if posixpath.basename(self.interpreter) != "env":
            return ""
        words = self.argument.split()
        if words[:1] in (["-S"], ["--split-string"]):
            words = words[1:]
        elif len(words) > 1:
            return self.argument  # the kernel hands over one word, with the blanks in it
        while words and "=" in words[0]:
            words = words[1:]
        return "" if not words or words[0].startswith("-") else words[0]


def read_shebang(path: str) -> Optional[Shebang]:
    """None where the file is no script, or its first line is longer than the kernel reads."""
    with Reader(path) as reader:
        start = reader.read(0, min(reader.size, FIRST))
    return parse_shebang(start, whole=len(start) < FIRST)


def parse_shebang(start: bytes, whole: bool) -> Optional[Shebang]:
    """whole: the file ends there."""
    if not start.startswith(b"#!"):
        return None
    line, newline, _rest = start[2:].partition(b"\n")
    name, blank, argument = line.split(b"\0")[0].strip(b" \t").replace(b"\t", b" ").partition(b" ")
    if not name or not (newline or whole or blank):
        return None
    return Shebang(name.decode("utf-8", "surrogateescape"), argument.strip().decode("utf-8", "surrogateescape"))
