# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: host_pattern
short_description: Refuse a pattern of hosts that is empty
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the pattern as it is. An empty one, such as a survey's answer that was left out, is an error that names the
    variable, for nobody can tell whether all hosts or none were meant.
extends_documentation_fragment:
  - slipway.go.variable
options:
  _input:
    description: The pattern, as the keyword C(hosts) of a play takes it, or a list of patterns.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Release
  hosts: "{{ slipway_hosts | default('all') | slipway.go.host_pattern('slipway_hosts') }}"
  tasks:
    - name: Release
      ansible.builtin.import_role:
        name: slipway.go.release
"""

RETURN = r"""
_value:
  description: The pattern.
  type: raw
  sample: web
"""

from typing import Any, Callable

from ansible.errors import AnsibleFilterError


def host_pattern(given: Any, variable: str) -> Any:
    patterns = given if isinstance(given, (list, tuple)) else [given]
    if all(isinstance(one, str) and one.strip(" ,:") for one in patterns) and patterns:
        return given
    raise AnsibleFilterError(
        f"{variable} is {given!r}. Fix: name a group or hosts, or leave {variable} undefined, which means all hosts"
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"host_pattern": host_pattern}
