# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: audit_rules
short_description: Write the audit rules of those controls that are on
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what P(slipway.go.controls#filter) returns, and gives one line for each rule of auditd that the kernel of the
    machine understands. Those that the role C(base) always writes are not among them, but for 32-bit programs they are.
positional: machine
options:
  _input:
    description: Each control, and whether it is on.
    type: dict
    required: true
  machine:
    description: The machine, as C(uname -m) says it.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the rules
  ansible.builtin.debug:
    msg: "{{ {} | slipway.go.controls | slipway.go.audit_rules('x86_64') }}"
"""

RETURN = r"""
_value:
  description: The rules.
  type: list
  elements: str
  sample: [-w /var/log/wtmp -p wa -k session]
"""

from collections.abc import Mapping
from typing import Callable

from ansible_collections.slipway.go.plugins.module_utils._compliance import audit


def audit_rules(wanted: Mapping[str, bool], machine: str) -> list[str]:
    return audit.rules(wanted, machine)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"audit_rules": audit_rules}
