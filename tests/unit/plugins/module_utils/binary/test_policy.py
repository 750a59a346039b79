# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.policy import check_policy, parse_denylist
from ansible_collections.slipway.go.plugins.module_utils._binary.versions import go_key, module_key
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError

ORDER = [
    "v0.0.0-20170915032832-14c0d48ead0c", "v0.0.0", "v0.9.9", "v1.0.0-alpha", "v1.0.0-alpha.1", "v1.0.0-alpha.beta",
    "v1.0.0-beta.2", "v1.0.0-beta.11", "v1.0.0-rc.1", "v1.0.0", "v1.0.1-0.20200101000000-abcdefabcdef", "v1.2.0",
    "v1.10.0", "v2.0.0+incompatible", "v10.0.0",
]  # fmt: skip
GO_ORDER = ["go1.9", "go1.18beta1", "go1.18rc2", "go1.18", "go1.18.10", "go1.21rc1", "go1.21.0", "go1.22.3", "go2.0"]


def test_module_versions_are_ordered_as_go_orders_them():
    assert sorted(set(ORDER), key=module_key) == ORDER
    assert module_key("(devel)") is None
    assert module_key("v1.0.0+meta") == module_key("v1.0.0")


def test_go_releases():
    assert sorted(set(GO_ORDER), key=go_key) == GO_ORDER
    assert go_key("1.22") == go_key("go1.22.0 X:boringcrypto")
    assert go_key("devel go1.28-abc Mon") == go_key("go1.28")
    assert go_key("gccgo") is None


def info(**changes):
    go = {
        "version": "go1.22.3",
        "path": "example.com/shop/cmd/shop",
        "main": {"path": "example.com/shop", "version": "v1.4.2", "replace": None},
        "deps": [
            {"path": "golang.org/x/crypto", "version": "v0.16.0", "replace": None},
            {"path": "example.com/a", "version": "v1.0.0",
             "replace": {"path": "example.com/b", "version": "v2.0.0", "replace": None}},
            {"path": "example.com/local", "version": "v1.0.0",
             "replace": {"path": "../local", "version": "(devel)", "replace": None}},
        ],
        "vcs": {"revision": "abc", "modified": False},
    }  # fmt: skip
    go.update(changes)
    return {"path": "/app", "class": "static", "go": go}


def codes(binary, **policy):
    return [problem.code for problem in check_policy(binary, policy)]


def test_nothing_asked_nothing_found():
    assert codes(info()) == []
    assert codes({"path": "/app", "class": "dynamic", "go": None}) == []
    assert codes(info(), require_static=False, min_go_version="", main_module=None, denied_modules=()) == []


@pytest.mark.parametrize(("kind", "fine"), [("static", 1), ("static-pie", 1), ("dynamic", 0), ("interpreter-only", 0)])
def test_static(kind, fine):
    assert codes({**info(), "class": kind}, require_static=True) == ([] if fine else ["policy_static"])


def test_version_control():
    assert codes(info(), require_vcs_clean=True) == []
    assert codes(info(vcs={"revision": "abc", "modified": True}), require_vcs_clean=True) == ["policy_vcs_modified"]
    assert codes(info(vcs={"revision": "abc", "modified": None}), require_vcs_clean=True) == ["policy_vcs_modified"]
    assert codes(info(vcs=None), require_vcs_clean=True) == ["policy_vcs_unknown"]


def test_go_release():
    assert codes(info(), min_go_version="1.22") == []
    assert codes(info(), min_go_version="go1.22.3") == []
    assert codes(info(), min_go_version="1.22.4") == ["policy_go_version"]
    assert codes(info(version="unknown"), min_go_version="1.13") == ["policy_go_version"]
    with pytest.raises(SlipwayError, match="min_go_version"):
        codes(info(), min_go_version="newest")


