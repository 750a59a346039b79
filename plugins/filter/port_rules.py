# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: port_rules
short_description: The firewall's rules for what a service listens on
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns a rule for each port that others than the host itself can reach. A rule of O(allow) about that port is the
    one that counts, because it may be narrower.
options:
  _input:
    description:
      - What the service listens on, in the notation of C(ListenStream=), or entries of C(service_more_ports).
    type: list
    elements: raw
    required: true
  allow:
    description: The rules of the host.
    type: list
    elements: dict
    default: []
"""

EXAMPLES = r"""
- name: Show what has to be let in
  ansible.builtin.debug:
    msg: "{{ ['8080', '127.0.0.1:9090'] | slipway.go.port_rules }}"
"""

RETURN = r"""
_value:
  description: The rules, as the module C(firewall) takes them.
  type: list
  elements: dict
  sample: [{port: "8080"}]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._hardening.services import public_ports
from ansible_collections.slipway.go.plugins.plugin_utils._input import more_ports


def port_rules(listen: Iterable[Any], allow: Iterable[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    ports = list(dict.fromkeys(public_ports(_addresses(listen))))
    given = [dict(rule) for rule in allow if str(rule.get("port", "")) in ports]
    named = {str(rule["port"]) for rule in given}
    return given + [{"port": port} for port in ports if port not in named]


def _addresses(listen: Iterable[Any]) -> Iterator[str]:
    for one in listen:
        yield from map(str, more_ports.listened([one]) if isinstance(one, Mapping) else [one])


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        return {"port_rules": port_rules}
