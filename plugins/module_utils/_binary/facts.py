# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Everything a binary tells about itself, as plain data. This file is PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import os
from typing import Any, NamedTuple, Optional

from .elf import SHT_SYMTAB, Elf, Reader, read_sections
from .go_build_info import BuildInfo, Module
from .program import open_program
from .versions import go_kernel

CHUNK = 1 << 20
_ABIS = {0: "sysv", 2: "netbsd", 3: "gnu", 6: "solaris", 9: "freebsd", 12: "openbsd", 64: "arm-eabi", 97: "arm"}


class Binary(NamedTuple):
    elf: Elf
    info: Optional[BuildInfo]
    packed: bool
    facts: dict[str, Any]


def read_binary(path: str, checksum: bool = True) -> Binary:
    """ElfError where it is none."""
    with open_program(path) as opened:
        elf, info = opened.elf, opened.build_info()
        facts: dict[str, Any] = {"path": path, "size": opened.reader.size, "sha256": None}
        if checksum:
            facts["sha256"] = _sha256(opened.reader)
        facts.update(_elf_facts(elf))
        sections = read_sections(opened.reader, elf.header)
        facts["stripped"] = not any(section.type == SHT_SYMTAB for section in sections)
        facts["packed"] = "upx" if opened.packed else None
        facts["go"] = _go_facts(info)
        facts["min_kernel"] = _min_kernel(elf, info)
        return Binary(elf, info, opened.packed, facts)


def _sha256(reader: Reader) -> str:
    digest = hashlib.sha256()
    for position in range(0, reader.size, CHUNK):
        digest.update(reader.read(position, min(CHUNK, reader.size - position)))
    return digest.hexdigest()


def _elf_facts(elf: Elf) -> dict[str, Any]:
    dynamic = elf.dynamic
    return {
        "class": elf.elf_class,
        "type": elf.type,
        "machine": elf.machine_name,
        "bits": elf.bits,
        "endian": elf.endian,
        "abi": _ABIS.get(elf.header.ident[7], str(elf.header.ident[7])),
        "goos": elf.goos,
        "goarch": elf.goarch,
        "interpreter": elf.interpreter,
        "soname": dynamic.soname,
        "needed": list(dynamic.needed),
        "rpath": dynamic.rpath,
        "runpath": dynamic.runpath,
        "versions": [
            {
                "library": need.library,
                "names": [name for name, weak in need.names if not weak],
                "weak": [name for name, weak in need.names if weak],
            }
            for need in dynamic.verneed
        ],
        "provides": list(dynamic.verdef or ()),
        "build_ids": {"go": elf.notes.go_build_id, "gnu": elf.notes.gnu_build_id},
        "pie": elf.pie,
        "relro": elf.relro,
        "nx": elf.nx,
        "libc": _libc(elf),
    }


def _libc(elf: Elf) -> Optional[str]:
    """Which C library is linked in or asked for; None where there is none, or where nothing tells."""
    base = os.path.basename(elf.interpreter or "")
    if base.startswith("ld-musl-"):
        return "musl"
    if any(name.startswith("libc.so.") for name in elf.needed):
        return "glibc"
    if elf.interpreter is None and elf.notes.min_kernel is not None:
        return "glibc"  # only its start files write that note, so it is linked in
    return None


def _min_kernel(elf: Elf, info: Optional[BuildInfo]) -> Optional[str]:
    floors = [elf.notes.min_kernel, go_kernel(info.version) if info is not None else None]
    demands = [floor for floor in floors if floor is not None]
    return ".".join(map(str, max(demands))) if demands else None


def _go_facts(info: Optional[BuildInfo]) -> Optional[dict[str, Any]]:
    if info is None:
        return None
    settings = dict(info.settings)
    return {
        "version": info.version,
        "path": info.path,
        "main": _module_facts(info.main) if info.main is not None else None,
        "deps": [_module_facts(module) for module in info.deps],
        "settings": settings,
        "vcs": _vcs(settings),
        "cgo": {"1": True, "0": False}.get(settings.get("CGO_ENABLED", "")),
        "damaged": info.damaged,
    }


def _module_facts(module: Module) -> dict[str, Any]:
    facts: dict[str, Any] = {"path": module.path, "version": module.version, "sum": module.sum}
    facts["replace"] = _module_facts(module.replace) if module.replace is not None else None
    return facts


def _vcs(settings: dict[str, str]) -> Optional[dict[str, Any]]:
    if "vcs" not in settings and "vcs.revision" not in settings:
        return None
    return {
        "system": settings.get("vcs"),
        "revision": settings.get("vcs.revision"),
        "time": settings.get("vcs.time"),
        "modified": {"true": True, "false": False}.get(settings.get("vcs.modified", "")),
    }
