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

import re
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

_SIZE = re.compile(r"([0-9]{1,9})(?:\.0+)?(%?)")


def batches(given: Any, variable: str) -> list[int | str]:
    listed = given if isinstance(given, (list, tuple)) else re.sub(r"[\[\]\"'\s]", "", str(given)).split(",")
    return [_size(one, given, variable) for one in listed] or _refuse(given, variable)


def _size(one: Any, given: Any, variable: str) -> int | str:
    found = None if isinstance(one, bool) else _SIZE.fullmatch(str(one).strip())
    if not found or not 0 < int(found[1]) <= (100 if found[2] else 10**9):
        return _refuse(given, variable)
    return f"{int(found[1])}%" if found[2] else int(found[1])


def _refuse(given: Any, variable: str) -> Any:
    raise AnsibleFilterError(
        f"{variable} is {given!r}. Fix: give a number of hosts, a percentage, or a list of them such as 1,50%,100%"
    )


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[int | str]]]:
        return {"batches": batches}
