# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An old artefact is not released under a new version, and an honest one is not refused."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import binding
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.binding import (
    COMMIT,
    NAME,
    STATED,
    VERSION,
    Claim,
)
from hypothesis import example, given
from hypothesis import strategies as st

NAMES = [
    ("2.0.0", "shop_2.0.0_linux_amd64.tar.gz", True),
    ("2.0.0", "v2.0.0", True),
    ("v2.0.0", "shop-2.0.0", True),
    ("2.0.0", "shop-linux-amd64", None),
    ("2.0.0", "store-4", None),
    ("2.0.0", "go1.27-shop-2.0.0", True),
    ("2.0.0", "shop-2.0.0-go1.27.1", True),
    ("2.0.0", "shop-go1.27.1", None),
    ("1.2.3", "shop-11.2.3", False),
    ("1.2.3", "shop-1.2.30", False),
    ("2.0.0", "shop-2.0", True),
    ("2.0", "shop-2.0.0", True),
    ("2.0.7", "shop-2.0", None),
    ("2.0", "shop-2.0.7", None),
    ("2.0.0", "shop-2.0.0+build5", True),
    ("2.0.0+build5", "shop-2.0.0", True),
    ("2.0.0+build5", "shop-2.0.0+build5.tar.gz", True),
    ("2.0.0+build5", "shop-2.0.0+build6", False),
    ("2.0.0", "shop-2.0.0-rc.1-linux-amd64", False),
    ("2.0.0", "shop-2.0.0rc1", False),
    ("2.0.0", "shop_2.0.0~rc2", False),
    ("2.0.0-rc.1", "shop_2.0.0-rc.1_linux", True),
    ("2.0.0-rc.1", "shop_2.0.0~rc.1_linux", True),
    ("2.0.0-rc.1", "shop-2.0.0", False),
    ("2.0.0-rc.1", "shop-2.0.0-rc.10", False),
    ("2.0.0-hotfix", "shop-2.0.0-hotfix-linux", True),
    ("2.0.0-hotfix", "shop-2.0.0-hotfixes", False),
    ("1.0.0", "shop-1.0.0-5-gabcdef0", False),
    ("1.0.0-5-gabcdef0", "shop-1.0.0-5-gabcdef0-linux", True),
    ("1.0.0-6-gabcdef1", "shop-1.0.0-5-gabcdef0-linux", False),
    ("2026.1", "shop-2026.01", True),
    ("2.0.0", "shop-2.0.0-1_amd64", True),
    ("2.0.0", "2.0.0/shop", True),
    ("2.0.0", "v1.9.9/shop", False),
    ("main-57", "shop-main-57.tar", True),
    ("main-57", "shop-main-570.tar", None),
    ("57", "shop-1.2.3", None),
    ("9.9.9", "shop 1.0.0", False),
]
VERSIONS = [
    ("2.0.0", "v2.0.0", True),
    ("2.0.0", "(devel)", None),
    ("2.0.0", "dev", None),
    ("2.0.0", "v2.0.0+incompatible", True),
    ("2.0.0", "v2.0.0+dirty", True),
    ("2.0.0", "v2.0.0-dirty", True),
    ("2.0.0+build5", "v2.0.0", True),
    ("2.0", "v2.0.0", True),
    ("9.9.9", "v1.0.0", False),
    ("1.2.3-rc.1", "v1.2.3", False),
    ("1.2.3", "v1.2.3-rc.1", False),
    ("1.2.3", "v0.0.0-20261128090000-1bcdef012345", None),
    ("1.2.3", "v1.2.4-0.20261128090000-1bcdef012345", None),
    ("v1.2.3-5-gabcdef0", "v1.2.4-0.20261128090000-abcdef012345", True),
    ("v1.2.3-5-gabcdef0-dirty", "v0.0.0-20261128090000-abcdef012345+dirty", True),
    ("v1.2.3-5-gabcdef0", "v0.0.0-20261128090000-1bcdef012345", False),
    ("abcdef0", "v0.0.0-20261128090000-abcdef012345", True),
    ("abc1234", "v1.0.0", None),
    ("20260302a", "v0.0.0-20261128090000-abcdef012345", None),
    ("20240601b", "v1.2.4-0.20261128090000-abcdef012345", None),
    ("abcdef1", "v0.0.0-20261128090000-abcdef012345", None),
    ("v0.0.0-20261128090000-abcdef012345", "v0.0.0-20261128090000-abcdef012345", True),
]


