# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.rollback: says who has asked, and tells the next run what was done."""

from __future__ import annotations

import contextlib
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._action.told import ToldAction
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import progress
from ansible_collections.slipway.go.plugins.plugin_utils._run import authorship, this_run

# What of an answer a notice tells.
NOTED = ("action", "changed", "previous", "current", "failed", "code", "msg", "rolled_back")


class ActionModule(ToldAction):
    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables, arguments = task_vars or {}, dict(self._task.args)
        try:
            arguments["by"] = authorship.complete(arguments.get("by"), variables)
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        targets = (variables.get("release_plan") or {}).get("targets") or ()
        about = progress.about("rollback", str(arguments.get("name") or ""), "", variables, targets)
        with progress.watch(self, about, variables) as watch:
            watch.enter(progress.GOES_BACK)
            answer = self._run_and_tell("rollback", arguments, variables)
            watch.failed = bool(answer.get("failed"))
        if not self._task.check_mode:
            self._note(answer, variables)
        return {**result, **answer}

    def _note(self, answer: dict[str, Any], variables: dict[str, Any]) -> None:
        """For the notice of the whole run; several services of a host would replace one another's result."""
        service, host = str(self._task.args.get("name")), variables.get("inventory_hostname")
        with contextlib.suppress(OSError):
            this_run.note_rollback(service, str(host), {key: answer[key] for key in NOTED if key in answer})
