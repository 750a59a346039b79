# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: batches
short_description: The sizes of a run's batches, also where only the inventory says them
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns what the keyword C(serial) of a play takes. Ansible evaluates that keyword without any host, so that a
    variable of the inventory has no effect on it. This lookup reads the variable of the play's hosts.
  - Ansible knows the variables of hosts only after the first play of a run has begun. In that first play, the lookup
    sees none of theirs. A play without tasks before it is enough.
  - An extra variable or a variable of the play comes first. Where nobody has set the variable, or it is an empty text,
    its default is returned.
  - Hosts with different sizes are an error that names two of them. Hosts that have none take those of the others.
options:
  _terms:
    description: The name of the variable, C(release_serial) or C(harden_serial).
    type: list
    elements: str
    required: true
  among:
    description: The hosts of the play. Those that C(--limit) leaves out are not asked.
    type: list
    elements: str
    required: true
seealso:
  - plugin: slipway.go.batches
    plugin_type: filter
    description: Reads one value as sizes of batches.
"""

EXAMPLES = r"""
- name: Read the inventory
  hosts: web
  gather_facts: false
  tasks: []

- name: Release
  hosts: web
  serial: "{{ query('slipway.go.batches', 'release_serial', among=groups['web']) }}"
  tasks:
    - name: Release
      ansible.builtin.import_role:
        name: slipway.go.release
"""

RETURN = r"""
_raw:
  description: The sizes, each a number of hosts or a percentage.
  type: list
  elements: raw
  sample: [1, "50%", "100%"]
"""

from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleLookupError
from ansible.plugins.lookup import LookupBase
from ansible_collections.slipway.go.plugins.plugin_utils._input import batch_sizes, declared_services


class LookupModule(LookupBase):
    def run(self, terms: Sequence[str], variables: dict[str, Any] | None = None, among: Any = None) -> list[int | str]:
        given = variables or {}
        name = str(terms[0]) if len(terms) == 1 else ""
        if name not in batch_sizes.SIZES:
            raise AnsibleLookupError(f"Name one of the variables {', '.join(sorted(batch_sizes.SIZES))}.")
        if not isinstance(among, (list, tuple)):
            raise AnsibleLookupError("among is a list of hosts, such as groups['web'].")
        in_play = given.get("ansible_play_hosts_all")
        hosts = [host for host in among if in_play is None or host in in_play]
        return batch_sizes.sizes(name, hosts, given, declared_services.template_with(self._templar))
