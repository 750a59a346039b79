# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run has to tell in a notice, of all its hosts and services at once. Pure. PRIVATE to the collection."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.slipway.go.plugins.module_utils._notices import notice as notices
from ansible_collections.slipway.go.plugins.module_utils._notices.notice import LISTED, one_line
from ansible_collections.slipway.go.plugins.module_utils._release.by import describe_by
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import hooks, way_back
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.way_back import Run

ROLLBACK = "rollback"
# How the run stands, as the task knows it; what its end is called follows from how its hosts have ended.
ENDED = "ended"
EVENTS = (notices.STARTED, notices.BATCH_DONE, notices.WAITING, ENDED)
# What has become of a host; of several services, what counts most.
WORDS = ("failed", "unreachable", "rolled_back", "waiting", "released", "unchanged", "not_touched")
# In the order in which a text tells them.
_TOLD = ("released", "unchanged", "waiting", "rolled_back", "failed", "unreachable", "not_touched")
_OF_VERDICT = {
    way_back.RELEASED: "released",
    way_back.PREDICTED: "released",
    way_back.UNCHANGED: "unchanged",
    way_back.TAKEN_BACK: "rolled_back",
    way_back.FAILED: "failed",
    way_back.KEPT: "failed",
    way_back.NOT_CONFIRMED: "failed",
    way_back.UNREACHABLE: "unreachable",
    way_back.NOT_TOUCHED: "not_touched",
}
_BAD = ("failed", "unreachable")
_CAUSE, _SERVICES = 300, 5
# What AWX has for its own address where nobody has set it.
_NO_ADDRESS = ("//towerhost", "//platformhost")
_WEB = ("https://", "http://")
_END_OF_SENTENCE = re.compile(r"(?<=[.!?…]) ")

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """What is known of the run.

    services: of each host. results: by service and host. lost: what each host that has failed has said. closings: by
    service, how the run has ended on its hosts where that was asked. turn: the hosts whose turn it has been.
    """

    event: str
    playbook: str
    hosts: Sequence[str]
    services: Mapping[str, Sequence[str]]
    results: Mapping[str, Mapping[str, Told]] = field(default_factory=dict)
    alive: Sequence[str] = ()
    lost: Mapping[str, Told] = field(default_factory=dict)
    closings: Mapping[str, Told] = field(default_factory=dict)
    turn: Sequence[str] = ()
    batch: int = 0
    batches: int = 0
    refused: bool = False
    checked: bool = False
    version: str = ""
    text: str = ""
    by: Mapping[str, str] = field(default_factory=dict)
    job_url: str = ""
    run: str = ""
    run_id: str = ""
    when: float = 0.0


@dataclass(frozen=True)
class _Host:
    """One service of one host: what has become of it, and what was to become of it."""

    name: str
    service: str
    word: str
    before: str
    to: str
    safe: bool  # whether nothing that the run has brought is left there, as far as that is known


class _Said(NamedTuple):
    """The words of a host that has failed."""

    code: str = ""
    message: str = ""


def notice(facts: Facts) -> dict[str, Any]:
    every = [_host(facts, host, service) for host in facts.hosts for service in facts.services.get(host) or ("",)]
    words = _words(every)
    event, verdict = _ending(facts, every)
    culprit = _culprit(facts, words)
    said = _said(facts, culprit) if culprit and facts.event == ENDED else _Said()
    cause = one_line(_END_OF_SENTENCE.split(one_line(said.message, 5000))[0], _CAUSE)
    counts = Counter(words.values())
    names = list(dict.fromkeys(name for host in facts.hosts for name in facts.services.get(host) or ()))
    found = {
        "event": event,
        "playbook": facts.playbook,
        "services": names,
        "version": facts.version,
        "changes": _changes(every),
        "hosts": {"total": len(facts.hosts), **{word: counts[word] for word in WORDS}},
        "failed_hosts": [host for host in facts.hosts if words[host] in _BAD or host in facts.lost][:LISTED],
        "batch": facts.batch,
        "batches": facts.batches,
        "verdict": verdict,
        "code": one_line(said.code, 60),
        "cause": cause,
        "host": culprit if cause else "",
        "run": facts.run,
        "run_id": facts.run_id,
        "job_url": facts.job_url,
        "when": notices.utc(facts.when),
        **{name: facts.by.get(name, "") for name in ("person", "controller", "job", "reason")},
    }
    return notices.notice(**found, text=_text(facts, found))


