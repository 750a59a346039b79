# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of functions: of programs that Go's toolchain has built, and of ones that nobody has."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.functions import Functions, read_functions, split_name
from ansible_collections.slipway.go.plugins.module_utils._binary.program import open_program

SOURCE = """package main

import "strings"

type pair[T any] struct{ one T }

func (p *pair[T]) show() string { return strings.ToUpper("x") }

//go:noinline
func called() func() { return func() { println("closure") } }

func inlined() { println("inlined") }

func notCalled() { println("not called") }

func main() { called()(); inlined(); println((&pair[int]{3}).show()) }
"""


@pytest.fixture(scope="module")
def go(tmp_path_factory):
    from ansible_collections.slipway.go.tests.lab import build

    folder = tmp_path_factory.mktemp("go")
    (folder / "go.mod").write_text("module example.com/shop\n\ngo 1.22\n")
    (folder / "main.go").write_text(SOURCE)

    def run(name, *flags, **environment):
        argv = [str(build.find_go()), "build", "-o", name, *flags, "."]
        subprocess.run(argv, cwd=folder, env={**build.go_environment(), **environment}, check=True, capture_output=True)
        return str(folder / name)

    return run


def functions(path):
    with open_program(str(path)) as opened:
        return read_functions(opened.reader, opened.elf, opened.build_info())


@pytest.mark.parametrize("arch", ["amd64", "386"])
def test_of_a_real_program_what_is_linked_in_is_known(go, arch):
    found = functions(go(arch, GOARCH=arch, CGO_ENABLED="0"))
    assert found.unknown == ""
    names = found.in_packages({"main", "strings", "net/http"})
    assert set(names) == {"main", "strings"}
    assert {"main", "called", "inlined", "pair.show"} <= names["main"]
    assert "notCalled" not in names["main"]
    assert {"runtime", "main"} <= found.packages()


def test_a_stripped_program_says_nothing(go):
    found = functions(go("stripped", "-ldflags=-s", CGO_ENABLED="0"))
    assert (found.unknown, found.names) == ("it is stripped", b"")


def test_a_program_of_another_language(tmp_path):
    found = functions("/bin/true")
    assert found.unknown
    assert found.names == b""


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.F", ("a", "F")),
        ("example.com/a%2eb.(*T[...]).M", ("example.com/a.b", "T.M")),
        ("example.com/a.(*T).M-fm", ("example.com/a", "T.M")),
        ("example.com/a.F[go.shape.struct { x/y.Z }].func1", ("example.com/a", "F.func1")),
        ("example.com/a.b", ("example.com/a", "b")),
        ("", None),
        ("_start", None),
        ("a.", None),
    ],
)
def test_a_name_is_a_package_and_a_symbol(name, expected):
    assert split_name(name) == expected


def test_damage_is_no_evidence(go, tmp_path):
    path = Path(go("whole", CGO_ENABLED="0"))
    content = path.read_bytes()
    at = content.index(b"\xf1\xff\xff\xff\x00\x00")
    for offset, value in ((0, 0x55), (7, 3), (46, 0xFF)):
        changed = bytearray(content)
        changed[at + offset] = value
        (tmp_path / "damaged").write_bytes(changed)
        found = functions(tmp_path / "damaged")
        assert found.unknown, offset
    cut = tmp_path / "no-main"
    cut.write_bytes(content.replace(b"\0main.main\0", b"\0mein.main\0"))
    assert functions(cut).unknown == "its table of functions lacks what every program has"


def test_without_names_nothing_is_in_a_package():
    assert Functions(unknown="x").in_packages({"a"}) == {}
