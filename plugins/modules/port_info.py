#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: port_info
short_description: Which programs listen on a port
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Reads from C(/proc) who listens on the given ports. Two programs can share one port (C(SO_REUSEPORT)), and then each
    gets part of the connections.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  listen:
    description:
      - What to look for, in the notation of C(ListenStream=), a port or an address with a port. Paths are ignored.
    type: list
    elements: str
    required: true
  service:
    description:
      - The service whose local ports behind HAProxy are asked for.
    type: str
  proxy_ports:
    description:
      - The two that O(service) is to have. When empty, those that it has, or two that are free.
    type: list
    elements: int
    default: []
seealso:
  - module: slipway.go.firewall
"""

EXAMPLES = r"""
- name: Who has port 80?
  slipway.go.port_info:
    listen: ["80"]
  register: found
"""

RETURN = r"""
ports:
  description: Each port once, with the names of the programs that listen there; none where nobody does.
  returned: success
  type: list
  elements: dict
  sample: [{"port": 80, "programs": ["haproxy"]}]
proxy_ports:
  description: The two local ports of O(service).
  returned: when O(service) is given
  type: list
  elements: int
  sample: [18080, 18081]
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: invalid_listen
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: use for example 8080, 127.0.0.1:8080, [::1]:8080 or /run/shop.sock
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._host import sockets
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import reserved_ports


def work(module: AnsibleModule) -> dict[str, Any]:
    found = sockets.programs(module.params["listen"])
    name = module.params["service"]
    own = reserved_ports.choose(Layout(validate_name(name), "/"), module.params["proxy_ports"]) if name else ()
    return {
        "changed": False,
        "proxy_ports": list(own),
        "ports": [{"port": port, "programs": sorted(programs)} for port, programs in sorted(found.items())],
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "listen": {"type": "list", "elements": "str", "required": True},
            "service": {"type": "str"},
            "proxy_ports": {"type": "list", "elements": "int", "default": []},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
