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
  - Of a host that declares none, it returns C(service_name) where that is the name of one service. Otherwise it returns
    nothing if another host of the play has C(slipway_services) or a C(service_name) of its own, such as the web servers
    behind a load balancer, and fails if none has.
  - It returns nothing also where C(service_name) is an extra variable, the inventory gives that service to another host
    of the play, and gives this host neither C(service_name) nor any variable of a service.
options:
  which:
    description:
      - V(chosen) are those that the run is about.
      - V(every) are all of this host, whatever C(service_name) says, and none where it has none.
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

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import declared_services
from ansible_collections.slipway.go.plugins.plugin_utils._input.declared_services import Template, Variables


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
        template = declared_services.template_with(self._templar)
        try:
            if among is not None:
                return self._among(among, given, template)
            if each is not None:
                return [self._chosen_by(host, given, template) for host in each]
            return self._of_own(which, given, template)
        except SlipwayError as error:
            raise AnsibleLookupError(str(error)) from None

    def _of_own(self, which: str, variables: Variables, template: Template) -> list[str]:
        """Those of the task's own host."""
        if which == "declared":
            return list(declared_services.declared(variables, template))
        read = declared_services.all_names if which == "every" else declared_services.chosen
        return read(variables, template, declared_services.passed_over(variables, template, self._loader))

    def _among(self, hosts: Sequence[str], variables: Variables, template: Template) -> list[str]:
        """Those where the run is about the service, too."""
        service = variables.get(declared_services.CURRENT)
        everywhere = [*hosts, *(variables.get("ansible_play_hosts_all") or [])]
        if service is None or not _is_any_named(everywhere, variables, template):
            return list(hosts)
        return [host for host in hosts if service in self._chosen_by(host, variables, template)]

    def _chosen_by(self, host: str, variables: Variables, template: Template) -> list[str]:
        theirs = variables["hostvars"].raw_get(host)
        found = declared_services.chosen_there(host, theirs, variables, template, self._loader)
        if found or declared_services.names_any(theirs, template):
            return found
        of_play = declared_services.of_play(variables)
        if of_play:
            theirs = {**variables, declared_services.DECLARED: None, declared_services.NAME: None, **of_play}
        others = declared_services.others(host, variables)
        return declared_services.chosen_if_any(
            theirs,
            template,
            lambda wanted: len(wanted) != 1 and declared_services.any_names(others, variables, template),
        )


def _is_any_named(hosts: Sequence[str], variables: Variables, template: Template) -> bool:
    """Whether a play or the inventory names services; else the playbooks' choice of one is all that is known."""
    return bool(declared_services.of_play(variables)) or declared_services.any_names(hosts, variables, template)
