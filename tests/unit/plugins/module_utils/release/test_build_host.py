# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a manifest says of the host that built an artefact, and which difference to this host matters."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import X86_LEVELS, Cpu
from ansible_collections.slipway.go.plugins.module_utils._host.fingerprint import Fingerprint
from ansible_collections.slipway.go.plugins.module_utils._release import build_host
from ansible_collections.slipway.go.plugins.module_utils._release.build_host import (
    Built,
    Comparison,
    compare,
    read_built,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder

LOADER, MUSL = "/lib64/ld-linux-x86-64.so.2", "/lib/ld-musl-x86_64.so.1"
HERE = Fingerprint("Debian GNU/Linux 12", "6.1.0-38-amd64", "x86_64", "glibc 2.36")
UBUNTU = Built(
    digest="ab" * 32,
    os="Ubuntu 24.04",
    kernel="6.8.0-71-generic",
    architecture="x86_64",
    libc="glibc 2.39",
    toolchain="go1.27.3",
    goarch="amd64",
    level="v1",
    linked="static",
)
CGO = UBUNTU._replace(linked="dynamic", uses="glibc")
MANIFEST = {
    "format": 1,
    "sha256": "ab" * 32,
    "toolchain": "go1.27.3",
    "target": {"goos": "linux", "goarch": "amd64", "level": "v1"},
    "build_host": {"os": "Ubuntu 24.04", "kernel": "6.8.0-71-generic", "architecture": "x86_64", "libc": "glibc 2.39"},
}
V2 = Cpu("GenuineIntel", X86_LEVELS[0] | X86_LEVELS[1])
UNKNOWN = Cpu()
OLD_KERNEL = HERE._replace(kernel="2.6.32-754.el6.x86_64")
ARM = HERE._replace(architecture="armv6l")
ARM64 = HERE._replace(architecture="aarch64")


@pytest.fixture
def artefact(tmp_path):
    path = tmp_path / "shop"
    path.write_bytes(ElfBuilder(type=EXEC, machine=62).build())
    return path


def described(artefact, manifest):
    text = manifest if isinstance(manifest, (str, bytes)) else json.dumps(manifest)
    (artefact.parent / "shop.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_built(str(artefact))


def codes(built, here=HERE, cpu=V2):
    return [difference.code for difference in compare(built, here, cpu)]


def test_what_a_build_has_written_is_read(artefact):
    assert described(artefact, MANIFEST) == UBUNTU


@pytest.mark.parametrize(
    ("spec", "linked", "uses"),
    [
        ({}, "static", ""),
        ({"interpreter": LOADER, "needed": ["libc.so.6"]}, "dynamic", "glibc"),
        ({"interpreter": MUSL, "needed": ["libc.musl-x86_64.so.1"]}, "dynamic", "musl"),
        ({"interpreter": LOADER}, "interpreter-only", ""),
    ],
)
def test_the_program_says_how_it_is_linked(artefact, spec, linked, uses):
    artefact.write_bytes(ElfBuilder(type=EXEC, machine=62, **spec).build())
    found = described(artefact, MANIFEST)
    assert (found.linked, found.uses) == (linked, uses)


def test_of_an_archive_only_its_manifest_is_known(artefact):
    artefact.write_bytes(b"\x1f\x8b an archive")
    assert described(artefact, MANIFEST) == UBUNTU._replace(linked="")


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        b"\xff\xfe\x00",
        {},
        {**MANIFEST, "format": 2},
        {**MANIFEST, "format": [1]},
        {**MANIFEST, "more": "x" * build_host.MAX_TEXT},
        '{"format": 1' + "0" * 5000 + "}",
    ],
)
def test_a_damaged_manifest_says_nothing(artefact, manifest):
    assert described(artefact, manifest) is None


@pytest.mark.parametrize("value", [None, 7, [], {}, "", True, "\ud800", "glibc", "glibc x.y", "glibc " + "9" * 5000])
@pytest.mark.parametrize(
    "place", ["os", "kernel", "architecture", "libc", "toolchain", "goarch", "level", "build_host"]
)
def test_a_manifest_may_hold_anything(artefact, place, value):
    changed = json.loads(json.dumps(MANIFEST))
    part = (
        changed["build_host"]
        if place in HERE._fields
        else changed["target"]
        if place in ("goarch", "level")
        else changed
    )
    part[place] = value
    found = described(artefact, changed)
    assert all(isinstance(text, str) and text.isprintable() for text in found)
    for linked in ("static", "dynamic"):
        compare(found._replace(linked=linked, uses="glibc"), HERE, V2)
        json.dumps(Comparison(found, HERE, V2).differences("ab" * 32))


def test_what_a_manifest_says_is_one_short_line(artefact):
    shown = described(artefact, {**MANIFEST, "toolchain": "go1.27.3\x1b[2J\n\r" + "x" * 5000}).toolchain
    assert shown.startswith("go1.27.3[2Jxxx")
    assert len(shown) <= 120


def test_nothing_beside_an_artefact_says_nothing(artefact):
    assert read_built(str(artefact)) is None
    os.mkfifo(f"{artefact}.json")
    assert read_built(str(artefact)) is None


@pytest.mark.parametrize(
    ("built", "here"),
    [
        (UBUNTU, HERE),
        (UBUNTU, HERE._replace(libc="musl")),
        (UBUNTU, HERE._replace(libc="")),
        (UBUNTU._replace(linked="static", uses="glibc"), HERE),
        (UBUNTU._replace(linked="interpreter-only"), HERE._replace(libc="musl")),
        (UBUNTU._replace(kernel="7.1.0"), HERE._replace(kernel="5.4.0")),
        (UBUNTU._replace(linked=""), HERE),
    ],
)
def test_what_does_not_matter_is_not_said(built, here):
    assert codes(built, here) == []


