# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: once_plan
short_description: Say where a command that is run once for a version was run, or is to be run
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.release) or M(slipway.go.release_info) has returned last for each host. What one host knows
    to be done is done for all.
options:
  _input:
    description: A dictionary of host names and registered results.
    type: dict
    required: true
  version:
    description: The version that is released.
    type: str
    required: true
  command:
    description: The command as a list of words.
    type: list
    elements: str
    required: true
  host:
    description: The host that runs it.
    type: str
    required: true
  batch:
    description: The hosts of this batch.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show where the migration was run
  ansible.builtin.debug:
    msg: "{{ (results | slipway.go.once_plan('2.0.0', ['bin/shop', 'migrate'], 'web1', ['web1', 'web2'])).told }}"
"""

RETURN = r"""
_value:
  description: What is to be done.
  type: dict
  contains:
    told:
      description: The host on which it was run; empty where it was not.
      type: str
    run:
      description: The host of this batch that is to run it; empty where it was run, or where none may.
      type: str
    reason:
      description: Why nothing may be swapped yet; empty where it may.
      type: str
  sample: {told: web1, run: "", reason: ""}
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import hooks
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def once_plan(results: Any, version: Any, command: Any, host: Any, batch: Any) -> dict[str, str]:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"once_plan takes a dictionary of hosts, not {type(results).__name__}")
    answers = {str(name): answer for name, answer in results.items() if isinstance(answer, Mapping)}
    with refusal():
        return hooks.plan_once(answers, str(version), list(map(str, command)), str(host), list(map(str, batch)))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, str]]]:
        return {"once_plan": once_plan}
