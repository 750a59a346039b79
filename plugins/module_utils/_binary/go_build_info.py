# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the Go toolchain wrote into a binary about its build. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
import struct
from typing import Any, NamedTuple, Optional

from .elf import PF_W, PF_X, PT_LOAD, Elf, ElfError, Reader, read_sections

MAGIC = b"\xff Go buildinf:"
HEADER_SIZE = 32
FRAME = 16
CHUNK = 1 << 20
MAX_SCAN = 64 << 20  # the linker puts the record first; a packed or forged file may have none at all
MAX_TEXT = 1 << 20  # thousands of modules
INLINE, BIG_ENDIAN = 2, 1

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_TOKEN = re.compile(
    r'\\(?:([abfnrtv\\"])|x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))|([^\\"\n]+)', re.DOTALL
)


class Module(NamedTuple):
    path: str
    version: str = ""
    sum: str = ""
    replace: Optional[Module] = None

    @property
    def effective(self) -> Module:
        """The module whose code is in the binary."""
        return self.replace if self.replace is not None else self


class BuildInfo(NamedTuple):
    """damaged says that the text does not follow the format; what stands before the first wrong line is kept."""

    version: str
    path: str = ""
    main: Optional[Module] = None
    deps: tuple[Module, ...] = ()
    settings: tuple[tuple[str, str], ...] = ()
    damaged: bool = False

    def setting(self, key: str) -> Optional[str]:
        for name, value in self.settings:
            if name == key:
                return value
        return None


def read_build_info(reader: Reader, elf: Elf) -> Optional[BuildInfo]:
    """The build info of a Go binary, or None where there is none: not Go, older than 1.13, packed or forged."""
    try:
        raw = _read_raw(reader, elf)
    except ElfError:
        return None
    if raw is None:
        return None
    version, text = raw
    return parse_build_info(version, text)


def _read_raw(reader: Reader, elf: Elf) -> Optional[tuple[str, str]]:
    at = _find(reader, elf)
    if at is None:
        return None
    header = reader.read(at, HEADER_SIZE)
    if header[15] & INLINE:
        inline = _inline(reader, at + HEADER_SIZE)
        if inline is None:
            return None
        version, text = inline
    else:
        version, text = _pointed(reader, elf, header)
    if not version:
        return None
    framed = len(text) > 2 * FRAME and text[-FRAME - 1 : -FRAME] == b"\n"
    text = text[FRAME:-FRAME] if framed else b""
    return version.decode("utf-8", "replace"), text.decode("utf-8", "replace")


def _find(reader: Reader, elf: Elf) -> Optional[int]:
    where = _where(reader, elf)
    if where is None:
        return None
    address, size = where
    skipped = -address % 16
    start = elf.offset_of(address)
    if start is None:
        return None
    return _scan(reader, start + skipped, min(size - skipped, MAX_SCAN, reader.size - start - skipped))


def _where(reader: Reader, elf: Elf) -> Optional[tuple[int, int]]:
    for section in read_sections(reader, elf.header):
        if section.name == ".go.buildinfo":
            return section.addr, section.size
    for segment in elf.segments:
        if segment.type == PT_LOAD and segment.flags & (PF_X | PF_W) == PF_W:
            return segment.vaddr, segment.filesz
    return None


def _scan(reader: Reader, start: int, size: int) -> Optional[int]:
    """The record begins on a 16-byte boundary, so it never straddles two chunks of a multiple of that."""
    position = 0
    while position < size:
        chunk = reader.read(start + position, min(CHUNK, size - position))
        at = chunk.find(MAGIC)
        while at >= 0:
            if at % 16 == 0:
                return start + position + at if position + at + HEADER_SIZE <= size else None
            at = chunk.find(MAGIC, at + 1)
        position += CHUNK
    return None


def _inline(reader: Reader, at: int) -> Optional[tuple[bytes, bytes]]:
    """Go 1.18 and newer: two strings, each after its length."""
    strings: list[bytes] = []
    for _ignored in range(2):
        length, at = _uvarint(reader, at)
        if length > MAX_TEXT:
            return None
        strings.append(reader.read(at, length))
        at += length
    return strings[0], strings[1]


def _uvarint(reader: Reader, at: int) -> tuple[int, int]:
    data = reader.read(at, min(10, reader.size - at))
    value = 0
    for index, byte in enumerate(data):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    return MAX_TEXT + 1, at


