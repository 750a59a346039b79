# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a comparison has found over time is kept for the report, and is in no result."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import compare as plugin
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes

BY = {"url": "http://prometheus:9090", "requests": "a", "failures": "b"}
SIDE = {"hosts": 1, "requests": 100, "failed": 9, "p99_ms": None}
TOLD = {
    "verdict": "fail",
    "reason": "too many",
    "seconds": 15.0,
    "early": None,
    "by": "Prometheus",
    "gaps": {},
    "new": SIDE,
    "old": SIDE,
    "timeline": {"at": [15.0]},
}
DONE = {"changed": True, "action": "release", "previous": "1.0-1"}
NEXT = {"action": "release"}


@pytest.fixture
def act(monkeypatch, tmp_path):
    monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
    monkeypatch.setattr(ActionBase, "run", lambda _self, _tmp, _task_vars: {})
    monkeypatch.setattr(comparison, "compare", lambda *_given, **_more: dict(TOLD))
    monkeypatch.setattr(plugin, "delegate", lambda *_given: {})

    def run(check=False, no_log=False, by=None, previews=None, result=None):
        """With no other value: somebody, who releases on both hosts, and the first is done."""
        action = plugin.ActionModule.__new__(plugin.ActionModule)
        args = {"name": "shop", "by": BY if by is None else by}
        action._task = SimpleNamespace(args=args, check_mode=check, no_log=no_log)
        previews = {"web1": NEXT, "web2": NEXT if previews is None else previews}
        result = DONE if result is None else result
        return action.run(
            None,
            {
                "ansible_play_hosts_all": ["web1", "web2"],
                "ansible_play_batch": ["web1"],
                "hostvars": {"web1": {"release_result": result}, "web2": {}},
                "release_previews": {"shop": previews},
            },
        )

    return run


def test_the_figures_over_time_are_for_the_report_alone(act):
    answer = act()
    assert answer["compared"] == {name: value for name, value in TOLD.items() if name != "timeline"}
    assert list(answer["against"]) == ["web1"]
    (note,) = notes.kept()
    assert (note["kind"], note["service"], note["batch"]) == ("comparison", "shop", 0)
    assert (note["timeline"], note["told"]["verdict"]) == ({"at": [15.0]}, "fail")
    assert "the new release does worse" in note["said"]


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"previews": {"action": "none"}}, "no host after the batch has the release before"),
        ({"result": {"failed": True}}, "no host of the batch got the release in this run"),
    ],
)
def test_why_a_batch_is_not_compared_is_kept(act, how, why):
    assert act(**how)["compared"] is None
    (note,) = notes.kept()
    assert note["why"] == why


@pytest.mark.parametrize("how", [{"check": True}, {"by": {}}, {"no_log": True}])
def test_nothing_is_kept_where_nothing_is_to_be_seen(act, how):
    act(**how)
    assert list(notes.kept()) == []


BALANCERS = ["balancer1", "balancer2"]
COUNTS = {"web1": {"requests": 0, "failed": 0}, "web2": {"requests": 0, "failed": 0}}


class Looped:
    """A task that loops over the load balancers, each turn with an action of its own, as Ansible has it."""

    def __init__(self, monkeypatch, tmp_path, answers):
        monkeypatch.setattr("ansible.constants.DEFAULT_LOCAL_TMP", str(tmp_path))
        monkeypatch.setattr(ActionBase, "run", lambda _self, _tmp, _task_vars: {})
        monkeypatch.setattr(ActionBase, "cleanup", lambda _self, force=False: self.cleaned.append(force))
        monkeypatch.setattr(plugin, "delegate", lambda *_given: {})
        monkeypatch.setattr("time.sleep", lambda _seconds: None)
        monkeypatch.setattr(plugin.ActionModule, "_execute_module", self.execute)
        self.answers, self.asked, self.cleaned = answers, [], []

    def execute(self, name, module_args=None, task_vars=None):
        host = task_vars["turn"]
        self.asked.append((host, name, module_args))
        answer = self.answers(host)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def turn(self, host, **more):
        action = plugin.ActionModule.__new__(plugin.ActionModule)
        by = {"haproxy": BALANCERS, "time": 1, "interval": 1}
        args = {"name": "shop", "by": by, **more}
        action._task = SimpleNamespace(args=args, check_mode=False, no_log=False, delegate_to=host, _uuid="task-1")
        return action.run(
            None,
            {
                "turn": host,
                "groups": {"all": ["web1", "web2", *BALANCERS]},
                "ansible_play_hosts_all": ["web1", "web2"],
                "ansible_play_batch": ["web1"],
                "hostvars": {"web1": {"release_result": DONE}, "web2": {}},
                "release_previews": {"shop": {"web1": NEXT, "web2": NEXT}},
            },
        )


def test_the_last_turn_asks_each_load_balancer_with_its_own_connection(monkeypatch, tmp_path):
    looks = []

    def answers(_host):
        looks.append(1)
        counts = {"web1": {"requests": 90 * len(looks), "failed": 45 * len(looks)}, "web2": COUNTS["web2"]}
        return {"process": 1, "uptime": 9, "servers": counts}

    loop = Looped(monkeypatch, tmp_path, answers)
    assert loop.turn("balancer1") == {"changed": False, "compared": None, "against": {}}
    assert loop.asked == []
    answer = loop.turn("balancer2")
    assert answer["compared"]["by"] == "HAProxy"
    assert {host for host, _name, _args in loop.asked} == set(BALANCERS)
    assert loop.asked[0][1:] == ("slipway.go.balancer_info", {"backend": "shop", "socket": "/run/haproxy/admin.sock"})
    assert len(loop.cleaned) == 2
    assert plugin._turns == {}


def test_a_load_balancer_that_cannot_be_reached_is_named(monkeypatch, tmp_path):
    loop = Looped(monkeypatch, tmp_path, lambda host: AnsibleConnectionFailure(f"no route to {host}"))
    loop.turn("balancer1")
    told = loop.turn("balancer2")["compared"]
    assert told["verdict"] == "inconclusive"
    assert told["reason"].startswith("balancer1 cannot be reached: no route to balancer1; balancer2 cannot be reached")


def test_preflight_refuses_a_backend_that_is_not_there_but_nobody_who_is_away(monkeypatch, tmp_path):
    said = {"failed": True, "code": "balancer_unknown", "msg": "HAProxy has no backend shop. Fix: f", "fix": "f"}
    loop = Looped(monkeypatch, tmp_path, lambda host: said if host == "balancer2" else AnsibleConnectionFailure("no"))
    loop.turn("balancer1", preflight=True)
    answer = loop.turn("balancer2", preflight=True)
    assert (answer["failed"], answer["code"]) == (True, "invalid_compare")
    assert "cannot be used: balancer2: HAProxy has no backend shop. Fix: correct backend" in answer["msg"]
    away = Looped(monkeypatch, tmp_path, lambda _host: AnsibleConnectionFailure("no"))
    away.turn("balancer1", preflight=True)
    assert "failed" not in away.turn("balancer2", preflight=True)


@pytest.mark.parametrize(("host", "said"), [(None, "delegated to nobody"), ("web1", "delegated to web1")])
def test_a_task_that_does_not_loop_is_refused(monkeypatch, tmp_path, host, said):
    answer = Looped(monkeypatch, tmp_path, dict).turn(host)
    assert (answer["code"], said in answer["msg"]) == ("invalid_compare", True)
