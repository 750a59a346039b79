# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ELF's numbers of machines, and their names in uname, Go and systemd. This file is PRIVATE to the collection."""

from __future__ import annotations

import sys
from typing import Optional

EM_386, EM_MIPS, EM_PPC, EM_PPC64, EM_S390, EM_ARM, EM_X86_64 = 3, 8, 20, 21, 22, 40, 62
EM_SPARC, EM_SPARCV9, EM_AARCH64, EM_RISCV, EM_LOONGARCH = 2, 43, 183, 243, 258

_NAMES: dict[int, str] = {
    EM_SPARC: "SPARC",
    EM_386: "Intel 80386",
    EM_MIPS: "MIPS",
    EM_PPC: "PowerPC",
    EM_PPC64: "PowerPC64",
    EM_S390: "IBM S/390",
    EM_ARM: "ARM",
    EM_SPARCV9: "SPARC v9",
    EM_X86_64: "x86-64",
    EM_AARCH64: "AArch64",
    EM_RISCV: "RISC-V",
    EM_LOONGARCH: "LoongArch",
}

_GOARCH: dict[tuple[int, int, str], str] = {
    (EM_386, 32, "little"): "386",
    (EM_X86_64, 64, "little"): "amd64",
    (EM_X86_64, 32, "little"): "amd64p32",
    (EM_ARM, 32, "little"): "arm",
    (EM_ARM, 32, "big"): "armbe",
    (EM_AARCH64, 64, "little"): "arm64",
    (EM_AARCH64, 64, "big"): "arm64be",
    (EM_MIPS, 32, "big"): "mips",
    (EM_MIPS, 32, "little"): "mipsle",
    (EM_MIPS, 64, "big"): "mips64",
    (EM_MIPS, 64, "little"): "mips64le",
    (EM_PPC, 32, "big"): "ppc",
    (EM_PPC64, 64, "big"): "ppc64",
    (EM_PPC64, 64, "little"): "ppc64le",
    (EM_S390, 32, "big"): "s390",
    (EM_S390, 64, "big"): "s390x",
    (EM_SPARC, 32, "big"): "sparc",
    (EM_SPARCV9, 64, "big"): "sparc64",
    (EM_RISCV, 32, "little"): "riscv",
    (EM_RISCV, 64, "little"): "riscv64",
    (EM_LOONGARCH, 64, "little"): "loong64",
}

# The 32-bit programs that a 64-bit kernel starts, too; on amd64 where it was built so.
SIBLINGS: dict[str, str] = {
    "amd64": "386",
    "ppc64": "ppc",
    "s390x": "s390",
    "sparc64": "sparc",
    "mips64": "mips",
    "mips64le": "mipsle",
}

_UNAME: dict[str, str] = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "aarch64_be": "arm64be",
    "ppc": "ppc",
    "ppc64": "ppc64",
    "ppc64le": "ppc64le",
    "s390": "s390",
    "s390x": "s390x",
    "riscv32": "riscv",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
    "mips": "mips",
    "mipsel": "mipsle",
    "mips64": "mips64",
    "mips64el": "mips64le",
    "sparc": "sparc",
    "sparc64": "sparc64",
}

# Where systemd has a name of its own, as in SystemCallArchitectures=.
_SYSTEMD: dict[str, str] = {
    "386": "x86",
    "amd64": "x86-64",
    "amd64p32": "x32",
    "arm": "arm",
    "arm64": "arm64",
    "loong64": "loongarch64",
    "mips": "mips",
    "mipsle": "mips-le",
    "mips64": "mips64",
    "mips64le": "mips64-le",
    "ppc64": "ppc64",
    "ppc64le": "ppc64-le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
SYSTEMD_ARCHITECTURES = frozenset(_SYSTEMD.values())

_OSABI: dict[int, str] = {2: "netbsd", 6: "solaris", 9: "freebsd", 12: "openbsd"}
_NOTE_OWNERS: dict[str, str] = {
    "Android": "android",
    "DragonFly": "dragonfly",
    "FreeBSD": "freebsd",
    "NetBSD": "netbsd",
    "OpenBSD": "openbsd",
}
_INTERPRETERS: tuple[tuple[str, str], ...] = (
    ("/system/bin/linker", "android"),
    ("/libexec/ld-elf.so", "freebsd"),
    ("/usr/libexec/ld-elf.so.2", "dragonfly"),
    ("/usr/libexec/ld.elf_so", "netbsd"),
    ("/usr/libexec/ld.so", "openbsd"),
    ("/usr/lib/ld.so.1", "solaris"),
    ("/lib/amd64/ld.so.1", "solaris"),
)


def host_goarch(machine: str, order: str = sys.byteorder) -> Optional[str]:
    """GOARCH of a host that answers `uname -m` so; None where Go has no name for it.

    order: of its bytes, which uname does not tell of MIPS.
    """
    if machine in ("mips", "mips64") and order == "little":
        return machine + "le"
    if machine in _UNAME:
        return _UNAME[machine]
    if len(machine) == 4 and machine[0] == "i" and machine.endswith("86"):
        return "386"
    if machine.startswith("armv"):
        return "armbe" if machine.endswith("b") else "arm"
    return None


def goarch_of(machine: int, bits: int, endian: str) -> Optional[str]:
    return _GOARCH.get((machine, bits, endian))


def machines() -> dict[str, tuple[int, int, str]]:
    """GOARCH to machine number, bits and byte order."""
    return {goarch: key for key, goarch in _GOARCH.items()}


def systemd_architecture(goarch: Optional[str]) -> Optional[str]:
    return _SYSTEMD.get(goarch or "")


def machine_name_of(machine: int) -> str:
    return _NAMES.get(machine, f"machine {machine}")


def goos_of(osabi: int, interpreter: Optional[str], note_owners: tuple[str, ...]) -> Optional[str]:
    """GOOS: linux unless the file says otherwise. None for an OS ABI byte that no Go port uses."""
    for owner in note_owners:
        if owner in _NOTE_OWNERS:
            return _NOTE_OWNERS[owner]
    for prefix, goos in _INTERPRETERS:
        if interpreter is not None and interpreter.startswith(prefix):
            return goos
    if osabi in _OSABI:
        return _OSABI[osabi]
    # 64 and 97 are the ARM ABIs, 255 standalone: Linux starts all of them.
    return "linux" if osabi in (0, 3, 64, 97, 255) else None
