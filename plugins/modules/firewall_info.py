#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: firewall_info
short_description: Compare what a firewall lets in with what it should, and refuse what would lock out
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Finds the firewall that the host uses, reads its rules in one call, and says which are missing and which nobody
    asked for. M(community.general.ufw) and M(ansible.posix.firewalld) can then be given exactly what is missing.
  - The port of the SSH connection that this runs in is always wanted, in the zone that judges that connection.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
  - slipway.go.attributes.settled
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
    suboptions:
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
      - Whether what nobody asked for is going to be removed.
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
"""

EXAMPLES = r"""
- name: What is missing?
  slipway.go.firewall_info:
    rules:
      - port: "443"
  register: firewall
"""

RETURN = r"""
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
      protocols and forwarded ports among them; with ufw, those that refuse, too, but not those that
      M(community.general.ufw) cannot delete (logged in full, or by the name of an application on the other side).
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

import os
import shutil
from dataclasses import asdict, replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _deadman, _door, _files, _firewall
from ansible_collections.slipway.go.plugins.module_utils._errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._firewall import FIREWALLD, UFW, Rule

OTHERS = ("netfilter-persistent.service", "iptables.service", "ip6tables.service", "nftables.service")
PROGRAMS = {UFW: "ufw", FIREWALLD: "firewall-cmd"}


def is_installed(backend: str) -> bool:
    return shutil.which(PROGRAMS[backend], path="/usr/sbin:/usr/bin:/sbin:/bin") is not None


def is_active(backend: str, place: _deadman.Place) -> bool:
    if not is_installed(backend):
        return False
    if backend == UFW:
        return "ENABLED=yes" in _files.text("/etc/ufw/ufw.conf") and "Status: active" in place.run(["ufw", "status"])[1]
    return place.run(["systemctl", "is-active", "--quiet", "firewalld.service"])[0] == 0


def choose(wanted: str, place: _deadman.Place) -> str:
    if wanted != "auto":
        return wanted
    active = [backend for backend in (FIREWALLD, UFW) if is_active(backend, place)]
    if active:
        return active[0]
    refuse_another(place)
    own = UFW if os.path.exists("/etc/debian_version") else FIREWALLD
    return next((backend for backend in (FIREWALLD, UFW) if is_installed(backend)), own)


def refuse_another(place: _deadman.Place) -> None:
    """Installing ufw removes Debian's netfilter-persistent, a reload of nftables.service flushes everybody's rules."""
    found = [unit for unit in OTHERS if place.run(["systemctl", "is-enabled", unit])[1].startswith("enabled")]
    if found:
        raise SlipwayError(
            "other_firewall",
            f"this host filters packets with {', '.join(found)}, and neither ufw nor firewalld is in force. Either "
            "could remove those rules, or lose its own to them. Nothing was changed.",
            "set firewall_backend to ufw or firewalld if it is to replace them, or harden_firewall: false to keep them",
        )


def look_at_ufw(values: dict[str, Any], wanted: list[Rule]) -> dict[str, Any]:
    plain = sorted({Rule(r.port, r.proto, r.source, r.interface, limit=r.limit) for r in wanted if r.port})
    defaults, sysctl = _files.text("/etc/default/ufw"), values["ufw_sysctl"]
    versions = _firewall.ufw_versions(defaults)
    there = _firewall.ufw_rules(versions)
    wider = [one for one in there if _firewall.is_wider(one.rule, plain)]
    superseded = [one for one in wider if one.own and one.removable]
    stays = [one for one in wider if one not in superseded and not (one.removable and values["remove_unmanaged"])]
    _firewall.refuse_wider([asdict(one.rule) for one in stays])
    others = [one.rule for one in there if one.removable and one not in superseded]
    return {
        "policy": _firewall.ufw_policy(defaults),
        "ufw_sysctl": sysctl if os.path.exists(sysctl) and _firewall.ufw_sysctl(defaults) != sysctl else "",
        "missing": [rule.as_dict() for rule in plain if not _firewall.ufw_holds(rule, there, versions)],
        "superseded": [one.rule.as_dict() for one in superseded],
        "unmanaged": list({rule: rule.as_dict() for rule in others if replace(rule, log=False) not in plain}.values()),
        "bindings": [],
    }


def zones_now(active: bool, place: _deadman.Place) -> dict[str, dict[str, list[str]]]:
    """What firewalld does, or will do once it is started."""
    if not active and not is_installed(FIREWALLD):
        return {}
    program = "firewall-cmd" if active else "firewall-offline-cmd"
    return _firewall.parse_zones(place.run([program, "--list-all-zones"])[1])


