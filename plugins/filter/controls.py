# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: controls
short_description: Tell which controls of hardening are on
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes C(base_controls) and returns every control with whether it is on. A control that is not named, or is empty, is
    what it is by default. A text is the reason why it is off.
options:
  _input:
    description: A dictionary of controls.
    type: dict
    required: true
  default:
    description: Whether a control that is on by default counts as on. If not, those do that the dictionary turns on.
    type: bool
    default: true
"""

EXAMPLES = r"""
- name: Fail unless su is restricted
  ansible.builtin.assert:
    that: (base_controls | slipway.go.controls).su_wheel
"""

RETURN = r"""
_value:
  description: Each control, and whether it is on.
  type: dict
  sample: {su_wheel: true, audit_immutable: false}
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible_collections.slipway.go.plugins.module_utils._compliance.controls import check, choose
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def controls(given: Mapping[str, Any], default: bool = True) -> dict[str, bool]:
    with refusal():
        check(given)
    return {name: choice.on and (default or choice.given) for name, choice in choose(given).items()}


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, bool]]]:
        return {"controls": controls}
