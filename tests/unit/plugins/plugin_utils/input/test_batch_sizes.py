# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The sizes of batches are those that somebody set: on the command line, in the play, or in the inventory."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleError
from ansible_collections.slipway.go.plugins.lookup.batches import LookupModule
from ansible_collections.slipway.go.plugins.plugin_utils._input import batch_sizes

NAME = "release_serial"
DEFAULT = [1, "50%", "100%"]


class Hostvars(dict):
    raw_get = dict.__getitem__


def sizes(of_hosts, **own):
    """Of a play (no inventory_hostname) or a task over these hosts; None is a host that has none."""
    theirs = {host: {} if value is None else {NAME: value} for host, value in of_hosts.items()}
    return batch_sizes.sizes(
        NAME, list(of_hosts), {"hostvars": Hostvars(theirs), **own}, lambda value, _variables: value
    )


@pytest.mark.parametrize("of_hosts", [{}, {"a": None}, {"a": ""}, {"a": " "}, {"a": None, "b": ""}])
def test_nobody_says_it(of_hosts):
    assert sizes(of_hosts) == DEFAULT
    assert sizes(of_hosts, **{NAME: ""}) == DEFAULT


def test_before_the_first_play_of_a_run_no_host_is_known():
    assert batch_sizes.sizes(NAME, ["a"], {}, lambda value, _variables: value) == DEFAULT
    assert batch_sizes.sizes(NAME, ["a"], {NAME: 3}, lambda value, _variables: value) == [3]


@pytest.mark.parametrize("of_hosts", [{"a": 2}, {"a": "2", "b": 2}, {"a": None, "b": [2]}, {"a": "", "b": "2"}])
def test_the_inventory_says_it(of_hosts):
    assert sizes(of_hosts) == [2]
    # A task of a host sees what its inventory says as its own.
    for host, value in of_hosts.items():
        assert sizes(of_hosts, inventory_hostname=host, **({} if value is None else {NAME: value})) == [2]


def test_the_command_line_and_the_play_come_first():
    assert sizes({"a": 1, "b": 2}, **{NAME: "5"}) == [5]
    assert sizes({"a": 1, "b": 2}, inventory_hostname="a", **{NAME: "5"}) == [5]


def test_hosts_that_disagree_are_named():
    said = r"release_serial is 1 for a and 2,100% for c, and a run has one\. Fix: set release_serial for all hosts"
    for own in ({}, {"inventory_hostname": "a", NAME: 1}, {"inventory_hostname": "b"}):
        with pytest.raises(AnsibleError, match=said):
            sizes({"a": 1, "b": None, "c": "2,100%"}, **own)


@pytest.mark.parametrize("value", ["many", 0, -1, "0%", "101%", True, [], {}, "1,,2", 1.5])
def test_what_is_no_size_is_refused_by_its_name(value):
    for own in ({NAME: value}, {}):
        with pytest.raises(AnsibleError, match=r"release_serial is .* Fix: give a number of hosts"):
            sizes({"a": value}, **own)


@pytest.mark.parametrize(("names", "among"), [(["release_serial"], None), (["release_serial"], "web"), ([], ["a"])])
def test_the_lookup_wants_one_name_and_a_list_of_hosts(names, among):
    with pytest.raises(AnsibleError, match=r"among is a list of hosts|Name one of the variables"):
        LookupModule().run(names, {}, among=among)
