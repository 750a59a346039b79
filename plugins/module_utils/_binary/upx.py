# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks into programs packed by UPX, without running them. This file is PRIVATE to the collection.

A packed program looks static whatever it is: its stub loads the interpreter by itself. The original headers come
first, in a block of their own, and every segment in blocks that unpack independently; so no more is unpacked than
is asked for.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

try:
    import lzma
except ImportError:  # python3-minimal
    lzma = None  # type: ignore[assignment]

from .elf import LAYOUTS, PT_LOAD, Elf, ElfError, Reader, Segment

MAGIC = b"UPX!"
NRV2B, NRV2D, NRV2E, LZMA = 2, 5, 8, 14
MAX_BLOCKS = 4096
MAX_HEADERS = 65536
MAX_SLOW = 4 << 20  # about three seconds of NRV in Python
MAX_FAST = 64 << 20
MAX_PACKED_BLOCK = 256 << 20


class Block(NamedTuple):
    """One compressed piece. at: where its bytes begin in the packed file."""

    size: int
    packed: int
    method: int
    at: int


def _damaged(path: str, what: str) -> ElfError:
    return ElfError(
        "packed", f"{path}: packed by UPX, and {what}.", "release the program itself, or unpack it with upx -d."
    )


def find_upx(reader: Reader, elf: Elf) -> Optional[int]:
    """Where UPX's own header is, right behind the program headers."""
    end = elf.header.phoff + elf.header.phnum * elf.header.phentsize
    try:
        window = reader.read(end, min(64, reader.size - end))
    except ElfError:
        return None
    at = window.find(MAGIC)
    return end + at if at >= 0 else None


def unpack(reader: Reader, elf: Elf, at: int) -> UpxReader:
    """A reader of the original file. ElfError with code packed where it cannot be had."""
    order = "<" if elf.endian == "little" else ">"
    start = at + 8
    _program, size, _block_size = reader.unpack(struct.Struct(order + "III"), start)
    blocks = _blocks(reader, struct.Struct(order + "IIBBBB"), start + 12)
    if not blocks or blocks[0].size > MAX_HEADERS:
        raise _damaged(reader.path, "its first block makes no sense")
    return UpxReader(reader, elf, size, blocks)


def _blocks(reader: Reader, layout: struct.Struct, at: int) -> list[Block]:
    found: list[Block] = []
    while len(found) < MAX_BLOCKS and at + layout.size <= reader.size:
        size, packed, method, _filter, _cto, _unused = reader.unpack(layout, at)
        at += layout.size
        if size == 0 or packed == 0 or packed > size or at + packed > reader.size or packed > MAX_PACKED_BLOCK:
            break
        found.append(Block(size, packed, method, at))
        at += packed
    return found


class UpxReader(Reader):
    """The original file, as far as its segments go."""

    def __init__(self, outer: Reader, elf: Elf, size: int, blocks: list[Block]) -> None:
        # Not Reader's own __init__: there is no second file to open.
        self.path = outer.path
        self.size = size
        self.status = outer.status
        self._outer = outer
        self._decoders: dict[int, _Decoder] = {}
        self._spent = [0]
        self._start_cache()
        self._pieces = [(0, 0, blocks[0].size, blocks[0])]
        self._place(elf, blocks)

    def _place(self, elf: Elf, blocks: list[Block]) -> None:
        """Blocks follow each other as the segments do; the first segment begins behind the headers."""
        headers = self._from_block(blocks[0], 0, blocks[0].size)
        segments = _original_segments(self.path, elf, headers)
        rest = iter(blocks[1:])
        for segment in segments:
            position = max(segment.offset, blocks[0].size if segment.offset == 0 else 0)
            end = segment.offset + segment.filesz
            while position < end:
                block = next(rest, None)
                if block is None:
                    return
                self._pieces.append((position, 0, min(block.size, end - position), block))
                position += block.size

    def _pread(self, offset: int, size: int) -> bytes:
        found = bytearray()
        while len(found) < size:
            position = offset + len(found)
            piece = next((p for p in self._pieces if p[0] <= position < p[0] + p[2]), None)
            if piece is None:
                # Between segments: nothing that runs looks there.
                following = [p[0] for p in self._pieces if p[0] > position]
                found += bytes(min(size - len(found), min(following, default=position + 4096) - position))
                continue
            start = position - piece[0]
            take = min(size - len(found), piece[2] - start)
            found += self._from_block(piece[3], start, take)
        return bytes(found)

    def _from_block(self, block: Block, start: int, size: int) -> bytes:
        if block.packed == block.size:
            return self._outer.read(block.at + start, size)
        decoder = self._decoders.get(block.at)
        if decoder is None:
            decoder = self._decoders[block.at] = _decoder(self.path, self._outer, block, self._spent)
        return decoder.take(start, size)


def _original_segments(path: str, elf: Elf, headers: bytes) -> list[Segment]:
    layout = LAYOUTS[elf.bits, elf.endian]
    try:
        fields = layout.header.unpack_from(headers, 16)
        phoff, phentsize, phnum = fields[4], fields[8], fields[9]
        if not headers.startswith(b"\x7fELF") or phentsize != layout.segment.size or phoff > len(headers):
            raise _damaged(path, "what it holds is no ELF file")
        rows = [layout.segment.unpack_from(headers, phoff + number * phentsize) for number in range(phnum)]
    except struct.error as error:
        raise _damaged(path, "its headers are damaged") from error
    if elf.bits == 64:
        return [Segment(t, f, o, v, fs, ms, a) for t, f, o, v, _p, fs, ms, a in rows if t == PT_LOAD]
    return [Segment(t, f, o, v, fs, ms, a) for t, o, v, _p, fs, ms, f, a in rows if t == PT_LOAD]


