# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: services
short_description: The services of a host that a run is about
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the names of the services that C(slipway_services) declares for this host, in that order. Where
    C(service_name) is set, it returns only those that it names, and none where this host has none of them.
  - Of a host that declares none, it returns C(service_name) alone. Where that is not set, it returns nothing if another
    host of the play declares services, such as the web servers behind a load balancer, and fails otherwise.
options:
  which:
    description:
      - V(chosen) are those that the run is about.
      - V(every) are all of this host, whatever C(service_name) says, and none where that is not set.
      - V(declared) are all that C(slipway_services) declares.
    type: str
    choices: [chosen, every, declared]
    default: chosen
  among:
    description: Return those of these hosts where the run is about C(slipway_service), instead of services.
    type: list
    elements: str
  each:
    description: Return one list for each of these hosts instead, with the services that the run is about there.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Release each service
  ansible.builtin.include_role:
    name: slipway.go.release
    rolespec_validate: false
  loop: "{{ query('slipway.go.services') }}"
  loop_control:
    loop_var: slipway_service
"""

RETURN = r"""
_raw:
  description: The names.
  type: list
  elements: str
  sample: [shop, mailer]
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services

READERS = {
    "chosen": declared_services.chosen,
    "every": declared_services.all_names,
    "declared": lambda variables, template: list(declared_services.declared(variables, template)),
}


class LookupModule(LookupBase):
    def run(
        self,
        _terms: Sequence[str],
        variables: dict[str, Any] | None = None,
        which: str = "chosen",
        among: Sequence[str] | None = None,
        each: Sequence[str] | None = None,
    ) -> list[Any]:
        given = variables or {}
        try:
            if among is not None:
                return self._among(among, given)
            if each is not None:
                return [self._chosen_by(host, given) for host in each]
            if which == "chosen" and _names_none(given) and _is_declared(_of_hosts(_of_play(given), given)):
                return []
            return READERS[which](given, declared_services.template_with(self._templar))
        except SlipwayError as error:
            raise AnsibleLookupError(str(error)) from None

    def _among(self, hosts: Sequence[str], variables: Mapping[str, Any]) -> list[str]:
        """Those where the run is about the service, too."""
        service = variables.get(declared_services.CURRENT)
        if service is None:
            return list(hosts)
        of_hosts = _of_hosts(hosts, variables)
        named = _is_named_by_play(variables) or not _is_declared(of_hosts)
        return [host for host, theirs in of_hosts.items() if self._is_about(service, theirs, named)]

    def _is_about(self, service: str, theirs: Mapping[str, Any], named: bool) -> bool:
        """named: whether a play has named the one service, which then is that of a host that names none."""
        if _names_none(theirs):
            return named
        templar = self._templar.copy_with_new_env(available_variables=theirs)
        return service in declared_services.chosen(theirs, declared_services.template_with(templar))

    def _chosen_by(self, host: str, variables: Mapping[str, Any]) -> list[str]:
        theirs = variables["hostvars"].raw_get(host)
        theirs = variables if _names_none(theirs) else theirs
        templar = self._templar.copy_with_new_env(available_variables=theirs)
        return declared_services.chosen_if_any(theirs, declared_services.template_with(templar))


def _names_none(theirs: Mapping[str, Any]) -> bool:
    return theirs.get(declared_services.DECLARED) is None and theirs.get(declared_services.NAME) is None


def _of_play(variables: Mapping[str, Any]) -> Sequence[str]:
    return variables.get("ansible_play_hosts_all") or []


def _of_hosts(hosts: Sequence[str], variables: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {host: variables["hostvars"].raw_get(host) for host in hosts}


def _is_declared(of_hosts: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any of these hosts declares services."""
    return any(theirs.get(declared_services.DECLARED) is not None for theirs in of_hosts.values())


def _is_named_by_play(variables: Mapping[str, Any]) -> bool:
    """Whether the service's name comes from a play, and not from the inventory of the task's own host."""
    name = variables.get(declared_services.NAME)
    own = _of_hosts([host for host in [variables.get("inventory_hostname")] if host], variables)
    return name is not None and all(theirs.get(declared_services.NAME) != name for theirs in own.values())
