# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program is built for, by name and by what hosts say of themselves."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._build.targets import Target, of_machines, parse
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.mark.parametrize(
    ("text", "target", "suffix", "variables"),
    [
        ("linux/amd64", Target("amd64", "v1"), "", {"GOARCH": "amd64", "GOAMD64": "v1"}),
        ("amd64", Target("amd64", "v1"), "", {"GOARCH": "amd64", "GOAMD64": "v1"}),
        ("linux/amd64/v3", Target("amd64", "v3"), "v3", {"GOARCH": "amd64", "GOAMD64": "v3"}),
        ("linux/arm", Target("arm", "7"), "v7", {"GOARCH": "arm", "GOARM": "7"}),
        ("arm/6", Target("arm", "6"), "v6", {"GOARCH": "arm", "GOARM": "6"}),
        (" linux/arm64 ", Target("arm64"), "", {"GOARCH": "arm64"}),
        ("linux/riscv64/rva22u64", Target("riscv64", "rva22u64"), "rva22u64", {"GORISCV64": "rva22u64"}),
        ("linux/386/softfloat", Target("386", "softfloat"), "softfloat", {"GO386": "softfloat"}),
    ],
)
def test_a_target_by_name(text, target, suffix, variables):
    found = parse(text)
    assert (found, found.suffix) == (target, suffix)
    assert {"GOOS": "linux", **variables}.items() <= found.variables.items()
    assert parse(str(found)) == found


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no architecture ''"),
        ("linux/", "no architecture ''"),
        ("windows/amd64", "only linux"),
        ("linux/x86_64", "no architecture 'x86_64'"),
        ("amd64/v9", "v1, v2, v3, v4"),
        ("linux/amd64/", "v1, v2"),
        ("linux/arm/v7", "5, 6, 7"),
        ("linux/s390x/z15", "no levels"),
        ("linux/amd64/v3/x", "v1, v2"),
    ],
)
def test_what_is_no_target(text, word):
    refused(lambda: parse(text), "invalid_build", repr(text), word)


def test_what_hosts_say_of_themselves():
    machines = ["x86_64", "aarch64", "x86_64", "armv7l", "armv6l", "armv8l", "i686", "riscv64", "ppc64le", "s390x"]
    assert list(map(str, of_machines(machines))) == [
        "linux/386",
        "linux/amd64/v1",
        "linux/arm/6",
        "linux/arm/7",
        "linux/arm64",
        "linux/ppc64le",
        "linux/riscv64",
        "linux/s390x",
    ]


@pytest.mark.parametrize("machine", ["sparc64", "", "x86-64", "armv7b"])
def test_a_host_that_go_does_not_build_for(machine):
    refused(lambda: of_machines(["x86_64", machine]), "invalid_build", repr(machine), "set build_targets")
