# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which builds of a program a processor can run, by the names that artefacts have. PRIVATE to the collection.

A name is GOARCH with its level behind it, as in amd64v3 or armv6. Where a level asks for what /proc/cpuinfo does not
tell, the processor does not count as one that has it: the next lower build runs, too.
"""

from __future__ import annotations

import re
from typing import Iterable, Sequence

from .cpu import Cpu

# What each level has beyond the one before it, as Linux names it.
_ARM64: tuple[tuple[str, frozenset[str]], ...] = (
    ("v8.1", frozenset(["atomics", "asimdrdm", "crc32"])),
    ("v8.2", frozenset(["dcpop"])),
    ("v8.3", frozenset(["fcma", "jscvt", "lrcpc"])),
    ("v8.4", frozenset(["asimddp", "dit", "flagm", "ilrcpc", "uscat"])),
    ("v8.5", frozenset(["dcpodp", "flagm2", "frint", "sb"])),
    ("v8.6", frozenset(["bf16", "i8mm"])),
)
_SVE2 = "sve2"  # with v8.5 it is v9.0, with v8.6 v9.1
_RISCV64: tuple[tuple[str, frozenset[str]], ...] = (
    ("rva22u64", frozenset(["zba", "zbb", "zbs", "zfhmin"])),
    ("rva23u64", frozenset(["v", "zcb", "zfa", "zicond", "zvbb", "zvfhmin"])),
)
_FLOAT = ("mips", "mipsle", "mips64", "mips64le")


def names(goarch: str, machine: str, cpu: Cpu) -> tuple[str, ...]:
    """The names of builds that run there, the best first. machine: as `uname -m` says it."""
    levels = {
        "386": lambda: _386(cpu),
        "amd64": lambda: [*(f"v{level}" for level in range(cpu.x86_level, 1, -1)), "", "v1"],
        "arm": lambda: [*(f"v{level}" for level in range(_arm(machine, cpu), 4, -1)), ""],
        "arm64": lambda: [*_arm64(cpu.features), "", "v8.0"],
        "ppc64": lambda: ["", "power8"],
        "ppc64le": lambda: ["", "power8"],
        "riscv64": lambda: [*reversed(_reached(_RISCV64, _extensions(cpu.features))), "", "rva20u64"],
    }.get(goarch, lambda: ["", "hardfloat", "softfloat"] if goarch in _FLOAT else [""])
    return tuple(f"{goarch}{level}" for level in levels())


def _reached(levels: Sequence[tuple[str, frozenset[str]]], features: Iterable[str]) -> list[str]:
    """The levels up to the first that the features do not have."""
    found, present = [], set(features)
    for name, wanted in levels:
        if not wanted <= present:
            break
        found.append(name)
    return found


def _386(cpu: Cpu) -> list[str]:
    """Go takes SSE2 by itself; a processor without it has only the other."""
    return ["sse2", "", "softfloat"] if not cpu.features or "sse2" in cpu.features else ["softfloat", ""]


def _arm(machine: str, cpu: Cpu) -> int:
    """5, 6 or 7: what the kernel is built for, and no more than the floating point unit allows."""
    digit = machine[len("armv") : len("armv") + 1]
    level = min(int(digit), 7) if machine.startswith("armv") and digit.isdigit() else 7
    if cpu.features and "vfp" not in cpu.features:
        return 5
    return min(level, 6) if cpu.features and "vfpv3" not in cpu.features else level


def _arm64(features: Iterable[str]) -> list[str]:
    reached = _reached(_ARM64, features)
    newer = {"v8.5": "v9.0", "v8.6": "v9.1"} if _SVE2 in set(features) else {}
    return [*(newer[level] for level in reversed(reached) if level in newer), *reversed(reached)]


def _extensions(features: Iterable[str]) -> set[str]:
    """Of RISC-V, each by its name; the kernel writes them as rv64imafdcv_zba_zbb."""
    found: set[str] = set()
    for word in features:
        letters, *others = word.lower().split("_")
        match = re.fullmatch(r"rv64([a-z]*)", letters)
        if match is not None:
            found.update(match.group(1), others)
    return found
