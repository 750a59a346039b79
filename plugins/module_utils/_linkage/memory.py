# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a unit's MemoryDenyWriteExecute= keeps a loader from doing. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Iterator, Sequence

from .._binary.elf import DT_FLAGS, PF_W, PF_X, PT_LOAD, Elf
from .._core.problems import Problem
from .loader import LinkMap

DT_TEXTREL, DF_TEXTREL = 22, 4


def write_execute_problems(maps: Sequence[LinkMap], kind: str, unit: str) -> Iterator[Problem]:
    """maps: the program and what it loads. kind: of the loader."""
    program = maps[0]
    for link_map in maps:
        elf, library = link_map.elf, link_map is not program
        what, remedy = "", ""
        if _relocates_text(elf, kind, library):
            what, remedy = "cannot make segment writable for relocation", "position-independent code (-fPIC)"
        elif library and has_writable_code(elf):
            what, remedy = "failed to map segment from shared object", "code apart from its data"
        elif library and kind == "glibc" and program.elf.nx and not elf.nx:
            what, remedy = "cannot enable executable stack as shared object requires", "-Wl,-z,noexecstack"
        if what:
            text = f"{program.label}: error while loading shared libraries: {link_map.label}: {what}"
            fix = f"link {link_map.label} with {remedy}, or remove MemoryDenyWriteExecute= from {unit}"
            yield Problem("unit_memory", f"{text}: Operation not permitted", fix)


def _relocates_text(elf: Elf, kind: str, library: bool) -> bool:
    """musl looks at the tag alone, and lets the kernel judge the program itself."""
    values = elf.dynamic.values
    if kind == "musl":
        return library and DT_TEXTREL in values
    return DT_TEXTREL in values or bool(values.get(DT_FLAGS, 0) & DF_TEXTREL)


def has_writable_code(elf: Elf) -> bool:
    return any(s.type == PT_LOAD and s.flags & PF_W and s.flags & PF_X for s in elf.segments)
