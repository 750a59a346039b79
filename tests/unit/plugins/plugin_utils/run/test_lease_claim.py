# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run says of itself: long enough for its last host, and the same batches that Ansible makes."""

from __future__ import annotations

import json

import pytest
from ansible.errors import AnsibleError
from ansible.utils.helpers import pct_to_int
from ansible_collections.slipway.go.plugins.plugin_utils._input import batch_sizes
from ansible_collections.slipway.go.plugins.plugin_utils._run import lease_claim, this_run, time_limits
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused
from hypothesis import given
from hypothesis import strategies as st

HOSTS = [f"web{number}" for number in range(1, 101)]
WELL = time_limits.of({}).well


@pytest.mark.parametrize(
    ("count", "sizes", "lengths"),
    [
        (0, [1], []),
        (3, [1, "50%", "100%"], [1, 1, 1]),
        (100, [1, "50%", "100%"], [1, 50, 49]),
        (10, [3], [3, 3, 3, 1]),
        (10, ["1%"], [1] * 10),
        (5, [], [5]),
    ],
)
def test_batches(count, sizes, lengths):
    groups = lease_claim.split(HOSTS[:count], sizes)
    assert [len(group) for group in groups] == lengths
    assert [host for group in groups for host in group] == HOSTS[:count]


@given(st.integers(1, 60), st.lists(st.integers(1, 20) | st.integers(1, 100).map(lambda n: f"{n}%"), min_size=1))
def test_batches_are_those_of_ansible(count, sizes):
    """As PlaybookExecutor._get_serialized_batches makes them."""
    left, expected, current = HOSTS[:count], [], 0
    while left:
        size = pct_to_int(sizes[current], count)
        expected.append(left[:size])
        left = left[size:]
        current = min(current + 1, len(sizes) - 1)
    assert lease_claim.split(HOSTS[:count], sizes) == expected


def test_the_time_grows_with_what_runs_one_after_the_other():
    patience = time_limits.of({})
    groups = lease_claim.split(HOSTS, [1, "50%", "100%"])
    assert lease_claim.seconds(patience, groups, 5, False) == time_limits.SLACK + 21 * WELL
    assert lease_claim.seconds(patience, groups, 100, False) == time_limits.SLACK + 3 * WELL
    assert lease_claim.seconds(patience, groups, 100, True) == time_limits.SLACK + 3 * (WELL + lease_claim.CONFIGURE)
    assert lease_claim.seconds(patience, [], 0, False) > WELL


def of(variables=None, **arguments):
    variables = {
        "inventory_hostname": "web1",
        "ansible_play_hosts_all": HOSTS[:3],
        "ansible_forks": 5,
        **(variables or {}),
    }
    options = {"name": "shop", **arguments}
    needs = lease_claim.needed(options, time_limits.of({}), variables, lambda value: value)
    return lease_claim.of(options, variables, needs)


def test_a_claim(monkeypatch):
    monkeypatch.setattr(this_run, "has_lease", lambda service, host: (service, host) == ("shop", "web1"))
    claim = of(run="1704", version="2.0.0", end_lease="x")
    assert claim["run"] == this_run.this().id
    assert (claim["held"], claim["name"], claim["version"], claim["instead"]) == (True, "1704", "2.0.0", ["x"])
    assert claim["seconds"] == time_limits.SLACK + 3 * WELL
    assert not of({"inventory_hostname": "web2"})["held"]
    json.dumps(claim)


def test_the_operator_has_the_last_word_on_its_time():
    assert of(lease_time=7.0)["seconds"] == 7
    refused(lambda: of(lease_time=-1.0), "invalid_duration", "release_lease_time is -1")


def test_batches_that_cannot_be_read_are_for_their_play_to_refuse():
    def as_it_is(value, _variables):
        return value

    def refuse(_value, _variables):
        raise AnsibleError("undefined")

    default = list(batch_sizes.SIZES["release_serial"])
    assert lease_claim.serial([], {"release_serial": "many"}, as_it_is) == default
    assert lease_claim.serial([], {"release_serial": "{{ nobody }}"}, refuse) == default
    assert lease_claim.serial([], {"release_serial": "2,100%"}, as_it_is) == [2, "100%"]


def test_a_run_whose_process_is_gone_is_named_once(monkeypatch):
    monkeypatch.setattr(this_run, "has_ended", lambda told: told == {"pid": 7})
    answer = {"lease": {"run": "x", "process": {"pid": 7}}}
    assert lease_claim.ended(answer) == "x"
    assert lease_claim.ended({"lease": {"run": "x", "process": {"pid": 8}}}) == ""
    assert lease_claim.ended({}) == ""
    sealed = lease_claim.instead(json.dumps({"digest": "d", "claim": {"run": "y", "instead": []}}), "x")
    assert json.loads(sealed) == {"digest": "d", "claim": {"run": "y", "instead": ["x"]}}
    assert lease_claim.instead(sealed, "x") == "", "what did not help once does not help again"
