# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read of an artefact before anybody runs it."""

from __future__ import annotations

import hashlib
import os
import tarfile

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import inspect
from ansible_collections.slipway.go.plugins.module_utils._units.surroundings import Context
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import (
    CORE,
    EXEC,
    REL,
    ElfBuilder,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage import fake_root
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

FREEBSD = 9
HEX = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MIB = 1 << 20


@pytest.fixture
def binary(tmp_path):
    return str(ElfBuilder(type=EXEC).write(tmp_path / "shop"))


def look(path, wanted="", service="shop", limit=MIB, folder="/nowhere"):
    return inspect.look_into(path, path, wanted, service, limit, folder)


def digest_of(path):
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


@pytest.mark.parametrize(
    ("machine", "bits", "endian", "goarch"),
    [(62, 64, "little", "amd64"), (183, 64, "little", "arm64"), (3, 32, "little", "386"), (22, 64, "big", "s390x")],
)
def test_what_a_binary_says_of_itself(tmp_path, machine, bits, endian, goarch):
    path = str(ElfBuilder(type=EXEC, machine=machine, bits=bits, endian=endian).write(tmp_path / "shop"))
    seen = look(path)
    assert (seen.binary.facts["sha256"], seen.binary.facts["size"], seen.binary.elf.goarch) == (
        digest_of(path),
        os.path.getsize(path),
        goarch,
    )


@pytest.mark.parametrize(
    "spec",
    [ElfBuilder(), ElfBuilder(interpreter="/lib64/ld-linux-x86-64.so.2", needed=["libc.so.6"]), ElfBuilder(osabi=3)],
    ids=["pie", "cgo", "gnu"],
)
def test_binaries_that_run(tmp_path, spec):
    assert look(str(spec.write(tmp_path / "shop"))).binary.elf.goarch == "amd64"


@pytest.mark.parametrize(
    "spec",
    [
        ElfBuilder(type=REL),
        ElfBuilder(type=CORE),
        ElfBuilder(soname="libshop.so.1", needed=["libc.so.6"]),
        ElfBuilder(type=EXEC, osabi=FREEBSD),
    ],
    ids=["object file", "core dump", "library", "FreeBSD"],
)
def test_elf_files_that_do_not_run(tmp_path, spec):
    path = str(spec.write(tmp_path / "shop"))
    refused(lambda: look(path), "not_executable", "release_src", path, "GOOS=linux")


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"#!/bin/sh\necho no\n", "not_elf"),
        (b"MZ\x90\0 for windows", "not_elf"),
        (b"", "empty"),
        (b"\x7fELF", "truncated"),
        (b"\x7fELF" + b"\xff" * 200, "malformed"),
    ],
)
def test_files_that_are_no_binary(tmp_path, content, code):
    path = tmp_path / "shop"
    path.write_bytes(content)
    refused(lambda: look(str(path)), code, "release_src", str(path), "not a Linux executable", "archive")


def test_a_binary_that_was_cut_short(tmp_path, binary):
    path = tmp_path / "half"
    with open(binary, "rb") as whole:
        path.write_bytes(whole.read(100))
    refused(lambda: look(str(path)), "truncated", "release_src")


@pytest.mark.parametrize("form", ["{}", "sha256:{}", "SHA256:{}", " sha256:{} ", "sha256:{}\n"])
@pytest.mark.parametrize("value", [HEX, HEX.upper()])
def test_checksum_forms(form, value):
    assert inspect.parse_checksum(form.format(value)) == HEX


@pytest.mark.parametrize("form", ["{}", "sha512:{}", "SHA512:{}"])
def test_the_longer_checksum(form):
    assert inspect.parse_checksum(form.format(HEX * 2)) == HEX * 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:" + HEX * 2,
        "sha256:",
        HEX[:-1],
        HEX + "0",
        "md5:" + HEX,
        "sha512:" + HEX,
        ":" + HEX,
        HEX[:-1] + "g",
        "x sha256:",
    ],
)
def test_bad_checksums(text):
    refused(lambda: inspect.parse_checksum(text), "invalid_checksum", "release_checksum", repr(text))


@pytest.mark.parametrize("text", ["SHA256SUMS", "dist/SHA256SUMS", "shop.sha256", "https://h/x:y/SUMS", "./abc"])
def test_what_may_be_a_checksums_file(text):
    assert inspect.parse_checksum(text) is None


@pytest.fixture
def against(tmp_path, monkeypatch):
    """What a host of files has against a program, bare or in an archive."""
    root = fake_root.glibc_root(tmp_path / "root")
    monkeypatch.setattr(inspect, "read_host", fake_root.host)
    monkeypatch.setattr(inspect, "own_context", lambda: Context(View(str(root.path), None, "/"), {}))

    def judge(spec, packed):
        root.elf("/program", **spec)
        path = str(root.path / "program")
        if packed:
            with tarfile.open(tmp_path / "shop.tar", "w") as tape:
                tape.add(path, "shop")
            path = str(tmp_path / "shop.tar")
        seen = look(path, folder=str(tmp_path))
        return [problem.code for problem in inspect.against_host(seen._replace(program="/program"))]

    return judge


OWN = {"interpreter": fake_root.GLIBC, "needed": ["libown.so"]}


@pytest.mark.parametrize("way", ["runpath", "rpath"])
@pytest.mark.parametrize("text", ["$ORIGIN/../assets/lib", "/none:${ORIGIN}/../assets/lib"])
def test_libraries_that_an_archive_brings_are_looked_for_where_it_is_staged(against, way, text):
    assert against({**OWN, way: text}, packed=True) == []
    assert against({**OWN, way: text}, packed=False) == ["library_missing"]


@pytest.mark.parametrize(
    "spec", [OWN, {**OWN, "runpath": "/opt/lib"}, {**OWN, "interpreter": "/lib64/ld-nowhere.so.9"}]
)
def test_libraries_that_an_archive_does_not_bring_are_missed(against, spec):
    assert len(against(spec, packed=True)) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"interpreter": "/lib64/ld-nowhere.so.9"}, "interpreter_missing"),
        ({"needed": ["libown.so", "libc.so.6"], "verneed": {"libc.so.6": ["GLIBC_9.9"]}}, "version_missing"),
    ],
)
def test_what_else_is_wrong_with_a_program_that_has_its_own_libraries_is_found(against, changes, code):
    assert against({**OWN, "runpath": "$ORIGIN/../assets/lib", **changes}, packed=True) == [code]