def _host(facts: Facts, host: str, service: str) -> _Host:
    result = (facts.results.get(service) or {}).get(host) or {}
    if facts.playbook == ROLLBACK:
        return _rolled_back(facts, host, service, result)
    told = ((facts.closings.get(service) or {}).get("stats") or {}).get(host) or {}
    run = Run(host, result, facts.lost.get(host) or {}, host in facts.alive, facts.checked)
    verdict = str(told.get("verdict") or (run.verdict if host in facts.turn else way_back.NOT_TOUCHED))
    word = _OF_VERDICT.get(verdict, "failed")
    went_back = verdict == way_back.FAILED and _has_gone_back(result)
    if went_back:
        word = "rolled_back"
    if word == "released" and result.get("unconfirmed") and facts.event != ENDED:
        word = "waiting"
    swaps = result.get("action") in ("release", "confirm")
    before = (result.get("plan") or {}).get("serving") or result.get("previous") if swaps else result.get("current")
    to = result.get("failed_release") or (result.get("current") if swaps else "")
    return _Host(host, service, word, str(before or ""), str(to or ""), _is_safe(run, word, went_back))


def _has_gone_back(result: Told) -> bool:
    """Whether the host itself has taken the release back, at its failure or because nobody has confirmed it."""
    return bool(result.get("failed")) and (bool(result.get("rolled_back")) or result.get("code") == "rolled_back")


def _is_safe(run: Run, word: str, went_back: bool) -> bool:
    if word in ("unchanged", "not_touched", "rolled_back") or went_back:
        return True
    untouched = hooks.outcome(run.result, run.result.get("current"))["outcome"] in ("refused", "not_tried")
    return word == "failed" and (untouched or not (run.has_swapped or run.result.get("failed")))


def _rolled_back(facts: Facts, host: str, service: str, result: Told) -> _Host:
    before, to = str(result.get("previous") or ""), str(result.get("current") or "")
    if facts.event != ENDED:
        word = "not_touched"
    elif result.get("failed") or host in facts.lost:
        word = "failed"
    elif host not in facts.alive:
        word = "unreachable"
    else:
        word = "rolled_back" if result.get("action") == ROLLBACK else "unchanged"
    return _Host(host, service, word, before, to, word in ("rolled_back", "unchanged"))


def _words(every: Sequence[_Host]) -> dict[str, str]:
    """What has become of each host; of several services, what is worst."""
    found: dict[str, str] = {}
    for one in every:
        found[one.name] = min(one.word, found.get(one.name, one.word), key=WORDS.index)
    return found


def _ending(facts: Facts, every: Sequence[_Host]) -> tuple[str, str]:
    """What the notice is called, and how the run has ended in one word; empty until it has."""
    if facts.event != ENDED:
        return facts.event, ""
    if facts.refused:
        return notices.FAILED, "refused"
    words = {one.word for one in every}
    outcomes = {str(told.get("outcome")) for told in facts.closings.values()}
    if facts.playbook == ROLLBACK:
        if words & {"failed", "unreachable"} or facts.lost:
            return notices.FAILED, "stopped"
        return (notices.ROLLED_BACK if "rolled_back" in words else notices.FINISHED), "complete"
    if not facts.lost and outcomes <= {"complete", "partial"} and not words & {"failed", "unreachable", "rolled_back"}:
        return notices.FINISHED, "partial" if "partial" in outcomes else "complete"
    if "rolled_back" in words and all(one.safe for one in every):
        return notices.ROLLED_BACK, "taken_back"
    if not words & {"released", "waiting", "rolled_back"} and all(one.safe for one in every):
        return notices.FAILED, "refused"
    return notices.FAILED, "incomplete" if outcomes == {"incomplete"} else "stopped"


