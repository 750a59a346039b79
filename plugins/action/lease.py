# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.lease: what the hosts have answered decides what becomes of the lease here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._action import lost_hosts
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction, limit
from ansible_collections.slipway.go.plugins.plugin_utils._run import authorship, lease_answers, this_run

ARGUMENTS = {
    "name": {"type": "str", "default": ""},
    "answer": {"type": "dict"},
    "refused": {"type": "list", "elements": "str", "default": []},
    "ended": {"type": "list", "elements": "str", "default": []},
    "by": {"type": "dict", "default": {}},
}
WITHIN = 60.0


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        variables = task_vars or {}
        try:
            by = authorship.complete(arguments["by"], variables)
            if arguments["answer"] is not None and not arguments["name"]:
                raise SlipwayError("missing_name", "service_name is empty.", "set service_name (option name)")
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        if arguments["answer"] is None:
            return {**result, **self._give_back(variables)}
        return {**result, **self._judge(arguments, by, variables)}

    def _judge(self, arguments: Mapping[str, Any], by: Mapping[str, str], variables: dict[str, Any]) -> dict[str, Any]:
        """Go on where all hosts accept the release; else give back what this run has taken here."""
        name, answer, host = str(arguments["name"]), arguments["answer"], str(variables.get("inventory_hostname"))
        if arguments["refused"]:
            done = self._give_back(variables)
            refuses = host in arguments["refused"]
            problems = [str(one.get("code")) for one in answer.get("problems") or []]
            code = next(iter(problems), str(answer.get("code") or "refused"))
            return {**done, "failed": True, "msg": lease_answers.why(answer), "code": code} if refuses else done
        if answer.get("code") == "unreachable":  # whether it has taken the lease is not known; its own batch asks anew
            this_run.forget_lease(name, host)
        blocking = lease_answers.blocked_by(answer)
        if not blocking or not this_run.has_lease(name, host):
            return {"changed": False}
        claim = {**(answer.get("claim") or {}), "instead": [blocking]}
        return self._ask({"name": name, "sealed": json.dumps({"claim": claim, "by": by, "take": True})}, variables)

    def _give_back(self, variables: dict[str, Any]) -> dict[str, Any]:
        """Whatever this run has taken here, of every service. That a host is gone is no failure: the lease will end."""
        host = str(variables.get("inventory_hostname"))
        warnings = []
        for name in [] if self._task.check_mode else this_run.leased(host):
            this_run.forget_lease(name, host)
            claim = {"run": this_run.this().id, "instead": []}
            done = self._ask({"name": name, "sealed": json.dumps({"claim": claim, "by": {}})}, variables)
            if done.get("failed"):
                warnings.append(f"the lease of {name} was not given back, and ends by itself: {done.get('msg')}")
        return {"changed": False, **({"warnings": warnings} if warnings else {})}

    def _ask(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        try:
            with limit(WITHIN, f"it has not answered for {WITHIN:g} s.", AnsibleConnectionFailure):
                answer: dict[str, Any] = self._execute_module("slipway.go.lease", arguments, task_vars=variables)
        except AnsibleConnectionFailure as error:
            return {
                "failed": True,
                "changed": False,
                "msg": lost_hosts.explain(error, variables),
                "code": "unreachable",
            }
        except AnsibleError as error:
            return {"failed": True, "changed": False, "msg": str(error)}
        return answer
