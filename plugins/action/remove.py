# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.remove: runs the module, and tells the next run what it has done."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils import _stats
from ansible_collections.slipway.go.plugins.plugin_utils._bounded import BoundedAction


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        answer: dict[str, Any] = {**result, **self._execute_module(task_vars=task_vars)}
        return answer if self._task.check_mode else _stats.with_stats("remove", answer, task_vars or {})
