# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_gate
short_description: Decide whether a run goes on with its next batch
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Counts the hosts that have failed or could not be reached, and compares that with how many may.
  - The run stops, too, where a host was lost before the first batch, or where hosts have failed and none has the
    release.
options:
  _input:
    description:
      - All hosts of the play.
    type: list
    elements: str
    required: true
  batch:
    description:
      - The hosts of this batch.
    type: list
    elements: str
    required: true
  alive:
    description:
      - The hosts that Ansible has not given up.
    type: list
    elements: str
    required: true
  failures:
    description:
      - What each host that has failed has said, C(code), C(msg) and the C(service), by host. An empty one counts as
        none.
    type: dict
    required: true
  budget:
    description:
      - How many hosts may be lost, a number or a percentage of all of them.
    type: raw
    required: true
  begun:
    description:
      - Whether the batch has begun, so that its own hosts count.
    type: bool
    default: false
  sizes:
    description:
      - The sizes of the batches, as the keyword C(serial) takes them. Only O(until) needs them.
    type: list
    elements: raw
    default: []
  until:
    description:
      - After which batch the run ends, V(canary) for the first or a number. By default, it goes through all.
    type: raw
    default: ""
  services:
    description:
      - By host, the services that the run is about there. A batch without any does not count for O(until), and a host
        without those of one that has failed says nothing of its release. By default, each host has the same.
    type: dict
  on_failure:
    description:
      - Who goes back where the run stops, V(fleet), V(batch) or V(host). It is only refused where it is none of these.
    type: raw
    default: ""
"""

EXAMPLES = r"""
- name: Stop where too many are lost
  ansible.builtin.meta: end_play
  when: (ansible_play_hosts_all | slipway.go.fleet_gate(ansible_play_batch, ansible_play_hosts, {}, 1)).stop
"""

RETURN = r"""
_value:
  description: Whether the run stops, and why.
  type: dict
  contains:
    stop:
      description: Whether it stops.
      type: bool
    text:
      description: Who or what stops it, and which hosts are not touched; empty where it goes on.
      type: str
  sample:
    stop: true
    text: "web2 failed or could not be reached, and the run stops. Not touched in this play: web3."
"""

from collections.abc import Mapping, Sequence
from typing import Any, Callable

from ansible_collections.slipway.go.plugins.plugin_utils._fleet import way_back
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def fleet_gate(
    hosts: list[str],
    batch: list[str],
    alive: list[str],
    failures: Mapping[str, Any],
    budget: Any,
    begun: bool = False,
    on_failure: Any = "",
    sizes: Sequence[Any] = (),
    until: Any = "",
    services: Any = None,
) -> dict[str, Any]:
    with refusal():
        way_back.read_on_failure(on_failure)
        return way_back.gate(
            list(hosts), list(batch), list(alive), failures, budget, bool(begun), list(sizes), until, services
        )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"fleet_gate": fleet_gate}
