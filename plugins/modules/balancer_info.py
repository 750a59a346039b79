#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: balancer_info
short_description: Read what HAProxy has counted at the servers of a backend
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Runs on the load balancer and reads HAProxy's counters at its socket. It changes nothing.
  - M(slipway.go.compare) reads them with it where C(release_compare) has C(haproxy).
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
    details: It does the same.
  diff_mode:
    support: none
options:
  backend:
    description:
      - The name of the backend, which must have the mode C(http).
    type: str
    required: true
  socket:
    description:
      - HAProxy's socket.
    type: path
    default: /run/haproxy/admin.sock
seealso:
  - module: slipway.go.balancer_server
"""

EXAMPLES = r"""
- name: Read what HAProxy has counted
  slipway.go.balancer_info:
    backend: shop
  delegate_to: balancer1
  register: counted
"""

RETURN = r"""
process:
  description: The number of the process that has counted. Each reload makes another one, which counts from zero.
  returned: success
  type: int
  sample: 812
uptime:
  description: How many seconds it has run.
  returned: success
  type: int
  sample: 86402
servers:
  description:
    - By the name of the server, C(requests) and how many of them C(failed). Failed are answers 5xx, refused
      connections, and answers that did not come, or not in whole. A request that HAProxy could send to another server
      is none of these.
  returned: success
  type: dict
  sample: {web1: {requests: 12043, failed: 2}}
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: balancer_unknown
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: correct balancer_backend or balancer_server
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._balancer import counters
from ansible_collections.slipway.go.plugins.module_utils._balancer.haproxy import SOCKET


def work(module: AnsibleModule) -> dict[str, Any]:
    found = counters.read(module.params["socket"], module.params["backend"])
    servers = {name: one._asdict() for name, one in found.servers.items()}
    return {"changed": False, "process": found.process, "uptime": found.uptime, "servers": servers}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "backend": {"type": "str", "required": True},
            "socket": {"type": "path", "default": SOCKET},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
