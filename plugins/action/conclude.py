# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.conclude: takes back or confirms what a run has released here, and asks anew what runs."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._action import confirmation, lost_hosts
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction, limit
from ansible_collections.slipway.go.plugins.plugin_utils._action.fresh import fresh
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import progress, standing
from ansible_collections.slipway.go.plugins.plugin_utils._run import authorship, lease_claim, time_limits

ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "root": {"type": "str"},
    "back": {
        "type": "dict",
        "default": {},
        "options": {
            "of": {"type": "str"},
            "release": {"type": "str"},
            "run": {"type": "str"},
            "mark_bad": {"type": "bool"},
        },
    },
    "confirm": {
        "type": "dict",
        "default": {},
        "options": {"unconfirmed": {"type": "str"}, "current": {"type": "str"}, "previous": {"type": "str"}},
    },
    "expects": {"type": "str"},
    "by": {"type": "raw"},
    "start_timeout": {"type": "raw"},
    "drain_timeout": {"type": "raw"},
    "soak_time": {"type": "raw"},
}


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False
    _connection: Any

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            if arguments["expects"] is not None:
                return {**result, **self._look(arguments, variables)}
            by = authorship.complete(arguments["by"], variables)
            with self._shown(arguments, variables), self._answered_within(time_limits.of(arguments).release):
                return {**result, **self._conclude(arguments, by, variables)}
        except AnsibleConnectionFailure as error:
            return {**result, **lost_hosts.unreachable(error, variables)}
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}

    def _conclude(self, arguments: dict[str, Any], by: dict[str, str], variables: dict[str, Any]) -> dict[str, Any]:
        name = arguments["name"]
        way = {option: value for option, value in (arguments["back"] or {}).items() if value is not None}
        went: dict[str, Any] = {}
        if way:
            claim = lease_claim.of_way_back(name, variables)
            went = self._ask("rollback", {"name": name, "by": by, "mark_bad": False, "claim": claim, **way}, variables)
        elif (arguments["confirm"] or {}).get("unconfirmed") and not self._task.check_mode:
            went = confirmation.confirm(self._command, name, {**arguments["confirm"], "changed": True})
        told = self._told(arguments, variables)
        if went.get("failed"):
            said: dict[str, Any] = {key: went[key] for key in ("msg", "code", "fix") if key in went}
            return {**told, **said, "failed": True, "changed": False}
        return {**told, "changed": bool(went.get("changed")), "left": went.get("previous") if way else None}

    def _look(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        """Whether the release serves that this run has brought here; fails where it does not."""
        about = progress.about("compared", str(arguments["name"]), "", variables)
        with progress.watch(self, about, variables) as watch, self._answered_within(standing.WITHIN):
            watch.enter(progress.CONCLUDES)
            told = self._told(arguments, variables)
            objection = None if told.get("failed") else standing.objection(arguments["expects"], told)
            watch.failed = bool(told.get("failed")) or objection is not None
        if objection is not None:
            raise objection
        return {**told, "changed": False}

    def _told(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        about = {"name": arguments["name"], "history": 0, **({"root": arguments["root"]} if arguments["root"] else {})}
        return self._ask("release_info", about, variables)

    def _shown(self, arguments: dict[str, Any], variables: dict[str, Any]) -> progress.Watch:
        """Lines of the run while this host goes back, or is asked."""
        watch = progress.watch(self, progress.about("conclude", str(arguments["name"]), "", variables), variables)
        confirms = progress.CONFIRMS if (arguments["confirm"] or {}).get("unconfirmed") else progress.CONCLUDES
        goes_back = any(value is not None for value in (arguments["back"] or {}).values())
        watch.enter(progress.GOES_BACK if goes_back else confirms)
        return watch

    def _command(self, command: str, anew: bool) -> dict[str, Any]:
        """Run it on the host with the task's become, over a connection of its own or over the open one."""
        live = self._connection
        try:
            self._connection = fresh(live, self._play_context) if anew else live
            answer: dict[str, Any] = self._low_level_execute_command(command)
        finally:
            self._connection = live
        return answer

    def _ask(self, module: str, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = self._execute_module(f"slipway.go.{module}", arguments, task_vars=variables)
        return answer

    @staticmethod
    def _answered_within(seconds: float) -> Any:
        return limit(seconds, f"it has not answered for {seconds:g} s.", AnsibleConnectionFailure)
