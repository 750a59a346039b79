# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.run_stats: says what a run has found or done, for the next node of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.plugin_utils import _stats

ARGUMENTS = {
    "answers": {"type": "dict", "required": True},
    "kind": {"type": "str", "required": True, "choices": sorted(_stats.READERS)},
    "playbook": {"type": "str", "required": True},
    "service": {"type": "str", "default": ""},
    "release": {"type": "str", "default": ""},
    "run": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        kind, given = arguments.pop("kind"), arguments.pop("answers")
        answers = {str(host): told if isinstance(told, Mapping) else {} for host, told in given.items()}
        told = _stats.of_run(kind, answers, **arguments)
        return {**result, "changed": False, "ansible_stats": _stats.handed_on(told)}
