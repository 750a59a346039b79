# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import elf, go_build_info
from ansible_collections.slipway.go.plugins.module_utils._binary.go_build_info import Module
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import (
    BASE,
    EXEC,
    ElfBuilder,
    read_elf,
)

TEXT = (
    "path\texample.com/shop/cmd/shop\n"
    "mod\texample.com/shop\tv1.4.2\th1:abc=\n"
    "dep\tgolang.org/x/sys\tv0.20.0\th1:def=\n"
    "dep\texample.com/old\tv1.0.0\n"
    "=>\t../local\t(devel)\t\n"
    'build\t-ldflags="-s -w -X \'main.v=\\"1\\"\'"\n'
    "build\tCGO_ENABLED=0\n"
    "build\tvcs.modified=false\n"
    "build\tEMPTY=\n"
    "unknown\tline\n"
)


def framed(text: str) -> bytes:
    return b"\x30" * 16 + text.encode() + b"\x31" * 16


def uvarint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def inline(version: str, text: str, before: bytes = b"") -> bytes:
    header = before + go_build_info.MAGIC + bytes([8, 2]) + bytes(16)
    raw = framed(text) if text else b""
    return header + uvarint(len(version)) + version.encode() + uvarint(len(raw)) + raw


def read(path) -> go_build_info.BuildInfo | None:
    with elf.Reader(str(path)) as reader:
        return go_build_info.read_build_info(reader, elf.parse_elf(reader))


def binary(tmp_path, body: bytes, **spec):
    return ElfBuilder(**{"type": EXEC, **spec}, body=body).write(tmp_path / "app")


def test_new_format(tmp_path):
    info = read(binary(tmp_path, inline("go1.22.3", TEXT)))
    assert info.version == "go1.22.3"
    assert info.path == "example.com/shop/cmd/shop"
    assert info.main == Module("example.com/shop", "v1.4.2", "h1:abc=")
    assert info.deps == (
        Module("golang.org/x/sys", "v0.20.0", "h1:def="),
        Module("example.com/old", "v1.0.0", "", Module("../local", "(devel)", "")),
    )
    assert info.deps[1].effective.path == "../local"
    assert info.setting("-ldflags") == "-s -w -X 'main.v=\"1\"'"
    assert info.setting("CGO_ENABLED") == "0"
    assert info.setting("EMPTY") == ""
    assert info.setting("absent") is None
    assert not info.damaged


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("endian", ["little", "big"])
def test_old_format(tmp_path, bits, endian):
    order = {"little": "<", "big": ">"}[endian]
    word, size = ("I", 4) if bits == 32 else ("Q", 8)
    version, text = b"go1.15.9", framed(TEXT)

    def body(start: int) -> bytes:
        strings = start + 64
        data = strings + 4 * size
        header = go_build_info.MAGIC + bytes([size, endian == "big"])
        header += struct.pack(order + word * 2, strings, strings + 2 * size)
        headers = struct.pack(order + word * 4, data, len(version), data + len(version), len(text))
        return header.ljust(64, b"\0") + headers + version + text

    empty = ElfBuilder(type=EXEC, bits=bits, endian=endian, body=bytes(1000)).write(tmp_path / "probe")
    where = next(s for s in read_elf(empty).segments if s.type == elf.PT_LOAD and s.flags & elf.PF_W)
    info = read(binary(tmp_path, body(where.vaddr), bits=bits, endian=endian))
    assert (info.version, info.path, info.setting("CGO_ENABLED")) == (
        "go1.15.9", "example.com/shop/cmd/shop", "0",
    )  # fmt: skip


def test_the_record_may_stand_anywhere_on_a_boundary(tmp_path):
    misaligned = b"x" * 8 + go_build_info.MAGIC + b"x" * 26
    info = read(binary(tmp_path, inline("go1.20", TEXT, misaligned + bytes(3 << 20))))
    assert info.version == "go1.20"


def test_without_modules(tmp_path):
    info = read(binary(tmp_path, inline("go1.24.4", "")))
    assert (info.version, info.path, info.main, info.deps) == ("go1.24.4", "", None, ())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no Go here" * 100,
        go_build_info.MAGIC,
        go_build_info.MAGIC + bytes([8, 2]) + bytes(16),
        go_build_info.MAGIC + bytes([8, 2]) + bytes(16) + b"\xff" * 12,
        go_build_info.MAGIC + bytes([8, 2]) + bytes(16) + uvarint(1 << 60) + b"go1.2",
        go_build_info.MAGIC + bytes([8, 2]) + bytes(16) + uvarint(500) + b"go1.2",
        go_build_info.MAGIC + bytes([3, 0]) + bytes(16),
        go_build_info.MAGIC + bytes([8, 0]) + struct.pack("<QQ", 2**64 - 1, 0),
        go_build_info.MAGIC + bytes([8, 0]) + struct.pack("<QQ", BASE, BASE),
    ],
)
def test_none(tmp_path, body):
    assert read(binary(tmp_path, body)) is None


@pytest.mark.parametrize(
    "line",
    [
        "dep\tonly",
        "dep\ta\tb\tc\td",
        "=>\ta\tv1\th1:",
        "mod\tm\tv1\n=>\ta\tv1",
        "build\t",
        "build\t=x",
        "build\tnoequals",
        "build\ta b=c",
        "build\ta=b c",
        'build\ta="unfinished',
        'build\ta="bad \\q escape"',
        'build\t"key"x=1',
        "build\ta=`raw`tick`",
    ],
)
def test_a_damaged_line_ends_the_reading(line):
    info = go_build_info.parse_build_info("go1.22", f"path\tp\n{line}\nbuild\tLATER=1\n")
    assert info.damaged
    assert info.path == "p"
    assert info.setting("LATER") is None


@pytest.mark.parametrize(
    ("literal", "value"),
    [
        ('"plain"', "plain"),
        ('"tab\\tquote\\"back\\\\"', 'tab\tquote"back\\'),
        ('"\\x41\\101\\u00e9\\U0001F600"', "AA\u00e9\U0001f600"),
        ('"\\xc3\\xa9"', "\u00e9"),
        ('"\\xff"', "\ufffd"),
        ("`raw \\n`", "raw \\n"),
        ("`a\rb`", "ab"),
        ('""', ""),
    ],
)
def test_unquote(literal, value):
    assert go_build_info.unquote(literal) == value


def test_quoted_keys():
    info = go_build_info.parse_build_info("go1.22", 'build\t"a b\\"c"="d e"\nbuild\t`x=y`=z\n')
    assert info.settings == (('a b"c', "d e"), ("x=y", "z"))


def test_what_follows_the_last_newline_is_no_line():
    assert go_build_info.parse_build_info("go1.22", "path\ta\npath\tb").path == "a"
