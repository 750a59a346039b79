# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host is given as long as its release may take, and no longer."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils._run import time_limits

# By default: 120 of slack, 30 for the lock, 5 of soak, four times a start, checks and a drain.
DEFAULT = 120 + 30 + 5 + 4 * (60 + 30 + 30)


@pytest.mark.parametrize(
    ("arguments", "release", "command"),
    [
        ({}, DEFAULT, 240),
        ({"start_timeout": "600"}, DEFAULT + 4 * 540, 780),
        ({"drain_timeout": 3600, "health": {"deadline": 90}}, DEFAULT + 4 * (3570 + 60), 120 + 60 + 90 + 3600),
        ({"soak_time": 3600, "lock_timeout": 0}, DEFAULT + 3595 - 30, 240),
        ({"smoke": [["a"], ["b", "c"]], "smoke_timeout": 45}, DEFAULT + 90, 240),
        ({"proxy": {"weights": [5, 25], "step_time": 600}}, DEFAULT + 1200, 240),
        ({"proxy": {"weights": [5, 25], "slow": "pause"}}, DEFAULT + 60 + 900, 240),
        ({"proxy": {"weights": [5], "slow": "pause", "pause_time": 60.0}}, DEFAULT + 30 + 60, 240),
        ({"proxy": {"weights": [100], "slow": "pause"}}, DEFAULT + 30, 240),
        ({"proxy": {"weights": [5], "slow": "ask"}}, DEFAULT + 30, 240),
        ({"proxy": {"weights": [5, 25]}, "fetch_timeout": 10, "src": "/srv/shop"}, DEFAULT + 60, 240),
        ({"src": "https://a/shop", "checksum": "https://a/sums", "signature": "/srv/shop.sig"}, DEFAULT + 600, 240),
        ({"src": "https://a/shop", "fetch_timeout": 10}, DEFAULT + 10, 240),
        ({"src": "https://a/shop", "provenance": "https://a/shop.json", "fetch_timeout": 10}, DEFAULT + 20, 240),
        ({"once": {"command": ["bin/shop", "migrate"], "timeout": "600"}}, DEFAULT + 600, 240),
        ({"once": {"command": ["bin/shop", "migrate"]}}, DEFAULT + 300, 240),
        ({"once": {"command": [], "timeout": 600}}, DEFAULT, 240),
    ],
)
def test_what_a_release_may_take(arguments: dict[str, Any], release: float, command: float) -> None:
    patience = time_limits.of(arguments)
    assert (patience.release, patience.command) == (release, command)


@pytest.mark.parametrize("bad", ["soon", None, -1, float("inf"), float("nan"), [], {}])
def test_what_the_module_refuses_counts_with_its_default(bad: Any) -> None:
    named = ("start_timeout", "drain_timeout", "soak_time", "lock_timeout", "smoke_timeout", "fetch_timeout")
    arguments = {**dict.fromkeys(named, bad), "health": bad, "proxy": bad, "smoke": bad if bad != [] else None}
    assert time_limits.of(arguments) == time_limits.of({})


def test_a_run_that_ends_well_may_have_been_paused() -> None:
    """The lease of a run goes by that."""
    proxy = {"weights": [5], "slow": "pause", "pause_time": 60.0}
    assert time_limits.of({"proxy": proxy}).well == time_limits.of({"proxy": {"weights": [5]}}).well + 60