def superseded_in(
    views: list[dict[str, dict[str, list[str]]]], values: dict[str, Any], wanted: list[Rule]
) -> list[dict[str, Any]]:
    """Wider rules of a form that the role itself writes, for firewalld keeps no comments, and the stock service ssh."""
    # Interfaces mean nothing to firewalld, and without a narrow rule nothing is wider.
    wanted = [replace(rule, interface="") for rule in wanted]
    if not any(rule.rich() for rule in wanted):
        return []
    grants = [grant for view in views for name in sorted(view) for grant in _firewall.zone_grants(name, view[name])]
    wider = [grant for grant in grants if _firewall.is_wider(grant[0], wanted)]
    names = {(rule.zone, rule.port, rule.proto, rule.service) for rule in wanted}
    own = [
        words
        for rule, words in wider
        if ((rule.zone, rule.port, rule.proto, rule.service) in names or rule.service == "ssh")
        and (not words["rich"] or _firewall.same_words(words["rich"], rule.rich()))
    ]
    others = [words for dummy, words in wider if words not in own]
    _firewall.refuse_wider([words for words in others if "target" in words or not values["remove_unmanaged"]])
    return [words for at, words in enumerate(own) if words not in own[:at]]


def look_at_firewalld(
    values: dict[str, Any],
    wanted: list[Rule],
    active: bool,
    now: dict[str, dict[str, list[str]]],
    place: _deadman.Place,
) -> dict[str, Any]:
    if not active:
        wished = [{"zone": z["name"], "kind": k[:-1], "value": v} for z in values["zones"] for k in KINDS for v in z[k]]
        return {
            "policy": place.run(["firewall-offline-cmd", "--get-default-zone"])[1] if now else "",
            "missing": [r.as_dict() for r in wanted],
            "superseded": superseded_in([now], values, wanted),
            "unmanaged": [],
            "bindings": wished,
        }
    permanent = place.run(["firewall-cmd", "--permanent", "--list-all-zones"])[1]
    views = [now, _firewall.parse_zones(permanent)]
    bindings = [
        {"zone": zone["name"], "kind": kind[:-1], "value": value}
        for zone in values["zones"]
        for kind in KINDS
        for value in zone[kind]
        if not all(value in view.get(zone["name"], {}).get(kind, []) for view in views)
    ]
    used = {rule.zone for rule in wanted} | {values["zone"]} | {one["name"] for one in _firewall.bindings(views[0])}
    plain = {(r.zone, r.service or r.port, r.proto if r.port else "tcp") for r in wanted if not r.rich()}
    plain |= {(name, service, "tcp") for name in used for service in values["keep_services"]}
    there = [rule for name in sorted(used) for rule in _firewall.zone_rules(name, views[1].get(name, {}))]
    unmanaged = [_firewall.in_words(r) for r in there if (r.zone, r.service or r.port, r.proto) not in plain]
    unmanaged += [more for name in sorted(used) for more in _firewall.zone_more(name, views[1].get(name, {}), wanted)]
    superseded = superseded_in(views, values, wanted)
    return {
        "policy": place.run(["firewall-cmd", "--get-default-zone"])[1],
        "missing": [r.as_dict() for r in wanted if not all(_firewall.holds(r, view) for view in views)],
        "superseded": superseded,
        "unmanaged": [words for words in unmanaged if words not in superseded],
        "bindings": bindings,
    }


KINDS = ("interfaces", "sources")


def work(module: AnsibleModule) -> dict[str, Any]:
    values, place = module.params, _deadman.Place()
    _deadman.wait_until_settled(values["settled"], place, not module.check_mode)
    backend = choose(values["backend"], place)
    connected = _firewall.connection(place)
    zones = {values["zone"]}
    active = is_active(backend, place)
    now = zones_now(active, place) if backend == FIREWALLD else {}
    if connected and backend == FIREWALLD:
        # Once with what is asked for alone, and once with what somebody else has bound: either may be what judges.
        for known in (values["zones"], [*values["zones"], *_firewall.bindings(now)]):
            zones.add(_firewall.zone_of(connected, known, values["zone"]))
    wanted = [_firewall.parse_rule(rule, values["zone"]) for rule in values["rules"]]
    for zone in sorted(zones):
        wanted += _firewall.ssh_rules(values["ssh_ports"], values["ssh_sources"], values["ssh_limit"], zone, connected)
    wanted = list(dict.fromkeys(wanted))
    if backend == UFW:
        found = look_at_ufw(values, wanted)
    else:
        found = {"ufw_sysctl": "", **look_at_firewalld(values, wanted, active, now, place)}
    target = "deny" if backend == UFW else values["zone"]
    return {
        "changed": False,
        "backend": backend,
        "installed": is_installed(backend),
        "active": active,
        "in_order": active
        and not found["missing"]
        and not found["superseded"]
        and not found["bindings"]
        and not found["ufw_sysctl"]
        and found["policy"] == target,
        "connection": asdict(connected) if connected else None,
        **found,
    }


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
            "settled": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    _door.run(module, work)


if __name__ == "__main__":
    main()
