# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: tls_probe
short_description: Send a probe to the TLS address that its users are redirected to
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the options of a probe, as option C(probe) of M(slipway.go.release) takes them, that asks by TLS what
    O(health) asks.
  - A probe with a C(url), C(kind), C(address) or C(unix_socket) of its own stays as it is, and so does one of a service
    whose health check does not go to one of O(listen).
options:
  _input:
    description: The options of the probe.
    type: dict
    required: true
  health:
    description: The health check of the release.
    type: dict
    required: true
  listen:
    description: Where requests without TLS are redirected.
    type: list
    elements: str
    required: true
  tls_listen:
    description: Where TLS is spoken; the first is asked.
    type: list
    elements: str
    required: true
  names:
    description: The host names that users know.
    type: list
    elements: str
    default: []
  certified:
    description: A host that the certificate is for, where O(names) has none that is no pattern.
    type: str
  ca_file:
    description: The certificate on the host; what is served has to be this one, or issued by one of its chain.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: See what would be asked
  ansible.builtin.debug:
    msg: "{{ {} | slipway.go.tls_probe({'url': 'http://127.0.0.1:8080/readyz'}, ['8080'], ['443'], ['shop.example.com'],
      ca_file='/etc/slipway-haproxy/shop.pem') }}"
"""

RETURN = r"""
_value:
  description: The options of the probe.
  type: dict
  sample:
    url: https://shop.example.com/readyz
    address: 127.0.0.1:443
    ca_file: /etc/slipway-haproxy/shop.pem
"""

from typing import Any, Callable, Mapping, Optional, Sequence

from ansible_collections.slipway.go.plugins.plugin_utils._input.users_probe import name_of, through_tls


def tls_probe(
    probe: Any,
    health: Mapping[str, Any],
    listen: Sequence[Any],
    tls_listen: Sequence[Any],
    names: Sequence[str] = (),
    certified: Optional[str] = None,
    ca_file: str = "",
) -> Any:
    if not isinstance(probe, Mapping) or not isinstance(health, Mapping):
        return probe  # the module names what is wrong with it
    return through_tls(probe, health, listen, tls_listen, name_of([str(name) for name in names], certified), ca_file)


class FilterModule:
    def filters(self) -> dict[str, Callable[..., Any]]:
        return {"tls_probe": tls_probe}
