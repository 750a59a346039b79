# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import re

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.versions import module_key
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.osv import BrokenEntry, parse
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.vulnerabilities.entries import entry
from hypothesis import given
from hypothesis import strategies as st


def affected(*events, **fields):
    return parse(entry("GO-1", "example.com/m", *events, **fields)).affected[0]


def is_affected(one, version):
    return one.affects(module_key(version))


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v1.1.9", False), ("v1.2.0", True), ("v1.2.0-rc.1", False), ("v1.2.1-0.20240102030405-abcdefabcdef", True),
        ("v1.2.9+incompatible", True), ("v1.3.0-0.20240102030405-abcdefabcdef", True), ("v1.3.0", False),
        ("v1.4.0", False), ("v2.0.0-0", True), ("v2.0.0", True), ("v2.1.0", True), ("v2.1.1", False),
    ],
)  # fmt: skip
def test_several_ranges_in_one(version, expected):
    events = [{"introduced": "2.0.0-0"}, {"last_affected": "2.1.0"}, {"fixed": "1.3.0"}, {"introduced": "1.2.0"}]
    assert is_affected(affected(*events), version) is expected


def test_where_one_version_ends_and_begins_a_range():
    one = affected({"introduced": "0"}, {"fixed": "1.0.0"}, {"introduced": "1.0.0"}, {"fixed": "2.0.0"})
    assert is_affected(one, "v1.0.0")
    assert not is_affected(affected({"introduced": "1.0.0"}, {"fixed": "1.0.0"}), "v1.5.0")


def test_a_limit_ends_what_counts():
    one = affected({"introduced": "1.0.0"}, {"limit": "1.5.0"})
    assert is_affected(one, "v1.4.9")
    assert not is_affected(one, "v1.5.0")
    assert is_affected(affected({"introduced": "1.0.0"}, {"limit": "*"}), "v9.0.0")


def test_a_version_that_cannot_be_ordered_may_be_any():
    assert affected({"introduced": "0"}, {"fixed": "0.0.1"}).affects(None)


def test_where_no_range_can_be_compared_every_version_is_affected():
    data = entry()
    data["affected"][0]["ranges"] = [{"type": "GIT", "events": [{"introduced": "abc"}]}]
    assert is_affected(parse(data).affected[0], "v9.0.0")
    data["affected"][0]["versions"] = ["1.0.0", "v1.1.0"]
    listed = parse(data).affected[0]
    assert [is_affected(listed, version) for version in ("v1.0.0", "v1.1.0", "v1.2.0")] == [True, True, False]


@pytest.mark.parametrize(
    ("version", "fixed"), [("v1.0.0", "1.1.0"), ("v1.2.0", "1.3.0"), ("v2.0.0", ""), ("v0.0.1", "1.1.0")]
)
def test_the_fix_is_the_next_version_that_is_not_affected(version, fixed):
    one = affected({"introduced": "0"}, {"fixed": "1.1.0"}, {"introduced": "1.2.0"}, {"fixed": "1.3.0"})
    assert one.fixed_after(module_key(version)) == fixed


def test_other_ecosystems_are_left_out():
    data = entry()
    data["affected"].append({"package": {"ecosystem": "PyPI", "name": "x"}, "ranges": [{"events": [{"no": 1}]}]})
    assert [one.module for one in parse(data).affected] == ["golang.org/x/sys"]


BROKEN = {
    "no object": [],
    "no id": entry(""),
    "an id that is a path": entry("../x"),
    "no modified": entry(modified=None),
    "no such day": entry(modified="2026-99-99T00:00:00Z"),
    "affected is a text": {**entry(), "affected": "all"},
    "no package": {**entry(), "affected": [{}]},
    "no name": {**entry(), "affected": [{"package": {"ecosystem": "Go"}}]},
    "no version": entry("GO-1", "m", {"introduced": "0"}, {"fixed": "soon"}),
    "no beginning": entry("GO-1", "m", {"fixed": "1.0.0"}),
    "an unknown event": entry("GO-1", "m", {"introduced": "0"}, {"mended": "1.0.0"}),
    "an event that is a number": entry("GO-1", "m", {"introduced": 0}),
    "digits without end": entry("GO-1", "m", {"introduced": "1" * 5000}),
    "aliases is a text": entry(aliases="CVE-1"),
    "symbols is a number": entry(imports=[{"path": "m", "symbols": 1}]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_follow_the_format_is_not_judged(name):
    with pytest.raises(BrokenEntry):
        parse(BROKEN[name])


# An independent evaluation: versions as text, compared by the rules of semver.org, and ranges as pairs.
NUMBERS = st.integers(0, 3).map(str)
PRE = st.lists(st.sampled_from(["0", "1", "10", "2", "a", "rc", "alpha", "20200101000000-abcdef"]), max_size=2)
VERSIONS = st.builds(
    lambda core, pre, build: ".".join(core) + (f"-{'.'.join(pre)}" if pre else "") + build,
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    PRE,
    st.sampled_from(["", "+incompatible"]),
)


def precedes(one, two):
    """Whether one is lower than two, by section 11 of the specification."""
    (core_one, pre_one), (core_two, pre_two) = (
        re.fullmatch(r"([0-9.]+)(?:-([^+]*))?(?:\+.*)?", text).groups() for text in (one, two)
    )
    numbers_one, numbers_two = (tuple(map(int, core.split("."))) for core in (core_one, core_two))
    if numbers_one != numbers_two:
        return numbers_one < numbers_two
    if not pre_one or not pre_two:
        return bool(pre_one) and not pre_two
    left, right = pre_one.split("."), pre_two.split(".")
    for a, b in zip(left, right):
        if a == b:
            continue
        if a.isdigit() and b.isdigit():
            return int(a) < int(b)
        return a.isdigit() if a.isdigit() != b.isdigit() else a < b
    return len(left) < len(right)


@given(VERSIONS, st.lists(st.tuples(VERSIONS, VERSIONS), min_size=1, max_size=3), st.booleans())
def test_ranges_mean_what_their_pairs_mean(version, pairs, inclusive):
    """Pairs of a first and a later version, each a range of its own."""
    pairs = [(a, b) for a, b in pairs if precedes(a, b)]
    if not pairs:
        return
    end = "last_affected" if inclusive else "fixed"
    data = entry()
    data["affected"][0]["ranges"] = [
        {"type": "SEMVER", "events": [{end: last}, {"introduced": first}]} for first, last in pairs
    ]

    def inside(first, last):
        above = not precedes(version, first)
        return above and (not precedes(last, version) if inclusive else precedes(version, last))

    assert is_affected(parse(data).affected[0], f"v{version}") is any(inside(*pair) for pair in pairs)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), st.lists, max_leaves=5))
def test_nothing_in_place_of_a_field_is_a_traceback(value):
    for path in (("affected",), ("aliases",), ("affected", 0, "ranges"), ("affected", 0, "package"), ("severity",)):
        data = entry()
        target = data
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
        try:
            parse(data)
        except BrokenEntry:
            continue
