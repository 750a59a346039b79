# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a fleet goes back to: one release that was good on each of its hosts. Pure. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Callable, Iterable, Mapping, Optional

from ansible_collections.slipway.go.plugins.module_utils._release.meant import Meant, version_of
from ansible_collections.slipway.go.plugins.module_utils._release.state.journal import brought_by, run_of

Key = Callable[[str], str]
# It is no failure of the host: the others can go back without it.
_LEAVE_OUT = "Fix: leave this host out with --limit, or release the earlier version on it"


@dataclass(frozen=True)
class FleetHost:
    """What a host has answered. front is what serves, is about to, or is about to be left; empty where nothing serves.

    good is what it could go back to, last first, and runs who has brought that.
    """

    name: str
    front: str
    run: str
    good: tuple[str, ...]
    staged: tuple[str, ...]
    attempts: tuple[tuple[float, str], ...]
    runs: Mapping[str, str] = field(default_factory=dict)


@dataclass
class RollbackPlan:
    targets: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    text: str = ""


def parse_host(name: str, answer: Mapping[str, Any]) -> Optional[FleetHost]:
    """None for a host on which the service has never been released."""
    flight = answer.get("in_flight") or {}
    release = flight if flight.get("kind") == "release" else {}
    # A rollback that was cut short may yet be undone: what it was to leave counts.
    front = str(release.get("to") or flight.get("source") or answer.get("current") or "")
    staged = tuple(str(i) for i in answer.get("releases") or ())
    if not front and not staged:
        return None
    good = tuple(str(i) for i in reversed(answer.get("good") or ()) if i != front)
    history = list(answer.get("history") or ())
    tries = [(float(e["time"]), str(e["release"])) for e in history if e.get("kind") == "release"]
    before = [e for e in reversed(history) if not flight or e.get("txn") != flight.get("txn")]
    run = run_of(front, before) if flight else str(answer.get("run") or "")
    if release:
        tries.insert(0, (float(release["started"]), front))
        run = str(release.get("run") or "")
    return FleetHost(name, front, run, good, staged, tuple(tries), {i: brought_by(i, before) for i in good})


def plan(service: str, answers: Mapping[str, Mapping[str, Any]], to: str, meant: Optional[Meant]) -> RollbackPlan:
    """Who goes to which release, or why that cannot be. Either all hosts end up well, or nothing is to be done."""
    damaged = {name: text for name, text in zip(answers, map(_damage, answers.values())) if text}
    if damaged and len(answers) > 1:  # a single host mends its record itself
        return RollbackPlan(reasons=damaged)
    all_hosts = [host for host in (parse_host(name, answer) for name, answer in answers.items()) if host]
    if not all_hosts or (not to and not any(host.front or host.good for host in all_hosts)):
        return _never(answers, bool(all_hosts), meant, service)
    if len(all_hosts) == 1 and not to:
        return RollbackPlan(targets={all_hosts[0].name: ""})  # the host knows where
    if to:
        return _named(all_hosts, to, meant, service)
    key, hosts = _key(all_hosts), [host for host in all_hosts if host.front]
    movers = [host for host in hosts if meant is not None and meant.matches(host.front, host.run)]
    if meant is None:
        movers = _last_attempted(hosts, all_hosts, key)
        unclear = [host for host in movers if key(host.front) in map(version_of, host.good)]
        if unclear:
            why = "each host has ids of its own, and two releases of that version: say release_rollback_run, or an id"
            return RollbackPlan(reasons={host.name: f"{host.front} serves; {why}." for host in unclear})
    fronts = {key(host.front) for host in hosts if host not in movers}
    if not movers and (meant is not None or len(fronts) <= 1):
        return _nothing(fronts, meant, service)
    if meant is None and len(fronts) > 1:
        return _heal(hosts, key, service)
    if not fronts:
        movers = [_without(host, meant) for host in movers]
    target = fronts.pop() if len(fronts) == 1 else _meeting(movers, key, fronts)
    return _go(movers, _choose(movers, target, key, _good), _lacks(target), service)


