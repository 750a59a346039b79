# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.compare: compares the hosts of a batch with those after it, by what Prometheus knows of both."""

from __future__ import annotations

import time
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import ACCEPT, REFUSE
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import Rule
from ansible_collections.slipway.go.plugins.plugin_utils._action.delegation import delegate
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison, progress
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes

# Why a batch is not compared.
NOBODY_AFTER = "no host after the batch has the release before"
NOTHING_NEW = "no host of the batch got the release in this run"
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "by": {"type": "raw", "required": True},
    **{option: {"type": "raw"} for option in comparison.RULE},
}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            return {**result, **self._compare(arguments, task_vars or {})}
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}

    def _compare(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        wanted, name = comparison.parse(arguments["by"]), str(arguments["name"])
        given = survey.understand({option: arguments[option] for option in comparison.RULE}, comparison.RULE)
        refuses = given.pop("inconclusive", ACCEPT) == REFUSE
        new, old = comparison.sides(variables, name)
        if wanted is None or self._task.check_mode or not new or not old:
            if wanted is not None and not self._task.check_mode:
                self._keep_for_the_report(name, {"why": NOBODY_AFTER if new else NOTHING_NEW}, variables)
            return {"changed": False, "compared": None, "against": {}}
        began = time.time()
        tell = progress.paced(lambda so_far, left: comparison.progress(name, so_far, left))
        told = comparison.compare(wanted, Rule(**given), new, old, comparison.prometheus(wanted), tell=tell)
        delegate(self, "slipway.go.show", {"text": comparison.sentence(name, told)}, variables)
        timeline, objection = told.pop("timeline"), comparison.objection(told, refuses)
        note = {"told": told, "timeline": timeline, "began": began, "said": str(objection or "")}
        self._keep_for_the_report(name, note, variables)
        hosts = comparison.swapped(variables, name) if objection is not None else []
        why = {"code": getattr(objection, "code", ""), "msg": str(objection), "service": name}
        return {"changed": False, "compared": told, "against": dict.fromkeys(hosts, why)}

    def _keep_for_the_report(self, name: str, note: dict[str, Any], variables: dict[str, Any]) -> None:
        """Figures over time are for the report alone, as those of a swap are."""
        if not self._task.no_log:
            batch = notes.batch_of(variables)
            notes.keep(notes.COMPARISON, name, f"batch {batch}", {**note, "batch": batch})
