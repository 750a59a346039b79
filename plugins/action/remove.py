# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.remove: runs the module, and tells the next run what it has done."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils._action.told import ToldAction


class ActionModule(ToldAction):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        return {**result, **self._run_and_tell("remove", self._task.args, task_vars or {})}
