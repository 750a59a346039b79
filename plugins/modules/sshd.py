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

import os
from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import managed_files
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening import logins, sshd
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import Connection
from ansible_collections.slipway.go.plugins.module_utils._hardening.connection import connection as connection_of
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import ssh_port
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import survey as firewalls

# Root is closed for good on the strength of a login, whose key, sudo and port must not be taken back afterwards.
# Another controller may be about to prove any other change by a login as root.
_NAME = "ssh"
SETTLED = ("access", "firewall", "kernel", "pam", "selinux", _NAME)


def listening(host: sshd.Host, system: System) -> list[int]:
    """The ports of the socket unit where that is the one that listens, else those of sshd."""
    if host.socket:
        shown = system.run(["systemctl", "show", "--property=Listen", host.socket])[1]
        words = [line.split(" ")[0] for line in shown.splitlines()]
        return sorted({int(w.rpartition(":")[2].rpartition("=")[2]) for w in words if w[-1:].isdigit()})
    return sorted(int(port) for port in host.effective.get("port", ["22"]))


def read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def verify(
    host: sshd.Host,
    system: System,
    values: dict[str, Any],
    algorithms: dict[str, list[str]],
    connection: Optional[Connection],
) -> None:
    """Ask sshd itself, for everybody and for each user that has to get in from where this connection comes from."""
    ports = values["ports"]
    port = ports[0] if ports and connection and connection.port not in ports else 0
    for user in ["", *values["must_allow"]]:
        seen = sshd.seen_from(user, connection, port) if user else ""
        effective = sshd.effective_settings(host.sshd, system, seen)
        wrong = sshd.overridden(values["settings"], algorithms, ports, effective)
        if wrong:
            whom = f" for {user}" + (f" from {connection.client}" if connection else "") if user else ""
            raise SlipwayError(
                "overridden",
                f"another file or Match block of sshd's configuration wins{whom}: {'; '.join(wrong)}.",
                "remove that setting from the other file; the change was taken back",
            )


def allow(host: sshd.Host, values: dict[str, Any], own: str) -> dict[str, Any]:
    """The settings with AllowUsers, once it is sure that nobody is shut out who has to get in."""
    settings: dict[str, Any] = values["settings"]
    if sshd.closes_root(settings) and own == "root":
        own = ""
    if values["allow_users"] and "allowusers" not in map(str.lower, settings):
        users = values["allow_users"]
        if values["keep_allowed"]:
            users = sshd.keep_allowed(users, sshd.allowed_before(host.config, read(sshd.DROP_IN)), own)
        settings = {**settings, "AllowUsers": users}
    refused = sshd.who_is_refused([*values["must_allow"], *([own] if own else [])], settings, sshd.groups_of)
    if refused:
        raise SlipwayError("would_lock_out", f"{refused}. Nothing was changed.", "add the user (ssh_allow_users)")
    return settings


def choose_algorithms(
    host: sshd.Host, wanted: dict[str, list[str]], fallback: dict[str, list[str]]
) -> tuple[dict[str, list[str]], list[str]]:
    """What this host's OpenSSH is told, by directive, and what it does not know. An empty list leaves its own."""
    algorithms: dict[str, list[str]] = {}
    left_out: list[str] = []
    for key, names in wanted.items():
        if key not in sshd.QUERIES:
            raise SlipwayError("invalid_directive", f"{key} does not name algorithms.", "use settings for it")
        supported = host.supported[key]
        if names and not supported.intersection(names):
            left_out += names
            names = fallback.get(key, names)
        usable, unknown = sshd.choose(key, names, supported)
        algorithms[sshd._RENAMED.get(key, key) if host.version < (8, 5) else key] = usable
        left_out += unknown
    return algorithms, left_out


def let_in(
    host: sshd.Host, values: dict[str, Any], connection: Optional[Connection], system: System
) -> ssh_port.Opening:
    """The firewall lets the new ports in before sshd listens on them."""
    before = listening(host, system)
    if not values["open_firewall"] or (sorted(set(values["ports"])) or before) == before:
        return ssh_port.Opening()
    sources, limit = values["firewall_sources"], values["firewall_limit"]
    return ssh_port.opening(values["ports"], sources, limit, connection, system.run)


@dataclass(frozen=True)
class Planned:
    """What sshd is to be told, as it follows from the host as it is."""

    host: sshd.Host
    settings: dict[str, Any]
    algorithms: dict[str, list[str]]
    left_out: list[str]
    changes: list[managed_files.FileChange]


def plan(values: dict[str, Any], connection: Optional[Connection], system: System) -> Planned:
    host = sshd.look(system)
    settings = allow(host, values, connection.user if connection else "")
    settings, left_out = sshd.known(settings, host.version)
    algorithms, unknown = choose_algorithms(host, values["algorithms"], values["fallback"])
    files = sshd.files(host, sshd.render(settings, algorithms, values["ports"]), values["ports"])
    return Planned(host, settings, algorithms, [*left_out, *unknown], managed_files.plan(files, system=system))


def plan_again(
    before: tuple[Planned, ssh_port.Opening],
    values: dict[str, Any],
    connection: Optional[Connection],
    system: System,
) -> list[managed_files.FileChange]:
    """Under the lock. Who would be shut out was asked of the plan before, so it counts for that one alone."""
    others = [name for name in SETTLED if name != _NAME and deadman.armed(name, system)]
    now = plan(values, connection, system)
    if others or (now, let_in(now.host, values, connection, system)) != before:
        begun = f"a change of {', '.join(others)} has begun"
        raise deadman.changed_meanwhile(begun if others else "somebody else has changed sshd or the firewall")
    return now.changes


def work(module: AnsibleModule) -> dict[str, Any]:
    system = System()
    return managed_files.from_the_start(lambda: attempt(module, dict(module.params), system))


def attempt(module: AnsibleModule, values: dict[str, Any], system: System) -> dict[str, Any]:
    deadman.wait_for_changes(SETTLED, system, not module.check_mode)
    connection = connection_of(system)
    asked = dict(values)
    planned = plan(asked, connection, system)
    host, algorithms, changes = planned.host, planned.algorithms, planned.changes
    values["settings"] = planned.settings
    shut_out = logins.who_is_shut_out(host, values["settings"], connection, system)
    logins.refuse(shut_out, values["shut_out"], sshd.closes_root(values["settings"]))
    before = listening(host, system)
    ports = sorted(set(values["ports"])) or before
    result = {
        "version": ".".join(map(str, host.version)),
        "left_out": sorted(set(planned.left_out)),
        "shut_out": [one.name for one in shut_out],
        "allowed": sshd.normal(values["settings"].get("AllowUsers", "")).split(),
        "ports": {"before": before, "after": ports, "connection": connection.port if connection else 0},
        "firewall": firewalls.in_force(system.run) if ports != before else "",
        "selinux": os.path.exists("/sys/fs/selinux/enforce"),
    }
    if module.check_mode or not changes:
        managed_files.validate(changes, system)
        if not changes:
            verify(host, system, values, algorithms, connection)
        return {**managed_files.Applied(changes).as_dict(), **result}
    moved = ports != before
    opened = let_in(host, values, connection, system)
    guard = opened.guarded(sshd.guard(host, values["seconds"], moved))
    reload = [*opened.commands, *sshd.reload_commands(host, moved)]
    outcome = managed_files.apply(
        changes,
        [[host.sshd, "-t"]],
        reload,
        guard,
        system,
        verify=lambda: verify(host, system, values, algorithms, connection),
        again=lambda: plan_again((planned, opened), asked, connection, system),
    )
    return {**outcome.as_dict(), **result}


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
