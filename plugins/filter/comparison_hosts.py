# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: comparison_hosts
short_description: Say which load balancers are asked what they have counted
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - M(slipway.go.compare) needs a turn for each of them.
options:
  _input:
    description: What C(release_compare) says.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Compare the batch with the hosts after it
  slipway.go.compare:
    name: shop
    by: "{{ release_compare }}"
  loop: "{{ release_compare | slipway.go.comparison_hosts }}"
  delegate_to: "{{ item }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: Their names in the inventory. Empty where nobody or Prometheus is asked, and where it cannot be read.
  type: list
  elements: str
  sample: [balancer1, balancer2]
"""

from typing import Any, Callable

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import comparison


def comparison_hosts(given: Any) -> list[str]:
    try:
        wanted = comparison.parse(given)
    except SlipwayError:  # the release refuses it
        return []
    return list(wanted.haproxy) if wanted is not None else []


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"comparison_hosts": comparison_hosts}
