# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""However long a swap takes, its timeline has an end, and no request of it is lost."""

from __future__ import annotations

import json
import random

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.timeline import MOST, Evidence, Requests


@pytest.mark.parametrize("seconds", [0.2, 29.9, 30.0, 31.0, 3600.0, 200_000.0])
def test_requests_are_counted_once_whatever_the_length(seconds):
    chance = random.Random(seconds)
    times = sorted(chance.uniform(0, seconds) for _request in range(2000))
    requests = Requests(100.0)
    for i, at in enumerate(times):
        requests.add(100.0 + at, i % 10 == 0, None if i % 10 == 0 else 0.001 * (i % 7 + 1))
    told = requests.figures(103.0)
    assert len(told["sent"]) == len(told["failed"]) == len(told["max_ms"]) <= MOST
    assert (sum(told["sent"]), sum(told["failed"])) == (2000, 200)
    assert max(one for one in told["max_ms"] if one is not None) == 7.0
    assert told["begins"] == -3.0
    for place, sent in enumerate(told["sent"]):
        begins = place * told["step"]
        assert sent == sum(begins <= at < begins + told["step"] for at in times)
    assert len(json.dumps(told)) < 2500


def test_a_time_without_requests_is_empty_and_one_without_answers_has_no_duration():
    requests = Requests(0.0)
    requests.add(0.1, False, 0.002)
    requests.add(0.9, True, None)
    assert requests.figures(0.0) == {
        "begins": 0.0, "step": 0.25, "sent": [1, 0, 0, 1], "failed": [0, 0, 0, 1], "max_ms": [2.0, None, None, None],
    }  # fmt: skip


def test_requests_that_come_in_another_order():
    requests = Requests(10.0, most=2)
    for at in (11.0, 10.0, 10.1, 9.9):
        requests.add(at, False, 0.001)
    told = requests.figures(10.0)
    assert (told["step"], told["sent"]) == (1.0, [3, 1])


def test_the_highest_evidence_is_kept():
    evidence = Evidence()
    for second in range(10_000):
        evidence.add(float(second), 431.0 if second == 5000 else 0.1, second / 10_000)
    told = evidence.figures(0.0)
    assert len(told["at"]) == len(told["errors"]) == len(told["latency"]) <= MOST
    assert max(told["errors"]) == 431.0
    assert told["at"][-1] == 9999.0
    assert told["at"] == sorted(told["at"])
    assert told["latency"][-1] == 0.9999
