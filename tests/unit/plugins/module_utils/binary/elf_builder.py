# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Writes small ELF files that say what a test wants them to say. They are looked at, never run."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.slipway.go.plugins.module_utils._binary.elf import Elf, Reader, parse_elf

BASE = 0x400000
EXEC, DYN, REL, CORE = 2, 3, 1, 4


def sysv_hash(name: str) -> int:
    value = 0
    for char in name.encode():
        value = (value << 4) + char
        value = (value ^ (value >> 24 & 0xF0)) & 0x0FFFFFFF
    return value


@dataclass
class Symbol:
    name: str
    defined: bool = True
    weak: bool = False
    kind: int = 2  # a function
    version: int = 0  # the index of a name in verneed, from 2 on


@dataclass
class ElfBuilder:
    bits: int = 64
    endian: str = "little"
    machine: int = 62
    type: int = DYN
    osabi: int = 0
    interpreter: str | None = None
    needed: list[str] = field(default_factory=list)
    soname: str | None = None
    rpath: str | None = None
    runpath: str | None = None
    flags: int | None = None
    flags_1: int | None = None
    verneed: dict[str, list] = field(default_factory=dict)  # library: names or (name, weak)
    verdef: list[str] | None = None
    notes: list[tuple[str, int, bytes]] = field(default_factory=list)
    symbols: list[Symbol] = field(default_factory=list)
    entry: int = BASE + 0x40
    body: bytes = b""  # placed last, in the writable segment
    constants: bytes = b""  # placed in the read-only segment
    bind_now: bool = False
    copies: list[str] = field(default_factory=list)  # symbols with a copy relocation
    fixed: list[str] = field(default_factory=list)  # symbols that data relocations name
    dynamic: bool | None = None  # a PT_DYNAMIC even without contents
    tags: dict[int, int] = field(default_factory=dict)  # other entries of it

    def build(self) -> bytes:
        return _Writer(self).build()

    def write(self, path: Path, mode: int = 0o755) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.build())
        path.chmod(mode)
        return path


