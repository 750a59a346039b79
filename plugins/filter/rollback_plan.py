# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: rollback_plan
short_description: Find the one release that a fleet goes back to
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.release_info) has returned for each host. Those that have what was released or tried last go
    back to the release that serves on the others, or to the last one that was good on all of them.
  - Hosts that serve different releases are brought together, or none is changed.
  - Releases are the same by id, or by version where hosts have ids of their own because their configurations differ.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of M(slipway.go.release_info).
    type: dict
    required: true
  service:
    description: The service's name.
    type: str
    required: true
  to:
    description: A version or an id to go to. The last good one when empty.
    type: str
    default: ""
  of:
    description: The version or id that is to be taken back; V(null) for what was released last. Empty is refused.
    type: str
  run:
    description: The run whose release is to be taken back. Empty is refused.
    type: str
"""

EXAMPLES = r"""
- name: Show where the hosts would go
  ansible.builtin.debug:
    msg: "{{ (results | slipway.go.rollback_plan('shop')).text }}"
"""

RETURN = r"""
_value:
  description: Where each host goes, or why it cannot.
  type: dict
  contains:
    targets:
      description: The id for each host that goes back; empty where the host finds it by itself.
      type: dict
    reasons:
      description: Why a host cannot go; then none goes.
      type: dict
    text:
      description: The same in a sentence.
      type: str
  sample:
    targets: {web1: 1.9.4-77c0aa12de}
    reasons: {}
    text: "shop: web1 to 1.9.4-77c0aa12de."
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.meant import parse_meant
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import common_release


def rollback_plan(
    results: Any, service: str, to: str = "", of: str | None = None, run: str | None = None
) -> dict[str, Any]:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"rollback_plan takes a dictionary of hosts, not {type(results).__name__}")
    try:
        meant = parse_meant(None if of is None else str(of), None if run is None else str(run))
    except SlipwayError as error:
        return asdict(common_release.RollbackPlan(reasons=dict.fromkeys(map(str, results), str(error))))
    return asdict(common_release.plan(service, {str(host): answer for host, answer in results.items()}, str(to), meant))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"rollback_plan": rollback_plan}