@pytest.mark.parametrize(("wanted", "name", "verdict"), NAMES)
def test_a_version_in_a_name(wanted, name, verdict):
    assert binding.verdict(wanted, Claim("x", NAME, name)) is verdict


@pytest.mark.parametrize(("wanted", "text", "verdict"), VERSIONS)
def test_a_version_in_the_build_info(wanted, text, verdict):
    assert binding.verdict(wanted, Claim("x", VERSION, text)) is verdict


@pytest.mark.parametrize(
    ("wanted", "verdict"),
    [
        ("v1.2.3-5-gabcdef0", True),
        ("v1.2.3-5-gabcdef1", False),
        ("v0.0.0-20261128090000-abcdef012345", True),
        ("v0.0.0-20261128090000-abcdef012346", False),
        ("1.2.3", None),
        ("abcdef01", True),
        ("abcdef01-dirty", True),
        ("20260302a", None),
        ("20240601b", None),
        ("20240601b-dirty", None),
    ],
)
def test_a_commit(wanted, verdict):
    assert binding.verdict(wanted, Claim("x", COMMIT, "abcdef0123456789abcdef0123456789abcdef01")) is verdict


@pytest.mark.parametrize(
    ("comment", "claims"),
    [
        ("timestamp:1700000000\tfile:shop-1.0.0\thashed", [(NAME, "timestamp:1700000000\tfile:shop-1.0.0\thashed")]),
        ("shop version:1.0.0, replaces 0.9.9", [(STATED, "1.0.0")]),
        ("Version=main-57", [(STATED, "main-57")]),
        ("version:", [(NAME, "version:")]),
        ("", []),
        (" \t", []),
    ],
)
def test_trusted_comments(comment, claims):
    assert [(claim.kind, claim.text) for claim in binding.comment_claims(comment)] == claims


@pytest.mark.parametrize(
    ("wanted", "comment", "refused"),
    [
        ("9.9.9", "timestamp:1700000000\tfile:shop-1.0.0\thashed", True),
        ("1.0.0", "timestamp:1700000000\tfile:shop-1.0.0\thashed", False),
        ("0.9.9", "shop version:1.0.0, replaces 0.9.9", True),
        ("main-58", "version:main-57", True),
        ("main-57", "version:main-57", False),
        ("9.9.9", "signature from minisign secret key", False),
    ],
)
def test_a_replayed_signature(wanted, comment, refused):
    found = binding.problems(wanted, "match", binding.comment_claims(comment))
    assert [problem.code for problem in found] == ["version_mismatch"] * refused
    for problem in found:
        assert wanted in problem.message
        assert "trusted comment" in problem.message


def go(version="(devel)", flags="", revision=None):
    settings = {"-ldflags": flags} if flags else {}
    return {"main": {"version": version}, "settings": settings, "vcs": {"revision": revision} if revision else None}


@pytest.mark.parametrize(
    ("facts", "texts"),
    [
        (None, []),
        (go(), []),
        (go("v1.0.0"), ["v1.0.0"]),
        (go(flags="-s -w -X main.version=1.0.0 -X 'main.commit=a b' -X=example.com/b.Tag=v2"), ["1.0.0", "v2"]),
        (go(flags="-X main.version='1.0.0"), ["'1.0.0"]),
        (go(flags="-X main.goVersion=1.27 -X main.apiVersion=v1 -X"), []),
        (go(revision="abc"), ["abc"]),
        ({}, []),
    ],
)
def test_what_a_build_says(facts, texts):
    assert [claim.text for claim in binding.build_claims(facts)] == texts


def test_each_place_may_say_it_several_times_and_once_is_enough():
    stamps = binding.build_claims(go(flags="-X main.version=2.0.0 -X lib/x.version=1.0.0"))
    assert binding.problems("2.0.0", "required", stamps) == []
    assert [p.code for p in binding.problems("3.0.0", "match", stamps)] == ["version_mismatch"]


def test_every_place_that_says_another_is_named():
    claims = [
        *binding.comment_claims("shop 1.0.0"),
        *binding.folder_claims("shop-1.1.0"),
        *binding.entry_claims("shop"),
    ]
    found = binding.problems("2.0.0", "required", claims)
    assert len(found) == 2
    assert "'shop 1.0.0'" in found[0].message
    assert "'shop-1.1.0'" in found[1].message


