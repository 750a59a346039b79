# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import struct

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import EXEC
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import (
    MUSL,
    glibc_root,
    host,
    musl_root,
)

UNIT = {"denies_write_execute": True, "unit": "x.service"}
STACK = struct.pack("<I", 0x6474E551)


@pytest.fixture
def root(tmp_path):
    made = glibc_root(tmp_path)
    made.app("libx.so", rpath="/p")
    made.lib("/p/libx.so")
    return made


def change(root, name: str, kind: int, flags: int) -> None:
    """The flags of the first program header of that kind."""
    path = root.path / name.lstrip("/")
    blob = bytearray(path.read_bytes())
    for at in range(64, 64 + 8 * 56, 56):
        if struct.unpack_from("<I", blob, at)[0] == kind:
            struct.pack_into("<I", blob, at + 4, flags)
            break
    path.write_bytes(blob)


def test_nothing_to_object_to(root):
    assert root.codes(**UNIT) == []


def test_text_relocations(root):
    root.lib("/p/libx.so", flags=4)
    (problem,) = root.check(**UNIT)["problems"]
    assert problem["code"] == "unit_memory"
    assert "/p/libx.so: cannot make segment writable for relocation: Operation not permitted" in problem["message"]
    assert problem["fix"].endswith("(-fPIC), or remove MemoryDenyWriteExecute= from x.service")
    assert root.codes() == []
    root.lib("/p/libx.so")
    root.app("libx.so", rpath="/p", flags=4)
    assert root.codes(**UNIT) == ["unit_memory"]


def test_an_executable_stack(root):
    change(root, "/p/libx.so", 0x6474E551, 7)
    (problem,) = root.check(**UNIT)["problems"]
    assert "cannot enable executable stack as shared object requires" in problem["message"]
    # The kernel gives the program the stack that it asks for, and then there is nothing left to do.
    change(root, "/app", 0x6474E551, 7)
    assert root.codes(**UNIT) == []


def test_a_segment_that_is_writable_and_executable(root):
    change(root, "/p/libx.so", 1, 7)
    assert "failed to map segment" in root.check(**UNIT)["problems"][0]["message"]


def test_a_program_that_is_writable_and_executable(root):
    change(root, "/app", 1, 7)
    assert root.codes(**UNIT, host=host(kernel="6.18.1")) == ["unit_memory"]
    assert root.codes(**UNIT, systemd=257, host=host(kernel="6.18.1")) == ["unit_memory"]
    # Filters of system calls say nothing of what the kernel does while it starts a program.
    assert root.codes(**UNIT, systemd=252, host=host(kernel="6.18.1")) == []
    assert root.codes(**UNIT, systemd=257, host=host(kernel="6.1.0")) == []


def test_musl_knows_no_executable_stack(tmp_path):
    alpine = musl_root(tmp_path)
    alpine.app("libx.so", interpreter=MUSL, rpath="/p")
    alpine.lib("/p/libx.so")
    change(alpine, "/p/libx.so", 0x6474E551, 7)
    assert alpine.codes(**UNIT) == []


def test_an_entry_point_that_is_not_executable(root):
    root.elf("/static", type=EXEC)
    assert root.codes("/static") == []
    change(root, "/static", 1, 4)
    (problem,) = root.check("/static")["problems"]
    assert (problem["code"], "Segmentation fault" in problem["message"]) == ("malformed", True)
    root.elf("/static", type=EXEC, entry=0x900000)
    assert root.codes("/static") == ["malformed"]
    # All memory of a 32-bit program is executable where the file says nothing of its stack.
    root.elf("/static", type=EXEC, bits=32, machine=3)
    assert root.codes("/static") == []
