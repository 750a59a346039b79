# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The order of Semantic Versioning 2.0.0, section 11, and what is none of it."""

from __future__ import annotations

import itertools

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import semver

# The example of section 11.4, and what the rules before it say, each lower than the next.
ORDER = (
    *("0.0.0-0", "0.0.0", "0.0.1", "0.1.0", "0.9.99", "0.10.0"),
    *("1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"),
    *("1.0.0-rc.1", "1.0.0", "2.0.0", "2.1.0", "2.1.1"),
    *("2.2.0-1", "2.2.0-2", "2.2.0-10", "2.2.0-10.a", "2.2.0--", "2.2.0-A", "2.2.0-a", "2.2.0-a-b", "2.2.0"),
    *("10.0.0", "99999999999999999999.0.0"),
)
NONE = (
    *(
        "",
        "1",
        "1.2",
        "2.0",
        "1.2.3.4",
        "01.2.3",
        "1.02.3",
        "1.2.3-",
        "1.2.3-01",
        "1.2.3-a..b",
        "1.2.3+",
        "1.2.3-\u00e4",
    ),
    *("main-57", "abcdef0", "20260302a", "V1.2.3", "vv1.2.3", " 1.2.3", "1.2.3\n", "1.2.3~rc1", "2026.01.02", "-1.2.3"),
)


def test_the_order():
    for (first, one), (second, other) in itertools.product(enumerate(ORDER), repeat=2):
        assert semver.is_lower(one, other) == (first < second), (one, other)
        assert semver.is_lower(f"v{one}+build.5", other) == (first < second), (one, other)


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_such_version_is_left_alone(text):
    assert semver.parse(text) is None
    assert not semver.is_lower(text, "9.9.9")
    assert not semver.is_lower("0.0.1", text)
    assert semver.prerelease_problems(text, allowed=False) == []


@pytest.mark.parametrize(
    ("one", "other", "lower"),
    [
        ("2.0.0-5-gabcdef0", "2.0.0", False),
        ("2.0.0", "2.0.0-5-gabcdef0", False),
        ("2.0.0-5-gabcdef0", "2.0.0-7-gabcdef1", False),
        ("2.0.0-rc.1-5-gabcdef0", "2.0.0", False),
        ("2.0.0-5-gabcdef0", "2.0.1", True),
        ("2.0.1", "2.1.0-5-gabcdef0", True),
        ("2.1.0", "2.0.0-5-gabcdef0", False),
        ("v0.0.0-20260101000000-abcdef012345", "v0.0.0-20260201000000-abcdef012345", True),
    ],
)
def test_a_commit_after_a_tag_is_not_before_it(one, other, lower):
    """Which git describe would say by the letter of the standard."""
    assert semver.is_lower(one, other) is lower


@pytest.mark.parametrize("version", ["2.0.0-rc.1", "v2.0.0-0", "2.0.0-5-gabcdef0", "2.0.0-rc.1+5"])
def test_a_pre_release_is_refused_where_none_is_wanted(version):
    (problem,) = semver.prerelease_problems(version, allowed=False)
    assert problem.code == "policy_prerelease"
    assert version in problem.message
    assert "release_prerelease" in problem.fix
    assert semver.prerelease_problems(version, allowed=True) == []


@pytest.mark.parametrize("version", ["2.0.0", "v2.0.0", "2.0.0+rc.1"])
def test_a_release_is_none(version):
    assert semver.prerelease_problems(version, allowed=False) == []
