# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: of_host
short_description: What several answers about hosts say of one of them
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the values under the host's name in the dictionaries that have one.
options:
  _input:
    description: Dictionaries by host.
    type: list
    elements: dict
    required: true
  host:
    description: The host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what two answers say of this host
  ansible.builtin.debug:
    msg: "{{ [{'web1': 'shop fails.'}, {'web1': 'books fails.'}] | slipway.go.of_host('web1') | join(' ') }}"
"""

RETURN = r"""
_value:
  description: The values, in the order of the answers.
  type: list
  elements: raw
  sample: [shop does not serve.]
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any


def of_host(answers: Iterable[Mapping[str, Any]], host: str) -> list[Any]:
    return [answer[host] for answer in answers if host in answer]


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[Any]]]:
        return {"of_host": of_host}