@pytest.mark.parametrize(
    ("built", "libc", "expected"),
    [
        ("glibc 2.39", "glibc 2.36", ["older_libc"]),
        ("glibc 2.36", "glibc 2.36", []),
        ("glibc 2.9", "glibc 2.36", []),
        ("glibc 2.36.9000", "glibc 2.36", ["older_libc"]),
        ("", "glibc 2.36", []),
        ("musl", "glibc 2.36", []),
        ("glibc 2.39", "", []),
        ("glibc 2.39", "glibc", []),
        ("glibc 2.39", "musl", ["other_libc"]),
        ("", "musl", ["other_libc"]),
    ],
)
def test_the_library_of_a_program_with_cgo(built, libc, expected):
    assert codes(CGO._replace(libc=built), HERE._replace(libc=libc)) == expected


def test_the_program_decides_which_library_it_is():
    """It may be built for musl on a host with glibc, and the glibc there says nothing of it then."""
    assert codes(CGO._replace(uses="musl")) == ["other_libc"]
    assert codes(CGO._replace(uses="musl"), HERE._replace(libc="musl")) == []


@pytest.mark.parametrize(
    ("toolchain", "kernel", "expected"),
    [
        ("go1.24", "3.1.10", ["older_kernel"]),
        ("go1.24", "3.2.0-4-amd64", []),
        ("go1.23.12", "2.6.32-754.el6", []),
        ("go1.23.12", "2.6.23", ["older_kernel"]),
        ("go1.18.10", "2.6.23", []),
        ("go1.27.3 X:nodwarf5", "3.1.0", ["older_kernel"]),
        ("", "2.6.23", []),
        ("devel", "2.6.23", []),
        ("go1.27.3", "", []),
    ],
)
def test_the_kernel_that_the_toolchain_needs(toolchain, kernel, expected):
    assert codes(UBUNTU._replace(toolchain=toolchain), HERE._replace(kernel=kernel)) == expected


@pytest.mark.parametrize(
    ("target", "here", "cpu", "best"),
    [
        (("amd64", "v3"), HERE, V2, "amd64v2"),
        (("amd64", "v2"), HERE, V2, ""),
        (("amd64", "v1"), HERE, Cpu("", frozenset(["fpu"])), ""),
        (("amd64", "v4"), HERE, UNKNOWN, ""),
        (("amd64", "v9"), HERE, V2, ""),
        (("amd64", ""), HERE, V2, ""),
        (("386", "sse2"), HERE, V2, ""),
        (("arm64", "v8.1"), HERE, V2, ""),
        (("arm", "7"), ARM, Cpu("", frozenset(["vfp"])), "armv6"),
        (("arm", "6"), ARM, Cpu("", frozenset(["vfp"])), ""),
        (("arm", "6"), ARM, Cpu("", frozenset(["swp"])), "armv5"),
        (("arm64", "v8.1"), ARM64, Cpu("", frozenset(["fp"])), "arm64"),
        (("arm64", "v8.0"), ARM64, Cpu("", frozenset(["fp"])), ""),
        (("arm64", "v9.5"), ARM64, Cpu("", frozenset(["fp"])), ""),
        (("ppc64le", "power10"), HERE._replace(architecture="ppc64le"), V2, ""),
        (("riscv64", "rva22u64"), HERE._replace(architecture="riscv64"), Cpu("", frozenset(["rv64imafdc"])), "riscv64"),
    ],
)
def test_the_level_of_processors(target, here, cpu, best):
    goarch, level = target
    found = compare(UBUNTU._replace(goarch=goarch, level=level), here, cpu)
    assert [difference.fix for difference in found] == ([f"build it for {best}"] if best else [])


def test_each_difference_is_said():
    assert codes(CGO._replace(level="v3"), OLD_KERNEL._replace(libc="glibc 2.12")) == [
        "older_libc",
        "older_kernel",
        "lower_processor",
    ]


def test_both_hosts_are_in_the_result():
    compared = Comparison(CGO, HERE, V2)
    assert [difference.code for difference in compared.differences(CGO.digest)] == ["older_libc"]
    told = compared.result["build_host"]
    assert (told["built_on"]["libc"], told["runs_on"]["libc"]) == ("glibc 2.39", "glibc 2.36")
    assert (told["target"], told["linked"], told["differs"]) == ("amd64v1", "dynamic", ["older_libc"])


@pytest.mark.parametrize(
    ("built", "digest"), [(None, CGO.digest), (CGO, "cd" * 32), (CGO._replace(digest=""), "cd" * 32)]
)
def test_a_manifest_of_another_artefact_says_nothing(built, digest):
    compared = Comparison(built, HERE, V2)
    assert compared.differences(digest) == []
    assert compared.result == {}


def test_a_failure_has_both_hosts_too():
    compared = Comparison(CGO, HERE, V2)
    compared.differences(CGO.digest)
    with pytest.raises(SlipwayError) as raised, compared.told_of_failures():
        raise SlipwayError("symbol_missing", "GLIBC_2.38 is missing.", "rebuild it", current="1.0")
    assert raised.value.details["current"] == "1.0"
    assert raised.value.details["build_host"]["differs"] == ["older_libc"]