@pytest.mark.parametrize("wanted", [1.2, "1.2", 1.1, 1.3, 1, "1", 1.0])
def test_a_go_release_that_yaml_has_read_as_a_number_is_refused(wanted):
    """1.20 without quotes is 1.2, which any binary with build info would pass."""
    with pytest.raises(SlipwayError, match=r"min_go_version: .* in quotes") as caught:
        codes(info(version="go1.13"), min_go_version=wanted)
    assert caught.value.code == "policy_syntax"


@pytest.mark.parametrize("wanted", [1.22, "1.22", "1.13", 2, "go1.2", "1.9.3", "1.21rc1"])
def test_a_go_release_that_is_what_it_says_is_taken(wanted):
    assert codes(info(version="go2.0"), min_go_version=wanted) == []


def test_main_module():
    assert codes(info(), main_module="example.com/shop") == []
    assert codes(info(), main_module="example.com/other") == ["policy_main_module"]
    assert codes(info(main=None), main_module="example.com/shop/cmd/shop") == []


def test_not_go():
    assert codes({"path": "/app", "class": "static", "go": None}, main_module="x") == ["policy_not_go"]


@pytest.mark.parametrize(
    ("line", "denied"),
    [
        ("golang.org/x/crypto", ["golang.org/x/crypto v0.16.0"]),
        ("golang.org/x/crypto <v0.17.0  # CVE-2023-48795", ["golang.org/x/crypto v0.16.0"]),
        ("golang.org/x/crypto <v0.16.0", []),
        ("golang.org/x/crypto >=v0.10.0 <v0.17.0", ["golang.org/x/crypto v0.16.0"]),
        ("golang.org/x/crypto >v0.16.0", []),
        ("golang.org/x/crypto =v0.16.0", ["golang.org/x/crypto v0.16.0"]),
        ("golang.org/x/...", ["golang.org/x/crypto v0.16.0"]),
        ("golang.org/x", []),
        ("golang.org/x/cry...", []),
        ("example.com/a", []),  # replaced, so its code is not in the binary
        ("example.com/b", ["example.com/b v2.0.0"]),
        ("../local <v1.0.0", ["../local (devel)"]),  # any version may hide behind (devel)
        ("stdlib <v1.22.4", ["stdlib go1.22.3"]),
        ("stdlib <1.22.3", []),
        ("# only a comment", []),
    ],
)
def test_denied_modules(line, denied):
    found = check_policy(info(), {"denied_modules": parse_denylist(line)})
    assert [problem.message.split("contains ")[1].split(",")[0] for problem in found] == denied
    assert all(problem.code == "policy_denied_module" and problem.fix for problem in found)


def test_reasons_reach_the_operator():
    (problem,) = check_policy(info(), {"denied_modules": parse_denylist("\ngolang.org/x/crypto <v0.17.0 # CVE-1")})
    assert problem.message == "/app: contains golang.org/x/crypto v0.16.0, denied by line 2: CVE-1"
    assert problem.fix == "run go get golang.org/x/crypto@v0.17.0 or newer, then build"


@pytest.mark.parametrize(
    ("line", "fix"),
    [
        (
            "golang.org/x/crypto <=v0.16.0",
            "run go get golang.org/x/crypto with a version newer than v0.16.0, then build",
        ),
        ("golang.org/x/crypto =v0.16.0", "remove golang.org/x/crypto or take another version, then build"),
        ("stdlib <v1.22.4", "build with Go 1.22.4 or newer"),
        ("stdlib <=v1.22.3", "build with a Go that is newer than 1.22.3"),
        ("stdlib =v1.22.3", "build with another Go release"),
    ],
)
def test_the_version_that_the_fix_names_is_not_denied(line, fix):
    (problem,) = check_policy(info(), {"denied_modules": parse_denylist(line)})
    assert problem.fix == fix


@pytest.mark.parametrize("line", ["a.com/b v1.0.0", "a.com/b <latest", "a.com/b < v1.0.0", "stdlib <vNext"])
def test_denylist_syntax(line):
    with pytest.raises(SlipwayError) as caught:
        parse_denylist(f"fine.com/x\n{line}\n", "deny.txt")
    assert caught.value.code == "denylist_syntax"
    assert "deny.txt: line 2" in caught.value.message
