# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files made to cost much: each table as large as the file may claim, every name as long as it may be."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import elf as _elf
from ansible_collections.slipway.go.plugins.module_utils._binary import facts
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import (
    BASE,
    EXEC,
    ElfBuilder,
    Symbol,
    read_elf,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import GLIBC, glibc_root

LIMIT = 100 << 20
GIB = 1 << 30


def dynamic(entries, tail: bytes) -> bytes:
    """A program whose dynamic section follows its headers, and whatever it points at after that."""
    blob = bytearray(ElfBuilder(interpreter=GLIBC, dynamic=True).build())
    header = _elf.LAYOUTS[64, "little"]
    start = len(blob) + (-len(blob) % 16)
    table_size = 16 * (len(entries) + 1)
    first = BASE + start + table_size
    rows = b"".join(struct.pack("<QQ", tag, value(first) if callable(value) else value) for tag, value in entries)
    blob += bytes(start - len(blob)) + rows + bytes(16) + tail
    for number in range(8):
        at = 64 + number * 56
        fields = list(header.segment.unpack_from(blob, at))
        if fields[0] == _elf.PT_LOAD:
            fields[5] = fields[6] = len(blob)
        if fields[0] == _elf.PT_DYNAMIC:
            fields[2:7] = start, BASE + start, BASE + start, table_size, table_size
        header.segment.pack_into(blob, at, *fields)
    return bytes(blob)


def many_versions() -> bytes:
    """Every record names the same 4,000 bytes."""
    count = 60000
    text = b"x" * 4000 + b"\0"
    records = b"".join(
        struct.pack("<HHIII", 1, 1, 0, 16, 32) + struct.pack("<IHHII", 0, 0, 2, 0, 0) for _n in range(count)
    )
    return dynamic(
        [(5, lambda first: first), (10, len(text)), (0x6FFFFFFE, lambda first: first + len(text)), (0x6FFFFFFF, count)],
        text + records,
    )


def many_needed() -> bytes:
    text = b"y" * 4000 + b"\0"
    return dynamic([(1, 0)] * 4000 + [(5, lambda first: first), (10, len(text))], text)


def many_symbols() -> bytes:
    count = 1 << 20
    text = b"\0" + b"z" * 100 + b"\0"
    symbols = struct.pack("<IBBHQQ", 1, 0x12, 0, 1, 0, 0) * count
    return dynamic(
        [
            (5, lambda first: first),
            (10, len(text)),
            (6, lambda first: first + len(text)),
            (4, lambda first: first + len(text) + len(symbols)),
        ],
        text + symbols + struct.pack("<II", 1, count),
    )


def many_relocations() -> bytes:
    rows = b"".join(struct.pack("<QQQ", 0, n << 32 | 6, 0) for n in range(1 << 19))
    return dynamic([(5, lambda first: first), (7, lambda first: first), (8, len(rows)), (9, 24)], rows)


def many_sections() -> bytes:
    names = b"n" * 100000 + b"\0"
    blob = bytearray(ElfBuilder(type=EXEC, body=b"x").build())
    at = len(blob)
    row = struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, at, len(names), 0, 0, 1, 0)
    blob += names + row * 60000
    struct.pack_into("<Q", blob, 40, at + len(names))
    struct.pack_into("<HHH", blob, 58, 64, 60000, 0)
    return bytes(blob)


def many_modules() -> bytes:
    return ElfBuilder(type=EXEC, body=inline("go1.22", "dep\ta\tv\n" * 2_000_000)).build()


def many_modules_just_allowed() -> bytes:
    return ElfBuilder(type=EXEC, body=inline("go1.22", "dep\ta\tv\n" * 110_000)).build()


def a_long_search() -> bytes:
    """A writable segment of a gibibyte that holds no build info."""
    blob = bytearray(ElfBuilder(type=EXEC, body=b"x" * 4096).build())
    for number in range(8):
        at = 64 + number * 56
        fields = list(struct.unpack_from("<IIQQQQQQ", blob, at))
        if fields[0] == 1 and fields[1] & 2:
            fields[5] = fields[6] = GIB - fields[2]
            struct.pack_into("<IIQQQQQQ", blob, at, *fields)
    return bytes(blob)


def many_notes() -> bytes:
    return ElfBuilder(type=EXEC, notes=[("G" * 200, n, b"d" * 20) for n in range(250)]).build()


BOMBS = [
    many_versions, many_needed, many_symbols, many_relocations, many_sections, many_modules, many_modules_just_allowed,
    a_long_search, many_notes,
]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
@pytest.mark.parametrize("size", [0, GIB], ids=["as it is", "a gibibyte"])
def test_bounded(tmp_path, bomb, size):
    root = glibc_root(tmp_path)
    path = tmp_path / "app"
    path.write_bytes(bomb())
    path.chmod(0o755)
    if size or bomb is a_long_search:
        os.truncate(path, GIB)
    tracemalloc.start()
    started = time.monotonic()
    try:
        root.check()
        describe(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < LIMIT
    assert time.monotonic() - started < 60  # with tracemalloc, which is slow; it takes a second without


def describe(path) -> None:
    try:
        facts.read_binary(str(path), checksum=False)
    except _elf.ElfError as error:
        assert error.code in ("too_large_table", "malformed", "truncated")  # noqa: PT017


def test_a_library_too_large_to_look_into_is_not_held_against_the_program(tmp_path):
    root = glibc_root(tmp_path)
    root.lib("/usr/lib/libx.so", symbols=[Symbol("here")])
    blob = bytearray((tmp_path / "usr/lib/libx.so").read_bytes())
    root.app("libx.so", symbols=[Symbol("gone", False)], bind_now=True)
    assert root.codes() == ["symbol_missing"]
    elf = read_elf(tmp_path / "usr/lib/libx.so")
    struct.pack_into("<I", blob, elf.offset_of(elf.dynamic.values[4]) + 4, 1 << 24)
    (tmp_path / "usr/lib/libx.so").write_bytes(blob)
    assert root.codes() == []
