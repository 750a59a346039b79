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
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Sequence

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


def published(ruleset: str, saved: Sequence[str]) -> list[Published]:
    """ruleset: of nft --json list ruleset. saved: of iptables-save and ip6tables-save, each for the table nat."""
    found = [*_of_nft(ruleset), *(one for text in saved for one in _of_iptables(text))]
    return sorted({one for one in found if not _is_loopback(one.address)})


def _is_loopback(address: str) -> bool:
    try:
        return bool(address) and ipaddress.ip_network(address, strict=False).is_loopback
    except ValueError:
        return False


def _of_nft(text: str) -> Iterator[Published]:
    try:
        entries = json.loads(text)["nftables"] if text.strip() else []
    except (ValueError, KeyError, TypeError):
        return
    for entry in entries:
        rule = entry.get("rule") or {}
        if CHAIN.search(f"{rule.get('table', '')}") or CHAIN.search(f"{rule.get('chain', '')}"):
            one = _of_rule(rule.get("expr") or [])
            if one is not None:
                yield one


def _of_rule(expressions: Sequence[Mapping[str, Any]]) -> Optional[Published]:
    protocol, port, address, target = "", "", "", None
    for expression in expressions:
        match = expression.get("match") or {}
        left = (match.get("left") or {}).get("payload") or {}
        if left.get("field") == "dport":
            protocol, port = str(left.get("protocol")), _value(match.get("right"))
        elif left.get("field") == "daddr" and match.get("op") == "==":
            address = _value(match.get("right"))
        target = expression.get("dnat", target)
    if not isinstance(target, Mapping) or not port:
        return None
    to = ":".join(_value(target[key]) for key in ("addr", "port") if key in target)
    return Published("tcp and udp" if protocol == "th" else protocol, port, address, to)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        if "prefix" in value:
            return f"{value['prefix']['addr']}/{value['prefix']['len']}"
        if "range" in value:
            return "-".join(map(str, value["range"]))
        return ",".join(map(_value, value.get("set") or []))
    return str(value)


def _of_iptables(text: str) -> Iterator[Published]:
    for line in text.splitlines():
        words = shlex.split(line) if line.startswith("-A ") else []
        options = {name: value for sign, name, value in zip(["", *words], words, words[1:]) if sign != "!"}
        if options.get("-j") == "DNAT" and "--dport" in options and CHAIN.search(options["-A"]):
            to = options.get("--to-destination", "")
            yield Published(options.get("-p", ""), options["--dport"], options.get("-d", ""), to)
