# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""ufw: what it lets in, and the commands that change it. PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import asdict, dataclass, replace
from typing import Any, Iterable, Mapping, Optional, Sequence

from ..._core import files
from ..._deadman import managed_files
from ..connection import Connection
from . import overlap
from .backend import Argv, Backend, Request, Survey, Words, is_kept
from .rule import ANY, UFW, Rule, parse_source

_DEFAULTS = "/etc/default/ufw"
_CONFIGURATION = "/etc/ufw/ufw.conf"

_RULES = ("/etc/ufw", "/lib/ufw", "/var/lib/ufw")
_TUPLE = "### tuple ### "
_OWN = ("slipway", "slipway ssh")
_IPV6 = "/proc/sys/net/ipv6"


@dataclass(frozen=True)
class UfwRule:
    """A rule that ufw has, and for which versions of IP. Not removable: Rule has no words for it."""

    rule: Rule
    versions: frozenset[int]
    comment: str = ""
    removable: bool = True

    @property
    def own(self) -> bool:
        return self.comment in _OWN


def parse_ufw(text: str, version: int = 4) -> list[UfwRule]:
    """The rules about what comes in, from ufw's own file.

    It keeps each as a comment: action, proto, port, to, port, from, for applications the names of both sides, way.
    """
    rules = []
    for line in text.splitlines():
        statement, _equals, comment = line.partition(" comment=")
        words = statement[len(_TUPLE) :].split()
        # Files of an old ufw leave out the way, and mean in.
        way = words.pop() if len(words) in (7, 9) else "in"
        if not line.startswith(_TUPLE) or len(words) not in (6, 8):
            continue
        if words[0].startswith("route:") or way.startswith("out"):
            continue
        action, _score, log = words[0].partition("_")
        proto, port, destination, source_port, source = words[1:6]
        application, other_side = words[6:] or ("-", "-")
        rule = Rule(
            port="" if port == "any" else port,
            proto=proto,
            source="" if source in ANY else parse_source(source),
            interface=way.partition("_")[2],
            service="" if application == "-" else application.replace("%20", " "),
            limit=action == "limit",
            refusal=action if action in ("deny", "reject") else "",
            destination="" if destination in ANY else parse_source(destination),
            source_port="" if source_port == "any" else source_port,
            log=bool(log),
        )
        removable = log != "log-all" and other_side == "-"
        rules.append(UfwRule(rule, frozenset({version}), _unhex(comment), removable))
    return rules


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
    texts = [(version, files.text(f"{folder}/{names[version]}")) for version in versions for folder in _RULES]
    return merge_ufw(one for version, text in texts for one in parse_ufw(text, version))


def merge_ufw(rules: Iterable[UfwRule]) -> list[UfwRule]:
    """One entry for what ufw keeps once for each version of IP."""
    versions: dict[UfwRule, frozenset[int]] = {}
    for one in rules:
        key = replace(one, versions=frozenset())
        versions[key] = versions.get(key, frozenset()) | one.versions
    merged = [replace(key, versions=those) for key, those in versions.items()]
    return sorted(merged, key=lambda one: (one.rule, one.comment, one.removable))


def ufw_holds(rule: Rule, present: Iterable[UfwRule], versions: frozenset[int]) -> bool:
    """For every version of IP that the rule is about: what is let in for IPv4 alone is not let in."""
    needed = frozenset({ipaddress.ip_network(rule.source, strict=False).version}) if rule.source else versions
    return needed <= frozenset(v for one in present if replace(one.rule, log=False) == rule for v in one.versions)


def ufw_policy(text: str) -> str:
    match = re.search(r'^DEFAULT_INPUT_POLICY="?(\w+)', text, re.MULTILINE)
    return {"DROP": "deny", "REJECT": "reject", "ACCEPT": "allow"}.get(match.group(1) if match else "", "")


def ufw_sysctl(text: str) -> str:
    """The file of kernel settings that ufw applies when it starts, from /etc/default/ufw."""
    match = re.search(r'^IPT_SYSCTL="?([^"\n]*)', text, re.MULTILINE)
    return match.group(1).strip() if match else ""


def _narrowed(rule: Rule) -> Rule:
    """Without what only firewalld knows."""
    return Rule(rule.port, rule.proto, rule.source, rule.interface, limit=rule.limit)


