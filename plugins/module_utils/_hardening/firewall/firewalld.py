# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""firewalld: what its zones let in, and the commands that change them. PRIVATE to the collection."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import AbstractSet, Any, Dict, Iterable, List, Mapping, Optional, Sequence

from ..._core.errors import SlipwayError
from ..._core.paths import UNIT_ROOT
from ..connection import Connection
from . import overlap
from .backend import Argv, Backend, Request, Survey, Words, is_kept
from .rule import FIREWALLD, Rule, contains, is_network, parse_source

UNIT = "firewalld.service"
_KINDS = ("interfaces", "sources")
Zones = Dict[str, Dict[str, List[str]]]
_RICH_WORD = re.compile(r"""[\w-]+="[^"]*"|\S+""")
_FORWARD = re.compile(r"^port=(.+?):proto=(.+?):toport=(.*?):toaddr=(.*)$")


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
    extras = [{**nothing, "rich": rich} for rich in zone.get("rich rules", []) if _words(rich) not in asked]
    extras += [{**nothing, "protocol": protocol} for protocol in zone.get("protocols", [])]
    for forward in filter(None, map(_FORWARD.match, zone.get("forward-ports", []))):
        keys = ("port", "proto", "toport", "toaddr")
        extras.append({**nothing, "forward": {k: v for k, v in zip(keys, forward.groups()) if v}})
    return extras


