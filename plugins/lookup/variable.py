# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: variable
short_description: Read a variable of a role of this collection, which a survey may have given as text or left empty
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the variable's value as its role's argument specification says. A text is read as the number, boolean, list
    or dictionary that is wanted.
  - An empty text, such as a survey's answer that was left out, is the variable's default, unless the variable's
    documentation says what an empty one means.
  - Of a host that declares several services in C(slipway_services), the variables are those of the service that the
    task is about. C(slipway_service) names it, or C(service_name).
  - What the role could not use is an error that names the variable.
options:
  _terms:
    description: The name of one variable.
    type: list
    elements: str
    required: true
  read:
    description: Whether a text is read as what is wanted. If not, whoever gets the value has to do that.
    type: bool
    default: true
  every_service:
    description: Whether to return the variable of each service of this host, in their order, instead of the one's.
    type: bool
    default: false
  defaults:
    description:
      - Whether a variable that nobody has set, or that is empty, is its role's default. If not, it is an empty text.
    type: bool
    default: true
  names:
    description:
      - Whether to return only the names in a dictionary, as a list. Its values are not read then, and may use variables
        that nobody has set.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Install updates
  ansible.builtin.include_tasks: updates.yml
  when: lookup('slipway.go.variable', 'base_update')
"""

RETURN = r"""
_raw:
  description: The value, as the only element.
  type: list
  elements: raw
  sample: [true]
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import (
    declared_services,
    known_variables,
    role_options,
    survey,
)


class LookupModule(LookupBase):
    def run(
        self,
        terms: Sequence[str],
        variables: dict[str, Any] | None = None,
        read: bool = True,
        every_service: bool = False,
        defaults: bool = True,
        names: bool = False,
    ) -> list[Any]:
        given = variables or {}
        try:
            of_each = self._of_each_service(given) if every_service else [given]
            values = [self._value(name, one, read, defaults, names) for one in of_each for name in terms]
            return [list(value) for value in values] if names else values
        except SlipwayError as error:
            raise AnsibleLookupError(str(error)) from None

    def _of_each_service(self, variables: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        template = declared_services.template_with(self._templar)
        passed_over = declared_services.passed_over(variables, template, self._loader)
        names = declared_services.all_names(variables, template, passed_over)
        return [{**variables, declared_services.CURRENT: name} for name in names]

    def _value(self, name: str, variables: Mapping[str, Any], read: bool, defaults: bool, names: bool) -> Any:
        of_service = declared_services.at_hand(variables, self._templar, self._loader)
        if names and isinstance(of_service.get(name), Mapping):
            return of_service[name]
        if not defaults and survey.is_empty(of_service.get(name)):
            return ""
        meant = known_variables.with_defaults(of_service, role_options.trusted)
        templar = self._templar
        if meant is not variables:
            templar = templar.copy_with_new_env(available_variables=meant)
        return known_variables.value(name, meant, role_options.trusted, templar.template, read)
