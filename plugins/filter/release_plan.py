# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: release_plan
short_description: Render what a release is going to do, batch by batch
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.release) has returned in check mode for each host.
  - Hosts that say the same share a line.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of M(slipway.go.release), in the order of the play.
    type: dict
    required: true
  service:
    description: The service's name.
    type: str
    required: true
  version:
    description: The version that is to be released.
    type: str
    required: true
  sizes:
    description: The sizes of the batches, as the keyword C(serial) takes them.
    type: raw
    required: true
  hosts:
    description: All hosts of the run, of which some may lack the service. By default those of the results.
    type: list
    elements: str
  on_failure:
    description: C(release_on_failure), by which hosts go back where the run stops.
    type: str
    default: fleet
  until:
    description: C(release_until), after which batch the run ends.
    type: raw
    default: ""
  services:
    description:
      - By host, the services that the run is about there; a batch without any does not count for O(until). By default,
        each host has the same.
    type: dict
  forks:
    description:
      - How many hosts Ansible plays at a time. Batches with more hosts say so. V(0) says nothing.
    type: int
    default: 0
"""

EXAMPLES = r"""
- name: Show the plan
  slipway.go.show:
    text: "{{ (results | slipway.go.release_plan('shop', '2.0.0', [1, '100%'])).text }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The plan, and which hosts refuse it.
  type: dict
  contains:
    text:
      description: The plan, its lines separated by line breaks, and below it the table of what speaks against it.
      type: str
    refused:
      description: The hosts that refuse the release.
      type: list
      elements: str
    ended:
      description: The ids of runs that are over, although some of the hosts do not know it yet.
      type: list
      elements: str
  sample:
    text: "PLAN  shop 2.0.0: 3 hosts in 2 batches"
    refused: []
    ended: []
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.filter.problem_table import problem_table
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.plans import render_plan
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.way_back import (
    FLEET,
    known_services,
    read_on_failure,
    read_until,
)
from ansible_collections.slipway.go.plugins.plugin_utils._input.batch_sizes import batches
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal
from ansible_collections.slipway.go.plugins.plugin_utils._run import lease_answers


def release_plan(
    results: Any,
    service: Any,
    version: Any,
    sizes: Any,
    hosts: Any = None,
    on_failure: Any = FLEET,
    until: Any = "",
    services: Any = None,
    forks: Any = 0,
) -> dict[str, Any]:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"release_plan takes a dictionary of hosts, not {type(results).__name__}")
    answers = {str(host): told if isinstance(told, Mapping) else {} for host, told in results.items()}
    ended = lease_answers.over(answers.values())
    refused = [host for host, told in answers.items() if not lease_answers.is_accepted(told, ended)]
    shown = {host: told for host, told in answers.items() if host in refused or "action" in told}
    with refusal():
        mode, last = read_on_failure(on_failure), read_until(until)
    split = batches(sizes, "release_serial")
    everyone, of_each = list(hosts or answers), known_services(services)
    plan = render_plan(str(service), str(version), answers, split, everyone, mode, last, of_each, int(forks))
    texts = [text for text in (plan, problem_table(shown)) if text]
    return {"text": "\n\n".join(texts), "refused": refused, "ended": sorted(ended)}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"release_plan": release_plan}