def bindings(zones: Mapping[str, Mapping[str, Sequence[str]]]) -> list[dict[str, Any]]:
    """The interfaces and sources of each zone that has any, sources that are no networks left out."""
    return [
        {
            "name": name,
            "interfaces": list(zone.get("interfaces", [])),
            "sources": [source for source in zone.get("sources", []) if is_network(source)],
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


def parse_rich(text: str, zone: str) -> Optional[Rule]:
    """What a rich rule lets in; None if it lets in nothing, or by a set or a MAC address."""
    parts: dict[str, str] = {}
    element = ""
    for word in _RICH_WORD.findall(text):
        key, equals, value = word.partition("=")
        if equals:
            parts[f"{element} {key}"] = value.strip('"')
        elif word != "NOT":
            element = word
            parts[element] = ""
    if "accept" not in parts or ("source" in parts and "source address" not in parts):
        return None
    service = parts.get("service name", "")
    return Rule(
        port=parts.get("port port", "").replace("-", ":"),
        proto=parts.get("port protocol") or parts.get("protocol value") or ("tcp" if service else "any"),
        source="" if " NOT " in text else parse_source(parts.get("source address", "")),
        zone=zone,
        service=service,
        limit="limit" in parts,
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


class Firewalld(Backend):
    name, program = FIREWALLD, "firewall-cmd"
    policy = "default zone"
    # The links are what enables it, or masks it.
    paths = (
        "/etc/firewalld",
        f"{UNIT_ROOT}/{UNIT}",
        f"{UNIT_ROOT}/multi-user.target.wants/{UNIT}",
        f"{UNIT_ROOT}/dbus-org.fedoraproject.FirewallD1.service",
    )

    def is_active(self) -> bool:
        return self.is_installed() and self.run(["systemctl", "is-active", "--quiet", UNIT])[0] == 0

    def is_enabled(self) -> bool:
        code, state = self.run(["systemctl", "is-enabled", UNIT])
        return code == 0 and "runtime" not in state

    def views(self, active: bool) -> list[Zones]:
        """What it does now, and what it will do when it has started anew."""
        if not self.is_installed():
            return []
        programs = _SCOPES if active else _OFFLINE
        return [parse_zones(self._ask([*program, "--list-all-zones"])) for program in programs]

    def _ask(self, argv: Argv) -> str:
        code, output = self.run(argv)
        if code != 0:
            raise SlipwayError(
                "not_asked",
                f"{' '.join(argv)} failed ({code}): {output}",
                "repair firewalld (systemctl status firewalld)",
            )
        return output

    def default_zone(self) -> str:
        return self._default_zone(active=True)

    def ssh_zones(self, connected: Optional[Connection], zone: str, zones: Sequence[Mapping[str, Any]]) -> set[str]:
        """Once with what is asked for alone, and once with what somebody else has bound: either may be what judges."""
        if connected is None:
            return {zone}
        bound = [one for view in self.views(self.is_active())[:1] for one in bindings(view)]
        return {zone, *(zone_of(connected, candidates, zone) for candidates in (zones, [*zones, *bound]))}

    def survey(self, request: Request) -> Survey:
        active = self.is_active()
        views = self.views(active)
        _refuse_unknown_zones(request, views)
        superseded = superseded_in(views, request)
        unmanaged = [words for words in _unmanaged(views, request) if words not in superseded]
        return Survey(
            active=active,
            enabled=not self.is_installed() or self.is_enabled(),
            policy=self._default_zone(active) if views else "",
            target=request.zone,
            missing=_missing(request.wanted, views),
            superseded=superseded,
            unmanaged=unmanaged,
            bindings=_missing_bindings(views, request),
            removals=superseded + (unmanaged if request.remove_unmanaged else []),
        )

    def _default_zone(self, active: bool) -> str:
        return self._ask([*(_SCOPES if active else _OFFLINE)[0], "--get-default-zone"])

    def missing(self, wanted: Sequence[Rule]) -> list[Rule]:
        return _missing(wanted, self.views(self.is_active()))

    def let_in(self, rules: Sequence[Rule], active: bool) -> list[Argv]:
        added = [("add", rule.zone, *_words_of(in_words(rule))) for rule in rules]
        return [argv for scope in _written(active) for argv in _grouped(scope, added)]

    def made(self, rules: Sequence[Rule], kept: Sequence[Rule]) -> list[Words]:
        views, asked = self.views(self.is_active()), {replace(rule, interface="") for rule in kept}
        going = [rule for rule in dict.fromkeys(replace(one, interface="") for one in rules) if rule not in asked]
        return [in_words(rule) for rule in going if any(holds(rule, view) for view in views)]

    def take_away(self, removals: Sequence[Words], active: bool) -> list[Argv]:
        removed = [("remove", words["zone"], *_words_of(words)) for words in removals]
        return [argv for scope in _written(active) for argv in _grouped(scope, removed)]

    def files(self, survey: Survey) -> dict[str, str]:  # noqa: ARG002
        return {}

    def commands(self, survey: Survey) -> list[Argv]:
        scopes = _written(survey.active)
        bound = [("change", one["zone"], one["kind"], one["value"]) for one in survey.bindings]
        commands = self.let_in(survey.missing, survey.active)
        commands += [argv for scope in scopes for argv in _grouped(scope, bound)]
        if survey.policy != survey.target:
            commands.append([*scopes[-1], f"--set-default-zone={survey.target}"])
        commands += self.take_away(survey.removals, survey.active)
        if not (survey.active and survey.enabled):
            commands.append(["systemctl", "unmask", UNIT])
        return [*commands, ["systemctl", "enable", "--now", UNIT]]

    def undo(self, active: bool) -> list[Argv]:
        """The reload forgets what is in force for now only, such as the port by which somebody came in."""
        if active:
            return [["firewall-cmd", "--complete-reload"], *self._for_now_only()]
        return [["systemctl", "stop", UNIT] if self.is_enabled() else ["systemctl", "disable", "--now", UNIT]]

    def undo_at_boot(self, active: bool) -> list[Argv]:
        """It waits to be started then, and would be."""
        if active:
            return []
        disable = [] if self.is_enabled() else [["systemctl", "disable", UNIT]]
        return [*disable, ["systemctl", "--no-block", "stop", UNIT]]

    def _for_now_only(self) -> list[Argv]:
        runtime, permanent = self.views(active=True)
        again = [
            (verb, zone, option, value)
            for key, (verb, option) in _AGAIN.items()
            for zone, entries in runtime.items()
            for value in entries.get(key, [])
            if value not in permanent.get(zone, {}).get(key, [])
        ]
        return _grouped(_RUNTIME, again)


_RUNTIME, _PERMANENT = ["firewall-cmd"], ["firewall-cmd", "--permanent"]
_SCOPES = [_RUNTIME, _PERMANENT]
# What of a zone's listing is put in force again, and by which option of firewall-cmd.
_AGAIN = {
    "sources": ("change", "source"),
    "interfaces": ("change", "interface"),
    "ports": ("add", "port"),
    "services": ("add", "service"),
    "rich rules": ("add", "rich-rule"),
    "protocols": ("add", "protocol"),
    "source-ports": ("add", "source-port"),
    "forward-ports": ("add", "forward-port"),
}
_OFFLINE = [["firewall-offline-cmd"]]


def _written(active: bool) -> list[Argv]:
    """Where changes go, the files first. No reload: it would take away what others have in force for now only."""
    return [_PERMANENT, _RUNTIME] if active else _OFFLINE


def _missing(wanted: Sequence[Rule], views: Sequence[Zones]) -> list[Rule]:
    return [rule for rule in wanted if not views or not all(holds(rule, view) for view in views)]


def _words_of(words: Words) -> tuple[str, str]:
    """Which option of firewall-cmd it is, after add or remove, and its value."""
    if words["rich"]:
        return "rich-rule", words["rich"]
    if words["service"]:
        return "service", words["service"]
    if words["port"]:
        return "port", f"{words['port'].replace(':', '-')}/{words['proto']}"
    if words["protocol"]:
        return "protocol", words["protocol"]
    return "forward-port", ":".join(f"{key}={value}" for key, value in words["forward"].items())


def _grouped(scope: Argv, changes: Iterable[Sequence[str]]) -> list[Argv]:
    """One command for what is of one kind in one zone: each costs as much as a hundred options."""
    commands: dict[tuple[str, str, str], Argv] = {}
    for verb, zone, kind, value in changes:
        argv = commands.setdefault((verb, zone, kind), [*scope, f"--zone={zone}"])
        # The offline command means another thing by --remove-service.
        elsewhere = "-from-zone" if scope in _OFFLINE and (verb, kind) == ("remove", "service") else ""
        argv.append(f"--{verb}-{kind}{elsewhere}={value}")
    return list(commands.values())


def _refuse_unknown_zones(request: Request, views: Sequence[Zones]) -> None:
    named = {request.zone, *(str(one["name"]) for one in request.zones), *(rule.zone for rule in request.wanted)}
    unknown = sorted(named - set(views[-1])) if views else []
    if unknown:
        raise SlipwayError(
            "unknown_zone",
            f"firewalld of this host has no zone {', '.join(unknown)}. Nothing was changed.",
            "use zones that firewall-cmd --get-zones lists in firewall_zone, firewall_zones and firewall_allow",
        )


def _missing_bindings(views: Sequence[Zones], request: Request) -> list[Words]:
    return [
        {"zone": zone["name"], "kind": kind[:-1], "value": value}
        for zone in request.zones
        for kind in _KINDS
        for value in zone[kind]
        if not views or not all(value in view.get(zone["name"], {}).get(kind, []) for view in views)
    ]


def _unmanaged(views: Sequence[Zones], request: Request) -> list[Words]:
    """What is there to stay and nobody asked for, in every zone that judges a connection."""
    if not views:
        return []
    permanent = views[-1]
    used = {rule.zone for rule in request.wanted} | {request.zone} | {one["name"] for one in bindings(views[0])}
    plain = {(r.zone, r.service or r.port, r.proto if r.port else "tcp") for r in request.wanted if not r.rich()}
    plain |= {(name, service, "tcp") for name in used for service in request.keep_services}
    present = [rule for name in sorted(used) for rule in zone_rules(name, permanent.get(name, {}))]
    present = [rule for rule in present if not is_kept(rule, request.kept)]
    unmanaged = [in_words(rule) for rule in present if (rule.zone, rule.service or rule.port, rule.proto) not in plain]
    more = [words for n in sorted(used) for words in zone_more(n, permanent.get(n, {}), request.wanted)]
    return [*unmanaged, *(words for words in more if not _is_kept_rich(words, request.kept))]


def _is_kept_rich(words: Words, kept: AbstractSet[str]) -> bool:
    rule = parse_rich(words["rich"], words["zone"]) if words["rich"] else None
    return rule is not None and is_kept(rule, kept)


def superseded_in(views: Sequence[Zones], request: Request) -> list[Words]:
    """Wider rules of a form that the role itself writes, for firewalld keeps no comments, and the stock service ssh."""
    # Interfaces mean nothing to firewalld, and without a narrow rule nothing is wider.
    wanted = [replace(rule, interface="") for rule in request.wanted]
    if not any(rule.rich() for rule in wanted):
        return []
    grants = [grant for view in views for name in sorted(view) for grant in zone_grants(name, view[name])]
    wider = [g for g in grants if overlap.is_wider(g[0], wanted) and not is_kept(g[0], request.kept)]
    names = {(rule.zone, rule.port, rule.proto, rule.service) for rule in wanted}
    own = [
        words
        for rule, words in wider
        if ((rule.zone, rule.port, rule.proto, rule.service) in names or rule.service == "ssh")
        and (not words["rich"] or same_words(words["rich"], rule.rich()))
    ]
    others = [words for dummy, words in wider if words not in own]
    overlap.refuse_wider([words for words in others if "target" in words or not request.remove_unmanaged])
    return [words for at, words in enumerate(own) if words not in own[:at]]
