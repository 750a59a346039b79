# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a comparison has found over time is kept for the report, and is in no result."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
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
