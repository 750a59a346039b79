# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host's firewall lets in, compared with what it should. Reads only. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Iterable, Mapping, Optional, Sequence

from . import _files
from ._deadman import Place
from ._errors import SlipwayError

UFW, FIREWALLD = "ufw", "firewalld"
_UFW_RULES = ("/etc/ufw", "/lib/ufw", "/var/lib/ufw")
_UFW_TUPLE = "### tuple ### "
_UFW_OWN = ("slipway", "slipway ssh")
_IPV6 = "/proc/sys/net/ipv6"
_SERVICES = ("/etc/firewalld/services", "/usr/lib/firewalld/services")
_SERVICE_PORT = re.compile(r"<port\s([^>]*)>")
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*["']([^"']*)["']""")
_RICH_WORD = re.compile(r"""[\w-]+="[^"]*"|\S+""")
_FORWARD = re.compile(r"^port=(.+?):proto=(.+?):toport=(.*?):toaddr=(.*)$")
_ANY = ("", "any", "0.0.0.0/0", "::/0")


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


@dataclass(frozen=True)
class Connection:
    """The SSH connection that this process runs in."""

    client: str
    address: str
    port: int
    interface: str = ""
    user: str = ""


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


def _login(environment: bytes) -> str:
    """Who logged in. A sudo that keeps SSH_CONNECTION says so in a variable of its own."""
    pairs = dict(pair.partition(b"=")[::2] for pair in environment.split(b"\0"))
    return (pairs.get(b"SUDO_USER") or pairs.get(b"USER") or b"").decode(errors="replace")


def connection(place: Place, pid: Optional[int] = None) -> Optional[Connection]:
    """sudo removes SSH_CONNECTION, so that the parents have to be asked."""
    pid = pid or os.getpid()
    while pid > 1:
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                environment = stream.read()
            found = re.search(rb"(?:^|\0)SSH_CONNECTION=(\S+) \d+ (\S+) (\d+)(?:\0|$)", environment)
            if found:
                client, address = (found.group(n).decode().partition("%")[0] for n in (1, 2))
                said = place.run(["ip", "-o", "addr", "show", "to", address])[1]
                interface = said.split()[1].partition("@")[0] if len(said.split()) > 1 else ""
                return Connection(client, address, int(found.group(3)), interface, _login(environment))
            pid = _parent(pid)
        except (OSError, ValueError):
            return None
    return None


# --- ufw ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class UfwRule:
    """A rule that ufw has, and for which versions of IP. Not removable: community.general.ufw has no words for it."""

    rule: Rule
    versions: frozenset[int]
    comment: str = ""
    removable: bool = True

    @property
    def own(self) -> bool:
        return self.comment in _UFW_OWN


def parse_ufw(text: str, version: int = 4) -> list[UfwRule]:
    """The rules about what comes in, from ufw's own file.

    It keeps each as a comment: action, proto, port, to, port, from, for applications the names of both sides, way.
    """
    found = []
    for line in text.splitlines():
        told, _equals, comment = line.partition(" comment=")
        words = told[len(_UFW_TUPLE) :].split()
        # Files of an old ufw leave out the way, and mean in.
        way = words.pop() if len(words) in (7, 9) else "in"
        if not line.startswith(_UFW_TUPLE) or len(words) not in (6, 8):
            continue
        if words[0].startswith("route:") or way.startswith("out"):
            continue
        action, _score, log = words[0].partition("_")
        proto, port, destination, source_port, source = words[1:6]
        application, other_side = words[6:] or ("-", "-")
        rule = Rule(
            port="" if port == "any" else port,
            proto=proto,
            source="" if source in _ANY else parse_source(source),
            interface=way.partition("_")[2],
            service="" if application == "-" else application.replace("%20", " "),
            limit=action == "limit",
            refusal=action if action in ("deny", "reject") else "",
            destination="" if destination in _ANY else parse_source(destination),
            source_port="" if source_port == "any" else source_port,
            log=bool(log),
        )
        removable = log != "log-all" and other_side == "-"
        found.append(UfwRule(rule, frozenset({version}), _unhex(comment), removable))
    return found


def _unhex(text: str) -> str:
    try:
        return bytes.fromhex(text.strip()).decode(errors="replace")
    except ValueError:
        return text


def ufw_versions(text: str) -> frozenset[int]:
    """The versions of IP that ufw has rules for, from /etc/default/ufw."""
    on = re.search(r"^IPV6=[\"']?yes", text, re.MULTILINE | re.IGNORECASE) and os.path.exists(_IPV6)
    return frozenset({4, 6} if on else {4})


def ufw_rules(versions: Iterable[int]) -> list[UfwRule]:
    names = {4: "user.rules", 6: "user6.rules"}
    texts = [(version, _files.text(f"{folder}/{names[version]}")) for version in versions for folder in _UFW_RULES]
    return merge_ufw(one for version, text in texts for one in parse_ufw(text, version))


def merge_ufw(found: Iterable[UfwRule]) -> list[UfwRule]:
    """One entry for what ufw keeps once for each version of IP."""
    versions: dict[UfwRule, frozenset[int]] = {}
    for one in found:
        key = replace(one, versions=frozenset())
        versions[key] = versions.get(key, frozenset()) | one.versions
    merged = [replace(key, versions=those) for key, those in versions.items()]
    return sorted(merged, key=lambda one: (one.rule, one.comment, one.removable))


def ufw_holds(rule: Rule, there: Iterable[UfwRule], versions: frozenset[int]) -> bool:
    """For every version of IP that the rule is about: what is let in for IPv4 alone is not let in."""
    needed = frozenset({ipaddress.ip_network(rule.source, strict=False).version}) if rule.source else versions
    return needed <= frozenset(v for one in there if replace(one.rule, log=False) == rule for v in one.versions)


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


