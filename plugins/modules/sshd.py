#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sshd
short_description: Configure sshd before every other file does, refuse what would lock out, and leave it armed
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Writes a drop-in that sshd reads first, so that no other file overrides it; where sshd does not read drop-ins first,
    a block at the top of C(sshd_config).
  - Algorithms that the host's OpenSSH does not know are left out, so that one list serves all versions.
  - C(sshd -t) accepts the files before sshd is reloaded, and C(sshd -T) has to say afterwards that every setting is in
    force. Otherwise everything is taken back at once.
  - The change is armed under the name V(ssh), as with M(slipway.go.deadman), and taken back unless RV(token) is
    confirmed.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  settings:
    description:
      - Directives of sshd_config(5) with their values. Lists are joined with spaces.
    type: dict
    default: {}
  algorithms:
    description:
      - Directives that name algorithms, with the names in order of preference.
    type: dict
    default: {}
  fallback:
    description:
      - What to use for a directive of O(algorithms) when the host's OpenSSH knows none of its names.
    type: dict
    default: {}
  ports:
    description:
      - The ports to listen on. When empty, they stay as they are. C(ssh.socket) listens there too if it is in use.
    type: list
    elements: int
    default: []
  allow_users:
    description:
      - C(AllowUsers), unless O(settings) has it. Everybody may log in when empty.
    type: list
    elements: str
    default: []
  keep_allowed:
    description:
      - Whether the users that the module's own file lets in already, and the user of this connection, are let in beside
        those of O(allow_users), so that runs of several administrators do not shut out one another.
      - The user C(root) is not kept, but for the connection of a root that stays open.
    type: bool
    default: false
  must_allow:
    description:
      - Users whom these settings must let in. The user of this connection is one of them, unless it is C(root) and
        these settings close it.
    type: list
    elements: str
    default: []
  shut_out:
    description:
      - Accounts that may lose their access, V(*) for all. The module compares, for every account of the host that has a
        shell, whether it can log in now, by key or by password, and whether it could afterwards, and refuses to shut
        out any other. Root that O(settings) close is not asked about.
    type: list
    elements: str
    default: []
  seconds:
    description:
      - The time to confirm.
    type: float
    default: 60
  open_firewall:
    description:
      - Whether the firewall that is in force lets in O(ports) when they change, before sshd listens on them. It is part
        of the change; when that is taken back, the port is closed again.
    type: bool
    default: false
  firewall_sources:
    description:
      - The networks that these ports are let in for. Everybody when empty.
    type: list
    elements: str
    default: []
  firewall_limit:
    description:
      - Whether to limit the rate of new connections to these ports.
    type: bool
    default: false
seealso:
  - module: slipway.go.confirm_login
"""

EXAMPLES = r"""
- name: Keys only
  slipway.go.sshd:
    settings:
      PasswordAuthentication: false
      PermitRootLogin: false
    allow_users: [deploy]
    keep_allowed: true
    must_allow: [deploy]
  register: sshd

- name: Prove it
  slipway.go.confirm_login:
    name: ssh
    token: "{{ sshd.token }}"
    logins:
      - user: deploy
  when: sshd is changed
"""

RETURN = r"""
paths:
  description: The files that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/ssh/sshd_config.d/00-slipway.conf]
token:
  description: What confirms the change; V(null) when nothing changed and in check mode.
  returned: success
  type: str
  sample: 5d41402abc4b2a76b9719d911017c592
version:
  description: The version of OpenSSH.
  returned: success
  type: str
  sample: "9.2"
left_out:
  description: Algorithms and directives that this host's OpenSSH does not know.
  returned: success
  type: list
  elements: str
  sample: [mlkem768x25519-sha256]
shut_out:
  description: The accounts that could log in until now and cannot afterwards, with root where it is closed.
  returned: success
  type: list
  elements: str
  sample: [root]
allowed:
  description: The users of C(AllowUsers); empty where everybody may log in.
  returned: success
  type: list
  elements: str
  sample: [deploy, alice]
ports:
  description: The ports before and after, and the one that this connection came in by, which is 0 if there is none.
  returned: success
  type: dict
  sample: {"before": [22], "after": [2222], "connection": 22}
firewall:
  description: The firewall that is in force, V(ufw) or V(firewalld); empty if neither is.
  returned: success
  type: str
  sample: ufw
selinux:
  description: Whether SELinux is enabled.
  returned: success
  type: bool
  sample: false
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: would_lock_out
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: add deploy to ssh_allow_users
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening.sshd import change


def result(done: change.Configured) -> dict[str, Any]:
    connected = done.connection
    return {
        **done.applied.as_dict(),
        "version": ".".join(map(str, done.plan.server.version)),
        "left_out": sorted(set(done.plan.left_out)),
        "shut_out": [one.name for one in done.shut_out],
        "allowed": change.allowed_users(done.plan.settings),
        "ports": {
            "before": list(done.ports_before),
            "after": list(done.ports_after),
            "connection": connected.port if connected else 0,
        },
        "firewall": done.firewall,
        "selinux": done.has_selinux,
    }


def work(module: AnsibleModule) -> dict[str, Any]:
    return result(change.configure(change.Options(**module.params), module.check_mode, System()))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "settings": {"type": "dict", "default": {}},
            "algorithms": {"type": "dict", "default": {}},
            "fallback": {"type": "dict", "default": {}},
            "ports": {"type": "list", "elements": "int", "default": []},
            "allow_users": {"type": "list", "elements": "str", "default": []},
            "keep_allowed": {"type": "bool", "default": False},
            "must_allow": {"type": "list", "elements": "str", "default": []},
            "shut_out": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "float", "default": 60},
            "open_firewall": {"type": "bool", "default": False},
            "firewall_sources": {"type": "list", "elements": "str", "default": []},
            "firewall_limit": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
