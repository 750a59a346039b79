# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: release_steps
short_description: Find the task files of the steps around a release
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the path of each file that is given, and the time limit of their tasks. A relative path is looked for in
    each of the folders.
options:
  _input:
    description:
      - The variables by the names of their steps, C(before_swap), C(after_swap), C(after_verdict), C(after_all),
        C(on_failure), and C(timeout).
    type: dict
    required: true
  folders:
    description: The folders on the controller, in this order.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Take the steps before the swap
  ansible.builtin.include_tasks: "{{ steps.before_swap }}"
  when: steps.before_swap is defined
  vars:
    steps: "{{ {'before_swap': 'drain.yml'} | slipway.go.release_steps([playbook_dir]) }}"
"""

RETURN = r"""
_value:
  description: The path of the file of each step that has one, and C(timeout) in seconds; empty where none has one.
  type: dict
  sample: {"before_swap": "/srv/shop/drain.yml", "timeout": 300}
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import hooks
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def release_steps(given: Any, folders: Any) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise AnsibleFilterError(f"release_steps takes a dictionary of steps, not {type(given).__name__}")
    with refusal():
        found = hooks.find_files(given, list(map(str, folders)))
        return {**found, "timeout": hooks.timeout(given.get("timeout"))} if found else {}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"release_steps": release_steps}