class _Decoder:
    """Unpacks one block from its start as far as it must."""

    def __init__(self, path: str, block: Block) -> None:
        self.path = path
        self.block = block
        self.out = bytearray()

    def take(self, start: int, size: int) -> bytes:
        end = start + size
        if end > self.block.size:
            raise _damaged(self.path, "a block is too short")
        if len(self.out) < end:
            try:
                self.extend(end)
            except (IndexError, EOFError) as error:
                raise _damaged(self.path, "a block is damaged") from error
        if len(self.out) < end:
            raise _damaged(self.path, "a block ends too early")
        return bytes(self.out[start:end])

    def extend(self, end: int) -> None:
        raise NotImplementedError


def _decoder(path: str, outer: Reader, block: Block, spent: list[int]) -> _Decoder:
    if block.method == LZMA:
        return _Lzma(path, outer, block)
    if block.method in (NRV2B, NRV2D, NRV2E):
        return _Nrv(path, outer, block, spent)
    raise _damaged(path, f"compression method {block.method} is not known")


class _Lzma(_Decoder):
    """A raw LZMA stream behind two bytes that hold its three parameters."""

    def __init__(self, path: str, outer: Reader, block: Block) -> None:
        super().__init__(path, block)
        if lzma is None:
            raise _damaged(path, "this host's Python has no lzma module")
        if block.size > MAX_FAST or block.packed < 3:
            raise _damaged(path, f"a block of {block.size} bytes is too large")
        data = outer.read(block.at, block.packed)
        lp, lc = data[1] >> 4, data[1] & 15
        options = {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": data[0] & 7, "dict_size": max(block.size, 4096)}
        try:
            self._stream = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])
        except (lzma.LZMAError, ValueError) as error:
            raise _damaged(path, "a block is damaged") from error
        self._data = data[2:]

    def extend(self, end: int) -> None:
        while len(self.out) < end:
            try:
                piece = self._stream.decompress(self._data, max(end - len(self.out), 65536))
            except lzma.LZMAError as error:
                raise _damaged(self.path, "a block is damaged") from error
            self._data = b""
            if not piece:
                return
            self.out += piece[: self.block.size - len(self.out)]


class _Nrv(_Decoder):
    """The three variants differ in how they write distances and lengths. Bits come in 32-bit words between bytes."""

    def __init__(self, path: str, outer: Reader, block: Block, spent: list[int]) -> None:
        super().__init__(path, block)
        self._data = outer.read(block.at, block.packed)
        self._at = 0
        self._word = 0
        self._bits = 0
        self._last = 1
        self._ended = False
        self._spent = spent

    def extend(self, end: int) -> None:
        before = len(self.out)
        if self._spent[0] + end - before > MAX_SLOW:
            raise _damaged(self.path, "it is too large to look into")
        match = {NRV2B: self._match_b, NRV2D: self._match_d, NRV2E: self._match_e}[self.block.method]
        out, data = self.out, self._data
        while len(out) < end and not self._ended:
            if self._bit():
                out.append(data[self._at])
                self._at += 1
                continue
            distance, length = match()
            if not self._ended:
                self._copy(distance, length)
        self._spent[0] += len(out) - before

    def _copy(self, distance: int, length: int) -> None:
        out = self.out
        start = len(out) - distance
        if start < 0 or len(out) + length > self.block.size:
            raise IndexError
        if distance >= length:
            out += out[start : start + length]
        else:
            pattern = bytes(out[start:])
            out += (pattern * (length // distance + 1))[:length]

    def _bit(self) -> int:
        if self._bits == 0:
            self._word = int.from_bytes(self._data[self._at : self._at + 4], "little")
            if self._at + 4 > len(self._data):
                raise IndexError
            self._at += 4
            self._bits = 32
        self._bits -= 1
        return self._word >> self._bits & 1

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _count(self) -> int:
        """Elias gamma, the other way round: a bit, then whether it was the last."""
        value = 1
        while True:
            value = value * 2 + self._bit()
            if value > 1 << 32:
                raise IndexError
            if self._bit():
                return value

    def _match_b(self) -> tuple[int, int]:
        code = self._count()
        if code == 2:
            distance = self._last
        else:
            code = (code - 3) * 256 + self._byte()
            if code == 0xFFFFFFFF:
                self._ended = True
                return 0, 0
            self._last = distance = code + 1
        length = self._bit() * 2
        length += self._bit()
        if length == 0:
            length = self._count() + 2
        return distance, length + (distance > 0xD00) + 1

    def _distance(self) -> tuple[int, int]:
        """For the two newer variants: the distance, and the first bit of the length."""
        code = 1
        while True:
            code = code * 2 + self._bit()
            if code > 1 << 33:
                raise IndexError
            if self._bit():
                break
            code = (code - 1) * 2 + self._bit()
        if code == 2:
            return self._last, self._bit()
        code = (code - 3) * 256 + self._byte()
        if code == 0xFFFFFFFF:
            self._ended = True
            return 0, 0
        self._last = (code >> 1) + 1
        return self._last, ~code & 1

    def _match_d(self) -> tuple[int, int]:
        distance, length = self._distance()
        if self._ended:
            return 0, 0
        length = length * 2 + self._bit()
        if length == 0:
            length = self._count() + 2
        return distance, length + (distance > 0x500) + 1

    def _match_e(self) -> tuple[int, int]:
        distance, first = self._distance()
        if self._ended:
            return 0, 0
        if first:
            length = 1 + self._bit()
        elif self._bit():
            length = 3 + self._bit()
        else:
            length = self._count() + 3
        return distance, length + (distance > 0x500) + 1
