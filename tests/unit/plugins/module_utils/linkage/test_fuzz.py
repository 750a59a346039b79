# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Damaged ELF files by the thousand: none may crash the parser, hang it or fill memory.

SLIPWAY_FUZZ_EXAMPLES=200000 pytest tests/unit/plugins/module_utils/linkage/test_fuzz.py
"""

from __future__ import annotations

import json
import os
import resource
import struct
import sys
import time
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import elf, facts, symbols
from ansible_collections.slipway.go.plugins.module_utils._binary.sbom import cyclonedx
from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View
from ansible_collections.slipway.go.plugins.module_utils._linkage import ldcache as _ldcache
from ansible_collections.slipway.go.plugins.module_utils._linkage.checker import Checker
from ansible_collections.slipway.go.plugins.module_utils._units import context as _unit_context
from ansible_collections.slipway.go.tests.reference.error_codes import PROGRAM
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC, ElfBuilder, Symbol
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import TEXT, inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_program import upx_stub
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage import test_ldcache as ldcache
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import (
    GLIBC,
    HOST,
    MUSL,
    MUSL_CONSTANTS,
    Root,
)
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

CODES = PROGRAM.codes

EXAMPLES = int(os.environ.get("SLIPWAY_FUZZ_EXAMPLES", "5000"))
ROUND = 2000
MAX_SECONDS = 5.0
MAX_MEMORY = 100 << 20
SMALL = (0, 1, 2, 3, 4, 5, 6, 7, 8, 14, 15, 16, 24, 29, 30, 56, 64, 127, 255, 4096, 65535)
LARGE = (1 << 20, 1 << 31, 2**32 - 1, 1 << 32, 1 << 40, 2**63 - 1, 1 << 63, 2**64 - 8, 2**64 - 1)
WIDE = (*SMALL, *LARGE, 0x6FFFFFFE, 0x6FFFFFFC, 0x400000, 0x400200)


def seeds(folder: Path) -> list[bytes]:
    """One of every kind."""
    rich = {
        "needed": ["libc.so.6", "libx.so"],
        "runpath": "$ORIGIN/lib:/p",
        "verneed": {"libc.so.6": ["GLIBC_2.34", ("GLIBC_2.99", True)]},
        "verdef": ["self", "V_1"],
        "notes": [("Go", 4, b"a/b"), ("GNU", 3, b"\1\2"), ("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 1, 0))],
        "symbols": [Symbol("puts", False), Symbol("own"), Symbol("copied")],
        "copies": ["copied"],
        "fixed": ["puts"],
        "bind_now": True,
        "body": inline("go1.22.3", TEXT),
    }
    made = [
        ElfBuilder(interpreter=GLIBC, **rich).build(),
        ElfBuilder(interpreter=MUSL, **rich).build(),
        ElfBuilder(interpreter=GLIBC, bits=32, machine=3, **{**rich, "copies": [], "fixed": []}).build(),
        ElfBuilder(interpreter=GLIBC, endian="big", machine=22, **{**rich, "copies": [], "fixed": []}).build(),
        ElfBuilder(type=EXEC, body=inline("go1.22.3", TEXT)).build(),
        ElfBuilder(soname="libx.so", entry=0, symbols=[Symbol("puts")]).build(),
    ]
    with open(sys.executable, "rb") as file:
        made.append(file.read(40000))
    return [*made, upx_stub()]


def apply(blob: bytes, changes) -> bytes:
    data = bytearray(blob)
    for kind, where, value in changes:
        if not data:
            break
        at = int(where * len(data))
        if kind == "header":
            at = int(where * min(len(data), 1024))
        if kind == "cut":
            del data[at:]
        elif kind == "zero":
            data[at : at + value % 64] = bytes(len(data[at : at + value % 64]))
        elif kind == "byte":
            data[at] = value & 0xFF
        elif kind == "short":
            write(data, at & ~1, "<H", value & 0xFFFF)
        elif kind in ("word", "header"):
            write(data, at & ~3, "<I", value & 0xFFFFFFFF)
        else:
            write(data, at & ~7, "<Q", value)
    return bytes(data)


def write(data: bytearray, at: int, layout: str, value: int) -> None:
    if at + struct.calcsize(layout) <= len(data):
        struct.pack_into(layout, data, at, value)


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["byte", "short", "word", "header", "wide", "cut", "zero"]),
        st.floats(0, 1, exclude_max=True),
        st.one_of(st.sampled_from(WIDE), st.integers(0, 2**64 - 1)),
    ),
    min_size=1,
    max_size=8,
)


class Target:
    """Everything that reads untrusted bytes, on a system in which the loaders and libraries may be damaged too."""

    def __init__(self, folder: Path) -> None:
        self.root = Root(folder)
        self.root.glibc()
        self.root.musl(constants=MUSL_CONSTANTS)
        self.root.lib("/usr/lib/libx.so", symbols=[Symbol("puts")])
        self.seeds = seeds(folder)
        self.slow = 0.0

    def attack(self, blob: bytes, place: str) -> None:
        path = self.root.path / place
        path.write_bytes(blob)
        path.chmod(0o755)
        started = time.monotonic()
        self.judge("/app")
        if place == "app":
            self.describe(path)
        self.slow = max(self.slow, time.monotonic() - started)

    def judge(self, path: str) -> None:
        context = _unit_context.Context(View(str(self.root.path)), {})
        verdict = Checker(HOST, context).check(path).as_dict()
        json.dumps(verdict)
        assert verdict["runnable"] == (not verdict["problems"])
        assert all(problem["code"] in CODES and problem["message"] for problem in verdict["problems"])

    def describe(self, path: Path) -> None:
        try:
            binary = facts.read_binary(str(path), checksum=False)
        except elf.ElfError as error:
            assert error.code in CODES  # noqa: PT017
            return
        json.dumps(binary.facts)
        if binary.info is not None:
            json.dumps(cyclonedx(binary.info, "app", "0" * 64, 1))
        with elf.Reader(str(path)) as reader:
            symbols.read_symbols(reader, binary.elf)
            symbols.read_relocated(reader, binary.elf)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    return Target(tmp_path_factory.mktemp("fuzz"))


def memory() -> int:
    """The most this process has ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def fuzz(examples: int, function, *strategies) -> None:
    """In rounds, because Hypothesis remembers what it tried; each round with a seed of its own."""
    for number, start in enumerate(range(0, examples, ROUND)):
        count = min(ROUND, examples - start)
        quiet = settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
        seed(number)(quiet(given(*strategies)(function)))()


