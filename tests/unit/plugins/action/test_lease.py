# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of the lease: begin only where all hosts agree, and leave nothing behind."""

from __future__ import annotations

import json
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from ansible import constants
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import lease as plugin
from ansible_collections.slipway.go.plugins.plugin_utils._run import this_run

VARIABLES = {"inventory_hostname": "web1"}
ACCEPTED = {"action": "release", "changed": False}
LEASED = {
    "code": "leased",
    "msg": "shop is being released by bob.",
    "problems": [{"code": "leased", "message": "shop is being released by bob.", "fix": "wait"}],
    "lease": {"run": "other", "left": 90.0},
    "claim": {"run": "own", "seconds": 600.0, "instead": []},
}


class Action(plugin.ActionModule):
    def __init__(self, arguments, check_mode=False):
        self._task = SimpleNamespace(args=arguments, check_mode=check_mode)
        self._connection = MagicMock()
        self.asked, self.answer = [], {"changed": False, "lease": None}

    def validate_argument_spec(self, spec):
        defaults = {name: option.get("default") for name, option in spec.items()}
        return None, {**defaults, **self._task.args}

    def _execute_module(self, name, arguments, task_vars):
        assert name == "slipway.go.lease"
        self.asked.append(json.loads(arguments["sealed"]))
        if isinstance(self.answer, Exception):
            raise self.answer
        return dict(self.answer)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})


def act(check_mode=False, **arguments):
    return Action({"name": "shop", **arguments}, check_mode)


def test_the_end_gives_back_what_was_taken_once():
    action = act()
    assert action.run(task_vars=VARIABLES) == {"changed": False}
    assert action.asked == [], "a host of which nothing was taken is not asked"
    this_run.note_lease("shop", "web1")
    assert action.run(task_vars=VARIABLES) == {"changed": False}
    assert [told["claim"]["run"] for told in action.asked] == [this_run.this().id]
    action.run(task_vars=VARIABLES)
    assert len(action.asked) == 1


def test_where_a_host_refuses_one_service_the_leases_of_all_are_given_back():
    """A run of several services asks about one after the other."""
    for name in ("desk", "shop"):
        this_run.note_lease(name, "web1")
    this_run.note_lease("shop", "web2")
    action = act(answer=ACCEPTED, refused=["web2"])
    action.run(task_vars=VARIABLES)
    assert (len(action.asked), this_run.leased("web1"), this_run.leased("web2")) == (2, [], ["shop"])


def test_a_judgement_needs_the_service():
    done = Action({"answer": ACCEPTED}).run(task_vars=VARIABLES)
    assert (done["failed"], done["code"]) == (True, "missing_name")


@pytest.mark.parametrize("answer", [AnsibleConnectionFailure("timed out"), {"failed": True, "msg": "no space."}])
def test_a_host_that_does_not_take_it_back_is_a_warning(answer):
    this_run.note_lease("shop", "web1")
    action = act()
    action.answer = answer
    done = action.run(task_vars=VARIABLES)
    assert not done.get("failed")
    assert "ends by itself" in done["warnings"][0]


def test_where_all_hosts_accept_none_is_asked_again():
    this_run.note_lease("shop", "web1")
    action = act(answer=ACCEPTED)
    assert action.run(task_vars=VARIABLES) == {"changed": False}
    assert action.asked == []
    assert this_run.has_lease("shop", "web1")


def test_where_another_host_refuses_this_one_gives_back_and_does_not_fail():
    this_run.note_lease("shop", "web1")
    action = act(answer=ACCEPTED, refused=["web2"])
    assert action.run(task_vars=VARIABLES) == {"changed": False}
    assert len(action.asked) == 1
    assert not this_run.has_lease("shop", "web1")


def test_the_host_that_refuses_fails_with_its_reason():
    this_run.note_lease("shop", "web1")
    done = act(answer=LEASED, refused=["web1"]).run(task_vars=VARIABLES)
    assert (done["failed"], done["msg"]) == (True, "shop is being released by bob.")
    done = act(answer={}, refused=["web1"]).run(task_vars=VARIABLES)
    assert (done["failed"], done["msg"]) == (True, "This host did not answer.")


def test_the_lease_of_a_run_that_is_over_ends_here_too():
    this_run.note_lease("shop", "web1")
    action = act(answer=LEASED, ended=["other"])
    assert not action.run(task_vars=VARIABLES).get("failed")
    (told,) = action.asked
    assert (told["take"], told["claim"]["instead"]) == (True, ["other"])


def test_unless_another_run_was_faster():
    this_run.note_lease("shop", "web1")
    action = act(answer=LEASED, ended=["other"])
    action.answer = {"failed": True, "code": "leased", "msg": "shop is being released by carol."}
    assert action.run(task_vars=VARIABLES)["failed"]


def test_a_check_takes_and_gives_back_nothing():
    action = act(check_mode=True, answer=LEASED, ended=["other"])
    assert action.run(task_vars=VARIABLES) == {"changed": False}
    this_run.note_lease("shop", "web1")
    act(check_mode=True).run(task_vars=VARIABLES)
    assert action.asked == []
    assert this_run.has_lease("shop", "web1")


def test_what_nobody_can_be_is_refused():
    done = act(by={"mood": "good"}).run(task_vars=VARIABLES)
    assert (done["failed"], done["code"]) == (True, "invalid_by")
