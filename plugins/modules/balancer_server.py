#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: balancer_server
short_description: Take a server out of a load balancer, or put it back
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Runs on the load balancer, with HAProxy or nginx.
  - A server that is taken out gets no new requests. The module waits until those it has are answered.
  - It refuses to take out a server without which too few would serve. Two servers are never taken out at the same
    moment, so that they do not count on each other.
  - With HAProxy, the server drains by the runtime API. What an administrator has put in maintenance stays there. A
    reload of HAProxy puts the server back, which the module notices only while it waits.
  - With nginx, the server is marked C(down) in the file that has its C(upstream), and nginx is reloaded. A file that
    nginx does not accept is put back. The workers of before go on with the requests that they have.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  kind:
    description:
      - What the load balancer runs.
    type: str
    choices: [haproxy, nginx]
    default: haproxy
  backend:
    description:
      - The name of the backend of HAProxy, or of the upstream of nginx.
    type: str
    required: true
  server:
    description:
      - The name of the server in the backend; with nginx, its address as the line C(server) has it.
    type: str
    required: true
  state:
    description:
      - How the server is to be.
    type: str
    choices: [out, back]
    required: true
  min_servers:
    description:
      - How many other servers must serve before this one is taken out. HAProxy tells that by its checks; nginx has
        none, so those count that are neither C(down) nor C(backup).
    type: int
    default: 1
  timeout:
    description:
      - Seconds that its connections may take to end. After that, the module goes on and says how many are left.
      - With O(state=back) and HAProxy, seconds within which its check must pass.
    type: int
    default: 30
  share:
    description:
      - The percentage of the requests that the server gets when it is back, more than 0. With V(100), it has the weight
        of HAProxy's configuration again. HAProxy only.
      - Where it is not given, the weight of a share is made whole that a killed run has left. Any other weight stays as
        it is. With O(state=back), the module warns of one that is below that of the configuration.
        /run/slipway-balancer-weights.json has the weights of shares.
      - With O(state=out), the module refuses a share that the weights of the servers do not allow, and one that the
        balancing of the backend does not allow.
    type: float
  together:
    description:
      - The servers that get O(share) together with O(server). They need not be back yet.
    type: list
    elements: str
    default: []
  socket:
    description:
      - HAProxy's socket with the level admin.
    type: path
    default: /run/haproxy/admin.sock
  file:
    description:
      - The file with the upstream. Required with O(kind=nginx).
    type: path
  configuration:
    description:
      - The main configuration file of nginx.
    type: path
    default: /etc/nginx/nginx.conf
  pid_file:
    description:
      - The file with the process id of nginx.
    type: path
    default: /run/nginx.pid
seealso:
  - module: community.general.haproxy
    description: Sets states of HAProxy's servers, without a look at the others.
"""

EXAMPLES = r"""
- name: Take the host out of HAProxy
  slipway.go.balancer_server:
    backend: shop
    server: "{{ inventory_hostname }}"
    state: out
  delegate_to: balancer1

- name: Put the host back into nginx
  slipway.go.balancer_server:
    kind: nginx
    file: /etc/nginx/conf.d/shop-servers.conf
    backend: shop
    server: 192.0.2.11:8443
    state: back
  delegate_to: balancer1
"""

RETURN = r"""
connections:
  description:
    - With O(state=out), what is left at the server after O(timeout). For HAProxy these are requests, for nginx
      processes that may still have requests.
  returned: success
  type: int
  sample: 0
weight:
  description: The weight that it was given; null where it kept its own.
  returned: success
  type: int
  sample: 11
others:
  description: The other servers that serve.
  returned: success
  type: list
  elements: str
  sample: [web2, web3]
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: balancer_last_server
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: see that the others serve, or lower balancer_min_servers
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._balancer.haproxy import SOCKET, Haproxy
from ansible_collections.slipway.go.plugins.module_utils._balancer.model import parse_wish
from ansible_collections.slipway.go.plugins.module_utils._balancer.nginx import CONFIGURATION, PID_FILE, Nginx


def work(module: AnsibleModule) -> dict[str, Any]:
    given = module.params
    wish = parse_wish(given)
    if given["kind"] == "nginx":
        answer = Nginx(given["file"], wish, given["configuration"], given["pid_file"]).apply(module.check_mode)
    else:
        answer = Haproxy(given["socket"], wish).apply(module.check_mode)
    if answer.connections:
        module.warn(
            f"{wish.server} is out of {wish.backend}, and {answer.connections} of its connections were open after "
            f"{wish.timeout} s: the swap of the service waits for them, too"
        )
    if answer.lowered is not None:
        module.warn(
            f"{wish.server} of {wish.backend} keeps the weight {answer.lowered}, which is below that of HAProxy's "
            "configuration and was not set for a share: somebody has set it. If it is not meant, run: "
            f"echo 'set server {wish.backend}/{wish.server} weight 100%' | socat stdio {given['socket']}"
        )
    return {
        "changed": answer.changed,
        "others": list(answer.others),
        "connections": answer.connections,
        "weight": answer.weight,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "kind": {"type": "str", "choices": ["haproxy", "nginx"], "default": "haproxy"},
            "backend": {"type": "str", "required": True},
            "server": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["out", "back"], "required": True},
            "min_servers": {"type": "int", "default": 1},
            "timeout": {"type": "int", "default": 30},
            "share": {"type": "float"},
            "together": {"type": "list", "elements": "str", "default": []},
            "socket": {"type": "path", "default": SOCKET},
            "file": {"type": "path"},
            "configuration": {"type": "path", "default": CONFIGURATION},
            "pid_file": {"type": "path", "default": PID_FILE},
        },
        required_if=[("kind", "nginx", ["file"])],
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
