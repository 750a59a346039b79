# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.adoption: says who has asked."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction
from ansible_collections.slipway.go.plugins.plugin_utils._run import authorship


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables, arguments = task_vars or {}, dict(self._task.args)
        try:
            arguments["by"] = authorship.complete(arguments.get("by"), variables)
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        answer: dict[str, Any] = self._execute_module("slipway.go.adoption", arguments, task_vars=variables)
        return {**result, **answer}
