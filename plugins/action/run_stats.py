# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.run_stats: says what a run has found or done, for the next node of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services, survey
from ansible_collections.slipway.go.plugins.plugin_utils._run import run_stats

ARGUMENTS = {
    "answers": {"type": "dict", "required": True},
    "kind": {"type": "str", "required": True, "choices": sorted(run_stats.READERS)},
    "playbook": {"type": "str", "required": True},
    "service": {"type": "str", "default": ""},
    "release": {"type": "str", "default": ""},
    "run": {"type": "str", "default": ""},
    "outcome": {"type": "str", "default": ""},
}


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        kind, given = arguments.pop("kind"), arguments.pop("answers")
        answers = {str(host): told if isinstance(told, Mapping) else {} for host, told in given.items()}
        try:
            told = self._told(kind, answers, arguments, task_vars or {})
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        return {**result, "changed": False, "ansible_stats": run_stats.handed_on(told)}

    def _told(
        self, kind: str, answers: dict[str, Any], about: dict[str, Any], variables: dict[str, Any]
    ) -> dict[str, Any]:
        if declared_services.is_one_of_several(variables):
            service = about.pop("service")
            return run_stats.of_services(kind, {service: answers}, **about)
        of_each = self._of_each_service(answers, variables) if kind == run_stats.PENDING else {}
        if not of_each:
            return run_stats.of_run(kind, answers, **about)
        return run_stats.of_services(kind, of_each, **{**about, "service": "", "release": ""})

    def _of_each_service(self, answers: dict[str, Any], variables: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Where hosts declare several services, what is to come on each, by service and host."""
        found: dict[str, dict[str, Any]] = {}
        of_hosts = {host: variables["hostvars"].raw_get(host) for host in answers}
        if all(survey.is_empty(theirs.get(declared_services.DECLARED)) for theirs in of_hosts.values()):
            return {}
        template = declared_services.template_with(self._templar)
        for host, theirs in of_hosts.items():
            for name in declared_services.chosen_there(host, theirs, variables, template, self._loader):
                found.setdefault(name, {})[host] = answers[host]
        return found
