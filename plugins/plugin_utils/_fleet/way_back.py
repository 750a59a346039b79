# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A fleet's release as one transaction: when it stops, who goes back, and what is told at its end.

Pure. PRIVATE to the collection.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, sentence
from ansible_collections.slipway.go.plugins.module_utils._core.table import aligned
from ansible_collections.slipway.go.plugins.module_utils._release import periods
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import standing
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.common_release import serving
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.comparison import UNCLEAR, WORSE
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.plans import count
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from ansible_collections.slipway.go.plugins.plugin_utils._run.lease_claim import reached, split

FLEET, BATCH, HOST = "fleet", "batch", "host"
UNREACHABLE = "unreachable"
CANARY = "canary"
_BATCHES = re.compile(r"([1-9][0-9]{0,3})(?:\.0+)?")
_BUDGET = re.compile(r"([0-9]{1,9})(?:\.0+)?(%?)")
HEADING = ("HOST", "FROM", "TO", "VERDICT", "FAILED", "P99", "RUNS NOW", "LEFT TO DO")
# What stops the run, however many hosts may be lost: these hosts are well, and the release is not.
JUDGED = {
    WORSE: "the new release does worse than the one before",
    UNCLEAR: "nobody knows whether the new release is good",
}
# What is left to do on a host that has not gone back, by the code of its answer: this run may not change it any more,
# or cannot.
HINDERED = {
    UNREACHABLE: "see that it can be reached, then sudo slipway rollback there",
    "leased": "see what the other run has released",
    "lease_lost": "see what the other run has released",
    "lease_ended": "see why it was ended",
}
# What has become of a host. The table shows these words, and the next node of a workflow reads them.
RELEASED, UNCHANGED, TAKEN_BACK = "released", "unchanged", "taken back"
NOT_CONFIRMED = "not confirmed"
KEPT, FAILED, NOT_TOUCHED, PREDICTED = "not taken back", "failed", "not touched", "would be released"
LEFT_TO_DO = {
    FAILED: "correct the cause, then release here",
    UNREACHABLE: "see that it can be reached, then sudo slipway status there",
    NOT_TOUCHED: "release here",
    NOT_CONFIRMED: "sudo slipway status there, then release again",
    KEPT: "sudo slipway status there, then sudo slipway rollback",
    TAKEN_BACK: "release again once the others can",
}


def read_budget(given: Any, hosts: int, variable: str = "release_max_unavailable") -> int:
    """How many hosts may be lost; a percentage is one of all hosts of the run, rounded down."""
    if survey.is_empty(given):
        return 0
    found = None if isinstance(given, bool) else _BUDGET.fullmatch(str(given).strip())
    if not found or (found[2] and int(found[1]) > 100):
        raise SlipwayError(
            "invalid_max_unavailable",
            f"{variable} is {given!r}, not a number of hosts or a percentage of them.",
            "give a number such as 1, or a percentage such as 10%",
        )
    return hosts * int(found[1]) // 100 if found[2] else int(found[1])


def read_on_failure(given: Any, variable: str = "release_on_failure") -> str:
    return FLEET if survey.is_empty(given) else str(survey.choice(FLEET, BATCH, HOST)(given, variable))


def read_until(given: Any, variable: str = "release_until") -> int:
    """After how many batches the run ends; 0 stands for all."""
    if survey.is_empty(given):
        return 0
    if str(given).strip().lower() == CANARY:
        return 1
    found = None if isinstance(given, bool) else _BATCHES.fullmatch(str(given).strip())
    if not found:
        raise SlipwayError(
            "invalid_until",
            f"{variable} is {given!r}, neither {CANARY} nor a number of batches.",
            f"give {CANARY} for the first batch, a number such as 2, or leave it empty",
        )
    return int(found[1])


@dataclass(frozen=True)
class Lost:
    """Who has been lost so far, and why that stops the run; no reason where it goes on."""

    hosts: tuple[str, ...] = ()
    stops: str = ""


def known_services(given: Any, failures: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, list[str]]:
    """By host, the services that the run is about there; empty where each has the same, or where none is known.

    Of a host that has failed with one of them, that one.
    """
    told = {str(host): [str(one) for one in names or ()] for host, names in (given or {}).items()}
    failed = {host: [str(one["service"])] for host, one in (failures or {}).items() if one and one.get("service")}
    return {**told, **failed} if any(told.values()) else {}