def in_words(rule: Rule) -> dict[str, Any]:
    """The rule as it is taken away, by what else a zone may have."""
    return {**rule.as_dict(), "protocol": "", "forward": {}}


def zone_more(name: str, zone: Mapping[str, Sequence[str]], wanted: Sequence[Rule]) -> list[dict[str, Any]]:
    """What else a zone lets in and nobody asked for: rich rules, protocols, forwarded ports."""
    asked = {_words(rule.rich()) for rule in wanted if rule.zone == name}
    nothing = in_words(Rule(zone=name))
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


def service_ports(name: str) -> list[tuple[str, str]]:
    """The ports, with their protocols, that firewalld lets in by the name of a service."""
    for folder in _SERVICES:
        text = _files.text(f"{folder}/{name}.xml")
        if text:
            ports = [dict(_ATTRIBUTE.findall(port)) for port in _SERVICE_PORT.findall(text)]
            return [(p["port"].replace("-", ":"), p.get("protocol", "tcp")) for p in ports if p.get("port")]
    return []


def parse_rich(text: str, zone: str) -> Optional[Rule]:
    """What a rich rule lets in; None if it lets in nothing, or by a set or a MAC address."""
    said: dict[str, str] = {}
    element = ""
    for word in _RICH_WORD.findall(text):
        key, equals, value = word.partition("=")
        if equals:
            said[f"{element} {key}"] = value.strip('"')
        elif word != "NOT":
            element = word
            said[element] = ""
    if "accept" not in said or ("source" in said and "source address" not in said):
        return None
    service = said.get("service name", "")
    return Rule(
        port=said.get("port port", "").replace("-", ":"),
        proto=said.get("port protocol") or said.get("protocol value") or ("tcp" if service else "any"),
        source="" if " NOT " in text else parse_source(said.get("source address", "")),
        zone=zone,
        service=service,
        limit="limit" in said,
    )


def zone_grants(name: str, zone: Mapping[str, Sequence[str]]) -> list[tuple[Rule, dict[str, Any]]]:
    """All by which a zone lets in, each with the words for taking it away."""
    grants = [(rule, in_words(rule)) for rule in zone_rules(name, zone)]
    nothing = in_words(Rule(zone=name))
    grants += [(Rule(proto=p, zone=name), {**nothing, "protocol": p}) for p in zone.get("protocols", [])]
    if "ACCEPT" in zone.get("target", []):
        grants.append((Rule(proto="any", zone=name), {**nothing, "target": "ACCEPT"}))
    parsed = [(parse_rich(rich, name), rich) for rich in zone.get("rich rules", [])]
    return grants + [(rule, {**nothing, "rich": rich}) for rule, rich in parsed if rule]


def same_words(rich: str, other: str) -> bool:
    return _words(rich) == _words(other)


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


# --- what is wider than what is wanted ------------------------------------------------------------------------------


def spans(rule: Rule) -> list[tuple[str, int, int]]:
    """The protocols and ports that a rule is about: one of ufw may name several, one of firewalld a service."""
    if rule.service and not rule.port:
        return [span for port, proto in service_ports(rule.service) for span in spans(Rule(port, proto))]
    if not rule.port:
        return [(rule.proto, 0, 65535)]
    ends = [part.partition(":") for part in rule.port.split(",")]
    return [(rule.proto, int(low), int(high or low)) for low, _colon, high in ends]


def _overlap(one: Rule, other: Rule) -> bool:
    pairs = [(a, b) for a in spans(one) for b in spans(other)]
    return any(a[1] <= b[2] and b[1] <= a[2] and (a[0] == b[0] or "any" in (a[0], b[0])) for a, b in pairs)


def _spans_hold(outer: Rule, inner: Rule) -> bool:
    around = spans(outer)
    return all(any(o[0] in (i[0], "any") and o[1] <= i[1] and i[2] <= o[2] for o in around) for i in spans(inner))


def _reaches(one: Rule, other: Rule) -> bool:
    """Whether one lets in everybody whom other lets in, ports aside."""
    if one.zone != other.zone or one.interface not in ("", other.interface):
        return False
    if not one.source or not other.source:
        return not one.source
    outer, inner = (ipaddress.ip_network(rule.source, strict=False) for rule in (one, other))
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


def _admits(one: Rule, other: Rule) -> bool:
    return _reaches(one, other) and (other.limit or not one.limit)


def is_wider(rule: Rule, wanted: Sequence[Rule]) -> bool:
    """Whether a rule lets in more on a port than a narrower one that is wanted, and nothing wanted asks for that."""
    if rule.refusal:
        return False
    same = [one for one in wanted if _overlap(rule, one)]
    asked = any(_admits(one, rule) and _spans_hold(one, rule) for one in same)
    return not asked and any(_reaches(rule, one) and not _admits(one, rule) for one in same)


def refuse_wider(rules: Sequence[Mapping[str, Any]]) -> None:
    """A narrow rule has no effect beside a wider one, and a run that says otherwise would be believed."""
    if not rules:
        return
    told = [" ".join(f"{k} {v}" for k, v in rule.items() if v and v != "any") for rule in rules]
    raise SlipwayError(
        "wider_rule",
        "a rule of the host's firewall lets in more than firewall_ssh_sources, firewall_ssh_limit or firewall_allow "
        f"ask for on the same port: {'; '.join(told)}. It would stay in force. Nothing was changed.",
        "remove that rule, ask for it in these variables, or let all that nobody asked for be removed "
        "(firewall_remove_unmanaged: true)",
        rules=list(rules),
    )


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
