# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was found on many hosts: each host has its findings, and its reason names the first of them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import host_tables

UNANSWERED = {"what": "answer", "expected": None, "found": None, "since": None}


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([], ""),
        (["a"], "1 difference: a."),
        (list("abcde"), "5 differences: a; b; c; d; e."),
        (list("abcdefg"), "7 differences: a; b; c; d; e; and 2 more."),
    ],
)
def test_a_reason(said, expected):
    assert host_tables.reason("difference", said) == expected


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"failed": True, "msg": "gone\n  away", "findings": [{"what": "x"}]}, "gone away"),
        ({"unreachable": True}, "nothing"),
        ({"findings": "x"}, "nothing"),
    ],
)
def test_a_host_that_has_not_answered_has_one_finding(told, found):
    answers = host_tables.by_host({"web1": told, "web2": {"findings": []}}, "findings", UNANSWERED, "drift_table")
    assert answers == {"web1": [{**UNANSWERED, "expected": "an answer", "found": found}], "web2": []}
    assert list(answers["web1"][0]) == list(UNANSWERED), "in the order in which the others have it"


def test_what_is_no_result():
    with pytest.raises(AnsibleFilterError, match="drift_table takes a dictionary of hosts, not list"):
        host_tables.by_host([], "findings", UNANSWERED, "drift_table")
