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
  more_ports:
    description:
      - The names of the public ports that O(service) has beside the first.
    type: list
    elements: str
    default: []
  public:
    description:
      - What all services of the host are to listen on, in the notation of C(ListenStream=). None of these is chosen as
        a local port.
    type: list
    elements: str
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
  description:
    - Each port once, with the names of the programs that listen there, none where nobody does, and of the services
      other than O(service) for which HAProxy listens there.
  returned: success
  type: list
  elements: dict
  sample: [{"port": 80, "programs": ["haproxy"], "services": ["shop"]}]
proxy_ports:
  description: The two local ports of O(service).
  returned: when O(service) is given
  type: list
  elements: int
  sample: [18080, 18081]
more_ports:
  description: The two local ports of O(service) behind each of O(more_ports), and behind those that it had before.
  returned: when O(service) is given
  type: dict
  sample: {"grpc": [18082, 18083]}
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

from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._hardening.services import in_haproxy
from ansible_collections.slipway.go.plugins.module_utils._host import sockets
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import reserved_ports
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.slots import LocalPorts


def work(module: AnsibleModule) -> dict[str, Any]:
    found = sockets.programs(module.params["listen"])
    name = module.params["service"]
    wanted, more = module.params["proxy_ports"], module.params["more_ports"]
    layout = Layout(validate_name(name), "/") if name else None
    own = reserved_ports.choose(layout, wanted, more, module.params["public"]) if layout else LocalPorts()
    return {
        "changed": False,
        "proxy_ports": list(own.first),
        "more_ports": {port: list(local) for port, local in own.more.items()},
        "ports": [
            {"port": port, "programs": sorted(programs), "services": _services_at(port, module.params["listen"], name)}
            for port, programs in sorted(found.items())
        ],
    }


def _services_at(port: int, listen: list[str], but: Optional[str]) -> list[str]:
    """For whom else HAProxy listens on a port: it would share it among them, and each would get users of the other."""
    wanted = [entry for entry in listen if sockets.tcp_port(entry) == port]
    return [
        name
        for name, binds in in_haproxy().items()
        if name != but and any(_meets(entry, bind) for entry in wanted for bind in binds)
    ]


def _meets(listen: str, bind: str) -> bool:
    host, _colon, port = bind.rpartition(":")
    return port == str(sockets.tcp_port(listen)) and sockets.overlaps(listen, host.strip("[]"))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "listen": {"type": "list", "elements": "str", "required": True},
            "service": {"type": "str"},
            "proxy_ports": {"type": "list", "elements": "int", "default": []},
            "more_ports": {"type": "list", "elements": "str", "default": []},
            "public": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
