# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens a program, packed or not. This file is PRIVATE to the collection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, NamedTuple

from .elf import Elf, Reader, parse_elf
from .upx import find_upx, unpack


class Opened(NamedTuple):
    """outer: the file. reader and elf: the program in it, the same thing unless it is packed."""

    outer: Reader
    reader: Reader
    elf: Elf
    packed: bool


@contextmanager
def open_program(path: str) -> Iterator[Opened]:
    """ElfError where it is no program, with code packed where it is one that cannot be looked into."""
    with Reader(path) as outer:
        elf = parse_elf(outer)
        at = find_upx(outer, elf) if elf.interpreter is None else None
        if at is None:
            yield Opened(outer, outer, elf, False)
        else:
            inner = unpack(outer, elf, at)
            yield Opened(outer, inner, parse_elf(inner), True)
