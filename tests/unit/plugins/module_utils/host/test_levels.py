# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which builds a processor runs, by their names, the best first."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._build import targets
from ansible_collections.slipway.go.plugins.module_utils._host import levels
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import X86_LEVELS, Cpu, parse_cpuinfo

V8_1 = "fp asimd atomics asimdrdm crc32"
V8_5 = f"{V8_1} dcpop fcma jscvt lrcpc asimddp dit flagm ilrcpc uscat dcpodp flagm2 frint sb"
RVA22 = "rv64imafdc_zicsr_zba_zbb_zbs_zfhmin"


def x86(level):
    return " ".join(" ".join(sorted(features)) for features in X86_LEVELS[:level])


@pytest.mark.parametrize(
    ("goarch", "machine", "features", "names"),
    [
        ("amd64", "x86_64", x86(4), "amd64v4 amd64v3 amd64v2 amd64 amd64v1"),
        ("amd64", "x86_64", x86(3), "amd64v3 amd64v2 amd64 amd64v1"),
        ("amd64", "x86_64", x86(3).replace("bmi2", ""), "amd64v2 amd64 amd64v1"),
        ("amd64", "x86_64", x86(1), "amd64 amd64v1"),
        ("amd64", "x86_64", "", "amd64 amd64v1"),
        ("386", "i686", "cx8 sse sse2", "386sse2 386 386softfloat"),
        ("386", "i586", "cx8", "386softfloat 386"),
        ("arm", "armv7l", "half vfp vfpv3 neon", "armv7 armv6 armv5 arm"),
        ("arm", "armv8l", "half vfp vfpv3 neon", "armv7 armv6 armv5 arm"),
        ("arm", "armv7l", "half vfp", "armv6 armv5 arm"),
        ("arm", "armv6l", "half vfp vfpv3", "armv6 armv5 arm"),
        ("arm", "armv7l", "half", "armv5 arm"),
        ("arm", "armv5tel", "half vfp", "armv5 arm"),
        ("arm", "armv6l", "", "armv6 armv5 arm"),
        ("arm64", "aarch64", "", "arm64 arm64v8.0"),
        ("arm64", "aarch64", "fp asimd", "arm64 arm64v8.0"),
        ("arm64", "aarch64", V8_1, "arm64v8.1 arm64 arm64v8.0"),
        ("arm64", "aarch64", V8_5.replace(" fcma", ""), "arm64v8.2 arm64v8.1 arm64 arm64v8.0"),
        (
            "arm64",
            "aarch64",
            f"{V8_5} sve2",
            "arm64v9.0 arm64v8.5 arm64v8.4 arm64v8.3 arm64v8.2 arm64v8.1 arm64 arm64v8.0",
        ),
        ("arm64", "aarch64", f"{V8_1} sve2", "arm64v8.1 arm64 arm64v8.0"),
        ("riscv64", "riscv64", "rv64imafdc", "riscv64 riscv64rva20u64"),
        ("riscv64", "riscv64", RVA22, "riscv64rva22u64 riscv64 riscv64rva20u64"),
        (
            "riscv64",
            "riscv64",
            RVA22.replace("fdc", "fdcv") + "_zcb_zfa_zicond_zvbb_zvfhmin",
            "riscv64rva23u64 riscv64rva22u64 riscv64 riscv64rva20u64",
        ),
        ("ppc64le", "ppc64le", "", "ppc64le ppc64lepower8"),
        ("mipsle", "mips", "", "mipsle mipslehardfloat mipslesoftfloat"),
        ("s390x", "s390x", "esan3 zarch", "s390x"),
        ("loong64", "loongarch64", "cpucfg lam", "loong64"),
    ],
)
def test_the_best_build_is_the_first(goarch, machine, features, names):
    found = levels.names(goarch, machine, Cpu("", frozenset(features.split())))
    assert " ".join(found) == names
    assert set(found) <= set(targets.names()), "no artefact is called that"


def test_the_extensions_of_riscv_are_in_one_word():
    cpu = parse_cpuinfo("processor\t: 0\nisa\t\t: rv64imafdcv_zba_zbb_zbs_zfhmin\nmmu\t\t: sv48\n")
    assert levels.names("riscv64", "riscv64", cpu)[0] == "riscv64rva22u64"
