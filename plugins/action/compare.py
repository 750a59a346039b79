# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.compare: compares the hosts of a batch with those after it, by what is counted of both."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from ansible.errors import AnsibleError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, without_fix
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import ACCEPT, REFUSE
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import Rule
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction, limit
from ansible_collections.slipway.go.plugins.plugin_utils._action.delegation import delegate
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison, progress
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.balancers import Balancers
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from ansible_collections.slipway.go.plugins.plugin_utils._report import notes

# Why a batch is not compared.
NOBODY_AFTER = "no host after the batch has the release before"
NOTHING_NEW = "no host of the batch got the release in this run"
ARGUMENTS = {
    "name": {"type": "str", "required": True},
    "by": {"type": "raw", "required": True},
    "preflight": {"type": "bool", "default": False},
    **{option: {"type": "raw"} for option in comparison.RULE},
}
_NOTHING: Mapping[str, Any] = {"changed": False, "compared": None, "against": {}}
# The turns of a loop over the load balancers so far, by the task and the load balancer that they were delegated to.
_turns: dict[str, dict[str, ActionModule]] = {}


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False
    _requires_connection = False
    _variables: Mapping[str, Any] = {}

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
        if wanted is not None and wanted.haproxy and not self._is_last_turn(wanted, variables):
            return dict(_NOTHING)
        if wanted is not None and arguments.get("preflight"):
            with self._balancers(wanted, name) as balancers:
                comparison.check(balancers.check, comparison.CORRECT_BACKEND)
            return dict(_NOTHING)
        new, old = comparison.sides(variables, name)
        if wanted is None or self._task.check_mode or not new or not old:
            if wanted is not None and not self._task.check_mode:
                self._keep_for_the_report(name, {"why": NOBODY_AFTER if new else NOTHING_NEW}, variables)
            return dict(_NOTHING)
        began = time.time()
        tell = progress.paced(lambda so_far, left: comparison.progress(name, so_far, left))
        with self._source(wanted, name) as source:
            told = comparison.compare(wanted, Rule(**given), new, old, source, tell=tell)
        delegate(self, "slipway.go.show", {"text": comparison.sentence(name, told)}, variables)
        timeline, objection = told.pop("timeline"), comparison.objection(told, refuses)
        note = {"told": told, "timeline": timeline, "began": began, "said": str(objection or "")}
        self._keep_for_the_report(name, note, variables)
        hosts = comparison.swapped(variables, name) if objection is not None else []
        why = {"code": getattr(objection, "code", ""), "msg": str(objection), "service": name}
        return {"changed": False, "compared": told, "against": dict.fromkeys(hosts, why)}

    def _is_last_turn(self, wanted: comparison.Comparison, variables: dict[str, Any]) -> bool:
        """A task has one connection, and each turn of a loop that of its own load balancer. The last turn uses all."""
        comparison.require_known(wanted, (variables.get("groups") or {}).get("all") or ())
        here = str(self._task.delegate_to or "")
        if here not in wanted.haproxy:
            raise SlipwayError(
                "invalid_compare",
                f"the task asks {', '.join(wanted.haproxy)}, and is delegated to {here or 'nobody'}.",
                "give the task a loop over the load balancers, with delegate_to",
            )
        self._variables = variables
        turns = _turns.setdefault(str(self._task._uuid), {})
        turns[here] = self
        return len(turns) == len(wanted.haproxy)

    @contextlib.contextmanager
    def _source(self, wanted: comparison.Comparison, service: str) -> Iterator[comparison.Source]:
        if not wanted.haproxy:
            yield comparison.by_queries(comparison.prometheus(wanted), wanted)
            return
        with self._balancers(wanted, service) as balancers:
            yield balancers.look

    @contextlib.contextmanager
    def _balancers(self, wanted: comparison.Comparison, service: str) -> Iterator[Balancers]:
        turns = _turns.pop(str(self._task._uuid), {})
        try:
            yield Balancers({host: partial(turn._counted, host, wanted, service) for host, turn in turns.items()})
        finally:
            for turn in turns.values():
                turn.cleanup()

    def _counted(self, host: str, wanted: comparison.Comparison, service: str) -> dict[str, Any]:
        """What the load balancer answers that this turn was delegated to."""
        arguments = {"backend": wanted.backend or service, "socket": wanted.socket}
        try:
            with limit(comparison.TIMEOUT, f"no answer for {comparison.TIMEOUT:g} s"):
                answer: dict[str, Any] = self._execute_module(
                    "slipway.go.balancer_info", module_args=arguments, task_vars=dict(self._variables)
                )
        except AnsibleError as error:
            raise comparison.Unanswered(f"{host} cannot be reached: {' '.join(str(error).split())}") from None
        if answer.get("failed") or answer.get("unreachable"):
            said = without_fix(" ".join(str(answer.get("msg")).split()), str(answer.get("fix") or ""))
            misread = answer.get("code") in ("balancer_unknown", "invalid_balancer")
            raise comparison.Unanswered(f"{host}: {said.rstrip('.')}", misread)
        return answer

    def _keep_for_the_report(self, name: str, note: dict[str, Any], variables: dict[str, Any]) -> None:
        """Figures over time are for the report alone, as those of a swap are."""
        if not self._task.no_log:
            batch = notes.batch_of(variables)
            notes.keep(notes.COMPARISON, name, f"batch {batch}", {**note, "batch": batch})
