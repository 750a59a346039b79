# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names an ELF file defines and lacks, as far as starting depends on them. This file is PRIVATE to the collection."""

from __future__ import annotations

import struct
from typing import Iterable, Iterator, Mapping, NamedTuple, Optional

from .elf import DT_STRSZ, DT_STRTAB, Elf, ElfError, Reader
from .machines import (
    EM_386,
    EM_AARCH64,
    EM_ARM,
    EM_LOONGARCH,
    EM_MIPS,
    EM_PPC,
    EM_PPC64,
    EM_RISCV,
    EM_S390,
    EM_X86_64,
)

DT_HASH, DT_SYMTAB, DT_RELA, DT_RELASZ, DT_REL, DT_RELSZ = 4, 6, 7, 8, 17, 18
DT_GNU_HASH, DT_VERSYM, DT_RELACOUNT, DT_RELCOUNT = 0x6FFFFEF5, 0x6FFFFFF0, 0x6FFFFFF9, 0x6FFFFFFA
COPY = {
    EM_386: 5,
    EM_MIPS: 126,
    EM_PPC: 19,
    EM_PPC64: 19,
    EM_S390: 9,
    EM_ARM: 20,
    EM_X86_64: 5,
    EM_AARCH64: 1024,
    EM_RISCV: 4,
    EM_LOONGARCH: 4,
}
MAX_SYMBOLS = 1 << 18
MAX_STRINGS = 16 << 20
MAX_RELOCATIONS = 1 << 22
GLOBAL, WEAK, UNIQUE = 1, 2, 10


class Symbols:
    """wanted: undefined and not weak, with the index each has in the table. defined: worked out when asked for.

    complete: whether the tables could be read. Where not, nothing can be held against anyone.
    """

    __slots__ = ("_defined", "_starts", "_strings", "complete", "wanted")

    def __init__(self, strings: bytes, starts: list[int], wanted: dict[bytes, int], complete: bool = True) -> None:
        self.complete = complete
        self.wanted: Mapping[bytes, int] = wanted
        self._strings = strings
        self._starts = starts
        self._defined: Optional[frozenset[bytes]] = None

    @property
    def defined(self) -> frozenset[bytes]:
        if self._defined is None:
            strings = self._strings
            self._defined = frozenset(_name(strings, start) for start in self._starts)
            self._strings, self._starts = b"", []
        return self._defined

    def __len__(self) -> int:
        return len(self.wanted) + (len(self._starts) if self._defined is None else len(self._defined))


NO_SYMBOLS = Symbols(b"", [], {})
UNKNOWN_SYMBOLS = Symbols(b"", [], {}, complete=False)


class Relocated(NamedTuple):
    """at_once: symbols that any but the PLT relocations name. copied: data that the loader copies into the program."""

    at_once: set[int]
    copied: set[int]


def read_symbols(reader: Reader, elf: Elf) -> Symbols:
    try:
        return _read(reader, elf)
    except (ElfError, struct.error):
        return UNKNOWN_SYMBOLS


def _read(reader: Reader, elf: Elf) -> Symbols:
    values = elf.dynamic.values
    if DT_SYMTAB not in values:
        return NO_SYMBOLS
    count = _count(reader, elf)
    table = elf.offset_of(values.get(DT_SYMTAB, -1))
    names = elf.offset_of(values.get(DT_STRTAB, -1))
    size = values.get(DT_STRSZ, 0)
    if not count or table is None or names is None or count > MAX_SYMBOLS or size > MAX_STRINGS:
        return UNKNOWN_SYMBOLS
    strings = reader.read(names, min(size, reader.size - names))
    order = "<" if elf.endian == "little" else ">"
    layout = struct.Struct(order + ("IBxH16x" if elf.bits == 64 else "I8xBxH"))
    starts: list[int] = []
    wanted: dict[bytes, int] = {}
    rows = layout.iter_unpack(reader.read(table, count * layout.size))
    for index, (name, info, section) in enumerate(rows):
        binding = info >> 4
        if section:
            if binding in (GLOBAL, WEAK, UNIQUE):
                starts.append(name)
        elif binding == GLOBAL and name:
            wanted[_name(strings, name)] = index
    return Symbols(strings, starts, wanted)


def _name(strings: bytes, start: int) -> bytes:
    end = strings.find(b"\0", start)
    return strings[start:end] if end >= 0 else b""