def judge(
    everyone: Sequence[str],
    tried: Collection[str],
    alive: Collection[str],
    failures: Mapping[str, str],
    budget: int,
    services: Mapping[str, Sequence[str]],
) -> Lost:
    """Whether the run goes on.

    tried: the hosts whose turn it has been. alive: those that Ansible still has. failures: those that have failed in
    this play, each with its code. services: what `known_services` says.
    """
    lost = tuple(host for host in everyone if host not in alive or host in failures)
    failed = [host for host in lost if failures.get(host, UNREACHABLE) != UNREACHABLE]
    through = [host for host in tried if host not in lost]
    if not lost:
        return Lost()
    judged = next((why for code, why in JUDGED.items() if code in failures.values()), "")
    if judged:
        return Lost(lost, judged)
    if len(lost) > budget:
        return Lost(lost, f"release_max_unavailable allows {budget}" if budget else "none may be lost")
    if not set(lost) <= set(tried):
        return Lost(lost, "that was before the first batch")
    if not all(any(_share(host, other, services) for other in through) for host in failed):
        return Lost(lost, "no host has the release yet")
    return Lost(lost)


def _share(host: str, other: str, services: Mapping[str, Sequence[str]]) -> bool:
    """Whether what has come through on the other one says anything of the services of this one."""
    if not services:
        return True
    own, theirs = services.get(host, ()), services.get(other, ())
    return bool(set(own) & set(theirs) if own else theirs)


def gate(
    everyone: Sequence[str],
    batch: Sequence[str],
    alive: Collection[str],
    failures: Mapping[str, Any],
    budget: Any,
    begun: bool = False,
    sizes: Sequence[Any] = (),
    until: Any = "",
    services: Any = None,
) -> dict[str, Any]:
    """What to say before a batch begins, or, once it has begun, before it is released; and whether the run stops."""
    known = known_services(services, failures)
    start = everyone.index(batch[0])
    allowed = read_budget(budget, len(everyone))
    tried = everyone[:start]
    lost = judge(everyone, everyone[: start + len(batch)] if begun else tried, alive, _codes(failures), allowed, known)
    if not lost.stops:
        ends = _ends_before(everyone, start, sizes, read_until(until), known)
        return {"stop": bool(ends), "text": ends}
    left = ", ".join(host for host in everyone[start:] if host not in lost.hosts)
    some = "One or more of " if len(lost.hosts) > 1 else ""
    why = f" ({lost.stops})" if allowed else ""
    rest = f"{'Not released' if begun else 'Not touched in this play'}: {left or 'none'}."
    text = f"{some}{', '.join(lost.hosts)} failed or could not be reached{why}, and the run stops. {rest}"
    return {"stop": True, "text": text}


def _codes(failures: Mapping[str, Any]) -> dict[str, str]:
    return {str(host): str(told.get("code") or "") for host, told in failures.items() if told}


def _ends_before(
    everyone: Sequence[str], start: int, sizes: Sequence[Any], until: int, services: Mapping[str, Sequence[str]]
) -> str:
    """What to say where release_until ends the run before the batch that starts there; empty where it goes on."""
    batches = split(everyone, sizes) if until else []
    ends = reached(batches, until, services)
    done = sum(map(len, batches[:ends]))
    if not until or start < done:
        return ""
    left = count(len(everyone) - done, "host")
    return (
        f"release_until ends the run here, after batch {ends} of {len(batches)}: {left} after it not touched. A run "
        "without it goes on there."
    )