class Ufw(Backend):
    name = program = UFW
    policy = "incoming"
    paths = ("/etc/ufw", _DEFAULTS)

    def is_active(self) -> bool:
        on = self.is_installed() and "ENABLED=yes" in files.text(_CONFIGURATION)
        return on and "Status: active" in self.run(["ufw", "status"])[1]

    def default_zone(self) -> str:
        return ""

    def ssh_zones(
        self,
        connected: Optional[Connection],  # noqa: ARG002
        zone: str,
        zones: Sequence[Mapping[str, Any]],  # noqa: ARG002
    ) -> set[str]:
        return {zone}

    def survey(self, request: Request) -> Survey:
        plain = sorted({_narrowed(rule) for rule in request.wanted if rule.port})
        defaults = files.text(_DEFAULTS)
        versions = ufw_versions(defaults)
        present = ufw_rules(versions)
        missing = self.missing(plain)
        wider = [one for one in present if overlap.is_wider(one.rule, plain) and not is_kept(one.rule, request.kept)]
        superseded = [one for one in wider if one.own and one.removable]
        stays = [one for one in wider if one not in superseded and not (one.removable and request.remove_unmanaged)]
        overlap.refuse_wider([asdict(one.rule) for one in stays])
        others = [one.rule for one in present if one.removable and one not in superseded]
        others = [rule for rule in others if replace(rule, log=False) not in plain and not is_kept(rule, request.kept)]
        unmanaged = [rule.as_dict() for rule in dict.fromkeys(others)]
        narrowed = [one.rule.as_dict() for one in superseded]
        sysctl = request.ufw_sysctl
        return Survey(
            active=self.is_active(),
            policy=ufw_policy(defaults),
            target="deny",
            missing=missing,
            superseded=narrowed,
            unmanaged=unmanaged,
            ufw_sysctl=sysctl if os.path.exists(sysctl) and ufw_sysctl(defaults) != sysctl else "",
            removals=narrowed + (unmanaged if request.remove_unmanaged else []),
        )

    def missing(self, wanted: Sequence[Rule]) -> list[Rule]:
        versions = ufw_versions(files.text(_DEFAULTS))
        present = ufw_rules(versions)
        return [rule for rule in wanted if not ufw_holds(_narrowed(rule), present, versions)]

    def let_in(self, rules: Sequence[Rule], active: bool) -> list[Argv]:  # noqa: ARG002
        return [allow(rule) for rule in rules]

    def made(self, rules: Sequence[Rule], kept: Sequence[Rule]) -> list[Words]:
        going = {_narrowed(rule) for rule in rules if rule.port} - {_narrowed(rule) for rule in kept}
        present = ufw_rules(ufw_versions(files.text(_DEFAULTS)))
        own = [one for one in present if one.own and one.removable]
        return [one.rule.as_dict() for one in own if replace(one.rule, log=False) in going]

    def take_away(self, removals: Sequence[Words], active: bool) -> list[Argv]:  # noqa: ARG002
        return [delete(words) for words in removals]

    def files(self, survey: Survey) -> dict[str, str]:
        if not survey.ufw_sysctl:
            return {}
        text = files.text(_DEFAULTS)
        return {_DEFAULTS: managed_files.with_settings(text, {"IPT_SYSCTL": survey.ufw_sysctl}, "=")}

    def commands(self, survey: Survey) -> list[Argv]:
        commands = self.let_in(survey.missing, survey.active) + self.take_away(survey.removals, survey.active)
        if survey.policy != survey.target:
            commands.append(["ufw", "default", survey.target, "incoming"])
        if not survey.active:
            commands.append(["ufw", "--force", "enable"])
        elif survey.ufw_sysctl:
            commands.append(["ufw", "reload"])
        return commands

    def undo(self, active: bool) -> list[Argv]:
        return [["ufw", "reload"]] if active else [["ufw", "--force", "disable"]]

    def undo_at_boot(self, active: bool) -> list[Argv]:  # noqa: ARG002
        """ufw reads from its restored files whether it is on."""
        return []


def allow(rule: Rule) -> Argv:
    return [
        *["ufw", "limit" if rule.limit else "allow", "in"],
        *(["on", rule.interface] if rule.interface else []),
        *["from", rule.source or "any", "to", "any", "port", rule.port, "proto", rule.proto, "comment", _OWN[0]],
    ]


def delete(words: Words) -> Argv:
    """ufw finds a rule by all that it says, the comment aside."""
    what = ["app", words["service"]] if words["service"] else ["port", words["port"]] if words["port"] else []
    proto = [] if words["service"] or words["proto"] == "any" else ["proto", words["proto"]]
    return [
        *["ufw", "delete", words["refusal"] or ("limit" if words["limit"] else "allow"), "in"],
        *(["on", words["interface"]] if words["interface"] else []),
        *(["log"] if words["log"] else []),
        *["from", words["source"] or "any"],
        *(["port", words["source_port"]] if words["source_port"] else []),
        *["to", words["destination"] or "any", *what, *proto],
    ]
