# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host answers is handed on; a host that lets nobody in stays unreachable, and the reason says what to do."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import release_info as plugin


class Action(plugin.ActionModule):
    def __init__(self, answer: Any) -> None:
        self._task = SimpleNamespace(args={"name": "shop"}, check_mode=False)
        self.answer = answer

    def _execute_module(self, module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        if isinstance(self.answer, Exception):
            raise self.answer
        return {"module": module_name, **module_args, **self.answer}


@pytest.fixture(autouse=True)
def base(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ActionBase, "run", lambda _self, _tmp, _task_vars: {})


def test_the_answer_is_handed_on() -> None:
    found = Action({"current": None}).run(task_vars={})
    assert found == {"module": "slipway.go.release_info", "name": "shop", "current": None}


def test_a_host_that_lets_nobody_in() -> None:
    action = Action(AnsibleConnectionFailure("root@web1: Permission denied (publickey)."))
    with pytest.raises(AnsibleConnectionFailure, match="Fix: set ansible_user: deploy in the inventory"):
        action.run(task_vars={})
