# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release is going to do, as a text for people. Pure. This file is PRIVATE to the collection.

Hosts that say the same are one line, whether they are two or a hundred.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._release.by import describe_by
from ansible_collections.slipway.go.plugins.module_utils._release.operator.status_table import age
from ansible_collections.slipway.go.plugins.plugin_utils._run import lease_answers
from ansible_collections.slipway.go.plugins.plugin_utils._run.lease_claim import reached, split

# Where the hosts of a batch go different ways, ids say less than versions.
WAYS = 4
_NUMBERED = re.compile(r"(.*?)([0-9]+)([^0-9]*)")
_DIGEST = re.compile(r"-[0-9a-f]{10}$")

Told = Mapping[str, Any]


def render_plan(
    service: str,
    version: str,
    answers: Mapping[str, Told],
    sizes: Iterable[int | str],
    everyone: Sequence[str] = (),
    on_failure: str = "fleet",
    until: int = 0,
    services: Mapping[str, Sequence[str]] | None = None,
    forks: int = 0,
) -> str:
    """The plan of a release of this version, from what each host has answered in check mode.

    everyone: the hosts of the run, some of which may lack the service. until: the batch after which the run ends.
    services: by host, those that the run is about there. forks: how many hosts Ansible plays at a time; 0 is all.
    """
    batches = split(list(everyone or answers), sizes)
    groups = [group for batch in batches if (group := [host for host in batch if host in answers])]
    ended = lease_answers.over(answers.values())
    head = f"PLAN  {service} {version}: {count(len(answers), 'host')} in {count(len(groups), 'batch', 'batches')}"
    lines = [head, *_freeze(answers), *_lease(answers, ended), *_outlasting(answers)]
    ends = reached(batches, until, services or {})
    left = sum(host in answers for batch in batches[ends:] for host in batch)
    if left:
        groups = groups[: sum(any(host in answers for host in batch) for batch in batches[:ends])]
        where = f"after batch {len(groups)}" if groups else f"before a host of {service}"
        lines.append(f"  release_until: the run ends {where}, and {count(left, 'host')} after it not touched")
    for number, hosts in enumerate(groups):
        head, *about = _batch(groups, number, {host: answers[host] for host in hosts}, ended, on_failure)
        turns = f", {forks} at a time (forks)" if 0 < forks < len(hosts) else ""
        lines += [head + turns, *about]
    return "\n".join(lines)


def count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def _batch(
    groups: Sequence[Sequence[str]], number: int, answers: Mapping[str, Told], ended: set[str], on_failure: str
) -> list[str]:
    lines = [f"  batch {number + 1} of {len(groups)}: {count(len(answers), 'host')}"]
    lines += [f"    {way}  {names(hosts)}" for way, hosts in _ways(answers, ended).items()]
    going = {host: told for host, told in answers.items() if told.get("action") not in (None, "none")}
    if not going:
        return lines
    lines += [f"    {text}{_unless_all(hosts, going)}" for text, hosts in _grouped(going, _durations).items()]
    lines += [f"    if it fails: {text}{_unless_all(hosts, going)}" for text, hosts in _grouped(going, _return).items()]
    before, after = sum(map(len, groups[:number])), sum(map(len, groups[number + 1 :]))
    goes = "back, too" if on_failure == "fleet" else "on with the release"
    kept = f"{count(before, 'host')} before it {'goes' if before == 1 else 'go'} {goes}" if before else ""
    left = f"{count(after, 'host')} after it not touched" if after else ""
    rest = ", ".join(filter(None, (kept, left)))
    return [*lines, f"    if the run stops here: {rest}"] if rest else lines


def _ways(answers: Mapping[str, Told], ended: set[str]) -> dict[str, list[str]]:
    exact = _grouped(answers, lambda told: _way(told, ended, str))
    short = exact if len(exact) <= WAYS else _grouped(answers, lambda told: _way(told, ended, _version))
    return short if len(short) < len(exact) else exact


def _version(release: str) -> str:
    return _DIGEST.sub("", release)


def _way(told: Told, ended: set[str], shown: Callable[[str], str]) -> str:
    """From which release to which, or why to none."""
    plan = _plan_of(told)
    serving = shown(str(plan.get("serving") or "")) or "nothing"
    action = told.get("action")
    if action == "release":
        return f"{serving} -> {shown(str(told.get('current')))}"
    if action == "none":
        return f"{serving} stays, nothing to do"
    if action is not None:
        return f"{serving} stays, {action}"
    if lease_answers.is_accepted(told, ended):
        return f"{serving} -> the new release, once the lease of a run that is over has ended"
    if told.get("unreachable") or told.get("code") == "unreachable":
        return "unreachable"
    codes = [str(one.get("code")) for one in told.get("problems") or []] or [str(told.get("code") or "no answer")]
    return f"{serving} stays, refused ({', '.join(dict.fromkeys(codes))})"


