# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._host import kernel


@pytest.mark.parametrize(
    ("machine", "order", "goarch"),
    [
        ("x86_64", "little", "amd64"),
        ("aarch64", "little", "arm64"),
        ("armv7l", "little", "arm"),
        ("i686", "little", "386"),
        ("mips64", "little", "mips64le"),
        ("mips", "big", "mips"),
        ("vax", "little", None),
    ],
)
def test_what_go_calls_this_host(machine: str, order: str, goarch: str) -> None:
    assert kernel.goarch_of(machine, order) == goarch
