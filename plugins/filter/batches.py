# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: batches
short_description: Read the sizes of batches, also from the text that a survey hands over
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what the keyword C(serial) of a play takes, a number, a percentage or a list of them, and the same as text.
  - Anything else is an error that names the variable.
extends_documentation_fragment:
  - slipway.go.variable
options:
  _input:
    description: The sizes, such as V(1), V(50%) or V([1, "50%", "100%"]), or text such as V(1,50%,100%).
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Release
  hosts: web
  serial: "{{ release_serial | slipway.go.batches('release_serial') }}"
  tasks:
    - name: Release
      ansible.builtin.import_role:
        name: slipway.go.release
"""

RETURN = r"""
_value:
  description: The sizes as a list.
  type: list
  elements: raw
  sample: [1, "50%", "100%"]
"""

from typing import Callable

from ansible_collections.slipway.go.plugins.plugin_utils._input.batch_sizes import batches


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[int | str]]]:
        return {"batches": batches}
