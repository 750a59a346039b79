# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be let in, one rule at a time. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from ..._core.errors import SlipwayError
from ..connection import Connection

UFW, FIREWALLD = "ufw", "firewalld"
ANY = ("", "any", "0.0.0.0/0", "::/0")


@dataclass(frozen=True, order=True)
class Rule:
    """One thing that is let in. port is a number, a range FROM:TO, or empty where service names it.

    refusal is empty, or deny or reject for a rule of ufw that keeps out. destination, source_port and log are what else
    a rule of ufw may say; no rule that is wanted does.
    """

    port: str = ""
    proto: str = "tcp"
    source: str = ""
    interface: str = ""
    zone: str = ""
    service: str = ""
    limit: bool = False
    refusal: str = ""
    destination: str = ""
    source_port: str = ""
    log: bool = False

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "rich": self.rich()}

    def rich(self) -> str:
        """The rule as firewalld's rich language, empty where a plain port or service says the same."""
        if not self.source and not self.limit:
            return ""
        family = ""
        if self.source:
            family = f' family="ipv{ipaddress.ip_network(self.source, strict=False).version}"'
        source = f' source address="{self.source}"' if self.source else ""
        what = f'service name="{self.service}"'
        if not self.service:
            what = f'port port="{self.port.replace(":", "-")}" protocol="{self.proto}"'
        return f"rule{family}{source} {what} accept" + (' limit value="6/m"' if self.limit else "")


def parse_rule(values: Mapping[str, Any], default_zone: str = "") -> Rule:
    port = str(values.get("port") or "").replace("-", ":")
    service = str(values.get("service") or "")
    if bool(port) == bool(service):
        raise SlipwayError(
            "invalid_rule",
            f"the rule {dict(values)} needs a port or a service, one of them.",
            "give it a port or a service, and not both",
        )
    if port:
        numbers = port.split(":")
        if len(numbers) > 2 or not all(n.isdigit() and 0 < int(n) < 65536 for n in numbers):
            raise SlipwayError("invalid_port", f"{port!r} is no port and no range of ports.", "use 8080 or 8000:8010")
    proto = str(values.get("proto") or "tcp")
    if proto not in ("tcp", "udp"):
        raise SlipwayError("invalid_proto", f"{proto!r} is no protocol that has ports.", "use tcp or udp")
    return Rule(
        port=port,
        proto=proto,
        source=parse_source(str(values.get("source") or "")),
        interface=str(values.get("interface") or ""),
        zone=str(values.get("zone") or default_zone),
        service=service,
        limit=bool(values.get("limit")),
    )


def parse_source(text: str) -> str:
    if text in ANY:
        return ""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SlipwayError(
            "invalid_source",
            f"{text!r} is no address and no network.",
            "use an address or a network such as 192.0.2.0/24",
        ) from None
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def is_network(text: str) -> bool:
    try:
        return bool(ipaddress.ip_network(text, strict=False))
    except ValueError:
        return False


def contains(source: str, address: str) -> bool:
    if not source:
        return True
    ip = ipaddress.ip_address(address)
    if ip.version == 6 and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip in ipaddress.ip_network(source, strict=False)


def ssh_rules(
    ports: Iterable[int], sources: Sequence[str], limit: bool, zone: str, connected: Optional[Connection]
) -> list[Rule]:
    """SSH is let in on these ports and on the one in use; sources that leave out this connection are refused."""
    wanted = sorted({*map(int, ports), *([connected.port] if connected else [])})
    networks = [parse_source(source) for source in sources] or [""]
    if connected and not any(contains(network, connected.client) for network in networks):
        raise SlipwayError(
            "would_lock_out",
            f"this connection comes from {connected.client}, and firewall_ssh_sources {', '.join(sources)} "
            "leaves it out. Nothing was changed.",
            f"add {connected.client} or its network to firewall_ssh_sources",
        )
    return [Rule(port=str(p), source=network, zone=zone, limit=limit) for p in wanted for network in networks]
