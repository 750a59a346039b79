# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: not_networks
short_description: Those of a list that are no IP networks
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the entries that are neither an IP address nor a network in CIDR notation whose host part is zero.
options:
  _input:
    description: The entries.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse what is no network
  ansible.builtin.assert:
    that: proxy_trusted_proxies | slipway.go.not_networks == []
"""

RETURN = r"""
_value:
  description: The entries that are none, as they were given.
  type: list
  sample: [10.0.0.1/8]
"""

import ipaddress
from typing import Any, Callable


def is_network(entry: Any) -> bool:
    if not isinstance(entry, str) or "%" in entry:
        return False
    address, slash, length = entry.partition("/")
    if slash and not (length.isascii() and length.isdigit()):  # no masks: HAProxy and nginx differ on them
        return False
    try:
        ipaddress.ip_network(entry)
    except ValueError:
        return False
    return bool(address)


def not_networks(entries: Any) -> list[Any]:
    if isinstance(entries, (str, bytes)) or not hasattr(entries, "__iter__"):
        return [entries]
    return [entry for entry in entries if not is_network(entry)]


class FilterModule:
    def filters(self) -> dict[str, Callable[[Any], list[Any]]]:
        return {"not_networks": not_networks}
