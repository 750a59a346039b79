# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller tells the host who has asked for a rollback."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import remove, rollback


@pytest.fixture
def told(monkeypatch):
    """The arguments that the module gets; none where it is not called."""
    arguments = []

    def execute(_self, name, given, task_vars, wrap_async):
        if wrap_async:
            return {"started": 1, "ansible_job_id": "j1"}
        arguments.append((name, given))
        return {"changed": True}

    monkeypatch.setattr(ActionBase, "run", lambda _self, _tmp, _task_vars: {})
    monkeypatch.setattr(ActionBase, "_execute_module", execute)
    return arguments


def run(given, action=rollback, later=0, **variables):
    action = action.ActionModule.__new__(action.ActionModule)
    action._task = SimpleNamespace(args=given, check_mode=False, no_log=False, async_val=later)
    return action.run(None, variables)


def test_who_has_asked_is_told(told):
    assert run({"name": "shop", "by": {"reason": "pages are slow"}}, awx_user_name="alice")["changed"] is True
    ((name, given),) = told
    assert (name, given["name"]) == ("slipway.go.rollback", "shop")
    assert (given["by"]["person"], given["by"]["reason"]) == ("alice", "pages are slow")


def test_what_is_no_mapping_is_refused_before_the_host_is_asked(told):
    answer = run({"name": "shop", "by": "alice"})
    assert (answer["failed"], answer["code"]) == (True, "invalid_by")
    assert told == []


@pytest.mark.parametrize("action", [rollback, remove])
def test_what_only_begins_says_nothing_of_how_it_ends(told, action):
    assert action.ActionModule._supports_async
    hosts = {"inventory_hostname": "web1", "ansible_play_hosts_all": ["web1"]}
    assert run({"name": "shop"}, action, later=60, **hosts) == {"started": 1, "ansible_job_id": "j1"}
    assert "ansible_stats" in run({"name": "shop"}, action, **hosts)
