# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line a problem, as a text."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.problem_table import problem_table

TAKEN = {"code": "port_in_use", "message": "port 8080 is taken.", "fix": "stop nginx"}


def test_hosts_that_refuse() -> None:
    told = {
        "web1": {"msg": "…", "problems": [TAKEN, {**TAKEN, "code": "no_space"}]},
        "web2": {"action": "release"},
        "web3": {"code": "command_failed", "msg": "systemctl failed (1): no bus\nHost is down"},
        "web4": {"unreachable": True},
    }
    assert problem_table(told).splitlines() == [
        "HOST  PROBLEM         WHAT AND HOW TO FIX IT",
        "web1  port_in_use     port 8080 is taken. Fix: stop nginx",
        "web1  no_space        port 8080 is taken. Fix: stop nginx",
        "web3  command_failed  systemctl failed (1): no bus Host is down",
        "web4  unreachable     did not answer",
    ]


def test_nothing_speaks_against_it() -> None:
    assert problem_table({"web1": {"action": "release"}}) == ""


def test_anything_but_a_dictionary_is_an_error() -> None:
    with pytest.raises(AnsibleFilterError):
        problem_table(["web1"])


def test_what_is_only_a_warning():
    notice = {"code": "no_listen_fds", "message": "It may not listen.", "fix": "use proxy"}
    assert problem_table({"web1": {"action": "release", "notices": [notice]}}).splitlines()[1:] == [
        "web1  warning: no_listen_fds  It may not listen. Fix: use proxy"
    ]