@dataclass(frozen=True)
class Run:
    """What a run has been like on one host.

    result: what the release has answered; empty where it was never asked. failure: what has kept it from its release.
    """

    name: str
    result: Mapping[str, Any] = field(default_factory=dict)
    failure: Mapping[str, Any] = field(default_factory=dict)
    alive: bool = True
    checked: bool = False
    about: bool = True  # whether the host has the service; where it has others, it may be what stops the run
    others: bool = False  # whether the run has come to another service of the host

    @property
    def has_swapped(self) -> bool:
        """Also where the host has failed afterwards, in a step after the swap or with another of its services.

        Not where it has gone back by itself, because nobody confirmed the release.
        """
        gone = self.result.get("failed_release") not in (None, self.result.get("current"))
        return bool(self.result.get("changed")) and self.result.get("action") in ("release", "confirm") and not gone

    @property
    def has_released(self) -> bool:
        return self.has_swapped and not self.is_lost

    @property
    def is_lost(self) -> bool:
        return bool(self.failure) or not self.alive

    @property
    def code(self) -> str:
        return UNREACHABLE if not self.alive and not self.failure else str(self.failure.get("code") or "")

    @property
    def was_tried(self) -> bool:
        """A prediction of preflight, which nothing has followed, is no try."""
        return self.is_lost or self.has_released or self.result.get("action") not in (None, "release", "confirm")

    @property
    def verdict(self) -> str:
        if self.is_lost:
            return UNREACHABLE if self.code == UNREACHABLE else FAILED
        if self.has_released:
            return PREDICTED if self.checked else RELEASED
        return UNCHANGED if self.was_tried else NOT_TOUCHED


@dataclass(frozen=True)
class Decision:
    """Who goes back: for each such host the release to leave and the one to go to."""

    stops: str
    lost: tuple[str, ...]
    back: dict[str, dict[str, Any]]
    first: tuple[str, ...] = ()  # would go back, and have nothing to go back to
    asks: bool = False  # whether there is anything to ask the hosts
    confirm: dict[str, dict[str, str]] = field(default_factory=dict)  # whose release counts only now


def decide(
    runs: Sequence[Run],
    budget: Any,
    on_failure: Any,
    sizes: Sequence[Any],
    name: str = "",
    service: str = "",
    services: Any = None,
) -> Decision:
    """name: that of the run, by which a host tells what this run has brought. service: the one that this is about."""
    everyone = [run.name for run in runs]
    allowed, mode = read_budget(budget, len(runs)), read_on_failure(on_failure)
    alive = [run.name for run in runs if run.alive]
    failures = {run.name: run.code for run in runs if run.failure}
    tried = [run.name for run in runs if run.was_tried or run.others]
    known = known_services(services, {run.name: run.failure for run in runs})
    lost = judge(everyone, tried, alive, failures, allowed, known)
    asks = any(run.result for run in runs) and not any(run.checked for run in runs)
    if not lost.stops or not asks:
        return Decision(lost.stops, lost.hosts, {}, asks=asks, confirm=_waiting(runs, {}) if asks else {})
    last = next((part for part in reversed(split(everyone, sizes)) if set(part) & set(tried)), [])
    judged = set(failures.values()) & set(JUDGED)
    among = {FLEET: everyone, BATCH: last, HOST: last if judged else []}[mode]
    ways = {run.name: _way(run, name) for run in runs if run.alive and run.about and run.name in among}
    first = tuple(run.name for run in runs if run.has_released and ways.get(run.name) == {})
    worse = any(run.code == WORSE and run.failure.get("service", service) == service for run in runs)
    bad = {"mark_bad": True} if worse else {}
    back = {host: {**way, **bad} for host, way in ways.items() if way}
    return Decision(lost.stops, lost.hosts, back, first, asks, _waiting(runs, back))


