#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall
short_description: What a host lets in, through firewalld or ufw, as one change that takes itself back
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Finds the firewall that the host uses, compares its rules with what is wanted, and makes the difference in one
    change. The change is armed on the host before the first rule is written, lets in first, denies and takes away next,
    and puts the firewall in force last. It is still armed on return, and M(slipway.go.confirm_login) with RV(token)
    lets it stand.
  - While the rules are being written the revert is put off; O(seconds) counts from when the last one is in force. If
    the module is killed in between, the host takes the change back within a minute, or O(seconds) if that is longer. A
    command that fails, or takes longer than that, takes it back at once.
  - The port of the SSH connection that this runs in is always wanted, in the zone that judges that connection.
  - What the host's other services need is wanted, too. They are known from C(/etc/slipway/services), and what their
    runs have let in from C(/etc/slipway/firewall), where this module records O(rules) under the name of O(service). A
    service that has no such record keeps what its ports are let in by; nothing is made for it, unless the firewall was
    off until now.
  - A firewall that is not installed is not changed, and RV(installed) says so.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  backend:
    description:
      - The firewall. V(auto) is the one that is active, else the one that is installed, else the distribution's own.
      - Where neither is active and the host filters packets by C(netfilter-persistent), C(iptables), C(ip6tables) or
        C(nftables.service), V(auto) fails, because either could remove those rules, or lose its own to them.
    type: str
    choices: [auto, ufw, firewalld]
    default: auto
  rules:
    description:
      - What is to be let in.
    type: list
    elements: dict
    default: []
    suboptions: &firewall_rule
      port:
        description:
          - A port, or a range such as V(8000:8010).
        type: str
      service:
        description:
          - A service that firewalld knows by name. It has no meaning for ufw.
        type: str
      proto:
        description:
          - The protocol.
        type: str
        choices: [tcp, udp]
        default: tcp
      source:
        description:
          - An address or network. By default everybody.
        type: str
      interface:
        description:
          - With ufw, the interface that it comes in by.
        type: str
      zone:
        description:
          - With firewalld, the zone.
        type: str
      limit:
        description:
          - Whether to limit the rate of new connections.
        type: bool
        default: false
  zones:
    description:
      - With firewalld, the interfaces and sources of zones.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The zone.
        type: str
        required: true
      interfaces:
        description:
          - Interfaces that belong to it.
        type: list
        elements: str
        default: []
      sources:
        description:
          - Networks that belong to it.
        type: list
        elements: str
        default: []
  zone:
    description:
      - With firewalld, the default zone.
    type: str
    default: public
  ssh_ports:
    description:
      - Ports of SSH, besides the one that is in use.
    type: list
    elements: int
    default: []
  ssh_sources:
    description:
      - Networks that may use SSH. By default everybody.
    type: list
    elements: str
    default: []
  ssh_limit:
    description:
      - Whether to limit the rate of new SSH connections.
    type: bool
    default: false
  ufw_sysctl:
    description:
      - With ufw, the file of kernel settings that it is to apply whenever it starts, if the host has that file.
    type: str
    default: ""
  remove_unmanaged:
    description:
      - Whether to remove what nobody asked for.
      - If not, it is a failure if a rule of somebody else lets in more on a port than a narrower one that is wanted by
        O(ssh_sources), O(ssh_limit), or C(source), C(interface) and C(limit) in O(rules).
    type: bool
    default: false
  keep_services:
    description:
      - With firewalld, services that are not RV(unmanaged), whoever let them in.
    type: list
    elements: str
    default: [dhcpv6-client]
  state:
    description:
      - V(absent) closes what the runs of O(service) have let in and no other service has asked for, and forgets that it
        was asked for. Rules of somebody else and those by which SSH is let in stay. Of the other options, only
        O(backend), O(zone), O(ssh_ports), O(keep_services) and O(seconds) count then.
    type: str
    choices: [present, absent]
    default: present
  service:
    description:
      - The service that O(rules) is about, so that the runs of the host's other services keep them. None when empty.
    type: str
    default: ""
  services:
    description:
      - More services, each with rules of its own that are recorded under its name.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The service.
        type: str
        required: true
      rules:
        description:
          - What is to be let in for it, as in O(rules).
        type: list
        elements: dict
        default: []
        suboptions: *firewall_rule
  seconds:
    description:
      - The time to confirm, from when the change is in force.
    type: float
    default: 60
seealso:
  - module: slipway.go.confirm_login
"""

EXAMPLES = r"""
- name: Let in HTTPS, and nothing else but SSH
  slipway.go.firewall:
    rules:
      - port: "443"
  register: firewall

- name: Close what only the shop needed
  slipway.go.firewall:
    service: shop
    state: absent
  register: firewall

- name: Prove it with a fresh login, and let it stand
  slipway.go.confirm_login:
    name: firewall
    token: "{{ firewall.token }}"
    connection_user: always
  when: firewall.token
"""

RETURN = r"""
removed:
  description: With O(state=absent), the rules that were removed, or in check mode would be.
  returned: success
  type: list
  elements: dict
  sample: []
token:
  description: What confirms the change; V(null) where none is armed.
  returned: success
  type: str
  sample: 5d41402abc4b2a76b9719d911017c592
