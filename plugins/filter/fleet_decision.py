# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_decision
short_description: Decide which hosts a release that did not come through everywhere is taken back from
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Only what this run has released is taken back.
options:
  _input:
    description:
      - What is known of the run. C(hosts) are its hosts, C(results) what M(slipway.go.release) has answered on each,
        C(failures) what has kept a host from that, and C(alive) the hosts that Ansible has not given up.
      - C(service), C(version), C(run), C(budget), C(on_failure) and C(sizes) are the variables of the role, and
        C(checked) is whether nothing was changed.
      - With several services, C(services) are those that the run is about on each host, and C(of_each) what each host
        has answered, by service.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show who goes back
  ansible.builtin.debug:
    msg: "{{ (fleet | slipway.go.fleet_decision).back }}"
"""

RETURN = r"""
_value:
  description: Who goes back, and why the run has stopped.
  type: dict
  contains:
    stops:
      description: Why the run has stopped; empty where the release stands.
      type: str
    lost:
      description: The hosts that have failed or could not be reached.
      type: list
      elements: str
    back:
      description: For each host that goes back, the options of M(slipway.go.rollback).
      type: dict
    first:
      description: The hosts that have nothing to go back to.
      type: list
      elements: str
    confirm:
      description: For each host whose release has waited for the fleet, what its confirmation needs.
      type: dict
    asks:
      description: Whether the hosts are to be asked anew.
      type: bool
  sample:
    stops: none may be lost
    lost: [web2]
    back: {web1: {of: 2.0.0-3b1d8f00aa, release: 1.9.4-77c0aa12de}}
    first: []
    confirm: {}
    asks: true
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import way_back
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def fleet_decision(fleet: Any) -> dict[str, Any]:
    if not isinstance(fleet, Mapping):
        raise AnsibleFilterError(f"fleet_decision takes a dictionary, not {type(fleet).__name__}")
    with refusal():
        return asdict(way_back.decide_for(fleet))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"fleet_decision": fleet_decision}
