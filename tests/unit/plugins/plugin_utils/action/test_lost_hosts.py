# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who stops a run, and who was not touched."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils._action import lost_hosts

EVERYONE = ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("batch", "left"), [(["a"], ["b", "c", "d"]), (["b", "c"], ["d"]), (["b"], ["c", "d"]), (EVERYONE, []), ([], [])]
)
def test_not_touched(batch, left):
    assert lost_hosts.not_touched({"ansible_play_hosts_all": EVERYONE, "ansible_play_batch": batch}) == left


def test_the_last_sentence():
    variables = {"ansible_play_hosts_all": EVERYONE, "ansible_play_batch": ["a", "b"], "inventory_hostname": "a"}
    assert lost_hosts.stop({"msg": "It failed.", "failed": True}, variables) == {
        "msg": "It failed. a stops the run; not touched: c, d.",
        "failed": True,
    }
    assert lost_hosts.stop({"msg": "It failed."}, {**variables, "ansible_play_batch": EVERYONE}) == {
        "msg": "It failed."
    }


def test_an_unreachable_host_has_failed():
    told = lost_hosts.unreachable("ssh: timed\nout.", {})
    assert (told["failed"], told["code"], told.get("unreachable")) == (True, "unreachable", None)
    assert "ssh: timed out." in told["msg"]


@pytest.mark.parametrize(
    ("variables", "user"),
    [
        ({}, "deploy"),
        ({"deploy_user_name": "ops"}, "ops"),
        ({"deploy_user_name": "ops", "ssh_proof_user": "admin"}, "admin"),
        ({"deploy_user_name": "{{ team }}"}, "deploy"),
    ],
)
def test_a_host_that_lets_the_user_in_no_more_says_who_may(variables, user):
    """After hardening, root of the inventory is refused."""
    why = "Failed to connect to the host via ssh: root@web1: Permission denied (publickey)."
    told = lost_hosts.explain(why, variables)
    assert told.startswith(f"{why} Fix: set ansible_user: {user} in the inventory")
    assert lost_hosts.unreachable(why, variables)["fix"].startswith(f"set ansible_user: {user} in")


def test_other_reasons_have_nothing_to_do_with_the_user():
    assert lost_hosts.explain("Connection\ntimed out", {}) == "Connection timed out"


def test_whoever_is_the_deploy_user_already_is_not_told_to_become_it() -> None:
    told = lost_hosts.explain("deploy@192.0.2.1: Permission denied (publickey).", {})
    assert "set ansible_user" not in told
    assert "-e bootstrap_user=root" in told


def test_a_fix_is_told_once_and_the_reason_is_a_sentence_of_its_own() -> None:
    why = "Failed to connect to the host via ssh: root@web1: Permission denied (publickey,password)"
    told = lost_hosts.unreachable(lost_hosts.explain(why, {}), {})["msg"]
    assert told.startswith(f"the host became unreachable: {why}. What it had begun")
    assert told.count("Fix: ") == 1