def _pointed(reader: Reader, elf: Elf, header: bytes) -> tuple[bytes, bytes]:
    """Go 1.13 to 1.17: pointers to two Go strings, which are themselves a pointer and a length."""
    size = header[14]
    if size not in (4, 8):
        return b"", b""
    pair = struct.Struct((">" if header[15] & BIG_ENDIAN else "<") + ("II" if size == 4 else "QQ"))
    pointers = pair.unpack_from(header, 16)
    return _string_at(reader, elf, pair, pointers[0]), _string_at(reader, elf, pair, pointers[1])


def _string_at(reader: Reader, elf: Elf, pair: struct.Struct, address: int) -> bytes:
    at = elf.offset_of(address)
    if at is None:
        return b""
    start, length = reader.unpack(pair, at)
    data = elf.offset_of(start)
    if data is None or length > MAX_TEXT:
        return b""
    return reader.read(data, length)


class _BadLine(Exception):
    pass


def parse_build_info(version: str, text: str) -> BuildInfo:
    parsed = _Parsed()
    damaged = False
    # What follows the last newline is not a line.
    for line in text.split("\n")[:-1]:
        kind, _ignored, rest = line.partition("\t")
        handler = _HANDLERS.get(kind)
        if handler is None:
            continue
        try:
            handler(parsed, rest)
        except _BadLine:
            damaged = True
            break

    return BuildInfo(version, parsed.path, parsed.main, tuple(parsed.modules), tuple(parsed.settings), damaged)


class _Parsed:
    def __init__(self) -> None:
        self.path = ""
        self.main: Optional[Module] = None
        self.modules: list[Module] = []
        self.settings: list[tuple[str, str]] = []
        self.last = ""  # what a replacement line would replace

    def take_path(self, rest: str) -> None:
        self.path = rest

    def take_main(self, rest: str) -> None:
        self.main = _module(rest, (2, 3))
        self.last = "main"

    def take_dep(self, rest: str) -> None:
        self.modules.append(_module(rest, (2, 3)))
        self.last = "dep"

    def take_replacement(self, rest: str) -> None:
        module = _module(rest, (3,))
        if self.last == "main" and self.main is not None:
            self.main = self.main._replace(replace=module)
        elif self.last == "dep":
            self.modules[-1] = self.modules[-1]._replace(replace=module)
        else:
            raise _BadLine
        self.last = ""

    def take_setting(self, rest: str) -> None:
        if rest[:1] in ('"', "`"):
            end = _quoted_end(rest)
            key, value = unquote(rest[:end]), rest[end:]
            if value[:1] != "=":
                raise _BadLine
            value = value[1:]
        else:
            key, equals, value = rest.partition("=")
            if not equals or not key or re.search(r'[ \t\r"`]', key):
                raise _BadLine
        if value[:1] in ('"', "`"):
            value = unquote(value)
        elif re.search(r'[ \t\r"`]', value):
            raise _BadLine
        self.settings.append((key, value))


_HANDLERS: dict[str, Any] = {
    "path": _Parsed.take_path,
    "mod": _Parsed.take_main,
    "dep": _Parsed.take_dep,
    "=>": _Parsed.take_replacement,
    "build": _Parsed.take_setting,
}


def _module(rest: str, columns: tuple[int, ...]) -> Module:
    elements = rest.split("\t")
    if len(elements) not in columns:
        raise _BadLine
    return Module(elements[0], elements[1], elements[2] if len(elements) == 3 else "")


def _quoted_end(text: str) -> int:
    position = 1
    while position < len(text):
        if text[position] == text[0]:
            return position + 1
        position += 2 if text[0] == '"' and text[position] == "\\" else 1
    raise _BadLine


def unquote(text: str) -> str:
    """A Go string literal, interpreted or raw."""
    if len(text) < 2 or text[0] != text[-1]:
        raise _BadLine
    body = text[1:-1]
    if text[0] == "`":
        if "`" in body:
            raise _BadLine
        return body.replace("\r", "")
    out = bytearray()
    position = 0
    while position < len(body):
        match = _TOKEN.match(body, position)
        if match is None:
            raise _BadLine
        out += _unescape(match)
        position = match.end()
    return out.decode("utf-8", "replace")


def _unescape(match: re.Match[str]) -> bytes:
    simple, hexadecimal, octal, short, long, plain = match.groups()
    if plain is not None:
        return plain.encode("utf-8", "replace")
    if simple is not None:
        return _ESCAPES[simple].encode()
    if hexadecimal is not None:
        return bytes([int(hexadecimal, 16)])
    if octal is not None:
        if int(octal, 8) > 255:
            raise _BadLine
        return bytes([int(octal, 8)])
    code = int(short or long, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise _BadLine
    return chr(code).encode()
