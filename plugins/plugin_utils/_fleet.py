# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a fleet goes back to: one release that was good on each of its hosts. Pure. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Iterable, Mapping, Optional

from ansible_collections.slipway.go.plugins.module_utils._release.meant import Meant, version_of


@dataclass(frozen=True)
class Host:
    """What one host has told. front is what serves or is about to, good what it could go back to, last first."""

    name: str
    front: str
    run: str
    good: tuple[str, ...]
    staged: tuple[str, ...]
    attempts: tuple[tuple[float, str], ...]


@dataclass
class Plan:
    targets: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    text: str = ""


def parse_host(name: str, told: Mapping[str, Any]) -> Optional[Host]:
    """None for a host on which the service has never been released."""
    flight = told.get("in_flight") or {}
    release = flight if flight.get("kind") == "release" else {}
    front = str(release.get("to") or told.get("current") or "")
    staged = tuple(str(i) for i in told.get("releases") or ())
    if not front and not staged:
        return None
    good = tuple(str(i) for i in reversed(told.get("good") or ()) if i != front)
    tries = [(float(e["time"]), str(e["release"])) for e in told.get("history") or () if e.get("kind") == "release"]
    if release:
        tries.insert(0, (float(release["started"]), front))
    run = str(release.get("run") or "") if release else str(told.get("run") or "")
    return Host(name, front, run, good, staged, tuple(tries))


def plan(service: str, answers: Mapping[str, Mapping[str, Any]], to: str, meant: Optional[Meant]) -> Plan:
    """Who goes to which release, or why that cannot be. Either all hosts end up well, or nothing is to be done."""
    hosts = [host for host in (parse_host(name, told) for name, told in answers.items()) if host]
    if not hosts:
        return Plan(reasons=dict.fromkeys(answers, f"{service} has never been released on this host."))
    if len(hosts) == 1 and not to:
        return Plan(targets={hosts[0].name: ""})  # the host knows where
    key = _key(hosts)
    movers = [host for host in hosts if meant is None or meant.matches(host.front, host.run)]
    if to:
        lacks = f"release {to} is not on this host"
        return _go(movers, lambda host: _find((host.front, *host.good, *host.staged[::-1]), to), lacks, service)
    if meant is None:
        movers = _last_attempted(hosts, key)
        unclear = [host for host in movers if key is version_of and version_of(host.front) in map(key, host.good)]
        if unclear:
            why = "each host has ids of its own, and two releases of that version: say release_rollback_run, or an id"
            return Plan(reasons={host.name: f"{host.front} serves; {why}." for host in unclear})
    stay = [host for host in hosts if host not in movers]
    fronts = {key(host.front) for host in stay}
    if meant is None and not movers and len(fronts) == 1:
        return Plan(text=f"{service}: what was tried last serves nowhere, and {fronts.pop()} serves everywhere.")
    if meant is not None and not movers:
        return Plan(text=f"{service}: what is to be taken back serves nowhere and is not in flight.")
    if meant is None and len(fronts) > 1:
        return _heal(hosts, key, service)
    common = fronts or set(map(key, _common(movers, key)))
    target = next((one for one in map(key, movers[0].good) if one in common), next(iter(fronts), ""))
    if len(fronts) > 1:
        target = next((one for one in map(key, _common(movers, key)) if one in fronts), "")
    return _go(movers, lambda host: _find(host.good, target, key), _lacks(target), service)


def _key(hosts: list[Host]) -> Callable[[str], str]:
    """By what releases of two hosts are the same: the id, or the version where each host has ids of its own."""
    seen = [{host.front, *host.good, *host.staged} for host in hosts]
    shared = any(one & other for place, one in enumerate(seen) for other in seen[place + 1 :])
    return str if shared or len(hosts) == 1 else version_of


def _last_attempted(hosts: list[Host], key: Callable[[str], str]) -> list[Host]:
    """Those who have what was released, or tried, last of all."""
    tries = [attempt for host in hosts for attempt in host.attempts]
    last = key(max(tries)[1]) if tries else ""
    return [host for host in hosts if key(host.front) == last]


def _common(hosts: Iterable[Host], key: Callable[[str], str]) -> list[str]:
    """What was good on all of these hosts, the most recent first."""
    first, *others = hosts
    return [i for i in first.good if all(key(i) in map(key, other.good) for other in others)]


def _heal(hosts: list[Host], key: Callable[[str], str], service: str) -> Plan:
    """Hosts that have come apart: all to what each of them has or had, but not to what was released last."""
    released = [(when, key(i)) for host in hosts for when, i in host.attempts if key(i) == key(host.front)]
    newest = max(released)[1] if released else ""
    has = [[key(host.front), *map(key, host.good)] for host in hosts]
    target = next((one for one in has[0] if one != newest and all(one in other for other in has)), "")
    movers = [host for host in hosts if key(host.front) != target]
    return _go(movers, lambda host: _find(host.good, target, key), _lacks(target), service)


def _lacks(target: str) -> str:
    return f"{target} was never good on this host" if target else "no release was good on all hosts"


def _find(ids: Iterable[str], wanted: str, key: Callable[[str], str] = str) -> Optional[str]:
    return next((i for i in ids if wanted and wanted in (key(i), version_of(i))), None)


def _go(movers: list[Host], target: Callable[[Host], Optional[str]], lacks: str, service: str) -> Plan:
    found = {host.name: target(host) for host in movers}
    missing = [host for host in movers if found[host.name] is None]
    missing = [host for host in missing if not host.good] or missing
    if missing:
        reasons = {
            host.name: f"{lacks}, where {host.front} serves: "
            + (
                f"it could go back to {', '.join(host.good)}."
                if host.good
                else "it has no earlier release to go back to."
            )
            for host in missing
        }
        return Plan(reasons=reasons, text=f"{service}: nothing was changed, for the hosts have no release to meet at.")
    goes = {host.name: str(found[host.name]) for host in movers}
    where = ", ".join(f"{name} to {release}" for name, release in goes.items())
    return Plan(goes, text=f"{service}: {where or 'what is to be taken back is on none of the hosts'}.")
