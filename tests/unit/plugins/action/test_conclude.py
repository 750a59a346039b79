# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host that is asked whether it still serves counts only where it says so."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.action import conclude as plugin


class Action(plugin.ActionModule):
    """The plugin with a host that answers the same to everything."""

    def __init__(self, arguments, answer):
        self._task = SimpleNamespace(args=arguments, check_mode=False, no_log=False, async_val=0)
        self.answer, self.asked = answer, []

    def _ask(self, module, arguments, variables):
        self.asked.append(module)
        return dict(self.answer)


@pytest.fixture
def conclude(monkeypatch):
    monkeypatch.setattr(ActionBase, "run", lambda self, tmp, task_vars: {})

    def ask(current, **arguments):
        action = Action({"name": "shop", **arguments}, {"current": current, "health": "pass"})
        return action.run(task_vars={"inventory_hostname": "a"}), action.asked

    return ask


@pytest.mark.parametrize(
    ("expects", "current", "code"),
    [("2.0-b", "2.0-b", None), ("2.0-b", "1.0-a", "fleet_went_back"), ("", "1.0-a", "fleet_went_back")],
)
def test_a_release_that_is_expected_must_serve(conclude, expects, current, code):
    answer, asked = conclude(current, expects=expects)
    assert (answer.get("code"), answer.get("failed", False)) == (code, code is not None)
    assert asked == ["release_info"]


def test_where_none_is_expected_the_host_only_tells(conclude):
    answer, asked = conclude("1.0-a")
    assert (answer["current"], answer.get("failed", False), asked) == ("1.0-a", False, ["release_info"])
