# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import struct
import sys
import threading

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import elf as _elf
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import (
    CORE,
    EXEC,
    REL,
    ElfBuilder,
    read_elf,
)

LOADER = "/lib64/ld-linux-x86-64.so.2"
PIE = 0x08000000


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (ElfBuilder(type=EXEC), "static"),
        (ElfBuilder(flags_1=PIE), "static-pie"),
        (ElfBuilder(dynamic=True), "static-pie"),
        (ElfBuilder(interpreter=LOADER), "interpreter-only"),
        (ElfBuilder(interpreter=LOADER, dynamic=True, flags_1=PIE), "interpreter-only"),
        (ElfBuilder(interpreter=LOADER, needed=["libc.so.6"]), "dynamic"),
        (ElfBuilder(type=EXEC, interpreter=LOADER, needed=["libc.so.6"]), "dynamic"),
        (ElfBuilder(soname="libx.so.1", needed=["libc.so.6"]), "library"),
        (ElfBuilder(soname="libx.so.1"), "library"),
        (ElfBuilder(entry=0), "library"),
        (ElfBuilder(soname="ld-linux-x86-64.so.2"), "static-pie"),
        (ElfBuilder(soname="libc.so.6", interpreter=LOADER, needed=["ld-linux-x86-64.so.2"]), "dynamic"),
        (ElfBuilder(type=REL), "other"),
        (ElfBuilder(type=CORE), "other"),
    ],
)
def test_class(tmp_path, spec, expected):
    assert read_elf(spec.write(tmp_path / "a")).elf_class == expected


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_everything_in_every_layout(tmp_path, bits, endian):
    spec = ElfBuilder(
        bits=bits,
        endian=endian,
        machine=8,
        interpreter="/lib/ld.so.1",
        needed=["libc.so.6", "libm.so.6"],
        rpath="/a:$ORIGIN",
        runpath="/b",
        soname="self",
        verneed={"libc.so.6": ["GLIBC_2.34", ("GLIBC_2.99", True)], "libm.so.6": ["GLIBC_2.0"]},
        verdef=["self", "V_1"],
        notes=[
            ("Go", 4, b"a/b/c/d"),
            ("GNU", 3, b"\xab\xcd"),
            ("GNU", 1, struct.pack(("<" if endian == "little" else ">") + "IIII", 0, 3, 2, 0)),
        ],
    )
    elf = read_elf(spec.write(tmp_path / "a"))
    assert (elf.bits, elf.endian, elf.machine, elf.machine_name, elf.type) == (bits, endian, 8, "MIPS", "dyn")
    assert elf.goarch == "mips" + ("64" if bits == 64 else "") + ("le" if endian == "little" else "")
    assert elf.goos == "linux"
    assert elf.interpreter == "/lib/ld.so.1"
    assert elf.needed == ("libc.so.6", "libm.so.6")
    assert (elf.soname, elf.dynamic.rpath, elf.dynamic.runpath) == ("self", "/a:$ORIGIN", "/b")
    assert tuple((need.library, need.names) for need in elf.dynamic.verneed) == (
        ("libc.so.6", (("GLIBC_2.34", False), ("GLIBC_2.99", True))),
        ("libm.so.6", (("GLIBC_2.0", False),)),
    )
    assert elf.dynamic.verdef == ("self", "V_1")
    assert elf.notes.go_build_id == "a/b/c/d"
    assert elf.notes.gnu_build_id == "abcd"
    assert elf.notes.min_kernel == (3, 2, 0)


@pytest.mark.parametrize(
    ("spec", "goos"),
    [
        (ElfBuilder(type=EXEC, osabi=9), "freebsd"),
        (ElfBuilder(type=EXEC, osabi=12), "openbsd"),
        (ElfBuilder(type=EXEC, osabi=2), "netbsd"),
        (ElfBuilder(type=EXEC, notes=[("DragonFly", 1, b"\0\0\0\0")]), "dragonfly"),
        (ElfBuilder(interpreter="/system/bin/linker64"), "android"),
        (ElfBuilder(type=EXEC, osabi=3), "linux"),
        (ElfBuilder(type=EXEC, osabi=77), None),
    ],
)
def test_goos(tmp_path, spec, goos):
    assert read_elf(spec.write(tmp_path / "a")).goos == goos


def code_of(path) -> str:
    with pytest.raises(_elf.ElfError) as caught:
        read_elf(path)
    assert str(path) in caught.value.message or repr(str(path)) in caught.value.message
    return caught.value.code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"\x7f", "truncated"),
        (b"\x7fELF", "truncated"),
        (b"\x7fELF\x02\x01\x01" + bytes(40), "truncated"),
        (b"#!/bin/sh\n", "not_elf"),
        (b"MZ" + bytes(100), "not_elf"),
        (b"GARBAGE" * 100, "not_elf"),
        (b"\x7fELF\x03\x01\x01" + bytes(100), "malformed"),
        (b"\x7fELF\x02\x03\x01" + bytes(100), "malformed"),
    ],
)
def test_not_elf(tmp_path, content, code):
    path = tmp_path / "a"
    path.write_bytes(content)
    assert code_of(path) == code


