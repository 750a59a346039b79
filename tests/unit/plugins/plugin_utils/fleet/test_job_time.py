# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job that releases has the time of all that its variables allow, wave by wave."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.job_time import job_time
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import job_time as calculation
from ansible_collections.slipway.go.plugins.plugin_utils._run import time_limits

# What a host may take by default, with its confirmation.
WAVE = time_limits.of({}).release + 60
PAUSES = {"release_weights": "5, 25", "release_step_time": "600", "release_slow": "pause", "release_pause_time": "7200"}


@pytest.mark.parametrize(
    ("given", "more"),
    [
        ({}, 0),
        (dict.fromkeys(calculation.VARIABLES, ""), 0),
        ({"service_start_timeout": "600", "release_health": "{deadline: 90}"}, 3 * 4 * (540 + 60)),
        ({"service_drain_timeout": 3600}, 3 * 4 * 3570),
        ({"service_drain_timeout": 60, "release_drain_timeout": 3600}, 3 * 4 * 3570),
        ({"service_start_timeout": 600, "release_start_timeout": ""}, 3 * 4 * 540),
        ({"release_confirm": 600, "release_soak_time": 65, "release_lock_timeout": 90}, 3 * (540 + 60 + 60)),
        ({"release_smoke": [["a"], ["b"]], "release_smoke_timeout": 40}, 3 * 80),
        ({"release_once": "bin/shop, migrate", "release_once_timeout": "3600"}, 3 * 3600),
        ({"release_weights": [5, 25, 100], "release_step_time": 600}, 3 * 3 * 600),
        (PAUSES, 3 * (1200 + 7200)),
        ({**PAUSES, "release_slow": "rollback"}, 3 * 1200),
        ({"release_slow": "pause"}, 3 * (30 + 900)),
        ({"release_serial": [1, 2, 3, 4, 5]}, 2 * WAVE),
        ({"release_serial": 1}, 0),
    ],
)
def test_the_time_of_a_job(given: dict[str, Any], more: float) -> None:
    assert job_time(given) == calculation.AROUND + 3 * WAVE + more


@pytest.mark.parametrize(
    ("hosts", "forks", "waves"),
    [(1, 0, 1), (3, 0, 3), (100, 0, 1 + 10 + 10), (100, 50, 3), (100, 10, 1 + 5 + 5), ("100", "10", 11)],
)
def test_a_batch_takes_as_many_waves_as_its_hosts_need(hosts: Any, forks: Any, waves: int) -> None:
    assert job_time({}, hosts, forks) == calculation.AROUND + waves * WAVE
    assert job_time(PAUSES, hosts, forks) == calculation.AROUND + waves * (WAVE + 1200 + 7200)


def test_a_comparison_comes_after_each_batch_but_the_last() -> None:
    compare = {"release_compare": "{haproxy: [balancer1], time: 600, interval: 10}"}
    each = job_time(compare, 2) - job_time({}, 2)
    assert each > 600
    assert job_time(compare) - job_time({}) == 2 * each
    assert job_time(compare, 1) == job_time({}, 1)


def test_the_whole_run_after_the_canary_may_take_what_its_hosts_wait_for_it() -> None:
    assert job_time({"release_confirm_fleet": "36000"}) == calculation.AROUND + WAVE + 36000
    assert job_time({"release_confirm_fleet": 60}) == job_time({})
    assert job_time({"release_confirm_fleet": 36000}, 1) == job_time({}, 1)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"release_pause_time": "1h"}, "release_pause_time is '1h', not a number"),
        ({"release_pause_time": 50000, "release_slow": "pause"}, "release_pause_time is 50000"),
        ({"release_slow": "ask"}, "release_slow is 'ask'"),
        ({"service_drain_timeout": "long"}, "service_drain_timeout is 'long'"),
        ({"release_drain_timeout": "long"}, "release_drain_timeout is 'long'"),
        ({"release_compare": "often"}, "release_compare"),
        ({"release_health": "soon"}, "release_health"),
        ({"release_serial": "many"}, "release_serial"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_fix(given: dict[str, Any], named: str) -> None:
    with pytest.raises(AnsibleFilterError, match=rf"{named}.* Fix: "):
        job_time(given)
