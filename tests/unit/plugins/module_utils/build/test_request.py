# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for: its defects, and the commands and variables that it becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.go.plugins.module_utils._build import commands, request
from ansible_collections.slipway.go.plugins.module_utils._build.commands import Stamp
from ansible_collections.slipway.go.plugins.module_utils._build.request import Request, check, read_time, show_time
from ansible_collections.slipway.go.plugins.module_utils._build.targets import parse
from ansible_collections.slipway.go.plugins.module_utils._core.problems import ProblemsError
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

GOOD = Request("/src", "/out", "shop", (parse("amd64"), parse("arm64")), "/cache")
STAMP = Stamp("2.0.0", "abc123", 1767182400, "main")


def test_a_good_one_is_accepted():
    check(GOOD)
    check(replace(GOOD, package="./cmd/shop", tags=("netgo", "a.b"), pgo="cpu.pprof", toolchain="go1.27", version="v2"))
    check(replace(GOOD, variables={"version": "example.com/shop/internal/build.Version", "time": "main.built"}))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"source": ""}, "build_source is ''"),
        ({"source": "."}, "build_source is '.'"),
        ({"dest": "build"}, "build_dest is 'build'"),
        ({"cache": ""}, "build_cache is ''"),
        ({"name": ""}, "build_name is ''"),
        ({"name": "../shop"}, "build_name"),
        ({"name": "-rf"}, "build_name"),
        ({"targets": ()}, "build_targets is empty"),
        ({"ref": "--upload-pack=x"}, "build_ref"),
        ({"package": ""}, "build_package"),
        ({"package": "./..."}, "build_package"),
        ({"package": "./../x"}, "build_package"),
        ({"package": "example.com/other"}, "build_package"),
        ({"package": "-toolexec=x"}, "build_package"),
        ({"pattern": ""}, "build_artefact"),
        ({"pattern": "{name}/{goarch}"}, "build_artefact"),
        ({"pattern": "{name"}, "build_artefact"),
        ({"pattern": "{}"}, "build_artefact"),
        ({"pattern": "{name.__class__}"}, "build_artefact"),
        ({"pattern": "{host}"}, "build_artefact"),
        ({"pattern": "{name}"}, "two targets the same file name"),
        ({"targets": (parse("amd64"), parse("amd64/v1"))}, "two targets the same file name"),
        ({"version": "2.0.0 -X main.evil=1"}, "build_version"),
        ({"version": "2.0'"}, "build_version"),
        ({"version": "../2.0"}, "build_version"),
        ({"version": "2/0"}, "build_version"),
        ({"commit": "a b"}, "build_commit"),
        ({"time": "yesterday"}, "build_time"),
        ({"time": "2026-01-31"}, "build_time"),
        ({"time": "1950-01-31T00:00:00Z"}, "build_time"),
        ({"variables": {"user": "main.user"}}, "build_variables"),
        ({"variables": {"version": ""}}, "build_variables"),
        ({"variables": {"version": "version"}}, "build_variables"),
        ({"variables": {"version": None}}, "build_variables"),
        ({"variables": {"version": "main.version -s"}}, "build_variables"),
        ({"tags": ("",)}, "build_tags"),
        ({"tags": ("a,b",)}, "build_tags"),
        ({"pgo": ""}, "build_pgo"),
        ({"pgo": "/etc/passwd"}, "build_pgo"),
        ({"toolchain": "newest"}, "build_toolchain"),
        ({"timeout": 0}, "build_timeout"),
    ],
)
def test_a_defect_is_named(change, words):
    refused(lambda: check(replace(GOOD, **change)), "invalid_build", words)


def test_all_defects_are_named_at_once():
    with pytest.raises(ProblemsError) as caught:
        check(Request("", "", "", ()))
    assert len(caught.value.problems) == 5


def test_a_version_is_one_in_a_file_name():
    wanted = replace(GOOD, pattern="{name}_{version}_{goos}_{goarch}{level}", targets=(parse("arm"),))
    check(wanted)
    assert wanted.file_name(wanted.targets[0], "2.0.0") == "shop_2.0.0_linux_armv7"
    assert GOOD.file_name(parse("amd64"), "2.0.0") == "shop-linux-amd64"
    assert GOOD.file_name(parse("amd64/v3"), "2.0.0") == "shop-linux-amd64v3"


@pytest.mark.parametrize("text", ["1767182400", "2025-12-31T12:00:00Z", "2025-12-31T13:00:00+01:00"])
def test_a_time_is_read_in_both_spellings(text):
    assert (read_time(text), show_time(read_time(text))) == (1767182400, "2025-12-31T12:00:00Z")


def test_the_command_that_builds():
    wanted = replace(
        GOOD,
        package="./cmd/shop",
        mod="vendor",
        vcs="true",
        pgo="off",
        tags=("netgo", "prod"),
        variables={"version": "main.version", "commit": "main.commit", "time": "main.built"},
    )
    assert commands.build("/go", "/src", wanted, STAMP, "/work/shop") == [
        "/go",
        "build",
        "-C",
        "/src",
        "-trimpath",
        "-buildvcs=true",
        "-mod=vendor",
        "-tags=netgo,prod",
        "-pgo=off",
        "-ldflags=-s -w -X main.commit=abc123 -X main.built=2025-12-31T12:00:00Z -X main.version=2.0.0",
        "-o",
        "/work/shop",
        "--",
        "./cmd/shop",
    ]


def test_without_flags_for_the_linker_there_are_none():
    argv = commands.build("/go", "/src", replace(GOOD, strip=False), STAMP, "/work/shop")
    assert [word for word in argv if word.startswith("-ldflags")] == []


def test_what_decides_is_the_same_wherever_it_is_built():
    assert commands.settings(parse("arm/6"), STAMP) == {
        "CGO_ENABLED": "0",
        "GOENV": "off",
        "GOFLAGS": "",
        "GOTOOLCHAIN": "local",
        "SOURCE_DATE_EPOCH": "1767182400",
        "GOOS": "linux",
        "GOARCH": "arm",
        "GOARM": "6",
    }
    assert "SOURCE_DATE_EPOCH" not in commands.settings(None, Stamp("1"))
    assert "GOARCH" not in commands.settings(None, Stamp("1"))


def test_offline_nothing_of_the_network_is_handed_on():
    inherited = {"HOME": "/home/ci", "https_proxy": "http://p", "GOFLAGS": "-x", "AWS_SECRET_ACCESS_KEY": "s"}
    offline = commands.places(replace(GOOD, offline=True, proxy="http://q"), "/cache", inherited)
    assert (offline["GOPROXY"], offline.get("https_proxy")) == ("off", None)
    online = commands.places(replace(GOOD, proxy="http://q", private=("a", "b")), "/cache", inherited)
    assert (online["GOPROXY"], online["https_proxy"], online["GOPRIVATE"]) == ("http://q", "http://p", "a,b")
    assert not {"GOFLAGS", "AWS_SECRET_ACCESS_KEY"} & set(online)


def test_two_builds_share_the_modules_and_not_what_is_compiled():
    first, second = commands.places(GOOD, "/cache", {}), commands.places(GOOD, "/cache/verify", {})
    assert first["GOMODCACHE"] == second["GOMODCACHE"]
    assert first["GOCACHE"] != second["GOCACHE"]


def test_the_choices_are_those_of_the_module():
    assert (request.MOD, request.VCS) == (("auto", "vendor", "readonly"), ("auto", "true", "false"))
