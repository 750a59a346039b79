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
  - What the role could not use is an error that names the variable.
options:
  _terms:
    description: The name of one variable.
    type: list
    elements: str
    required: true
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

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils import _variables

try:
    from ansible.template import trust_as_template
except ImportError:  # before 2.19, a template is whatever looks like one

    def trust_as_template(value: Any) -> Any:
        return value


class LookupModule(LookupBase):
    def run(self, terms: Sequence[str], variables: dict[str, Any] | None = None, **_kwargs: Any) -> list[Any]:
        given = variables or {}
        meant = _variables.with_defaults(given, _trusted)
        templar = self._templar.copy_with_new_env(available_variables=meant)
        try:
            return [_variables.value(name, meant, _trusted, templar.template) for name in terms]
        except SlipwayError as error:
            raise AnsibleLookupError(str(error)) from None


def _trusted(default: Any) -> Any:
    return trust_as_template(default) if isinstance(default, str) else default
