# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An action whose module's result is told to the next run. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction
from ansible_collections.slipway.go.plugins.plugin_utils._run import run_stats


class ToldAction(BoundedAction):
    """Takes `async`, as a module without an action of its own does. What only begins has nothing to tell yet."""

    TRANSFERS_FILES = False
    _supports_async = True

    def _run_and_tell(self, name: str, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        later = bool(self._task.async_val)
        answer: dict[str, Any] = self._execute_module(
            f"slipway.go.{name}", arguments, task_vars=variables, wrap_async=later
        )
        return answer if self._task.check_mode or later else run_stats.with_stats(name, answer, variables)
