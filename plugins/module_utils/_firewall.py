# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's firewall lets in, compared with what it should. Reads only. PRIVATE to the collection."""

from __future__ import annotations

import glob
import ipaddress
import os
import re
from dataclasses import asdict, dataclass
from typing import Any, Iterable, Mapping, Optional, Sequence

from ._deadman import Place
from ._errors import SlipwayError

UFW, FIREWALLD = "ufw", "firewalld"
_UFW_RULES = ("/etc/ufw", "/lib/ufw", "/var/lib/ufw")
_UFW_WAY = re.compile(r"^(?:in|out)(?:_(.+))?$")
_FORWARD = re.compile(r"^port=(.+?):proto=(.+?):toport=(.*?):toaddr=(.*)$")
_ANY = ("", "any", "0.0.0.0/0", "::/0")


@dataclass(frozen=True, order=True)
class Rule:
    """One thing that is let in. port is a number, a range FROM:TO, or empty where service names it.

    refusal is empty, or deny or reject for a rule of ufw that keeps out.
    """

    port: str = ""
    proto: str = "tcp"
    source: str = ""
    interface: str = ""
    zone: str = ""
    service: str = ""
    limit: bool = False
    refusal: str = ""

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


@dataclass(frozen=True)
class Connection:
    """The SSH connection that this process runs in."""

    client: str
    address: str
    port: int
    interface: str = ""


def parse_rule(values: Mapping[str, Any], default_zone: str = "") -> Rule:
    port = str(values.get("port") or "").replace("-", ":")
    service = str(values.get("service") or "")
    if bool(port) == bool(service):
        raise SlipwayError("invalid_rule", f"the rule {dict(values)} needs a port or a service, one of them.", "")
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
    if text in _ANY:
        return ""
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SlipwayError("invalid_source", f"{text!r} is no address and no network.", "use 192.0.2.0/24") from None
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def _is_network(text: str) -> bool:
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


# --- the connection this runs in ------------------------------------------------------------------------------------


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        return int(stream.read().rpartition(")")[2].split()[1])


def connection(place: Place, pid: Optional[int] = None) -> Optional[Connection]:
    """sudo removes SSH_CONNECTION, so that the parents have to be asked."""
    pid = pid or os.getpid()
    while pid > 1:
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                found = re.search(rb"(?:^|\0)SSH_CONNECTION=(\S+) \d+ (\S+) (\d+)(?:\0|$)", stream.read())
            if found:
                client, address = (found.group(n).decode().partition("%")[0] for n in (1, 2))
                said = place.run(["ip", "-o", "addr", "show", "to", address])[1]
                interface = said.split()[1].partition("@")[0] if len(said.split()) > 1 else ""
                return Connection(client, address, int(found.group(3)), interface)
            pid = _parent(pid)
        except (OSError, ValueError):
            return None
    return None


# --- ufw ------------------------------------------------------------------------------------------------------------


def parse_ufw(text: str) -> list[Rule]:
    """The rules in ufw's own file; it keeps each as a comment in the order action, proto, port, to, port, from, way."""
    rules = []
    for line in text.splitlines():
        words = line.split()
        # A rule by the name of an application has that name and the other side's before the way.
        application = words[9] if len(words) > 11 and not _UFW_WAY.match(words[9]) else "-"
        ways = [found for found in map(_UFW_WAY.match, words[9 if application == "-" else 11 :]) if found]
        if not line.startswith("### tuple ### ") or not ways or ways[0].group(0).startswith("out"):
            continue
        action, proto, port, _to, _sport, source = words[3:9]
        rules.append(
            Rule(
                port="" if port == "any" else port,
                proto=proto,
                source="" if source in _ANY else parse_source(source),
                interface=ways[0].group(1) or "",
                service="" if application == "-" else application.replace("%20", " "),
                limit=action == "limit",
                refusal=action if action in ("deny", "reject") else "",
            )
        )
    return rules


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def ufw_rules() -> list[Rule]:
    texts = [_read(path) for folder in _UFW_RULES for path in sorted(glob.glob(f"{folder}/user*.rules"))]
    return sorted({rule for text in texts for rule in parse_ufw(text)})