def test_no_file_no_directory_no_fifo_no_device(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    assert code_of(tmp_path / "absent") == "not_found"
    assert code_of(tmp_path) == "not_regular"
    assert code_of(tmp_path / "fifo") == "not_regular"
    assert code_of("/dev/null") == "not_regular"
    assert code_of(tmp_path / "loop") == "unreadable"
    assert code_of("a\0b") == "not_found"


def test_every_truncation_has_a_code(tmp_path):
    whole = ElfBuilder(interpreter=LOADER, needed=["libc.so.6"], verneed={"libc.so.6": ["GLIBC_2.34"]}).build()
    path = tmp_path / "a"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert code_of(path) in ("empty", "truncated")


def patched(blob: bytes, offset: int, layout: str, *values: int) -> bytes:
    data = bytearray(blob)
    struct.pack_into(layout, data, offset, *values)
    return bytes(data)


def test_counts_are_bounded(tmp_path):
    path = tmp_path / "a"
    plain = ElfBuilder(type=EXEC).build()
    path.write_bytes(patched(plain, 56, "<H", 0xFFFF))
    assert code_of(path) == "too_large_table"
    path.write_bytes(patched(plain, 54, "<H", 1))
    assert code_of(path) == "malformed"
    path.write_bytes(patched(plain, 32, "<Q", 2**64 - 1))
    assert code_of(path) == "truncated"


def test_version_records_that_never_end(tmp_path):
    spec = ElfBuilder(needed=["libc.so.6"], verneed={"libc.so.6": ["GLIBC_2.34"]})
    blob = spec.build()
    at = blob.index(struct.pack("<HH", 1, 1), 512)
    path = tmp_path / "a"
    # Each record points one byte on, through a gibibyte of nothing.
    path.write_bytes(patched(blob, at + 12, "<I", 2**32 - 1))
    assert code_of(path) == "truncated"


def test_a_sparse_gibibyte_costs_nothing(tmp_path):
    path = ElfBuilder(type=EXEC).write(tmp_path / "a")
    os.truncate(path, 1 << 30)
    assert read_elf(path).elf_class == "static"
    empty = tmp_path / "b"
    empty.touch()
    os.truncate(empty, 1 << 30)
    assert code_of(empty) == "not_elf"


def test_a_file_that_shrinks_while_it_is_read(tmp_path):
    path = ElfBuilder(interpreter=LOADER, needed=["libc.so.6"]).write(tmp_path / "a")
    with _elf.Reader(str(path)) as reader:
        os.truncate(path, 100)
        with pytest.raises(_elf.ElfError) as caught:
            _elf.parse_elf(reader)
    assert caught.value.code == "truncated"


def answer(path) -> str:
    try:
        return read_elf(path).elf_class
    except _elf.ElfError as error:
        return error.code


def test_a_file_swapped_back_and_forth_gives_an_answer_or_a_code(tmp_path):
    path = tmp_path / "a"
    blob = ElfBuilder(interpreter=LOADER, needed=["libc.so.6"], body=bytes(50000)).build()
    path.write_bytes(blob)
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            os.truncate(path, 60)
            path.write_bytes(blob)

    worker = threading.Thread(target=churn)
    worker.start()
    try:
        seen = {answer(path) for _try in range(300)}
    finally:
        stop.set()
        worker.join()
    assert seen <= {"dynamic", "empty", "truncated"}


def test_strange_bytes_in_names_survive(tmp_path):
    spec = ElfBuilder(needed=["libX.so"])
    path = tmp_path / "a"
    path.write_bytes(spec.build().replace(b"libX.so\0", b"li\xff\xfe.s\0\0"))
    assert os.fsencode(read_elf(path).needed[0]) == b"li\xff\xfe.s"


def test_sections_are_optional(tmp_path):
    path = ElfBuilder(type=EXEC).write(tmp_path / "a")
    with _elf.Reader(str(path)) as reader:
        elf = _elf.parse_elf(reader)
        assert _elf.read_sections(reader, elf.header) == ()
    path.write_bytes(patched(path.read_bytes(), 40, "<Q", 10))
    with _elf.Reader(str(path)) as reader:
        assert _elf.read_sections(reader, elf.header._replace(shoff=10, shentsize=64, shnum=0xFFFF)) == ()
    with _elf.Reader(sys.executable) as reader:
        elf = _elf.parse_elf(reader)
        assert ".dynstr" in [section.name for section in _elf.read_sections(reader, elf.header)]
