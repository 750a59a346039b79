# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: run_stats
short_description: Say what a run has found or done, for the next node of a workflow
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes the answers of all hosts, or a list of hosts, and returns one dictionary for M(ansible.builtin.set_stats). AWX
    hands it on to the next node of a workflow as the variable C(slipway).
  - It has ids, codes and numbers, and no text that a host has written. 500 hosts are listed at most; C(total) says how
    many there are.
options:
  _input:
    description: A dictionary of hosts and their answers, or a list of hosts.
    type: raw
    required: true
  kind:
    description: What the answers are about. With V(pending) nothing is known yet.
    type: str
    choices: [diagnose, drift, harden, pending, preflight, release, remove, rollback, status, vulnerable]
    required: true
  playbook:
    description: The playbook that has run.
    type: str
    required: true
  service:
    description: The service that it was about.
    type: str
    default: ""
  release:
    description: The version that it was about.
    type: str
    default: ""
  run:
    description: The name of the run, see C(release_run).
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Tell the next node
  ansible.builtin.set_stats:
    data:
      slipway: "{{ answers | slipway.go.run_stats('status', 'status', service='shop') }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: >-
    The playbook, and the service, release and run where they are known, how many hosts there are, and what is to be
    said of each.
  type: dict
  sample:
    playbook: status
    service: shop
    total: 1
    hosts: {web1: {release: 2.0.0-aa00bb11cc, verdict: pass, run: "1704"}}
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils import _stats


def run_stats(
    results: Any, kind: str, playbook: str, service: str = "", release: str = "", run: str = ""
) -> dict[str, Any]:
    if kind not in _stats.READERS:
        raise AnsibleFilterError(f"run_stats reads {', '.join(_stats.READERS)}, not {kind!r}")
    answers = results if isinstance(results, Mapping) else {host: {} for host in results}
    return _stats.of_run(
        kind,
        {str(host): answer if isinstance(answer, Mapping) else {} for host, answer in answers.items()},
        playbook=playbook,
        service=service,
        release=release,
        run=run,
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"run_stats": run_stats}
