# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary import machines


@pytest.mark.parametrize(
    ("uname", "goarch"),
    [
        ("x86_64", "amd64"),
        ("aarch64", "arm64"),
        ("armv7l", "arm"),
        ("i686", "386"),
        ("ppc64le", "ppc64le"),
        ("s390x", "s390x"),
        ("riscv64", "riscv64"),
        ("loongarch64", "loong64"),
        ("mipsel", "mipsle"),
        ("vax", None),
    ],
)
def test_host_goarch(uname, goarch):
    assert machines.host_goarch(uname) == goarch


@pytest.mark.parametrize("uname", ["mips", "mips64"])
def test_a_host_that_says_mips_has_this_byte_order(uname):
    assert [machines.host_goarch(uname, order) for order in ("big", "little")] == [uname, uname + "le"]


def test_the_names_are_those_of_machines():
    known = set(machines.machines())
    assert set(machines.SIBLINGS) | set(machines.SIBLINGS.values()) <= known
    assert machines.systemd_architecture("amd64") == "x86-64"
    assert machines.systemd_architecture("vax") is machines.systemd_architecture(None) is None
