# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: switch
short_description: Read a switch of a playbook, whose empty answer means the default
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns a boolean. An empty text, such as a survey's answer that was left out, is the default and not false. What is
    neither true nor false is an error that names the variable.
extends_documentation_fragment:
  - slipway.go.variable
options:
  _input:
    description: The value of the variable.
    type: raw
    required: true
  default:
    description: What an empty value means.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: SSH
  ansible.builtin.import_role:
    name: slipway.go.ssh
  when: harden_ssh | default(true) | slipway.go.switch('harden_ssh')
"""

RETURN = r"""
_value:
  description: Whether it is on.
  type: bool
  sample: true
"""

from typing import Any, Callable

from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def switch(given: Any, variable: str, default: bool = True) -> bool:
    if survey.is_empty(given):
        return default
    with refusal():
        return survey.switch(given, variable)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., bool]]:
        return {"switch": switch}
