# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: swap_outcome
short_description: Say in a word how the release of a host ended
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.release) has returned, and says whether the host may get users.
options:
  _input:
    description: The registered result; empty where the release was not tried.
    type: dict
    required: true
  served:
    description: The release that served before; empty where none did.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show how it ended
  ansible.builtin.debug:
    msg: "{{ (release_result | slipway.go.swap_outcome).outcome }}"
"""

RETURN = r"""
_value:
  description: How it ended.
  type: dict
  contains:
    outcome:
      description: >-
        V(released), V(unchanged), V(rolled_back), V(refused) where nothing was swapped, V(not_tried), or V(failed)
        where nobody knows what serves.
      type: str
    serves:
      description: Whether what serves on the host has been good in this run, or was not touched.
      type: bool
  sample: {outcome: released, serves: true}
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.slipway.go.plugins.plugin_utils._fleet import hooks


def swap_outcome(result: Any, served: Any = "") -> dict[str, Any]:
    return hooks.outcome(result if isinstance(result, Mapping) else {}, served)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"swap_outcome": swap_outcome}