def test_damaged_programs(target):
    before = memory()
    seen = 0

    def run(which, changes):
        nonlocal seen
        seen += 1
        target.attack(apply(target.seeds[which], changes), "app")

    fuzz(EXAMPLES * 8 // 10, run, st.integers(0, len(target.seeds) - 1), CHANGES)
    print(f"{seen} programs, slowest {target.slow:.3f} s, {(memory() - before) >> 20} MiB more")
    assert target.slow < MAX_SECONDS
    assert memory() - before < MAX_MEMORY


def test_damaged_libraries_and_loaders(target):
    whole = target.seeds[0]
    (target.root.path / "app").write_bytes(whole)
    parts = {
        place: (target.root.path / place).read_bytes()
        for place in ("usr/lib/libx.so", "lib/x86_64-linux-gnu/libc.so.6", GLIBC[1:])
    }

    def run(place, changes):
        try:
            target.attack(apply(parts[place], changes), place)
        finally:
            (target.root.path / place).write_bytes(parts[place])

    fuzz(EXAMPLES // 10, run, st.sampled_from(sorted(parts)), CHANGES)
    assert target.slow < MAX_SECONDS


def test_damaged_caches():
    entries = [("liba.so.1", "/v2/liba.so.1", ldcache.X86, "x86-64-v2"), *ldcache.PLAIN]
    whole = ldcache.build(entries, ["x86-64-v2"])

    def run(changes):
        cache = _ldcache.LdCache(apply(whole, changes), "little")
        for name in ("liba.so.1", "libz.so.100", "none"):
            cache.lookup(name, ldcache.rules(["x86-64-v2"]))

    fuzz(EXAMPLES // 10, run, CHANGES)
