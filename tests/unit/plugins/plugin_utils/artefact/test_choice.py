# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each host gets the artefact that is the best for it, and all that goes with that artefact."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils._artefact import choice
from ansible_collections.slipway.go.plugins.plugin_utils._artefact.choice import Processor
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

V3 = Processor("x86_64", "amd64", ("amd64v3", "amd64v2", "amd64", "amd64v1"))
V1 = Processor("x86_64", "amd64", ("amd64", "amd64v1"))
ARM64 = Processor("aarch64", "arm64", ("arm64v8.1", "arm64", "arm64v8.0"))
ARMV6 = Processor("armv6l", "arm", ("armv6", "armv5", "arm"))
NAMELESS = Processor("m68k", "", ())
PATTERN = "build/shop-linux-{goarch}{level}"
TABLE = {"amd64": "a", "amd64v3": "a3", "arm64": "b", "armv5": "c"}


def choose(src, host, files=(), **options):
    return choice.choose({"src": src, **options}, host, lambda path: path in files)


@pytest.mark.parametrize(("host", "chosen"), [(V3, "a3"), (V1, "a"), (ARM64, "b"), (ARMV6, "c")])
def test_a_dictionary_has_one_for_each(host, chosen):
    assert choose(TABLE, host)["src"] == chosen


@pytest.mark.parametrize(
    ("host", "files", "chosen"),
    [
        (V3, "amd64 amd64v3 arm64", "amd64v3"),
        (V3, "amd64 amd64v2 amd64v4", "amd64v2"),
        (V3, "amd64 arm64", "amd64"),
        (V3, "amd64v1", "amd64v1"),
        (V1, "amd64 amd64v3", "amd64"),
        (ARMV6, "armv7 armv6 armv5", "armv6"),
        (ARMV6, "armv7 arm", "arm"),
    ],
)
def test_of_a_pattern_the_best_that_is_there_is_taken(host, files, chosen):
    paths = [f"build/shop-linux-{name}" for name in files.split()]
    assert choose(PATTERN, host, paths)["src"] == f"build/shop-linux-{chosen}"


def test_a_pattern_of_architectures_alone_needs_no_look():
    url = "https://host/shop-{goarch}"
    assert choose(url, V3)["src"] == "https://host/shop-amd64"
    assert choose(url, ARMV6)["src"] == "https://host/shop-arm"


def test_what_goes_with_the_artefact_follows_it():
    by_name = choose(TABLE, V3, checksum={"amd64v3": "1" * 64, "amd64": "2" * 64}, signature="{goarch}/{level}.sig")
    assert (by_name["checksum"], by_name["signature"]) == ("1" * 64, "amd64/v3.sig")
    by_pattern = choose(PATTERN, V1, ["build/shop-linux-amd64"], checksum="SUMS", signature=f"{PATTERN}.minisig")
    assert (by_pattern["checksum"], by_pattern["signature"]) == ("SUMS", "build/shop-linux-amd64.minisig")
    assert choose({"arm64": f"{PATTERN}"}, ARM64)["src"] == "build/shop-linux-arm64"


@pytest.mark.parametrize(
    ("src", "host", "said"),
    [
        ({"amd64": "a", "amd64v4": "b"}, ARM64, "which is aarch64 (arm64v8.1); it has amd64, amd64v4"),
        ({"amd64v4": "b"}, V3, "which is x86_64 (amd64v3); it has amd64v4"),
        (PATTERN, V1, "build/shop-linux-amd64, build/shop-linux-amd64v1"),
        (PATTERN, NAMELESS, "which is m68k"),
        ({"amd64": "a"}, NAMELESS, "which is m68k"),
    ],
)
def test_a_host_without_one_is_told_so(src, host, said):
    refused(lambda: choose(src, host), "no_artefact_for_host", "release_src", said, "--limit")


def test_a_checksum_of_another_artefact_is_not_taken():
    refused(
        lambda: choose(TABLE, V3, checksum={"amd64": "0"}),
        "invalid_checksum",
        "release_checksum has amd64, and not amd64v3",
        "add amd64v3",
    )


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("shop", "shop"),
        ("{goarch}", "{goarch}"),
        ("{goarch}/shop{level}", "{goarch}/shop{level}"),
        ({"amd64": "a", 386: "b", "arm64": "", "riscv64": None}, {"amd64": "a", "386": "b"}),
        ('{"amd64": "a", "armv6": "b"}', {"amd64": "a", "armv6": "b"}),
        ("{amd64v3: a, arm64v8.1: b}", {"amd64v3": "a", "arm64v8.1": "b"}),
        ({}, {}),
    ],
)
def test_a_text_or_a_dictionary(given, read):
    assert choice.place(given, "release_src") == read
    assert choice.is_open(read) == (read != "shop")


@pytest.mark.parametrize(
    ("given", "word"),
    [
        ({"amd64v5": "a"}, "write 'amd64v"),
        ({"x86_64": "a"}, "'x86_64'"),
        ({"linux/amd64": "a"}, "write 'amd64'"),
        ({"amd64": ["a"]}, "something else than a text for amd64"),
        (["a"], "release_src is not a text"),
        (True, "release_src is not a text"),
        ("{amd64: a, : }", "release_src is not a dictionary"),
    ],
)
def test_what_is_neither(given, word):
    refused(lambda: choice.place(given, "release_src"), "invalid_src", word)


def test_a_checksum_by_architecture_needs_such_an_artefact():
    refused(lambda: choice.require_closed({"checksum": {"amd64": "0"}}), "invalid_checksum", "release_checksum")
    choice.require_closed({"checksum": "0", "signature": None})


def test_levels_are_looked_for_on_the_controller_alone():
    refused(lambda: choice.require_listable("https://h/{goarch}{level}", True), "invalid_src", "{level}")
    choice.require_listable("https://h/{goarch}", True)
    choice.require_listable("{goarch}{level}", False)
    choice.require_listable({"amd64": "https://h/{goarch}{level}"}, True)
