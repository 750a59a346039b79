# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: fleet_closing
short_description: Tell how a release has ended on each host of a fleet
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Draws up one table of all hosts, and says which hosts fail and why.
options:
  _input:
    description:
      - What is known of the run. C(hosts) are its hosts, C(results) what M(slipway.go.release) has answered on each,
        C(failures) what has kept a host from that, and C(alive) the hosts that Ansible has not given up.
      - C(service), C(version), C(run), C(budget), C(on_failure) and C(sizes) are the variables of the role, and
        C(checked) is whether nothing was changed.
    type: dict
    required: true
  answers:
    description:
      - What M(slipway.go.conclude) has returned on each host; empty for those that were not asked.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show how the release has ended
  slipway.go.show:
    text: "{{ (fleet | slipway.go.fleet_closing(answers)).text }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The end of the run.
  type: dict
  contains:
    text:
      description: The table, and what follows from it in sentences; empty where there was no release.
      type: str
    outcome:
      description: V(complete), V(partial) where the run was to end before the last batch, V(incomplete) where hosts
        were lost within the budget, V(taken_back) or V(stopped).
      type: str
    failures:
      description: Why each of these hosts fails.
      type: dict
    stats:
      description: What the next node of a workflow is told of each host.
      type: dict
    left:
      description: What is left to do on a host, where there is something.
      type: dict
  sample:
    text: "HOST  FROM  TO"
    outcome: complete
    failures: {}
    stats: {web1: {verdict: released, now: 2.0.0-3b1d8f00aa}}
    left: {}
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import way_back
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def fleet_closing(fleet: Any, answers: Any) -> dict[str, Any]:
    if not isinstance(fleet, Mapping) or not isinstance(answers, Mapping):
        raise AnsibleFilterError("fleet_closing takes two dictionaries")
    with refusal():
        return asdict(way_back.close_for(fleet, answers))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"fleet_closing": fleet_closing}
