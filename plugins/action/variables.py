# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.variables: judges the variables of a run on the controller."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, with_fix
from ansible_collections.slipway.go.plugins.plugin_utils import _survey, _variables

ARGUMENTS = {"role": {"type": "str", "choices": _variables.roles()}}
WARN, REFUSE = "warn", "refuse"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = dict(task_vars or {})
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            if arguments["role"]:
                _variables.check(arguments["role"], variables, lambda name: self._templar.template(variables[name]))
                return {**result, "changed": False, "unknown": []}
            unknown = self._unknown(variables)
            result["warnings"] = self._judge(unknown, variables)
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        return {**result, "changed": False, "unknown": [one._asdict() for one in unknown]}

    def _unknown(self, variables: Mapping[str, Any]) -> list[_variables.Unknown]:
        given = self._setting(variables, "slipway_other_variables", "")
        others = [] if _survey.is_empty(given) else _survey.list_of(_survey.text)(given, "slipway_other_variables")
        return _variables.find_unknown(dict(names_by_host(variables)), others)

    def _judge(self, unknown: list[_variables.Unknown], variables: Mapping[str, Any]) -> list[str]:
        """The warnings, or the failure where that is wanted."""
        given = self._setting(variables, "slipway_unknown_variables", WARN)
        wanted = WARN if _survey.is_empty(given) else given
        wanted = _survey.choice(WARN, REFUSE)(wanted, "slipway_unknown_variables")
        if unknown and wanted == REFUSE:
            raise SlipwayError(
                "unknown_variables", " ".join(map(_variables.describe, unknown)), _variables.fix(unknown[0])
            )
        return [with_fix(_variables.describe(one), _variables.fix(one)) for one in unknown]

    def _setting(self, variables: Mapping[str, Any], name: str, default: Any) -> Any:
        return self._templar.template(variables[name]) if name in variables else default


def names_by_host(variables: Mapping[str, Any]) -> Iterable[tuple[str, Iterable[str]]]:
    """The names of each host's variables; those of this task's host with what the play and the command line set."""
    own = str(variables.get("inventory_hostname"))
    yield own, list(variables)
    for host in variables.get("ansible_play_hosts_all") or []:
        if str(host) != own:
            yield str(host), list(variables["hostvars"].raw_get(host))
