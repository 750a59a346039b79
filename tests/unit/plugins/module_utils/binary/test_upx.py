# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import lzma
import struct

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import elf as _elf
from ansible_collections.slipway.go.plugins.module_utils._binary import program, upx
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import GLIBC, glibc_root


class Bits:
    """Writes bits into 32-bit words, each word where the first of its bits is needed, between whole bytes."""

    def __init__(self) -> None:
        self.out = bytearray()
        self.word_at = 0
        self.count = 32

    def bit(self, value: int) -> None:
        if self.count == 32:
            self.word_at = len(self.out)
            self.out += bytes(4)
            self.count = 0
        (word,) = struct.unpack_from("<I", self.out, self.word_at)
        struct.pack_into("<I", self.out, self.word_at, word | value << (31 - self.count))
        self.count += 1

    def byte(self, value: int) -> None:
        self.out.append(value)

    def count_2b(self, value: int) -> None:
        """Each further bit but the last is followed by 0."""
        digits = bin(value)[3:]
        for index, digit in enumerate(digits):
            self.bit(int(digit))
            self.bit(int(index == len(digits) - 1))


def nrv2b(data: bytes) -> bytes:
    """Literals, and a run of the byte before where there is one."""
    bits = Bits()
    position = 0
    while position < len(data):
        run = 1
        while position and run < 40 and data[position : position + run] == data[position - 1 : position] * run:
            run += 1
        run -= 1
        if run >= 8 and position + run <= len(data):
            bits.bit(0)
            bits.count_2b(3)  # distance 1: (3 - 3) * 256 + 0 + 1
            bits.byte(0)
            length = run - 1  # what is copied is one more
            bits.bit(0)
            bits.bit(0)
            bits.count_2b(length - 2)
            position += run
        else:
            bits.bit(1)
            bits.byte(data[position])
            position += 1
    bits.bit(0)
    bits.count_2b(0x1000002)  # (code - 3) * 256 + 255 is 2**32 - 1: the end
    bits.byte(0xFF)
    return bytes(bits.out)


def raw_lzma(data: bytes) -> bytes:
    options = {"id": lzma.FILTER_LZMA1, "lc": 3, "lp": 0, "pb": 2, "dict_size": 1 << 16}
    return bytes([2, 3]) + lzma.compress(data, lzma.FORMAT_RAW, filters=[options])


PACKERS = {upx.NRV2B: nrv2b, upx.LZMA: raw_lzma}


def pack(blob: bytes, method: int, path) -> str:
    """As UPX lays it out: a stub's headers, its own three headers, the original headers, then segment by segment."""
    path.write_bytes(blob)
    elf = _elf.read_elf(str(path))
    head = 64 + 56 * len(elf.segments)
    pieces = [blob[:head]]
    for segment in elf.segments:
        if segment.type == _elf.PT_LOAD:
            start = max(segment.offset, head) if segment.offset == 0 else segment.offset
            pieces.append(blob[start : segment.offset + segment.filesz])
    stub = ElfBuilder(type=elf.header.type).build()
    stub = bytearray(stub[: 64 + 56 * 2])
    struct.pack_into("<H", stub, 56, 2)
    out = bytes(stub) + struct.pack("<I4sHBB", 0, b"UPX!", 0, 13, 22) + struct.pack("<III", 0, len(blob), len(blob))
    for piece in pieces:
        packed = PACKERS[method](piece)
        if len(packed) >= len(piece):
            packed = piece
        out += struct.pack("<IIBBBB", len(piece), len(packed), method, 0, 0, 0) + packed
    out = bytearray(out)
    for field in (32, 40):  # the stub's first segment spans the file, its second is empty
        struct.pack_into("<Q", out, 64 + field, len(out))
        struct.pack_into("<Q", out, 64 + 56 + field, 0)
    struct.pack_into("<I", out, 64 + 56, 1)
    path.write_bytes(bytes(out))
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("method", PACKERS)
def test_what_is_inside(tmp_path, method):
    spec = ElfBuilder(
        interpreter=GLIBC,
        needed=["libc.so.6", "libgone.so"],
        verneed={"libc.so.6": ["GLIBC_2.34"]},
        body=inline("go1.22.3", "path\tp\n") + bytes(5000),
    )
    plain = ElfBuilder(**spec.__dict__).write(tmp_path / "plain")
    expected = _elf.read_elf(str(plain))
    packed = pack(plain.read_bytes(), method, tmp_path / "packed")
    assert _elf.read_elf(packed).interpreter is None
    with program.open_program(packed) as opened:
        assert opened.packed
        assert opened.elf._replace(path="", size=0) == expected._replace(path="", size=0)


@pytest.mark.parametrize("method", PACKERS)
def test_a_packed_program_is_judged_by_what_is_inside(tmp_path, method):
    root = glibc_root(tmp_path)
    app = ElfBuilder(interpreter=GLIBC, needed=["libgone.so"], body=bytes(5000)).build()
    pack(app, method, tmp_path / "app")
    verdict = root.check()
    assert (verdict["class"], verdict["interpreter"]) == ("dynamic", GLIBC)
    assert [problem["code"] for problem in verdict["problems"]] == ["library_missing"]
    pack(ElfBuilder(type=EXEC, body=inline("go1.22.3", "path\tp\n")).build(), method, tmp_path / "app")
    assert root.check()["class"] == "static"
    assert root.codes() == []


def outcome(path) -> str:
    try:
        with program.open_program(str(path)):
            return "opened"
    except _elf.ElfError as error:
        return error.code


@pytest.mark.parametrize("method", PACKERS)
def test_damage_has_a_code(tmp_path, method):
    path = tmp_path / "packed"
    blob = ElfBuilder(interpreter=GLIBC, needed=["libc.so.6"], body=bytes(3000)).build()
    pack(blob, method, path)
    whole = path.read_bytes()
    start = whole.index(b"UPX!") + 8
    for position in range(start, len(whole), 3):
        damaged = bytearray(whole)
        damaged[position] ^= 0x55
        path.write_bytes(damaged)
        assert outcome(path) in ("opened", "packed", "malformed", "truncated", "not_elf", "too_large_table")


def test_unknown_methods_and_sizes(tmp_path):
    path = tmp_path / "packed"
    pack(ElfBuilder(type=EXEC, body=bytes(3000)).build(), upx.NRV2B, path)
    whole = bytearray(path.read_bytes())
    at = whole.index(b"UPX!") + 8 + 12
    for offset, value in ((8, 99), (3, 0x7F)):
        damaged = bytearray(whole)
        damaged[at + offset] = value
        path.write_bytes(damaged)
        with pytest.raises(_elf.ElfError) as caught, program.open_program(str(path)):
            pass
        assert caught.value.code == "packed"
        assert "upx -d" in caught.value.fix


def test_headers_that_point_far_away(tmp_path):
    path = tmp_path / "packed"
    pack(ElfBuilder(type=EXEC, body=bytes(3000)).build(), upx.NRV2B, path)
    whole = path.read_bytes()
    at = whole.index(b"UPX!") + 8 + 12
    size, packed = struct.unpack_from("<II", whole, at)
    with program.open_program(str(path)) as opened:
        headers = bytearray(opened.reader.read(0, size))
    struct.pack_into("<Q", headers, 32, 2**64 - 1)
    block = struct.pack("<IIBBBB", size, size, upx.NRV2B, 0, 0, 0) + headers
    path.write_bytes(whole[:at] + block + whole[at + 12 + packed :])
    assert outcome(path) == "packed"