class _Writer:
    def __init__(self, spec: ElfBuilder) -> None:
        self.spec = spec
        self.e = {"little": "<", "big": ">"}[spec.endian]
        self.wide = spec.bits == 64
        self.strings = bytearray(b"\0")
        self.data = bytearray()
        self.headers: list[tuple[int, int, int, int]] = []  # type, flags, offset, size

    def string(self, text: str) -> int:
        at = len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self.e + layout, *values)

    def place(self, blob: bytes, align: int = 16) -> int:
        self.data += b"\0" * (-len(self.data) % align)
        at = len(self.data)
        self.data += blob
        return at

    def verneed_table(self) -> bytes:
        out = b""
        items = list(self.spec.verneed.items())
        for number, (library, names) in enumerate(items):
            pairs = [(n, False) if isinstance(n, str) else n for n in names]
            more = 16 + 16 * len(pairs) if number + 1 < len(items) else 0
            out += self.pack("HHIII", 1, len(pairs), self.string(library), 16, more)
            for index, (name, weak) in enumerate(pairs):
                following = 16 if index + 1 < len(pairs) else 0
                out += self.pack("IHHII", sysv_hash(name), 2 if weak else 0, index + 2, self.string(name), following)
        return out

    def verdef_table(self) -> bytes:
        out = b""
        names = self.spec.verdef or []
        for index, name in enumerate(names):
            more = 28 if index + 1 < len(names) else 0
            out += self.pack("HHHHIII", 1, 1 if index == 0 else 0, index + 1, 1, sysv_hash(name), 20, more)
            out += self.pack("II", self.string(name), 0)
        return out

    def symbol_table(self) -> bytes:
        size = 24 if self.wide else 16
        out = b"\0" * size
        for symbol in self.spec.symbols:
            info = (2 if symbol.weak else 1) << 4 | symbol.kind
            index, value = (1, BASE + 0x1000) if symbol.defined else (0, 0)
            name = self.string(symbol.name)
            if self.wide:
                out += self.pack("IBBHQQ", name, info, 0, index, value, 0)
            else:
                out += self.pack("IIIBBH", name, value, 0, info, 0, index)
        return out

    def relocations(self) -> list[tuple[int, int]]:
        """Of x86-64: type 5 copies, type 6 is data."""
        names = [symbol.name for symbol in self.spec.symbols]
        rows = [
            (names.index(name) + 1, kind) for kind, of in ((5, self.spec.copies), (6, self.spec.fixed)) for name in of
        ]
        if not rows:
            return []
        table = b"".join(self.pack("QQQ", BASE, index << 32 | kind, 0) for index, kind in rows)
        return [(7, BASE + self.place(table)), (8, len(table)), (9, 24)]

    def note_table(self) -> bytes:
        out = b""
        for owner, kind, desc in self.spec.notes:
            name = owner.encode() + b"\0"
            out += self.pack("III", len(name), len(desc), kind)
            out += name + b"\0" * (-len(name) % 4) + desc + b"\0" * (-len(desc) % 4)
        return out

    def symbol_entries(self) -> list[tuple[int, int]]:
        if not self.spec.symbols:
            return []
        table, count = self.symbol_table(), len(self.spec.symbols) + 1
        symbols = (6, BASE + self.place(table))
        hashes = (4, BASE + self.place(self.pack("III", 1, count, 0) + self.pack("I", 0) * count))
        entries = [symbols, hashes, *self.relocations()]
        if any(symbol.version for symbol in self.spec.symbols):
            versions = (0, *(symbol.version for symbol in self.spec.symbols))
            entries.append((0x6FFFFFF0, BASE + self.place(self.pack(f"{count}H", *versions))))
        return entries

    def dynamic_table(self) -> bytes:
        spec = self.spec
        entries = [(1, self.string(name)) for name in spec.needed]
        for tag, text in ((14, spec.soname), (15, spec.rpath), (29, spec.runpath)):
            if text is not None:
                entries.append((tag, self.string(text)))
        if spec.flags is not None:
            entries.append((30, spec.flags))
        if spec.flags_1 is not None:
            entries.append((0x6FFFFFFB, spec.flags_1))
        if spec.verneed:
            entries.append((0x6FFFFFFE, BASE + self.place(self.verneed_table())))
            entries.append((0x6FFFFFFF, len(spec.verneed)))
        if spec.verdef is not None:
            entries.append((0x6FFFFFFC, BASE + self.place(self.verdef_table())))
            entries.append((0x6FFFFFFD, len(spec.verdef)))
        entries += self.symbol_entries()
        if spec.bind_now:
            entries.append((24, 0))
        entries += spec.tags.items()
        if not entries and not spec.dynamic:
            return b""
        entries.append((5, BASE + self.place(bytes(self.strings))))
        entries.append((10, len(self.strings)))
        entries.append((0, 0))
        return b"".join(self.pack("QQ" if self.wide else "II", *entry) for entry in entries)

    def build(self) -> bytes:
        spec = self.spec
        head = 64 if self.wide else 52
        step = 56 if self.wide else 32
        self.data = bytearray(head + step * 8)
        if spec.interpreter is not None:
            text = spec.interpreter.encode() + b"\0"
            self.headers.append((3, 4, self.place(text, 1), len(text)))
        if spec.notes:
            table = self.note_table()
            self.headers.append((4, 4, self.place(table, 4), len(table)))
        if spec.constants:
            self.place(spec.constants)
        table = self.dynamic_table()
        if table:
            self.headers.append((2, 6, self.place(table), len(table)))
        if spec.body:
            at = self.place(spec.body)
            self.headers.append((1, 6, at, len(spec.body)))
        self.headers.insert(0, (1, 5, 0, len(self.data)))
        self.headers.append((0x6474E551, 6, 0, 0))
        for number, (kind, flags, offset, size) in enumerate(self.headers):
            address = BASE + offset
            if self.wide:
                row = self.pack("IIQQQQQQ", kind, flags, offset, address, address, size, size, 16)
            else:
                row = self.pack("IIIIIIII", kind, offset, address, address, size, size, flags, 16)
            self.data[head + number * step : head + (number + 1) * step] = row
        ident = bytes([0x7F, 69, 76, 70, 2 if self.wide else 1, 1 if self.e == "<" else 2, 1, spec.osabi]) + bytes(8)
        layout = "HHIQQQIHHHHHH" if self.wide else "HHIIIIIHHHHHH"
        fields = (spec.type, spec.machine, 1, spec.entry, head, 0, 0, head, step, len(self.headers), 0, 0, 0)
        self.data[:head] = ident + self.pack(layout, *fields)
        return bytes(self.data)


def read_elf(path: Path | str) -> Elf:
    with Reader(str(path)) as reader:
        return parse_elf(reader)