def ufw_policy(text: str) -> str:
    found = re.search(r'^DEFAULT_INPUT_POLICY="?(\w+)', text, re.MULTILINE)
    return {"DROP": "deny", "REJECT": "reject", "ACCEPT": "allow"}.get(found.group(1) if found else "", "")


def ufw_sysctl(text: str) -> str:
    """The file of kernel settings that ufw applies when it starts, from /etc/default/ufw."""
    found = re.search(r'^IPT_SYSCTL="?([^"\n]*)', text, re.MULTILINE)
    return found.group(1).strip() if found else ""


# --- firewalld ------------------------------------------------------------------------------------------------------


def parse_zones(text: str) -> dict[str, dict[str, list[str]]]:
    """The output of firewall-cmd --list-all-zones."""
    zones: dict[str, dict[str, list[str]]] = {}
    zone: dict[str, list[str]] = {}
    key = ""
    for line in text.splitlines():
        if line and not line[0].isspace():
            zone = zones.setdefault(line.split()[0], {})
        elif line.startswith("\t"):
            zone.setdefault(key, []).append(line.strip())
        elif ":" in line:
            key, _colon, value = line.strip().partition(":")
            zone[key] = value.split() if value.strip() else []
    return zones


def zone_rules(name: str, zone: Mapping[str, Sequence[str]]) -> list[Rule]:
    """The plain ports and services of a zone."""
    ports = [port.partition("/") for port in zone.get("ports", [])]
    plain = [Rule(port=port.replace("-", ":"), proto=proto, zone=name) for port, _slash, proto in ports]
    return plain + [Rule(service=service, zone=name) for service in zone.get("services", [])]


def zone_more(name: str, zone: Mapping[str, Sequence[str]], wanted: Sequence[Rule]) -> list[dict[str, Any]]:
    """What else a zone lets in and nobody asked for: rich rules, protocols, forwarded ports."""
    asked = {_words(rule.rich()) for rule in wanted if rule.zone == name}
    nothing = {**Rule(zone=name).as_dict(), "protocol": "", "forward": {}}
    found = [{**nothing, "rich": rich} for rich in zone.get("rich rules", []) if _words(rich) not in asked]
    found += [{**nothing, "protocol": protocol} for protocol in zone.get("protocols", [])]
    for forward in filter(None, map(_FORWARD.match, zone.get("forward-ports", []))):
        keys = ("port", "proto", "toport", "toaddr")
        found.append({**nothing, "forward": {k: v for k, v in zip(keys, forward.groups()) if v}})
    return found


def bindings(zones: Mapping[str, Mapping[str, Sequence[str]]]) -> list[dict[str, Any]]:
    """The interfaces and sources of each zone that has any, sources that are no networks left out."""
    return [
        {
            "name": name,
            "interfaces": list(zone.get("interfaces", [])),
            "sources": [source for source in zone.get("sources", []) if _is_network(source)],
        }
        for name, zone in zones.items()
        if zone.get("interfaces") or zone.get("sources")
    ]


def holds(rule: Rule, zones: Mapping[str, Mapping[str, Sequence[str]]]) -> bool:
    zone = zones.get(rule.zone, {})
    if rule.rich():
        return _words(rule.rich()) in [_words(rich) for rich in zone.get("rich rules", [])]
    plain = Rule(port=rule.port, proto=rule.proto if rule.port else "tcp", zone=rule.zone, service=rule.service)
    return plain in zone_rules(rule.zone, zone)


def _words(rich: str) -> tuple[str, ...]:
    return tuple(sorted(rich.split()))


def zone_of(connected: Connection, zones: Sequence[Mapping[str, Any]], default: str) -> str:
    """The zone that will judge this connection: firewalld looks at sources, then at interfaces."""
    for zone in zones:
        if any(contains(parse_source(source), connected.client) for source in zone.get("sources") or ()):
            return str(zone["name"])
    for zone in zones:
        if connected.interface and connected.interface in (zone.get("interfaces") or ()):
            return str(zone["name"])
    return default


# --- what is wanted -------------------------------------------------------------------------------------------------


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
