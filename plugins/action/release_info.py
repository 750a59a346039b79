# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.release_info: a host that lets nobody in is reported with what to do."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils._action import lost_hosts
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction


class ActionModule(BoundedAction):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        with lost_hosts.explained(task_vars or {}):
            answer = self._execute_module("slipway.go.release_info", module_args=arguments, task_vars=task_vars)
        return {**result, **answer}
