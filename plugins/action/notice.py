# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.notice: tells others of a run. Whatever goes wrong with that is told, and never fails the run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slipway.go.plugins.action.show import printable
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, with_fix
from ansible_collections.slipway.go.plugins.module_utils._notices.delivery import Outcome, deliver
from ansible_collections.slipway.go.plugins.module_utils._notices.notice import BATCH_DONE, STARTED, WAITING
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services, survey
from ansible_collections.slipway.go.plugins.plugin_utils._notices import destinations, of_run
from ansible_collections.slipway.go.plugins.plugin_utils._notices.of_run import ENDED, Facts
from ansible_collections.slipway.go.plugins.plugin_utils._run import authorship, lease_claim, run_stats, this_run

try:
    from ansible.template import trust_as_template
except ImportError:  # before 2.19, a template is whatever looks like one
    trust_as_template = None

ARGUMENTS = {
    "event": {"type": "str", "required": True, "choices": list(of_run.EVENTS)},
    "playbook": {"type": "str", "default": "release"},
    "refused": {"type": "bool", "default": False},
    "text": {"type": "str", "default": ""},
}
_FIX = "correct it for the next run; this one does not depend on it"


def _as_data(value: Any) -> Any:
    """What hosts have said acts as no template."""
    if trust_as_template is not None:
        return value
    from ansible.utils.unsafe_proxy import wrap_var

    return wrap_var(value)


