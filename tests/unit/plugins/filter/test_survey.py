# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Variables as a survey hands them over: text, and empty where nothing was answered."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.batches import batches
from ansible_collections.slipway.go.plugins.filter.host_pattern import host_pattern


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        (1, [1]),
        ("1", [1]),
        ("50%", ["50%"]),
        ("1,50%,100%", [1, "50%", "100%"]),
        ('[1, "100%"]', [1, "100%"]),
        ([1, "50%", "100%"], [1, "50%", "100%"]),
        (["2.0", " 10% "], [2, "10%"]),
    ],
)
def test_sizes(given, sizes):
    assert batches(given, "release_serial") == sizes


@pytest.mark.parametrize(
    "given", ["", "abc", "0", "-1", "101%", "1,,2", "1;2", [], [None], {"a": 1}, True, "50 per cent"]
)
def test_no_sizes(given):
    with pytest.raises(AnsibleFilterError, match=r"release_serial is .* Fix: "):
        batches(given, "release_serial")


@pytest.mark.parametrize("given", ["all", "web:&prod", "web1,web2", ["web", "db"]])
def test_hosts(given):
    assert host_pattern(given, "slipway_hosts") == given


@pytest.mark.parametrize("given", ["", "  ", ",", [], [""], None, {}])
def test_no_hosts(given):
    """Nobody can tell whether all were meant."""
    with pytest.raises(AnsibleFilterError, match=r"slipway_hosts is .* Fix: "):
        host_pattern(given, "slipway_hosts")