backend:
  description: The firewall, V(ufw) or V(firewalld).
  returned: success
  type: str
  sample: ufw
installed:
  description: Whether it is installed.
  returned: success
  type: bool
  sample: true
active:
  description: Whether it is in force.
  returned: success
  type: bool
  sample: true
policy:
  description: What ufw does with what is not let in, or firewalld's default zone.
  returned: success
  type: str
  sample: deny
missing:
  description: Rules that are wanted and not there.
  returned: success
  type: list
  elements: dict
  sample: []
bindings:
  description: Interfaces and sources that are not in their zone.
  returned: success
  type: list
  elements: dict
  sample: []
superseded:
  description:
    - Rules that let in more on a port than a narrower one that is wanted, and that the role itself has made (with ufw,
      those with its comment; with firewalld, which keeps no comments, those of the form that it writes), or firewalld's
      stock service C(ssh). They go when the narrower one comes.
  returned: success
  type: list
  elements: dict
  sample: []
unmanaged:
  description:
    - Rules that are there and nobody asked for. With firewalld, those of all zones that judge a connection, rich rules,
      protocols and forwarded ports among them; with ufw, those that refuse, too, but not those that are logged in full
      or name an application on the other side.
  returned: success
  type: list
  elements: dict
  sample: []
ufw_sysctl:
  description: The file that ufw is still to be told to apply; empty where it does, or need not.
  returned: success
  type: str
  sample: /etc/sysctl.d/99-zz-slipway.conf
in_order:
  description: Whether the firewall is in force with all that is wanted.
  returned: success
  type: bool
  sample: true
connection:
  description: The SSH connection that this ran in; V(null) if it is another kind.
  returned: success
  type: dict
  sample: {"client": "192.0.2.7", "address": "192.0.2.10", "port": 22, "interface": "eth0"}
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: would_lock_out
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: add 192.0.2.7 or its network to firewall_ssh_sources
"""

from dataclasses import asdict
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall import change, withdrawal
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.backend import Survey
from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.survey import Look, Options


def result(done: change.Changed) -> dict[str, Any]:
    look, survey = done.look, done.look.survey
    before, after = change.described(look)
    return {
        "changed": done.changed,
        "token": done.token,
        "backend": look.backend.name,
        "installed": look.installed,
        "active": survey.active,
        "in_order": look.in_order,
        "policy": survey.policy,
        "missing": [rule.as_dict() for rule in survey.missing],
        "superseded": list(survey.superseded),
        "unmanaged": list(survey.unmanaged),
        "bindings": list(survey.bindings),
        "ufw_sysctl": survey.ufw_sysctl,
        "connection": asdict(look.connection) if look.connection else None,
        "removed": [],
        "diff": {"before": before, "after": after} if done.changed else {},
    }


def withdrawn(options: Options, seconds: float, check: bool) -> dict[str, Any]:
    """What has been closed, in the words of a change that lets in."""
    found, token = withdrawal.withdraw(options, seconds, check)
    survey = Survey(active=found.active, policy="", target="")
    done = change.Changed(Look(found.backend, survey, found.installed, found.connection), found.changed, token)
    before = "".join(f"{change.line(words)}\n" for words in found.removals)
    return {**result(done), "removed": list(found.removals), "diff": {"before": before, "after": ""}}


def work(module: AnsibleModule) -> dict[str, Any]:
    values = dict(module.params)
    seconds, state = values.pop("seconds"), values.pop("state")
    if state == "absent":
        return withdrawn(Options(**values), seconds, module.check_mode)
    return result(change.bring_in_order(Options(**values), seconds, module.check_mode))


def main() -> None:
    rule = {
        "port": {"type": "str"},
        "service": {"type": "str"},
        "proto": {"type": "str", "choices": ["tcp", "udp"], "default": "tcp"},
        "source": {"type": "str"},
        "interface": {"type": "str"},
        "zone": {"type": "str"},
        "limit": {"type": "bool", "default": False},
    }
    zone = {
        "name": {"type": "str", "required": True},
        "interfaces": {"type": "list", "elements": "str", "default": []},
        "sources": {"type": "list", "elements": "str", "default": []},
    }
    service = {
        "name": {"type": "str", "required": True},
        "rules": {"type": "list", "elements": "dict", "default": [], "options": rule},
    }
    module = AnsibleModule(
        argument_spec={
            "backend": {"type": "str", "choices": ["auto", "ufw", "firewalld"], "default": "auto"},
            "rules": {"type": "list", "elements": "dict", "default": [], "options": rule},
            "zones": {"type": "list", "elements": "dict", "default": [], "options": zone},
            "zone": {"type": "str", "default": "public"},
            "ssh_ports": {"type": "list", "elements": "int", "default": []},
            "ssh_sources": {"type": "list", "elements": "str", "default": []},
            "ssh_limit": {"type": "bool", "default": False},
            "ufw_sysctl": {"type": "str", "default": ""},
            "remove_unmanaged": {"type": "bool", "default": False},
            "keep_services": {"type": "list", "elements": "str", "default": ["dhcpv6-client"]},
            "service": {"type": "str", "default": ""},
            "services": {"type": "list", "elements": "dict", "default": [], "options": service},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "seconds": {"type": "float", "default": 60},
        },
        required_if=[["state", "absent", ["service"]]],
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
