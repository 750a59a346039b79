# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.variables: judges the variables of a run on the controller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase
from ansible.plugins.loader import lookup_loader
from ansible.utils.vars import load_extra_vars
from ansible_collections.slipway.go.plugins.action.notice import template_with
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, with_fix
from ansible_collections.slipway.go.plugins.plugin_utils._input import (
    declared_services,
    known_variables,
    more_ports,
    survey,
)
from ansible_collections.slipway.go.plugins.plugin_utils._notices import destinations

IGNORE, WARN, REFUSE = "ignore", "warn", "refuse"
ARGUMENTS = {
    "role": {"type": "str", "choices": known_variables.roles()},
    "undeclared": {"type": "bool", "default": False},
    "notices": {"type": "str", "choices": [IGNORE, WARN, REFUSE], "default": IGNORE},
}
# What no two services of a host may share.
OWN = ("service_root", "service_listen", "service_proxy_ports", "proxy_tls_listen")
HOSTS = "slipway_hosts"


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = dict(task_vars or {})
        _validated, arguments = self.validate_argument_spec(ARGUMENTS)
        try:
            if arguments["role"]:
                self._check(arguments["role"], variables)
                return {**result, "changed": False, "unknown": []}
            self._refuse_hosts(variables)
            if not arguments["undeclared"]:
                declared_services.check_choice(dict(self._services_by_host(_all_hosts(variables))))
            notices, warnings = self._notices(variables, arguments["notices"])
            warnings += self._left_out(variables)
            warnings += [] if arguments["undeclared"] else self._passed_over(variables)
            unknown = self._unknown(variables)
            result["warnings"] = [*warnings, *self._judge(unknown, variables)]
        except SlipwayError as error:
            return {**result, "failed": True, "msg": str(error), "code": error.code, "fix": error.fix}
        told = [one._asdict() for one in unknown]
        return {**result, "changed": False, "unknown": told, "notices": notices}

    def _check(self, role: str, variables: Mapping[str, Any]) -> None:
        """The values of one role for the service that the task is about."""
        of_service = self._of_service(variables)
        templar = self._templar.copy_with_new_env(available_variables=of_service)
        known_variables.check(role, of_service, lambda name: templar.template(of_service[name]))
        names = (
            list(declared_services.declared(variables, declared_services.template_with(self._templar)))
            if role == "service"
            else []
        )
        if len(names) > 1:
            of_each = {name: self._own({**variables, declared_services.CURRENT: name}) for name in names}
            declared_services.check_together(
                declared_services.current(of_service, declared_services.template_with(self._templar)), of_each
            )

    def _of_service(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
        return declared_services.at_hand(variables, self._templar, self._loader)

    def _own(self, variables: Mapping[str, Any]) -> dict[str, list[str]]:
        """What a service has for itself, as far as its variables can be read; each is checked in its own turn."""
        of_service = self._of_service(variables)
        templar = self._templar.copy_with_new_env(available_variables=of_service)
        found: dict[str, list[str]] = {}
        for name in OWN:
            value = of_service.get(name)
            if not survey.is_empty(value):
                value = templar.template(value)
                found[name] = [str(one) for one in value] if isinstance(value, (list, tuple)) else [str(value)]
        if of_service.get("service_more_ports"):
            found.setdefault("service_listen", []).extend(self._more_ports(variables))
        return found

    def _more_ports(self, variables: Mapping[str, Any]) -> list[str]:
        more = lookup_loader.get("slipway.go.variable", loader=self._loader, templar=self._templar)
        try:
            (ports,) = more.run(["service_more_ports"], variables=dict(variables))
        except AnsibleError:
            return []
        return list(map(str, more_ports.listened(ports)))

    def _refuse_hosts(self, variables: Mapping[str, Any]) -> None:
        """A play's hosts are templated before any host's variables are known: an inventory's pattern has no effect."""
        for host, theirs in _all_hosts(variables):
            if HOSTS not in theirs:
                continue
            given = self._templar.template(theirs[HOSTS])
            pattern = ",".join(map(str, given)) if isinstance(given, (list, tuple)) else str(given)
            if not pattern.strip(" ,:") or host not in self._matching(pattern, variables):
                raise SlipwayError(
                    "pattern_without_effect",
                    f"{HOSTS} is {pattern} in the inventory, where it has no effect: this run is about {host}, too. "
                    "Nothing was changed.",
                    f"give it as an extra variable, -e {HOSTS}=…, and take it out of the inventory",
                )

    def _matching(self, pattern: str, variables: Mapping[str, Any]) -> list[str]:
        lookup = lookup_loader.get("ansible.builtin.inventory_hostnames", loader=self._loader, templar=self._templar)
        return list(map(str, lookup.run([pattern], variables=dict(variables))))

    def _left_out(self, variables: Mapping[str, Any]) -> list[str]:
        """Of the inventory alone: the command line and a play choose on purpose."""
        if declared_services.NAME in {*load_extra_vars(self._loader), *declared_services.of_play(variables)}:
            return []
        hosts = [host for host, _theirs in _all_hosts(variables)]
        theirs = [(host, variables["hostvars"].raw_get(host)) for host in hosts]
        warning = declared_services.left_out(dict(self._services_by_host(theirs)))
        return [warning] if warning else []

    def _passed_over(self, variables: Mapping[str, Any]) -> list[str]:
        """Of a service that the command line names: every host would have it otherwise."""
        template = declared_services.template_with(self._templar)
        names = declared_services.wanted_names(load_extra_vars(self._loader).get(declared_services.NAME))
        if len(names) != 1:
            return []
        hosts = [
            host for host, _theirs in _all_hosts(variables) if self._is_without(host, names[0], variables, template)
        ]
        warning = declared_services.passed_over_hosts(hosts, names[0])
        return [warning] if warning else []

    def _is_without(
        self, host: str, name: str, variables: Mapping[str, Any], template: declared_services.Template
    ) -> bool:
        theirs = variables["hostvars"].raw_get(host)
        return not declared_services.declared(theirs, template) and declared_services.is_elsewhere(
            host, name, variables, template, self._loader
        )

    def _services_by_host(
        self, hosts: Iterable[tuple[str, Mapping[str, Any]]]
    ) -> Iterator[tuple[str, tuple[list[str], Any]]]:
        for host, theirs in hosts:
            templar = self._templar.copy_with_new_env(available_variables=theirs)
            name = templar.template(theirs[declared_services.NAME]) if declared_services.NAME in theirs else None
            yield host, (list(declared_services.declared(theirs, declared_services.template_with(templar))), name)

    def _unknown(self, variables: Mapping[str, Any]) -> list[known_variables.Unknown]:
        given = self._setting(variables, "slipway_other_variables", "")
        others = [] if survey.is_empty(given) else survey.list_of(survey.text)(given, "slipway_other_variables")
        names = {host: [*theirs, *declared_services.own_names(theirs)] for host, theirs in _all_hosts(variables)}
        return known_variables.find_unknown(names, others)

    def _notices(self, variables: Mapping[str, Any], mode: str) -> tuple[list[str], list[str]]:
        """The hosts that have a slipway_notices of their own, and what is wrong with it. Most have the same."""
        found: dict[str, Any] = {}
        warnings: list[str] = []
        if mode == IGNORE:
            return [], []
        for host, theirs in _all_hosts(variables):
            raw = theirs.get(destinations.VARIABLE)
            if survey.is_empty(raw) or raw == [] or raw in found.values():
                continue
            try:
                destinations.check(raw, template_with(self._templar, theirs))
            except SlipwayError as error:
                if mode == REFUSE:
                    raise
                warnings.append(str(error))
            found[host] = raw
        return list(found), warnings

    def _judge(self, unknown: list[known_variables.Unknown], variables: Mapping[str, Any]) -> list[str]:
        """The warnings, or the failure where that is wanted."""
        given = self._setting(variables, "slipway_unknown_variables", WARN)
        wanted = WARN if survey.is_empty(given) else given
        wanted = survey.choice(WARN, REFUSE)(wanted, "slipway_unknown_variables")
        if unknown and wanted == REFUSE:
            raise SlipwayError(
                "unknown_variables", " ".join(map(known_variables.describe, unknown)), known_variables.fix(unknown[0])
            )
        return [with_fix(known_variables.describe(one), known_variables.fix(one)) for one in unknown]

    def _setting(self, variables: Mapping[str, Any], name: str, default: Any) -> Any:
        return self._templar.template(variables[name]) if name in variables else default


def _all_hosts(variables: Mapping[str, Any]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """The variables of each host of the play; of this task's host with what the play and the command line set."""
    own = str(variables.get("inventory_hostname"))
    yield own, variables
    for host in variables.get("ansible_play_hosts_all") or []:
        if str(host) != own:
            yield str(host), variables["hostvars"].raw_get(host)
