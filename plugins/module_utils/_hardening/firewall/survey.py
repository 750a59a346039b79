# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which firewall a host uses, and how it compares with what it is to let in. Reads only. PRIVATE to the collection."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from ..._core.errors import SlipwayError
from ..connection import Connection
from ..services import NAME
from . import service_rules
from .backend import Backend, Request, Run, Survey
from .firewalld import Firewalld
from .rule import FIREWALLD, UFW, Rule, parse_rule, ssh_rules
from .ufw import Ufw

OTHERS = ("netfilter-persistent.service", "iptables.service", "ip6tables.service", "nftables.service")
AUTO = "auto"


@dataclass(frozen=True)
class Options:
    """What the module firewall is given; service is the one that rules is about, if any, and services has others."""

    backend: str = AUTO
    rules: Sequence[Mapping[str, Any]] = ()
    zone: str = "public"
    zones: Sequence[Mapping[str, Any]] = ()
    ssh_ports: Sequence[int] = ()
    ssh_sources: Sequence[str] = ()
    ssh_limit: bool = False
    ufw_sysctl: str = ""
    remove_unmanaged: bool = False
    keep_services: Sequence[str] = ()
    service: str = ""
    services: Sequence[Mapping[str, Any]] = ()

    def rules_by_service(self) -> dict[str, Sequence[Mapping[str, Any]]]:
        own = {self.service: self.rules} if self.service else {}
        return {**own, **{str(one["name"]): one["rules"] for one in self.services}}

    def own_rules(self, zone: str = "") -> list[Rule]:
        of_services = (rule for one in self.services for rule in one["rules"])
        return parsed((*self.rules, *of_services), zone)


def parsed(rules: Iterable[Mapping[str, Any]], zone: str = "") -> list[Rule]:
    return list(dict.fromkeys(parse_rule(rule, zone) for rule in rules))


@dataclass(frozen=True)
class Look:
    """records: by path, what the files about the run's services are to say, as far as they say something else."""

    backend: Backend
    survey: Survey
    installed: bool
    connection: Optional[Connection] = None
    records: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_order(self) -> bool:
        return self.survey.in_order and not self.records


def remembered(run: Run) -> Run:
    """Ask the host each question once."""
    answers: dict[tuple[str, ...], tuple[int, str]] = {}

    def ask(argv: Sequence[str]) -> tuple[int, str]:
        key = tuple(argv)
        if key not in answers:
            answers[key] = run(argv)
        return answers[key]

    return ask


def backend_of(name: str, run: Run) -> Backend:
    return Ufw(run) if name == UFW else Firewalld(run)


def in_force(run: Run) -> str:
    """The firewall that is in force; empty if neither is."""
    return next((name for name in (FIREWALLD, UFW) if backend_of(name, run).is_active()), "")


def choose(wanted: str, run: Run) -> Backend:
    if wanted != AUTO:
        return backend_of(wanted, run)
    active = in_force(run)
    if active:
        return backend_of(active, run)
    _refuse_another(run)
    own = UFW if os.path.exists("/etc/debian_version") else FIREWALLD
    installed = [name for name in (FIREWALLD, UFW) if backend_of(name, run).is_installed()]
    return backend_of(next(iter(installed), own), run)


def _refuse_another(run: Run) -> None:
    """Installing ufw removes Debian's netfilter-persistent, a reload of nftables.service flushes everybody's rules."""
    others = [unit for unit in OTHERS if run(["systemctl", "is-enabled", unit])[1].startswith("enabled")]
    if others:
        raise SlipwayError(
            "other_firewall",
            f"this host filters packets with {', '.join(others)}, and neither ufw nor firewalld is in force. Either "
            "could remove those rules, or lose its own to them. Nothing was changed.",
            "set firewall_backend to ufw or firewalld if it is to replace them, or harden_firewall: false to keep them",
        )


def look(options: Options, backend: Backend, connected: Optional[Connection], root: str = "/") -> Look:
    wanted = options.own_rules(options.zone)
    others, ports = service_rules.by_others(set(options.rules_by_service()), options.zone, root)
    # The rule of the own service is the one that counts on a port: another service cannot have the same.
    ports -= {rule.port for rule in wanted}
    wanted += others
    if not backend.is_active():
        # Nobody is kept out yet, and what these services need would be closed by what is put in force now.
        wanted += [Rule(port, zone=options.zone) for port in sorted(ports)]
    for zone in sorted(backend.ssh_zones(connected, options.zone, options.zones)):
        wanted += ssh_rules(options.ssh_ports, options.ssh_sources, options.ssh_limit, zone, connected)
    request = Request(
        wanted=list(dict.fromkeys(wanted)),
        kept=ports,
        zone=options.zone,
        zones=options.zones,
        ufw_sysctl=options.ufw_sysctl,
        remove_unmanaged=options.remove_unmanaged,
        keep_services=options.keep_services,
    )
    return Look(backend, backend.survey(request), backend.is_installed(), connected, _records(options, root))


def _records(options: Options, root: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for service, rules in options.rules_by_service().items():
        if not NAME.match(service):
            raise SlipwayError(
                "invalid_service",
                f"{service!r} is no name of a service. Nothing was changed.",
                "set firewall_service to a name such as shop, or to nothing",
            )
        record = service_rules.render(parsed(rules))
        if service_rules.text(service, root) != record:
            found[service_rules.path(service, root)] = record
    return found
