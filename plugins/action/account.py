# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""slipway.go.account: runs the module, and waits for its answer no longer than a change stays armed."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction, run_armed


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        return {**result, **run_armed(self, self._task.args.get("seconds"), task_vars)}
