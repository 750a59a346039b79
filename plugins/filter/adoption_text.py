# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: adoption_text
short_description: Render a look at a service that somebody has set up by hand
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.adoption_info) has returned, and gives the proposal for the inventory, what cannot be taken
    over, and the steps by hand.
  - Values of the inventory that may be secrets are not shown.
options:
  _input:
    description:
      - The registered result of M(slipway.go.adoption_info).
    type: dict
    required: true
  declared:
    description:
      - What the inventory says today, by the names of the variables. One that is empty says nothing. Of
        C(service_environment) and C(service_credentials), only the names count.
    type: dict
    default: {}
  host:
    description: The host's name, for the first line and for the commands on the controller.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Show the proposal
  slipway.go.show:
    text: "{{ former | slipway.go.adoption_text(declared={'service_user': service_user | default('')}) }}"
"""

RETURN = r"""
_value:
  description: The text, its lines separated by line breaks.
  type: str
  sample: "shop: active (running), Type=simple, user shop, /usr/local/bin/shop"
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._adoption.text import render


def adoption_text(told: Any, declared: Any = None, host: str = "") -> str:
    if not isinstance(told, Mapping) or "managed" not in told:
        raise AnsibleFilterError("adoption_text takes what slipway.go.adoption_info has returned")
    if declared is not None and not isinstance(declared, Mapping):
        raise AnsibleFilterError(f"declared of adoption_text is a dictionary, not {type(declared).__name__}")
    return render(told, declared or {}, host)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., str]]:
        return {"adoption_text": adoption_text}
