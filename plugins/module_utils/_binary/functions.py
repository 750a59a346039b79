# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The functions that are linked into a Go program, from the table for its stack traces. PRIVATE to the collection."""

from __future__ import annotations

import re
import struct
from typing import Collection, Iterator, Mapping, NamedTuple, Optional

from .elf import SHT_SYMTAB, Elf, ElfError, Reader, Section, read_sections
from .go_build_info import BuildInfo

# From Go 1.16 on, the names stand together, those of functions that were inlined everywhere among them.
_GO_116, _GO_118, _GO_120 = 0xFFFFFFFA, 0xFFFFFFF0, 0xFFFFFFF1
_NAMES_WORD = {_GO_116: 2, _GO_118: 3, _GO_120: 3}  # which word of the header says where they begin
_SECTIONS = (".gopclntab", ".data.rel.ro.gopclntab")
_WHOLE_PROGRAMS = ("", "exe", "pie")
MAX_NAMES = 64 << 20
_ARGUMENTS = re.compile(r"\[.*\]")
_ESCAPE = re.compile(r"%([0-9a-fA-F]{2})")
_ALWAYS_THERE = (b"\0main.main\0", b"\0runtime.main\0")


class Functions(NamedTuple):
    """names: as the linker wrote them, each with a zero byte behind it. unknown: why there are none, else empty."""

    names: bytes = b""
    unknown: str = ""

    def in_packages(self, wanted: Collection[str]) -> Mapping[str, frozenset[str]]:
        """{package: what of it is linked in}, for these packages as far as they are linked in.

        A method is TYPE.METHOD. A closure stands for the function that it is in, too.
        """
        found: dict[str, set[str]] = {}
        for package, symbol in self._named():
            if package in wanted:
                parts = symbol.split(".")
                names = found.setdefault(package, set())
                names.update((parts[0], ".".join(parts[:2]), symbol))
        return {package: frozenset(names) for package, names in found.items()}

    def packages(self) -> frozenset[str]:
        return frozenset(package for package, _symbol in self._named())

    def _named(self) -> Iterator[tuple[str, str]]:
        for name in self.names.decode("utf-8", "replace").split("\0"):
            named = split_name(name)
            if named is not None:
                yield named


def split_name(name: str) -> Optional[tuple[str, str]]:
    """Package and symbol of a linker's name: example.com/a%2eb.(*T[...]).M is M of T in example.com/a.b."""
    plain = _ARGUMENTS.sub("", name) if "[" in name else name
    slash = plain.rfind("/", 0, plain.find("(") if "(" in plain else len(plain))
    dot = plain.find(".", slash + 1)
    if dot <= 0 or dot + 1 == len(plain):
        return None
    package, symbol = plain[:dot], plain[dot + 1 :]
    if "%" in package:
        package = _ESCAPE.sub(lambda match: chr(int(match.group(1), 16)), package)
    symbol = symbol.replace("(*", "").replace("(", "").replace(")", "")
    return package, symbol[:-3] if symbol.endswith("-fm") else symbol


def read_functions(reader: Reader, elf: Elf, info: Optional[BuildInfo]) -> Functions:
    """Only what says without a doubt what is linked in; for anything else, why it does not."""
    try:
        return _read(reader, elf, info)
    except (ElfError, struct.error):
        return Functions(unknown="its table of functions cannot be read")


def _read(reader: Reader, elf: Elf, info: Optional[BuildInfo]) -> Functions:
    if info is not None and (info.setting("-buildmode") or "") not in _WHOLE_PROGRAMS:
        return Functions(unknown=f"it is built with -buildmode={info.setting('-buildmode')}")
    sections = read_sections(reader, elf.header)
    if not any(section.type == SHT_SYMTAB for section in sections):
        return Functions(unknown="it is stripped")
    table = next((section for section in sections if section.name in _SECTIONS), None)
    names = _names(reader, elf, table) if table is not None else b""
    if not names:
        return Functions(unknown="it has no table of functions as Go 1.16 and newer write it")
    if not all(name in b"\0" + names for name in _ALWAYS_THERE):
        return Functions(unknown="its table of functions lacks what every program has")
    return Functions(names)


def _names(reader: Reader, elf: Elf, table: Section) -> bytes:
    order = "<" if elf.endian == "little" else ">"
    start = elf.offset_of(table.addr)
    if start is None:
        return b""
    magic, _zero, _quantum, size = reader.unpack(struct.Struct(f"{order}IHBB"), start)
    word = _NAMES_WORD.get(magic)
    if word is None or size not in (4, 8):
        return b""
    pair = struct.Struct(order + ("QQ" if size == 8 else "II"))
    begin, end = reader.unpack(pair, start + 8 + word * size)
    if not 0 < begin < end <= table.size or end - begin > MAX_NAMES:
        return b""
    return reader.read(start + begin, end - begin)
