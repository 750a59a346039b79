# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What this host's kernel and processor start. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from typing import NamedTuple, Optional

from .._binary.machines import SIBLINGS, host_goarch
from .._core import files
from .cpu import Cpu, read_cpu

BINFMT = "/proc/sys/fs/binfmt_misc"
ALL_CAPABILITIES = (1 << 64) - 1


class Binfmt(NamedTuple):
    """An interpreter registered with binfmt_misc, such as qemu-user."""

    offset: int
    magic: bytes
    mask: bytes

    def matches(self, start: bytes) -> bool:
        piece = start[self.offset : self.offset + len(self.magic)]
        mask = self.mask or b"\xff" * len(self.magic)
        return len(piece) == len(self.magic) and all((a ^ b) & m == 0 for a, b, m in zip(piece, self.magic, mask))


class Host(NamedTuple):
    machine: str
    goarch: Optional[str]
    kernel: str
    page_size: int
    cpu: Cpu
    also: tuple[str, ...]
    bounding: int
    binfmts: tuple[Binfmt, ...]

    def starts(self, goarch: Optional[str]) -> bool:
        return goarch is not None and (goarch == self.goarch or goarch in self.also)


def read_host() -> Host:
    name = os.uname()
    goarch = host_goarch(name.machine)
    return Host(
        machine=name.machine,
        goarch=goarch,
        kernel=name.release,
        page_size=os.sysconf("SC_PAGE_SIZE"),
        cpu=read_cpu(),
        also=_also(goarch),
        bounding=_bounding(files.text("/proc/self/status")),
        binfmts=_read_binfmts(),
    )


def _also(goarch: Optional[str]) -> tuple[str, ...]:
    if goarch == "amd64":
        line = files.text("/proc/cmdline")
        found = []
        # The kernel has this setting only where it can run 32-bit programs at all. Without /proc it is not known.
        can = os.path.exists("/proc/sys/abi/vsyscall32") or not os.path.exists("/proc/sys")
        if can and not re.search(r"\bia32_emulation=(0|n|off|false)\b", line):
            found.append(SIBLINGS[goarch])
        if re.search(r"\bsyscall\.x32=(1|y|on)\b", line):
            found.append("amd64p32")
        return tuple(found)
    if goarch == "arm64":
        return ("arm",) if any(os.path.exists(f"/proc/sys/abi/{n}") for n in ("cp15_barrier", "setend", "swp")) else ()
    return (SIBLINGS[goarch],) if goarch in SIBLINGS else ()


def _bounding(status: str) -> int:
    found = re.search(r"^CapBnd:\s*([0-9a-f]+)$", status, re.MULTILINE)
    return int(found.group(1), 16) if found else ALL_CAPABILITIES


def _read_binfmts() -> tuple[Binfmt, ...]:
    try:
        names = sorted(set(os.listdir(BINFMT)) - {"register", "status"})
    except OSError:
        return ()
    if not names or files.text(f"{BINFMT}/status").strip() != "enabled":
        return ()
    found = [parse_binfmt(files.text(f"{BINFMT}/{name}")) for name in names]
    return tuple(entry for entry in found if entry is not None)


def parse_binfmt(text: str) -> Optional[Binfmt]:
    """One file of /proc/sys/fs/binfmt_misc; None where it is disabled or goes by the file's extension."""
    lines = text.splitlines()
    if "enabled" not in lines[:1]:
        return None
    fields = dict(line.split(" ", 1) for line in lines[1:] if " " in line)
    if not re.fullmatch(r"[0-9a-f]+", fields.get("magic", "")):
        return None
    return Binfmt(
        offset=int(fields.get("offset", "0")),
        magic=bytes.fromhex(fields["magic"]),
        mask=bytes.fromhex(fields.get("mask", "")),
    )


def kernel_version(release: str) -> tuple[int, int, int]:
    numbers = [int(part) for part in re.findall(r"\d+", release)[:3]]
    numbers += [0] * (3 - len(numbers))
    return numbers[0], numbers[1], numbers[2]
