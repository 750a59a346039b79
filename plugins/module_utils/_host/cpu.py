# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What /proc/cpuinfo says about instruction sets. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from .._core import files

X86_LEVELS: tuple[frozenset[str], ...] = (
    frozenset(["cmov", "cx8", "fpu", "fxsr", "mmx", "sse", "sse2"]),
    frozenset(["cx16", "lahf_lm", "popcnt", "pni", "ssse3", "sse4_1", "sse4_2"]),
    frozenset(["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"]),
    frozenset(["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]),
)
_HASWELL = frozenset(["avx2", "fma", "bmi1", "bmi2", "abm", "movbe", "popcnt"])
_AVX512_1 = frozenset(["avx512cd", "avx512bw", "avx512dq", "avx512vl"])


class Cpu(NamedTuple):
    """No features: nothing is known, as where /proc is not mounted, and nothing can be held against the processor."""

    vendor: str = ""
    features: frozenset[str] = frozenset()

    @property
    def x86_level(self) -> int:
        """1 to 4 for x86-64-v1 to -v4; 0 for what is not even that."""
        level = 0
        for wanted in X86_LEVELS:
            if not wanted <= self.features:
                break
            level += 1
        return level

    @property
    def x86_platform(self) -> Optional[str]:
        """The name older glibc gives Intel processors, and only those."""
        if self.vendor != "GenuineIntel":
            return None
        if {"avx512cd", "avx512er", "avx512pf"} <= self.features:
            return "xeon_phi"
        return "haswell" if self.features >= _HASWELL else None

    @property
    def avx512_1(self) -> bool:
        return self.vendor == "GenuineIntel" and self.features >= _AVX512_1 and "avx512er" not in self.features


def parse_cpuinfo(text: str) -> Cpu:
    """What every processor has in common: a program may be scheduled on any."""
    vendor = re.search(r"^vendor_id\s*:\s*(\S+)", text, re.MULTILINE)
    rows = re.findall(r"^(?:flags|Features|features|isa)\s*:\s*(.*)$", text, re.MULTILINE)
    common = frozenset(rows[0].split()) if rows else frozenset()
    for row in set(rows[1:]):
        common &= frozenset(row.split())
    return Cpu(vendor.group(1) if vendor else "", common)


def read_cpu() -> Cpu:
    return parse_cpuinfo(files.text("/proc/cpuinfo"))