def test_levels():
    silent, other = binding.entry_claims("shop"), binding.entry_claims("shop-1.0.0")
    assert binding.problems("2.0.0", "match", silent) == []
    assert [p.code for p in binding.problems("2.0.0", "required", silent)] == ["version_not_named"]
    assert [p.code for p in binding.problems("2.0.0", "required", [])] == ["version_not_named"]
    assert [p.code for p in binding.problems("2.0.0", "required", other)] == ["version_mismatch"]
    assert binding.problems("2.0.0", "ignore", other) == []
    assert binding.problems("1.0.0", "required", other) == []


@pytest.mark.parametrize("said", [None, "x", [["a", "b"]], [[1, 2, 3]], [{"where": "x"}], {}])
def test_a_damaged_record_is_none(said):
    assert binding.recorded(said) is None


def test_a_record_comes_back():
    claims = [Claim("a", NAME, "b \u00e9"), Claim("c", COMMIT, "d")]
    assert binding.recorded(binding.record(claims)) == claims
    assert binding.record([Claim("a", NAME, "b\udcff")]) == [["a", NAME, "b?"]]
    assert binding.recorded([["a", "unknown", "b"]]) == []


# Versions as they are given, names as they are made, and whatever somebody may have signed.
NUMBER = st.integers(0, 10**20).map(str)
CORE = st.lists(NUMBER, min_size=2, max_size=4).map(".".join)
PRE = st.sampled_from(["", "-rc.1", "-rc1", "-beta", "-5-gabcdef0", "-hotfix2"])
BUILD = st.sampled_from(["", "+build5", "+x.7"])
WANTED = st.builds("{}{}{}{}".format, st.sampled_from(["", "v"]), CORE, PRE, BUILD)
AROUND = st.sampled_from(
    ["{}", "shop-{}", "shop_{}_linux_amd64.tar.gz", "go1.27-shop-{}", "a/{}/shop", "file:{}\thashed"]
)
LEVEL = st.sampled_from(binding.LEVELS)
KIND = st.sampled_from([VERSION, STATED, NAME, COMMIT])


@given(WANTED, AROUND)
def test_what_is_named_as_it_is_called_is_accepted(wanted, around):
    claims = [Claim("x", NAME, around.format(wanted)), Claim("y", VERSION, wanted), Claim("z", STATED, wanted)]
    assert binding.problems(wanted, "required", claims) == []


@given(CORE, CORE, PRE, AROUND)
def test_another_version_is_never_the_one_that_is_wanted(one, other, pre, around):
    numbers = [[int(n) for n in text.split(".")] for text in (one, other)]
    length = max(map(len, numbers))
    padded = [found + [0] * (length - len(found)) for found in numbers]
    for kind, text in ((NAME, around.format(other + pre)), (VERSION, other + pre), (STATED, other + pre)):
        found = binding.verdict(one, Claim("x", kind, text))
        # Of 2.0 and 2.0.0 either may be said; any other two are two, and a pre-release is not its release.
        same = padded[0] == padded[1] and (not pre or (kind == NAME and pre == "-hotfix2"))
        assert (found is True) == same, (one, text, kind, found)


@given(st.text(max_size=200), st.text(max_size=60), LEVEL, KIND)
@example("1.2.3", "1." * 5000, "match", NAME)
@example("1.2.3", "-" * 5000 + "1.0", "match", NAME)
@example("1.2.3", "1.0" + "-rc" + "-1" * 5000, "match", NAME)
@example("1.2.3", "1.0-" + "0." * 5000, "match", VERSION)
@example("1.2.3-" + "." * 90, "1.2.3" + "." * 5000, "match", NAME)
@example("\u0661.\u0662", "\u0661.\u0662", "match", NAME)
def test_whatever_somebody_has_signed_is_read(wanted, text, level, kind):
    for claims in ([Claim("x", kind, text)], binding.comment_claims(text), binding.build_claims(go(text, text, text))):
        for problem in binding.problems(wanted, level, claims):
            assert problem.code in ("version_mismatch", "version_not_named")
            assert problem.message.isprintable() or not wanted.isprintable()
            assert len(problem.message) < 2000