def _count(reader: Reader, elf: Elf) -> int:
    order = "<" if elf.endian == "little" else ">"
    at = elf.offset_of(elf.dynamic.values.get(DT_HASH, -1))
    if at is not None:
        wide = elf.machine == EM_S390 and elf.bits == 64
        count: int = reader.unpack(struct.Struct(order + ("QQ" if wide else "II")), at)[1]
        return count
    at = elf.offset_of(elf.dynamic.values.get(DT_GNU_HASH, -1))
    return 0 if at is None else _count_gnu(reader, at, order, elf.bits // 8)


def _count_gnu(reader: Reader, at: int, order: str, word: int) -> int:
    """The GNU hash table does not say how long the symbol table is: its last chain ends it."""
    buckets, first, bloom, _shift = reader.unpack(struct.Struct(order + "IIII"), at)
    if buckets > MAX_SYMBOLS or bloom > MAX_SYMBOLS:
        return 0
    start = at + 16 + bloom * word
    last = max(struct.unpack(f"{order}{buckets}I", reader.read(start, buckets * 4)), default=0)
    if last < first:
        return int(first)
    chains = start + buckets * 4
    cell = struct.Struct(order + "I")
    for index in range(last, min(last + MAX_SYMBOLS, MAX_SYMBOLS)):
        if reader.unpack(cell, chains + (index - first) * 4)[0] & 1:
            return index + 1
    return 0


def read_relocated(reader: Reader, elf: Elf) -> Relocated:
    relocated = Relocated(set(), set())
    copy = COPY.get(elf.machine)
    try:
        for symbol, kind in _relocations(reader, elf):
            if symbol > MAX_SYMBOLS:
                continue
            relocated.at_once.add(symbol)
            if kind == copy:
                relocated.copied.add(symbol)
    except (ElfError, struct.error):
        pass
    return relocated


def _relocations(reader: Reader, elf: Elf) -> Iterator[tuple[int, int]]:
    """Symbol and type of each, without those that only add the load address, which linkers put first."""
    order = "<" if elf.endian == "little" else ">"
    wide = elf.bits == 64
    for start, length, relative, addend in (
        (DT_RELA, DT_RELASZ, DT_RELACOUNT, True),
        (DT_REL, DT_RELSZ, DT_RELCOUNT, False),
    ):
        table = _table(elf, start, length)
        if table is None:
            continue
        tail = ("8x" if wide else "4x") if addend else ""
        layout = struct.Struct(order + ("8xQ" if wide else "4xI") + tail)
        offset, size = table
        position = elf.dynamic.values.get(relative, 0) * layout.size
        while position + layout.size <= size:
            step = min(size - position, layout.size * 4096)
            step -= step % layout.size
            for (info,) in layout.iter_unpack(reader.read(offset + position, step)):
                yield (info >> 32, info & 0xFFFFFFFF) if wide else (info >> 8, info & 0xFF)
            position += step


def read_names(reader: Reader, elf: Elf, indexes: set[int]) -> dict[int, bytes]:
    """The names of a few symbols."""
    table = elf.offset_of(elf.dynamic.values.get(DT_SYMTAB, -1))
    names = elf.offset_of(elf.dynamic.values.get(DT_STRTAB, -1))
    if table is None or names is None:
        return {}
    cell = struct.Struct(("<" if elf.endian == "little" else ">") + "I")
    step = 24 if elf.bits == 64 else 16
    return {
        index: reader.string(names + reader.unpack(cell, table + index * step)[0]) for index in sorted(indexes) if index
    }


def version_indexes(reader: Reader, elf: Elf, symbols: Iterable[int]) -> dict[int, int]:
    """Which version each of these symbols asks for."""
    at = elf.offset_of(elf.dynamic.values.get(DT_VERSYM, -1))
    wanted = list(symbols)
    if at is None or not wanted:
        return {}
    count = max(wanted) + 1
    table = struct.unpack(f"{'<' if elf.endian == 'little' else '>'}{count}H", reader.read(at, count * 2))
    return {index: table[index] & 0x7FFF for index in wanted}


def _table(elf: Elf, start: int, length: int) -> Optional[tuple[int, int]]:
    offset = elf.offset_of(elf.dynamic.values.get(start, -1))
    size = elf.dynamic.values.get(length, 0)
    return None if offset is None or size > MAX_RELOCATIONS * 8 else (offset, size)