def _plan_of(told: Told) -> Told:
    plan = told.get("plan")
    return plan if isinstance(plan, Mapping) else {}


def _durations(told: Told) -> str:
    """What a swap may take, and what the last ones took, rounded so that hosts that are alike say the same."""
    plan = _plan_of(told)
    most = f"lost if it takes more than {plan['at_most']:.0f} s" if "at_most" in plan else "takes what it takes"
    took = [one for one in plan.get("took") or [] if isinstance(one, (int, float))]
    if not took:
        return f"{most}; no swap was measured yet"
    longest = max(took)
    return f"{most}; the last swaps took up to {next((one for one in _STEPS if longest <= one), longest):g} s"


_STEPS = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)


def _return(told: Told) -> str:
    back = _plan_of(told).get("returns_to")
    return f"back to {back}" if back else "nothing to go back to, so nothing serves"


def _grouped(answers: Mapping[str, Told], say: Callable[[Told], str]) -> dict[str, list[str]]:
    """The hosts by what is to be said of them, in the order of the first of each."""
    found: dict[str, list[str]] = {}
    for host, told in answers.items():
        found.setdefault(say(told), []).append(host)
    return found


def _freeze(answers: Mapping[str, Told]) -> list[str]:
    found = _grouped({h: t for h, t in answers.items() if _plan_of(t).get("freeze")}, _frozen)
    return [f"  freeze: {text}{_unless_all(hosts, answers)}" for text, hosts in found.items()]


def _frozen(told: Told) -> str:
    freeze = _plan_of(told)["freeze"]
    broken = freeze.get("broken")
    goes = f"goes on all the same: {broken}" if broken else "refused without release_break_glass"
    return f"until {freeze.get('until')}: {freeze.get('reason')}; {goes}"


def _lease(answers: Mapping[str, Told], ended: set[str]) -> list[str]:
    """Who has the lease; the run itself, too, where it has just taken it."""
    held = {host: told for host, told in answers.items() if _holds(lease_answers.lease_of(told), ended)}
    if not held:
        return ["  lease: free"]
    found = _grouped(held, lambda told: _owner(lease_answers.lease_of(told)))
    return [f"  lease: {text}{_unless_all(hosts, answers)}" for text, hosts in found.items()]


def _outlasting(answers: Mapping[str, Told]) -> list[str]:
    """Hosts differ by the services that they have, and the run is as long as the longest says."""
    plans = map(_plan_of, answers.values())
    longest = max(plans, key=lambda plan: plan.get("lease_needed") or 0.0, default={})
    if not longest.get("lease_needed"):
        return []
    told = f"ends after {age(longest['lease_kept'])}, and this run may take {age(longest['lease_needed'])}"
    return [f"  lease: {told}; keep others from releasing where its turn is later"]


def _holds(lease: Told, ended: set[str]) -> bool:
    left = lease.get("left")
    return isinstance(left, (int, float)) and left > 0 and lease.get("run") not in ended


def _owner(lease: Told) -> str:
    """The same for all hosts of a run, whose clocks and times differ by some seconds."""
    since = time.strftime("%H:%M UTC", time.gmtime(float(lease.get("since") or 0)))
    run = f", run {lease['name']}" if lease.get("name") else ""
    version = f", version {lease['version']}" if lease.get("version") else ""
    at_most = age(60 * (float(lease["left"]) // 60 + 1))
    who = describe_by(lease.get("by") or {}) or "another run"
    return f"{who}{run}{version}, since {since}, for at most {at_most} (id {lease.get('run')})"


def _unless_all(hosts: Sequence[str], answers: Mapping[str, Told]) -> str:
    return "" if len(hosts) == len(answers) else f"  {names(hosts)}"


def names(hosts: Sequence[str]) -> str:
    """The hosts in one line: those that only differ in a number that counts up are written as Ansible's ranges."""
    shown: list[str] = []
    run: list[tuple[str, str, str]] = []
    for host in [*hosts, ""]:
        match = _NUMBERED.fullmatch(host)
        parts = (match[1], match[2], match[3]) if match else None
        if run and parts and _follows(run[-1], parts):
            run.append(parts)
            continue
        shown += _range(run)
        run = [parts] if parts else []
        shown += [host] if host and not parts else []
    return ", ".join(shown)


def _follows(before: tuple[str, str, str], after: tuple[str, str, str]) -> bool:
    same = (before[0], before[2]) == (after[0], after[2]) and len(before[1]) <= len(after[1])
    padded = len(before[1]) == len(after[1]) or not before[1].startswith("0")
    return same and padded and int(after[1]) == int(before[1]) + 1


def _range(run: Sequence[tuple[str, str, str]]) -> list[str]:
    if len(run) < 3:
        return ["".join(parts) for parts in run]
    (stem, first, tail), last = run[0], run[-1][1]
    return [f"{stem}[{first}:{last}]{tail}"]