def _waiting(runs: Sequence[Run], back: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What a confirmation needs to know, of each release that waits for the fleet's."""
    swapped = [run for run in runs if run.has_swapped and run.alive and run.about]
    stay = [run for run in swapped if run.result.get("unconfirmed") and run.name not in back]
    return {run.name: {key: str(run.result[key]) for key in ("unconfirmed", "current", "previous")} for run in stay}


def _way(run: Run, name: str) -> dict[str, str]:
    """How this host goes back from what this run has brought, and from nothing else; empty where it does not."""
    current, previous = run.result.get("current"), run.result.get("previous")
    if run.has_swapped:
        return {"of": str(current), "release": str(previous)} if previous else {}
    if not run.is_lost:
        return {}
    if name:  # what it has not said, it knows
        return {"run": name}
    return {"of": str(current)} if previous and current == run.result.get("failed_release") else {}


@dataclass(frozen=True)
class Closing:
    """The end of a run.

    failures: the hosts that fail, each with its own reason; stats: what the next run is told; left: what is left to do.
    """

    text: str
    outcome: str
    failures: dict[str, str]
    stats: dict[str, dict[str, Any]]
    left: dict[str, str] = field(default_factory=dict)


def close(
    service: str,
    version: str,
    runs: Sequence[Run],
    decision: Decision,
    answers: Mapping[str, Mapping[str, Any]],
    on_failure: Any = FLEET,
) -> Closing:
    """answers: what each host has said when it was asked anew."""
    rows, failures, stats = [], {}, {}
    runs = [run for run in runs if run.about]
    for run in runs:
        answer = answers.get(run.name) or {}
        verdict = _final(run, decision, answer)
        reason = _own_failure(run, verdict, answer, decision)
        if reason and run.alive:
            failures[run.name] = reason
        rows.append(_row(run, version, verdict, answer, decision))
        now = answer.get("current")
        stats[run.name] = {"verdict": verdict, **({"now": now} if now else {})}
    agreed = serving({host: answer for host, answer in answers.items() if _has_answered(answer)})
    said = _sentences(service, runs, decision, agreed, stats, read_on_failure(on_failure))
    text = f"{aligned([HEADING, *rows])}\n{said}"
    left = {row[0]: row[-1] for row in rows if row[-1] != "-"}
    shown = text if decision.asks or _predicted(runs) else ""
    return Closing(shown, _outcome(decision, stats), failures, stats, left)


def _predicted(runs: Sequence[Run]) -> bool:
    return any(run.checked and run.result for run in runs)


def _has_answered(answer: Mapping[str, Any]) -> bool:
    return "current" in answer and answer.get("health") != "unknown"


def _final(run: Run, decision: Decision, answer: Mapping[str, Any]) -> str:
    way = decision.back.get(run.name, {})
    if run.name in decision.confirm and answer.get("failed"):
        return NOT_CONFIRMED
    if "release" not in way:
        return run.verdict
    return TAKEN_BACK if _has_answered(answer) and answer.get("current") != way["of"] else KEPT


def _own_failure(run: Run, verdict: str, answer: Mapping[str, Any], decision: Decision) -> str:
    """Why this host fails at the end, in its own words; empty where it does not."""
    if run.is_lost:
        return str(run.failure.get("msg") or "it was lost; its message stands above.")
    if not decision.asks or verdict == NOT_TOUCHED:
        return ""
    if verdict == NOT_CONFIRMED:
        return str(answer.get("msg") or "this host's release was not confirmed.")
    if verdict == KEPT:
        said = str(answer.get("msg") or f"{answer.get('current')} still serves.")
        return f"{decision.back[run.name]['of']} was to be taken back here, and was not: {said}"
    if answer.get("failed") or not _has_answered(answer):
        said = str(answer.get("msg") or "its record of the service is damaged.")
        return f"what runs here at the end of the run is not known: {said}"
    expected = decision.back[run.name]["release"] if verdict == TAKEN_BACK else run.result.get("current")
    if answer.get("current") != expected:
        return f"{answer.get('current')} runs here at the end of the run, which has left {expected} here."
    return ""


def _row(run: Run, version: str, verdict: str, answer: Mapping[str, Any], decision: Decision) -> tuple[str, ...]:
    result = run.result
    failed, p99 = probed(result.get("probe")) if run.was_tried else ("", "")
    now = str(answer.get("current") or "nothing") if _has_answered(answer) else "?"
    # Also where that is only predicted.
    swaps = run.has_swapped or (not run.is_lost and result.get("action") in ("release", "confirm"))
    before = result.get("previous") if swaps else result.get("current")
    to = result.get("current") if swaps or verdict == UNCHANGED else result.get("failed_release") or version
    is_ill = decision.back.get(run.name, {}).get("mark_bad") or (verdict == TAKEN_BACK and run.is_lost)
    left = LEFT_TO_DO.get(FAILED if is_ill else verdict, "")
    if verdict == NOT_TOUCHED and now == to:  # another run has released it
        left = ""
    if verdict == KEPT:
        left = HINDERED.get(str(answer.get("code")), left)
    if run.name in decision.first:
        left = "it was its first release: there is nothing to go back to"
    if answer.get("unsettled"):
        left = str(answer["unsettled"])
    return tuple(" ".join(str(cell or "-").split()) for cell in (run.name, before, to, verdict, failed, p99, now, left))


def probed(figures: Any) -> tuple[str, str]:
    """How many requests of the probe failed since the swap began, and the p99 of the soak."""
    if not isinstance(figures, Mapping):
        return "", ""
    parts = [figures[name] for name in periods.SINCE_THE_SWAP_BEGAN if isinstance(figures.get(name), Mapping)]
    sent, failed = (sum(int(part.get(key) or 0) for part in parts) for key in ("sent", "failed"))
    p99 = parts[-1].get("p99_ms") if parts else None
    return f"{failed} of {sent}" if sent else "", f"{p99:g} ms" if isinstance(p99, (int, float)) else ""


def _outcome(decision: Decision, stats: Mapping[str, Mapping[str, Any]]) -> str:
    """The run in one word for the next node of a workflow."""
    verdicts = {told["verdict"] for told in stats.values()}
    if decision.stops:
        return "taken_back" if TAKEN_BACK in verdicts and not verdicts & {RELEASED, KEPT} else "stopped"
    if decision.lost or NOT_CONFIRMED in verdicts:
        return "incomplete"
    return "partial" if NOT_TOUCHED in verdicts else "complete"


def _sentences(
    service: str,
    runs: Sequence[Run],
    decision: Decision,
    agreed: Mapping[str, Sequence[str]],
    stats: Mapping[str, Mapping[str, Any]],
    mode: str,
) -> str:
    told = []
    if decision.lost:
        everyone = len({*decision.lost, *(run.name for run in runs)})
        lost = f"{service}: {len(decision.lost)} of {everyone} hosts failed or could not be reached"
        stops = "" if decision.stops == "none may be lost" else f" ({decision.stops})"
        told.append(
            f"{lost}{stops}."
            if decision.stops
            else f"{lost}, which release_max_unavailable allows: the release stands on the others."
        )
    if decision.back:
        verdicts = [one["verdict"] for one in stats.values()]
        back, wanted = verdicts.count(TAKEN_BACK), verdicts.count(TAKEN_BACK) + verdicts.count(KEPT)
        told.append(f"release_on_failure is {mode}: {back} of {wanted} hosts were taken back." if wanted else "")
    elif decision.stops and any(run.has_released for run in runs):
        told.append(f"release_on_failure is {mode}: no host was taken back.")
    if len(agreed) == 1:
        release, hosts = next(iter(agreed.items()))
        told.append(sentence(f"{service}: {release or 'nothing'} runs on {_where(len(hosts), len(runs))} asked anew"))
    elif agreed:
        where = "; ".join(f"{release or 'nothing'} on {', '.join(hosts)}" for release, hosts in agreed.items())
        told.append(sentence(f"{service}: the hosts run different releases: {where}"))
    return "\n".join(filter(None, told))


def _where(hosts: int, everyone: int) -> str:
    if everyone == 1:
        return "its one host,"
    return f"{'all' if hosts == everyone else f'{hosts} of'} {everyone} hosts, each"


def _runs(fleet: Mapping[str, Any]) -> list[Run]:
    results, failures, alive = fleet["results"], fleet["failures"], set(fleet["alive"])
    checked = bool(fleet.get("checked"))
    about, service = set(fleet.get("about", fleet["hosts"])), str(fleet["service"])
    others = {host for host, of_each in (fleet.get("of_each") or {}).items() if any((of_each or {}).values())}
    return [
        Run(
            host,
            standing.as_it_turned_out(results.get(host) or {}, failures.get(host) or {}, service),
            failures.get(host) or {},
            host in alive,
            checked,
            host in about,
            host in others,
        )
        for host in fleet["hosts"]
    ]


def decide_for(fleet: Mapping[str, Any]) -> Decision:
    """The same, from the variables of a play."""
    name = str(fleet.get("run") or "").strip()
    return decide(
        _runs(fleet),
        fleet["budget"],
        fleet["on_failure"],
        list(fleet["sizes"]),
        name,
        str(fleet["service"]),
        fleet.get("services"),
    )


def close_for(fleet: Mapping[str, Any], answers: Mapping[str, Any]) -> Closing:
    told = {str(host): answer or {} for host, answer in answers.items()}
    decision = decide_for(fleet)
    return close(str(fleet["service"]), str(fleet["version"]), _runs(fleet), decision, told, fleet["on_failure"])
