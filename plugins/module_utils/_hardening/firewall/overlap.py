# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which rules let in more than a narrower one that is wanted. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Mapping, Sequence

from ..._core import files
from ..._core.errors import SlipwayError
from .rule import Rule

_SERVICES = ("/etc/firewalld/services", "/usr/lib/firewalld/services")
_SERVICE_PORT = re.compile(r"<port\s([^>]*)>")
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*["']([^"']*)["']""")


def service_ports(name: str) -> list[tuple[str, str]]:
    """The ports, with their protocols, that firewalld lets in by the name of a service."""
    for folder in _SERVICES:
        text = files.text(f"{folder}/{name}.xml")
        if text:
            ports = [dict(_ATTRIBUTE.findall(port)) for port in _SERVICE_PORT.findall(text)]
            return [(p["port"].replace("-", ":"), p.get("protocol", "tcp")) for p in ports if p.get("port")]
    return []


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
    described = [" ".join(f"{k} {v}" for k, v in rule.items() if v and v != "any") for rule in rules]
    raise SlipwayError(
        "wider_rule",
        "a rule of the host's firewall lets in more than firewall_ssh_sources, firewall_ssh_limit or firewall_allow "
        f"ask for on the same port: {'; '.join(described)}. It would stay in force. Nothing was changed.",
        "remove that rule, ask for it in these variables, or let all that nobody asked for be removed "
        "(firewall_remove_unmanaged: true)",
        rules=list(rules),
    )