def _culprit(facts: Facts, words: Mapping[str, str]) -> str:
    """The host whose reason is told: one that has failed before one that cannot be reached."""
    failed = [host for host in facts.hosts if host in facts.lost]
    failed.sort(key=lambda host: facts.lost[host].get("code") == way_back.UNREACHABLE)
    bad = [host for host in facts.hosts if words[host] == "failed"]
    bad += [host for host in facts.hosts if words[host] == "unreachable"]
    return next(iter([*failed, *bad]), "")


def _said(facts: Facts, host: str) -> _Said:
    answers = [results.get(host) or {} for results in facts.results.values()]
    for told in (facts.lost.get(host) or {}, *(answer for answer in answers if answer.get("failed"))):
        if told:
            return _Said(str(told.get("code") or ""), str(told.get("msg") or ""))
    reasons = [(told.get("failures") or {}).get(host) for told in facts.closings.values()]
    if any(reasons):
        return _Said(message=str(next(filter(None, reasons))))
    return _Said(way_back.UNREACHABLE, "it could not be reached.") if host not in facts.alive else _Said()


def _changes(every: Sequence[_Host]) -> list[dict[str, Any]]:
    """What was to become of what, the most frequent first."""
    counted = Counter((one.service, one.before, one.to) for one in every if one.to and one.to != one.before)
    return [
        {"service": service, "from": before, "to": to, "hosts": hosts}
        for (service, before, to), hosts in counted.most_common(LISTED)
    ]


def _text(facts: Facts, told: Told) -> str:
    what = _what(told["services"], facts.version)
    if facts.text:
        return f"{what}: {facts.text}"
    hosts, event = told["hosts"], told["event"]
    total = _hosts(hosts["total"])
    kind = "rollback" if facts.playbook == ROLLBACK else "release"
    if event == notices.STARTED:
        who = describe_by(facts.by)
        return f"{what}: the {kind} begins on {total}{f' (by {who})' if who else ''}."
    if event == notices.BATCH_DONE:
        batch = f"batch {facts.batch} of {facts.batches}" if facts.batch else "a batch"
        return f"{what}: {batch} is done; {_counts(hosts)} of {total}."
    if event == notices.WAITING:
        return (
            f"{what}: the release waits on {hosts['waiting']} of {total} until all of them have it. It goes back by "
            "itself where nobody confirms it."
        )
    why = f" {told['host']}: {told['cause']}" if told["cause"] else ""
    if event == notices.FINISHED:
        how = "ended before its last batch, as release_until says" if told["verdict"] == "partial" else "is complete"
        return f"{what}: the {kind} {how}; {_counts(hosts)} of {total}."
    if event == notices.ROLLED_BACK:
        return f"{what} was rolled back; {_counts(hosts)} of {total}.{why}"
    if told["verdict"] == "refused":
        return f"{what} was refused, and nothing was changed.{why}"
    return f"{what}: the {kind} failed; {_counts(hosts)} of {total}.{why}"


def _what(services: Sequence[str], version: str) -> str:
    if len(services) == 1:
        return f"{services[0]} {version}".strip()
    if not services:
        return "slipway"
    return ", ".join(services) if len(services) <= _SERVICES else f"{len(services)} services"


def _hosts(count: int) -> str:
    return f"{count} host{'' if count == 1 else 's'}"


def _counts(hosts: Mapping[str, int]) -> str:
    found = [f"{hosts[word]} {word.replace('_', ' ')}" for word in _TOLD if hosts[word]]
    return ", ".join(found) or "none touched"


def job_url(variables: Told, environment: Mapping[str, str], job: str) -> str:
    """The page of the job, where it is known: AWX says its own address in the environment."""
    if job.startswith(_WEB):
        return job
    number = str(variables.get("awx_job_id") or variables.get("tower_job_id") or "")
    base = environment.get("AWX_HOST", "").rstrip("/")
    if not number.isdecimal() or not base.startswith(_WEB) or base.endswith(_NO_ADDRESS):
        return ""
    return f"{base}/#/jobs/playbook/{number}"
