# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Opens a program and says whether it is packed. This file is PRIVATE to the collection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import Iterator, NamedTuple, Optional

from .elf import Elf, Reader, parse_elf
from .go_build_info import BuildInfo, read_build_info

UPX_MAGIC = b"UPX!"
UPX_HEADER = 64  # bytes behind the program headers in which it begins


class Opened(NamedTuple):
    """packed: the file is UPX's stub, which unpacks the program into memory; reader and elf are the stub's."""

    reader: Reader
    elf: Elf
    packed: bool

    def build_info(self) -> Optional[BuildInfo]:
        """None of a packed program: what a stub says of itself is nothing that the program says."""
        return None if self.packed else read_build_info(self.reader, self.elf)


@contextmanager
def open_program(path: str) -> Iterator[Opened]:
    """ElfError where it is no program."""
    with Reader(path) as reader:
        elf = parse_elf(reader)
        yield Opened(reader, elf, elf.interpreter is None and _has_upx_header(reader, elf))


def _has_upx_header(reader: Reader, elf: Elf) -> bool:
    end = elf.header.phoff + elf.header.phnum * elf.header.phentsize
    return UPX_MAGIC in reader.read(end, min(UPX_HEADER, reader.size - end))