def template_with(templar: Any, variables: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], destinations.Template]:
    """What evaluates a host's templates with a notice at hand."""

    def with_notice(notice: Mapping[str, Any]) -> destinations.Template:
        own = templar.copy_with_new_env(available_variables={**variables, destinations.NOTICE: _as_data(dict(notice))})
        return own.template

    return with_notice


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            told = self._tell(arguments, task_vars or {})
        except Exception as error:  # a notice that cannot even be written must not fail a release
            why = f"it cannot be written: {type(error).__name__}"
            told = {
                "sent": [],
                **_undelivered([Outcome(destinations.VARIABLE, "defect", why, str(arguments["event"]))]),
            }
        return {**result, "changed": False, **told}

    def _tell(self, arguments: dict[str, Any], variables: dict[str, Any]) -> dict[str, Any]:
        event = str(arguments["event"])
        if event == STARTED and not this_run.is_first(f"notice-{STARTED}"):
            return {"sent": [], "undelivered": []}
        notices = [of_run.notice(self._facts(arguments, variables))]
        if event == BATCH_DONE and notices[0]["hosts"]["waiting"] and this_run.is_first(f"notice-{WAITING}"):
            notices.append(of_run.notice(self._facts({**arguments, "event": WAITING}, variables)))
        return self._send(notices, variables)

    def _send(self, notices: Sequence[dict[str, Any]], variables: Mapping[str, Any]) -> dict[str, Any]:
        """All of them to all places at the same time."""
        broken: list[Outcome] = []
        entries: list[tuple[str, destinations.Entry]] = []
        deliveries = []
        for notice in notices:
            event = str(notice["event"])
            for one in self._entries(notice, variables):
                if isinstance(one, Outcome):
                    broken.append(one._replace(event=event))
                elif event in one.events:
                    entries.append((event, one))
                    deliveries.append(destinations.delivery(one, notice))
        if self._task.check_mode:
            names = [f"{event} to {one.name} ({one.way})" for event, one in entries]
            for name in names:
                Display().display(printable(f"Check mode: would send {name}."))
            return {"sent": [], "undelivered": [], "would_send": names, "notices": list(notices)}
        outcomes = [*broken, *deliver(deliveries)]
        sent = [f"{one.event} to {one.name}" for one in outcomes if not one.code]
        return {"sent": sent, "notices": list(notices), **_undelivered([one for one in outcomes if one.code])}

    def _entries(
        self, notice: Mapping[str, Any], variables: Mapping[str, Any]
    ) -> Iterator[destinations.Entry | Outcome]:
        """Those of all hosts that have some of their own, each place once."""
        seen: list[Any] = []
        for host in self._carriers(variables):
            theirs = self._of_host(host, variables)
            raw = theirs.get(destinations.VARIABLE)
            for one in destinations.entries(raw, template_with(self._templar, theirs)(notice)):
                if one not in seen:
                    seen.append(one)
                    yield one

    def _carriers(self, variables: Mapping[str, Any]) -> list[str]:
        """The hosts whose variable is to be read; the first tasks of a run have found them."""
        known = variables.get("release_notices")
        return list(known) if isinstance(known, (list, tuple)) else [str(variables.get("inventory_hostname"))]

    def _of_host(self, host: str, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        if host == str(variables.get("inventory_hostname")):
            return variables
        theirs: Mapping[str, Any] = variables["hostvars"].raw_get(host)
        return theirs

    def _facts(self, arguments: Mapping[str, Any], variables: Mapping[str, Any]) -> Facts:
        event, playbook = str(arguments["event"]), str(arguments["playbook"])
        hosts = list(map(str, variables.get("ansible_play_hosts_all") or [variables["inventory_hostname"]]))
        of_hosts = {host: self._of_host(host, variables) for host in hosts}
        services = self._services(of_hosts, variables)
        turn, batch, batches = self._turn(event, hosts, variables)
        by = authorship.complete({"reason": self._text("release_reason", variables)}, variables)
        if playbook == of_run.ROLLBACK:
            results = this_run.rollbacks() if event == ENDED else {}
            lost = _lost_in_rollback(of_hosts)
        else:
            results = _results(of_hosts, services, event == STARTED)
            lost = {host: theirs["release_lost"] for host, theirs in of_hosts.items() if theirs.get("release_lost")}
            for theirs in of_hosts.values():
                for against in (theirs.get("release_against") or {}).values():
                    lost |= against
        return Facts(
            event=event,
            playbook=playbook,
            hosts=hosts,
            services=services,
            results=results,
            alive=list(map(str, variables.get("ansible_play_hosts") or hosts)),
            lost=lost,
            closings=variables.get("release_closings") or {},
            turn=turn,
            batch=batch,
            batches=batches,
            refused=bool(arguments["refused"]),
            checked=bool(self._task.check_mode),
            version=self._text("release_version", variables) if playbook != of_run.ROLLBACK else "",
            text=str(arguments["text"]),
            by=by,
            job_url=of_run.job_url(variables, os.environ, by.get("job", "")),
            run=self._text("release_run", variables) or self._text("awx_workflow_job_id", variables),
            run_id=this_run.this().id,
            when=time.time(),
        )

    def _services(
        self, of_hosts: Mapping[str, Mapping[str, Any]], variables: Mapping[str, Any]
    ) -> dict[str, list[str]]:
        """Those of each host that the run is about; one whose variables cannot be read is left out."""
        template = declared_services.template_with(self._templar)
        found: dict[str, list[str]] = {}
        for host, theirs in of_hosts.items():
            try:
                found[host] = declared_services.chosen_there(host, theirs, variables, template, self._loader)
            except (AnsibleError, SlipwayError):
                found[host] = []
        return found

    def _turn(self, event: str, hosts: Sequence[str], variables: Mapping[str, Any]) -> tuple[list[str], int, int]:
        """The hosts of the batches that are done, their number, and how many batches there are."""
        groups = lease_claim.split(
            hosts, lease_claim.serial(hosts, variables, declared_services.template_with(self._templar))
        )
        if event not in (BATCH_DONE, WAITING):
            return ([] if event == STARTED else list(hosts)), 0, len(groups)
        batch = list(map(str, variables.get("ansible_play_batch") or hosts))
        begins = hosts.index(batch[0]) if batch[0] in hosts else len(hosts)
        ends = [hosts.index(group[-1]) + 1 for group in groups]
        known = begins in ends
        return list(hosts[:begins]), ends.index(begins) + 1 if known else 0, len(groups) if known else 0

    def _text(self, name: str, variables: Mapping[str, Any]) -> str:
        """A variable as text; empty where it is not set or cannot be read, which is for others to refuse."""
        try:
            value = self._templar.template(variables.get(name))
        except Exception:
            return ""
        return "" if survey.is_empty(value) or isinstance(value, (Mapping, list)) else str(value).strip()


def _results(
    of_hosts: Mapping[str, Mapping[str, Any]], services: Mapping[str, Sequence[str]], begins: bool
) -> dict[str, dict[str, Any]]:
    """What the hosts have answered, by service: of preflight where the run begins, else of the release."""
    found: dict[str, dict[str, Any]] = {}
    for host, theirs in of_hosts.items():
        for service in services.get(host, ()):
            told = (theirs.get("release_results") or {}).get(service)
            if begins:
                told = ((theirs.get("release_previews") or {}).get(service) or {}).get(host)
            elif survey.is_empty(theirs.get(declared_services.DECLARED)):
                told = theirs.get("release_result")
            if isinstance(told, Mapping):
                found.setdefault(service, {})[host] = told
    return found


def _lost_in_rollback(of_hosts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Why each host has refused before anything was rolled back there."""
    found = {}
    for host, theirs in of_hosts.items():
        reason = ((theirs.get("release_plan") or {}).get("reasons") or {}).get(host)
        told = [theirs.get(name) for name in ("release_asked", "release_told")]
        said = next((one for one in told if isinstance(one, Mapping) and one.get("msg") and "action" not in one), {})
        kept = next(iter((theirs.get("release_rollback_failed") or {}).values()), None)
        if kept:  # of the first of several services that has failed
            found[host] = {"code": kept["code"], "msg": kept["msg"]}
        elif reason or said:
            found[host] = {"code": said.get("code") or "refused", "msg": reason or said.get("msg")}
    return found


def _undelivered(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The warning that the operator sees, and what the next node of a workflow is told."""
    if not outcomes:
        return {"undelivered": []}
    codes: dict[str, dict[str, str]] = {}
    for one in outcomes:
        codes.setdefault(str(run_stats.word(one.name)), {})[one.event] = one.code
    return {
        "undelivered": [one._asdict() for one in outcomes],
        "warnings": [
            with_fix(f"{one.event} was not delivered to {one.name}: {printable(one.why)}.", _FIX) for one in outcomes
        ],
        "ansible_stats": run_stats.handed_on({"undelivered": codes}),
    }
