# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports that containers publish past the firewall, of what nft and iptables say. Pure. PRIVATE to the collection.

A published port is forwarded before the rules for what comes in are asked, so that ufw and firewalld do not see it.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Sequence, Union

# The chains of Docker, of Podman's netavark, and of the plugins of CNI.
CHAIN = re.compile(r"docker|netavark|^nv_|^cni-", re.IGNORECASE)


@dataclass(frozen=True, order=True)
class Published:
    """A port of this host that leads to a container. address: the one it is published on, empty for all."""

    protocol: str
    port: str
    address: str
    to: str

    def __str__(self) -> str:
        where = f" on {self.address}" if self.address else ""
        return f"{self.port}/{self.protocol}{where} → {self.to}"


@dataclass(frozen=True)
class Unread:
    """A rule that could not be read, of a chain of containers."""

    chain: str


@dataclass(frozen=True)
class Seen:
    """unread_chains: those in which a rule could not be read, so that a port may be missing."""

    ports: Sequence[Published] = field(default_factory=list)
    unread_chains: Sequence[str] = field(default_factory=list)


def published(ruleset: str, saved: Sequence[str]) -> Seen:
    """ruleset: of nft --json list ruleset. saved: of iptables-save and ip6tables-save, each for the table nat."""
    found = [*_of_nft(ruleset), *(one for text in saved for one in _of_iptables(text))]
    ports = {one for one in found if isinstance(one, Published) and not _is_loopback(one.address)}
    return Seen(sorted(ports), sorted({one.chain for one in found if isinstance(one, Unread)}))


def _is_loopback(address: str) -> bool:
    try:
        return bool(address) and ipaddress.ip_network(address, strict=False).is_loopback
    except ValueError:
        return False


def _map(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def _of_nft(text: str) -> Iterator[Union[Published, Unread]]:
    try:
        found = json.loads(text) if text.strip() else {}
    except ValueError:
        return
    for entry in _list(_map(found).get("nftables")):
        rule = _map(_map(entry).get("rule"))
        chain = f"{rule.get('chain', '')}"
        if CHAIN.search(f"{rule.get('table', '')}") or CHAIN.search(chain):
            one = _of_rule(chain, rule.get("expr") or [])
            if one is not None:
                yield one


def _of_rule(chain: str, expressions: Any) -> Union[Published, Unread, None]:
    if not isinstance(expressions, list):
        return Unread(chain)
    protocol, port, address, target = "", "", "", None
    for expression in map(_map, expressions):
        match = _map(expression.get("match"))
        left = _map(_map(match.get("left")).get("payload"))
        if left.get("field") == "dport":
            protocol, port = str(left.get("protocol")), _value(match.get("right"))
        elif left.get("field") == "daddr" and match.get("op") == "==":
            address = _value(match.get("right"))
        target = expression.get("dnat", target)
    if not isinstance(target, Mapping):
        return None
    if not port:
        return None if all(map(_is_known, expressions)) else Unread(chain)
    to = ":".join(_value(target[key]) for key in ("addr", "port") if key in target)
    return Published("tcp and udp" if protocol == "th" else protocol, port, address, to)


def _is_known(expression: Any) -> bool:
    """Whether it can be told that it is about no port. nft tells as text what it has no JSON for."""
    if not isinstance(expression, Mapping) or "match" not in expression:
        return isinstance(expression, Mapping)
    left = _map(expression["match"]).get("left")
    payload = _map(left).get("payload", {})
    return isinstance(left, Mapping) and isinstance(payload, Mapping) and payload.get("field") != "dport"


def _value(value: Any) -> str:
    """Empty where it has another form than nft gives it."""
    if isinstance(value, Mapping):
        if "prefix" in value:
            prefix = _map(value["prefix"])
            return f"{prefix['addr']}/{prefix['len']}" if {"addr", "len"} <= set(prefix) else ""
        if "range" in value:
            return "-".join(map(str, _list(value["range"])))
        return ",".join(map(_value, _list(value.get("set"))))
    return str(value)


def _of_iptables(text: str) -> Iterator[Union[Published, Unread]]:
    for line in text.splitlines():
        chain = (line.split()[1:2] or [""])[0] if line.startswith("-A ") else ""
        if CHAIN.search(chain):
            one = _of_line(chain, line)
            if one is not None:
                yield one


def _of_line(chain: str, line: str) -> Union[Published, Unread, None]:
    """A comment may have a line break, so that its quotes end on another line."""
    try:
        words = shlex.split(line)
    except ValueError:
        return Unread(chain)
    options = {name: value for sign, name, value in zip(["", *words], words, words[1:]) if sign != "!"}
    if options.get("-j") != "DNAT" or "--dport" not in options:
        return None
    return Published(
        options.get("-p", ""), options["--dport"], options.get("-d", ""), options.get("--to-destination", "")
    )
