# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What go list says, and the digest of it; which toolchain is the one that is asked for."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._build import packages, toolchain
from ansible_collections.slipway.go.plugins.module_utils._build.request import Request
from ansible_collections.slipway.go.plugins.module_utils._build.targets import parse
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.fixture
def source(tmp_path):
    (tmp_path / "go.mod").write_text("module example.com/shop\n")
    (tmp_path / "main.go").write_text("package main\nvar version string\nfunc main() {}\n")
    (tmp_path / "data.txt").write_text("embedded")
    return tmp_path


def listed(folder, **more):
    own = {"Dir": str(folder), "ImportPath": "example.com/shop", "Name": "main", "GoFiles": ["main.go"]}
    stdlib = {"Dir": "/go/src/fmt", "ImportPath": "fmt", "Name": "fmt", "Standard": True, "GoFiles": ["print.go"]}
    return packages.parse(json.dumps(stdlib) + "\n" + json.dumps({**own, **more}, indent=1) + "\n")


def request(folder, **more):
    return Request(str(folder), "/out", "shop", (parse("amd64"),), "/cache", **more)


def digest(folder, parameters=None, found=None, **more):
    wanted = request(folder, **more)
    return packages.digest(packages.inputs(found or listed(folder), str(folder), wanted), parameters or {})


def test_packages_of_go_itself_stand_for_its_version():
    assert [package.path for package in listed("/src")] == ["example.com/shop"]
    assert packages.parse("") == []


def test_the_digest_is_the_same_in_another_folder(source, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for path in source.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    assert digest(source) == digest(other)


@pytest.mark.parametrize("name", ["main.go", "go.mod", "go.sum", "vendor/modules.txt", "default.pgo"])
def test_each_input_counts(source, name):
    before = digest(source)
    path = source / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("something else")
    assert digest(source) != before


def test_what_is_embedded_counts_and_what_is_not_does_not(source):
    plain, embedding = digest(source), listed(source, EmbedFiles=["data.txt"])
    before = digest(source, found=embedding)
    (source / "data.txt").write_text("changed")
    assert (digest(source), digest(source, found=embedding) != before) == (plain, True)


def test_a_profile_counts_where_it_is_used(source):
    (source / "default.pgo").write_text("profile")
    assert len({digest(source), digest(source, pgo="off"), digest(source, pgo="main.go")}) == 3


def test_parameters_and_the_version_of_a_module_count(source):
    newer = listed(source, Module={"Path": "example.com/shop", "Version": "v1.0.0"})
    found = {digest(source), digest(source, {"toolchain": "go1.27"}), digest(source, found=newer)}
    assert len(found) == 3


def calling_c(**more):
    document = {"Dir": "/m", "ImportPath": "example.com/sqlite", "CgoFiles": ["a.go"], **more}
    return packages.parse(json.dumps(document))


def test_cgo_is_refused_with_what_it_would_need():
    found = calling_c(
        CgoLDFLAGS=["-O2", "-L/opt/lib", "-lsqlite3", "-lm"], CgoPkgConfig=["gtk4", "--static"], CXXFiles=["a.cc"]
    )
    refused(
        lambda: packages.require_no_cgo([*found, *found], parse("arm64")),
        "build_cgo",
        "example.com/sqlite",
        "a C compiler for linux/arm64 such as aarch64-linux-gnu-gcc, a C++ compiler,",
        "its C library, -lsqlite3, -lm and gtk4 (pkg-config)",
    )
    packages.require_no_cgo(listed("/src"), parse("arm64"))


@pytest.mark.parametrize(
    ("target", "compiler"),
    [
        ("amd64/v3", "x86_64-linux-gnu-gcc"),
        ("386", "i686-linux-gnu-gcc"),
        ("arm/5", "arm-linux-gnueabi-gcc"),
        ("arm/7", "arm-linux-gnueabihf-gcc"),
        ("riscv64", "riscv64-linux-gnu-gcc"),
    ],
)
def test_the_compiler_of_an_architecture(target, compiler):
    refused(
        lambda: packages.require_no_cgo(calling_c(), parse(target)), "build_cgo", compiler, "its C library; programs"
    )


@pytest.mark.parametrize("variable", ["main.version", "example.com/shop.version"])
def test_a_variable_that_is_there(source, variable):
    packages.require_variables(listed(source), request(source, variables={"version": variable}))


@pytest.mark.parametrize("variable", ["main.Version", "main.vers", "example.com/other.version", "shop.version"])
def test_a_variable_that_is_not_there(source, variable):
    wanted = request(source, variables={"version": variable})
    refused(lambda: packages.require_variables(listed(source), wanted), "build_unknown_variable", variable)


def test_the_module_of_a_folder(source):
    below = source / "cmd" / "shop"
    below.mkdir(parents=True)
    assert packages.find_module(str(below)) == packages.find_module(str(source)) == str(source)
    assert packages.find_module("/") == ""


def test_packages_outside_of_a_tree(source):
    assert packages.outside(listed(source), [str(source)]) == []
    assert packages.outside(listed(source), [str(source) + "x"]) == [str(source)]


@pytest.mark.parametrize(
    ("version", "wanted", "fits"),
    [
        ("go1.27.3", "1.27.3", True),
        ("go1.27.3", "go1.27.3", True),
        ("go1.27.3", "1.27", True),
        ("go1.27.3", "1.27.30", False),
        ("go1.27.30", "1.27.3", False),
        ("go1.27.3", "1.2", False),
        ("go1.27.3 X:boringcrypto", "1.27.3", True),
        ("go1.28rc1", "1.28", False),
        ("go1.28rc1", "1.28rc1", True),
    ],
)
def test_which_toolchain_is_the_one_that_is_asked_for(version, wanted, fits):
    assert toolchain.is_wanted(version, wanted) is fits


def fake_go(folder, script):
    path = folder / "go"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def test_a_toolchain_says_what_it_is(tmp_path):
    go = fake_go(tmp_path, "echo go1.22.5")
    assert toolchain.find(go) == toolchain.find("", str(tmp_path)) == go
    assert toolchain.read_version(go, {}) == "go1.22.5"
    toolchain.require(go, "go1.22.5", "")
    refused(lambda: toolchain.require(go, "go1.22.5", "1.27"), "build_toolchain", "go1.22.5", "1.27")


@pytest.mark.parametrize("version", ["go1.20.14", "go1.9", "", "devel +abc"])
def test_a_toolchain_that_is_too_old_or_not_known(version):
    refused(lambda: toolchain.require("/go", version, ""), "build_toolchain", "go1.21")


def test_a_toolchain_that_does_not_run(tmp_path):
    go = fake_go(tmp_path, "echo broken >&2; exit 2")
    refused(lambda: toolchain.read_version(go, {}), "build_toolchain", "broken")


def test_no_toolchain(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain, "_USUAL", str(tmp_path / "none"))
    refused(lambda: toolchain.find("", str(tmp_path)), "build_no_go", "no Go toolchain")
    refused(lambda: toolchain.find(str(tmp_path / "go")), "build_no_go", str(tmp_path / "go"))


def test_a_module_that_demands_a_newer_one():
    said = "go: go.mod requires go >= 1.99 (running go 1.27.3; GOTOOLCHAIN=local)"
    assert (toolchain.newer_than(said), toolchain.newer_than("no such file")) == ("1.99", "")
    assert os.path.basename(toolchain.OLDEST) == "go1.21"
