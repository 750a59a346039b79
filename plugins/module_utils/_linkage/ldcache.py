# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks names up in ld.so.cache as glibc's loader does. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import struct
from typing import Callable, NamedTuple, Optional, Sequence

from .._binary.elf import ElfError, Reader
from .._binary.machines import EM_386, EM_AARCH64, EM_ARM, EM_LOONGARCH, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64

MAX_SIZE = 16 << 20
OLD_MAGIC, NEW_MAGIC = b"ld.so-1.7.0", b"glibc-ld.so.cache1.1"
EXTENSION_MAGIC, HWCAPS_SECTION = 0xEAA42174, 1
NAMED_HWCAP = 1 << 62
ISA_LEVEL_MASK = 0x3FF

# Which entries a loader takes, by machine and class: two kinds where the ABI in e_flags decides.
FLAGS: dict[tuple[int, int], tuple[int, ...]] = {
    (EM_X86_64, 64): (0x303,),
    (EM_X86_64, 32): (0x803,),
    (EM_386, 32): (3,),
    (EM_AARCH64, 64): (0xA03,),
    (EM_ARM, 32): (0x903, 0xB03, 3),
    (EM_PPC64, 64): (0x503,),
    (EM_S390, 64): (0x403,),
    (EM_RISCV, 64): (0x1003, 0x0F03),
    (EM_LOONGARCH, 64): (0x1203, 0x1103),
}


class Entry(NamedTuple):
    flags: int
    key: int
    value: int
    hwcap: int


class Rules(NamedTuple):
    """flags: the entries this loader takes. hwcaps: usable glibc-hwcaps names, best first. legacy: whether an old
    hwcap word is acceptable."""

    flags: tuple[int, ...]
    hwcaps: Sequence[str]
    legacy: Callable[[int], bool]


def name_key(name: bytes) -> list[tuple[int, int]]:
    """Orders names as the cache is sorted: numbers by value and after every other character."""
    return [(1, int(part)) if part.isdigit() else (0, ord(part)) for part in re.findall(rb"[0-9]{1,18}|[^0-9]", name)]


class LdCache:
    """A cache file. Damaged or of another byte order means no cache, as for the loader."""

    def __init__(self, data: bytes, endian: str) -> None:
        self._data = data
        self._base = 0
        self._count = 0
        self._first = 0
        self._order = "<" if endian == "little" else ">"
        self._entry = struct.Struct(self._order + "iIIIQ")
        self._hwcaps: tuple[str, ...] = ()
        self._keys: dict[int, list[tuple[int, int]]] = {}
        start = self._find_new_table()
        if start is not None:
            self._open(start)

    def _find_new_table(self) -> Optional[int]:
        if self._data.startswith(NEW_MAGIC):
            return 0
        if not self._data.startswith(OLD_MAGIC) or len(self._data) < 16:
            return None
        (count,) = struct.unpack_from(self._order + "I", self._data, 12)
        start = (16 + count * 12 + 7) // 8 * 8
        return start if self._data[start : start + len(NEW_MAGIC)] == NEW_MAGIC else None

    def _open(self, start: int) -> None:
        if len(self._data) < start + 48:
            return
        count, _size, marker, extension = struct.unpack_from(self._order + "IIB3xI", self._data, start + 20)
        wanted = 2 if self._order == "<" else 3
        if marker & 3 not in (0, wanted) or count > (len(self._data) - start - 48) // 24:
            return
        self._base, self._count, self._first = start, count, start + 48
        self._hwcaps = self._read_hwcaps(extension)

    def _read_hwcaps(self, extension: int) -> tuple[str, ...]:
        where = self._section(extension, HWCAPS_SECTION)
        if where is None:
            return ()
        offset, size = where
        if offset + size > len(self._data):
            return ()
        indexes = struct.unpack_from(f"{self._order}{size // 4}I", self._data, offset)
        return tuple(os.fsdecode(self._string(index, 0)) for index in indexes)

    def _section(self, extension: int, wanted: int) -> Optional[tuple[int, int]]:
        data = self._data
        if extension == 0 or extension + 8 > len(data):
            return None
        magic, count = struct.unpack_from(self._order + "II", data, extension)
        if magic != EXTENSION_MAGIC or extension + 8 + count * 16 > len(data):
            return None
        for index in range(count):
            tag, _flags, offset, size = struct.unpack_from(self._order + "IIII", data, extension + 8 + index * 16)
            if tag == wanted:
                return offset, size
        return None

    def _string(self, index: int, base: int) -> bytes:
        start = base + index
        end = self._data.find(b"\0", start, start + 4096)
        return self._data[start:end] if end >= 0 else b""

    def _at(self, index: int) -> Entry:
        flags, key, value, _os, hwcap = self._entry.unpack_from(self._data, self._first + index * 24)
        return Entry(flags, key, value, hwcap)

    def _key(self, index: int) -> list[tuple[int, int]]:
        key = self._keys.get(index)
        if key is None:
            key = self._keys[index] = name_key(self._string(self._at(index).key, self._base))
        return key

    def lookup(self, name: str, rules: Rules) -> Optional[str]:
        """The path the loader would try for name, if any."""
        wanted = name_key(os.fsencode(name))
        index = self._first_of(wanted)
        best: Optional[Entry] = None
        best_rank = len(rules.hwcaps)
        while index < self._count and self._key(index) == wanted:
            entry = self._at(index)
            index += 1
            if entry.flags not in rules.flags and entry.flags != 1:
                continue
            if _is_named(entry.hwcap):
                rank = self._rank(entry.hwcap, rules)
                if rank < best_rank:
                    best, best_rank = entry, rank
                continue
            if best is not None and best_rank < len(rules.hwcaps):
                break
            if entry.hwcap and not rules.legacy(entry.hwcap):
                continue
            best = entry
            if entry.flags in rules.flags:
                break
        return os.fsdecode(self._string(best.value, self._base)) if best is not None else None

    def _first_of(self, wanted: list[tuple[int, int]]) -> int:
        """The table is sorted downwards."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self._key(middle) > wanted:
                low = middle + 1
            else:
                high = middle
        return low

    def _rank(self, hwcap: int, rules: Rules) -> int:
        index = hwcap & 0xFFFFFFFF
        name = self._hwcaps[index] if index < len(self._hwcaps) else ""
        return rules.hwcaps.index(name) if name in rules.hwcaps else len(rules.hwcaps)


def _is_named(hwcap: int) -> bool:
    return (hwcap >> 32) & ~ISA_LEVEL_MASK == NAMED_HWCAP >> 32


def read_cache(host_path: str, endian: str) -> LdCache:
    try:
        with Reader(host_path) as reader:
            return LdCache(reader.read(0, min(reader.size, MAX_SIZE)), endian)
    except ElfError:
        return LdCache(b"", endian)