def serving(answers: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """What serves, each with its hosts, told apart as a plan tells releases apart: by id, or else by version."""
    known = {name: parse_host(name, answer) for name, answer in answers.items()}
    key = _key([host for host in known.values() if host is not None])
    found: dict[str, list[str]] = {}
    for name, answer in answers.items():
        current = str(answer.get("current") or "")
        found.setdefault(key(current) if current else "", []).append(name)
    return found


def _damage(answer: Mapping[str, Any]) -> str:
    """What is wrong with a host's record, beyond a release of which nothing is known; its answer may be wrong."""
    return " ".join(str(text) for text in answer.get("damaged") or () if "/release.json is not" not in str(text))


def _named(all_hosts: list[FleetHost], to: str, meant: Optional[Meant], service: str) -> RollbackPlan:
    """All that have what is to be taken back go to this version or id."""
    hosts = [host for host in all_hosts if host.front or _find(host.good, to)] or all_hosts
    movers = [host for host in hosts if meant is None or meant.matches(host.front, host.run)]
    return _go(movers, _choose(movers, to, str, _has_had, _has), f"release {to} is not on this host", service)


def _never(hosts: Iterable[str], tried: bool, meant: Optional[Meant], service: str) -> RollbackPlan:
    """No release was ever good on any of them: one that failed, or that somebody has named, is nothing to take back."""
    if tried or meant is not None:
        return _nothing(set(), meant, service)
    return RollbackPlan(reasons=dict.fromkeys(hosts, f"{service} has never been released on this host."))


def _nothing(fronts: set[str], meant: Optional[Meant], service: str) -> RollbackPlan:
    if meant is not None:
        return RollbackPlan(text=f"{service}: what is to be taken back serves nowhere and is not in flight.")
    serves = f"{fronts.pop()} serves everywhere" if fronts else "no host has a release that serves"
    return RollbackPlan(text=f"{service}: what was tried last serves nowhere, and {serves}.")


def _key(hosts: list[FleetHost]) -> Key:
    """By what releases of two hosts are the same: the id where ids cover all that have the version, else the version.

    Hosts whose configuration differs have ids of their own, also where a release long ago had one id for all.
    """
    versions: dict[str, list[set[str]]] = {}
    for host in hosts:
        ids = set(_has(host)) - {""}
        for version in set(map(version_of, ids)):
            versions.setdefault(version, []).append({i for i in ids if version_of(i) == version})
    covered = {version for version, seen in versions.items() if _hang_together(seen)}
    return lambda release_id: release_id if version_of(release_id) in covered else version_of(release_id)


def _hang_together(seen: list[set[str]]) -> bool:
    """Whether each of these shares something with the others, be it by way of a third."""
    reached, rest = set(seen[0]), seen[1:]
    while True:
        near = [one for one in rest if one & reached]
        if not near:
            return not rest
        reached.update(*near)
        rest = [one for one in rest if not one & reached]


def _has(host: FleetHost) -> tuple[str, ...]:
    return (*_has_had(host), *host.staged[::-1])


def _has_had(host: FleetHost) -> tuple[str, ...]:
    return (host.front, *host.good)


def _good(host: FleetHost) -> tuple[str, ...]:
    return host.good


def _without(host: FleetHost, meant: Optional[Meant]) -> FleetHost:
    """The host without what is to be taken back as well, such as another release of the same version."""
    good = tuple(i for i in host.good if meant is None or not meant.matches(i, host.runs.get(i, "")))
    return replace(host, good=good)


def _last_attempted(hosts: list[FleetHost], all_hosts: list[FleetHost], key: Key) -> list[FleetHost]:
    """Those who have what was released, or tried, last of all.

    Clocks of hosts differ. What serves on a host that has tried another after it is not the last, whatever they say.
    """
    passed = {key(host.front) for host in hosts if host.attempts and key(host.attempts[0][1]) != key(host.front)}
    tries = [(when, key(i)) for host in all_hosts for when, i in host.attempts if key(i) not in passed]
    last = max(tries)[1] if tries else ""
    return [host for host in hosts if key(host.front) == last]


def _meeting(movers: list[FleetHost], key: Key, fronts: set[str]) -> str:
    """What was good on all of these hosts most recently; one of `fronts`, which serve on the others, if there are."""
    first, *others = movers
    leave = {version_of(host.front) for host in movers}
    for release_id in first.good:
        version = version_of(release_id)
        for name in (key(release_id), *({version} - leave)):
            if (not fronts or name in fronts) and all(_find(other.good, name, key) for other in others):
                return name
    return ""


def _heal(hosts: list[FleetHost], key: Key, service: str) -> RollbackPlan:
    """Hosts that have come apart: all to what each of them has or had, but not to what was released last."""
    released = [(when, key(i)) for host in hosts for when, i in host.attempts if key(i) == key(host.front)]
    newest = max(released)[1] if released else ""
    has = [[key(host.front), *map(key, host.good)] for host in hosts]
    target = next((one for one in has[0] if one != newest and all(one in other for other in has)), "")
    movers = [host for host in hosts if key(host.front) != target]
    return _go(movers, _choose(movers, target, key, _good), _lacks(target), service)


def _lacks(target: str) -> str:
    return f"{target} was never good on this host" if target else "no release was good on all hosts"


def _find(ids: Iterable[str], wanted: str, key: Key = str) -> Optional[str]:
    return next((i for i in ids if wanted and wanted in (key(i), version_of(i))), None)


def _choose(
    movers: list[FleetHost], wanted: str, key: Key, *pools: Callable[[FleetHost], tuple[str, ...]]
) -> dict[str, Optional[str]]:
    """Where each host finds what is wanted, in the first pool that has it on all: one id for all where there is one."""
    releases: dict[str, Optional[str]] = {}
    for pool in pools if movers else ():
        common = [i for i in pool(movers[0]) if all(i in pool(host) for host in movers)]
        same = _find(common, wanted, key)
        releases = {host.name: same or _find(pool(host), wanted, key) for host in movers}
        if all(releases.values()):
            break
    return releases


def _go(movers: list[FleetHost], releases: Mapping[str, Optional[str]], lacks: str, service: str) -> RollbackPlan:
    missing = [host for host in movers if releases[host.name] is None]
    missing = [host for host in missing if not host.good] or missing
    if missing:
        reasons = {
            host.name: f"{lacks}, where {host.front or 'nothing'} serves: "
            + (
                f"it could go back to {', '.join(host.good)}."
                if host.good
                else f"it has no earlier release to go back to. {_LEAVE_OUT}"
            )
            for host in missing
        }
        return RollbackPlan(
            reasons=reasons, text=f"{service}: nothing was changed, for the hosts have no release to meet at."
        )
    goes = {host.name: str(releases[host.name]) for host in movers}
    where = ", ".join(f"{name} to {release}" for name, release in goes.items())
    return RollbackPlan(goes, text=f"{service}: {where or 'what is to be taken back is on none of the hosts'}.")
