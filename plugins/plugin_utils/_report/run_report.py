# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run has been like, from what its tasks have kept of it. Pure. PRIVATE to the collection."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils._fleet import way_back
from ansible_collections.slipway.go.plugins.plugin_utils._report.notes import CLOSING, COMPARISON, PREFLIGHT, RELEASE

_KINDS = (PREFLIGHT, RELEASE, CLOSING, COMPARISON)
REFUSED, ACCEPTED = "refused", "accepted"
# How the run has ended with a service, beside what a fleet says of itself.
COMPLETE, STOPPED = "complete", "stopped"
# What has become of a host, by how it is shown.
LOOKS = {
    way_back.RELEASED: "good",
    way_back.UNCHANGED: "good",
    ACCEPTED: "none",
    way_back.TAKEN_BACK: "back",
    way_back.NOT_TOUCHED: "none",
}

Told = Mapping[str, Any]


@dataclass(frozen=True)
class Host:
    """One service on one host. answer: what slipway.go.release has answered, or what it has predicted."""

    name: str
    verdict: str
    before: str = ""
    to: str = ""
    now: str = ""
    failed: str = ""
    p99: str = ""
    left: str = ""
    message: str = ""
    batch: int = 0
    began: float | None = None
    ended: float | None = None
    strategy: str = ""
    answer: Told = field(default_factory=dict)
    timeline: Told = field(default_factory=dict)

    @property
    def look(self) -> str:
        return LOOKS.get(self.verdict, "bad")


@dataclass(frozen=True)
class Comparison:
    """One batch beside the hosts after it. told: the result of slipway.go.compare; why: what has kept it from any."""

    batch: int
    told: Told = field(default_factory=dict)
    timeline: Told = field(default_factory=dict)
    why: str = ""
    said: str = ""
    began: float | None = None


@dataclass(frozen=True)
class Service:
    """outcome: complete, partial, incomplete, taken_back, stopped or refused."""

    name: str
    version: str
    outcome: str
    hosts: tuple[Host, ...]
    comparisons: tuple[Comparison, ...] = ()

    def counted(self) -> list[tuple[str, int]]:
        """The verdicts, each with how many hosts have it."""
        return Counter(host.verdict for host in self.hosts).most_common()


@dataclass(frozen=True)
class Report:
    """about: the run in words, such as who has run it and why, each with its name."""

    id: str
    began: float
    ended: float
    services: tuple[Service, ...]
    about: tuple[tuple[str, str], ...] = ()

    @property
    def hosts(self) -> int:
        return sum(len(service.hosts) for service in self.services)


def gather(notes: Iterable[Told], everyone: Sequence[str]) -> tuple[tuple[Service, ...], dict[str, str]]:
    """The services, in the order in which they had their turn, and who has run it and why."""
    kept: dict[str, dict[str, dict[str, Told]]] = {}
    for note in notes:
        kinds = kept.setdefault(str(note.get("service")), {kind: {} for kind in _KINDS})
        kinds.setdefault(str(note.get("kind")), {})[str(note.get("host"))] = note
    every = [one for kinds in kept.values() for kind in (PREFLIGHT, RELEASE) for one in kinds[kind].values()]
    by = next((dict(note["by"]) for note in every if note.get("by")), {})
    first = {name: _first(kinds) for name, kinds in kept.items()}
    names = sorted(kept, key=lambda name: (first[name], name))
    return tuple(_service(name, kept[name], everyone) for name in names), by


def _first(kinds: Mapping[str, Mapping[str, Told]]) -> float:
    return min((note["began"] for kind in (RELEASE, PREFLIGHT) for note in kinds[kind].values()), default=0.0)


def _service(name: str, kinds: Mapping[str, Mapping[str, Told]], everyone: Sequence[str]) -> Service:
    closing: Told = next(iter(kinds[CLOSING].values()), {}).get("closing") or {}
    tried = kinds[RELEASE]
    noted = {**kinds[PREFLIGHT], **tried}
    stats = closing.get("stats") or {}
    names = list(stats) or [host for host in everyone if host in noted]
    starts = sorted({note["batch"] for note in tried.values()})
    version = next((str(note["version"]) for note in noted.values() if note.get("version")), "")
    hosts = tuple(
        _host(one, noted.get(one, {}), one in tried, closing, starts, version or str(closing.get("version") or ""))
        for one in names
    )
    version = version or str(closing.get("version") or "")
    return Service(name, version, _outcome(closing, tried, hosts), hosts, _comparisons(kinds[COMPARISON], starts))


def _comparisons(notes: Mapping[str, Told], starts: Sequence[int]) -> tuple[Comparison, ...]:
    """In the order of the batches. By then, the first host of a batch may have left the play."""
    found = [
        Comparison(
            bisect.bisect(starts, note["batch"]),
            note.get("told") or {},
            note.get("timeline") or {},
            str(note.get("why") or ""),
            str(note.get("said") or ""),
            float(note["began"]) if "began" in note else None,
        )
        for note in notes.values()
        if starts and note["batch"] >= starts[0]
    ]
    return tuple(sorted(found, key=lambda one: one.batch))


def _outcome(closing: Told, tried: Mapping[str, Told], hosts: Sequence[Host]) -> str:
    if closing:
        return str(closing.get("outcome") or STOPPED)
    if not tried:
        return REFUSED
    return COMPLETE if all(host.look == "good" for host in hosts) else STOPPED


def _host(name: str, note: Told, was_tried: bool, closing: Told, starts: Sequence[int], version: str) -> Host:
    answer: Told = note.get("answer") or {}
    told = (closing.get("stats") or {}).get(name) or {}
    fails = bool(answer.get("failed") or answer.get("problems") or ("code" in answer and "action" not in answer))
    run = way_back.Run(name, answer, answer if fails else {})
    verdict = str(told.get("verdict") or (run.verdict if was_tried else _foreseen(run)))
    swaps = answer.get("action") in ("release", "confirm") and not fails
    before = answer.get("previous") if swaps else answer.get("current")
    stays = swaps or verdict == way_back.UNCHANGED
    failed, p99 = way_back.probed(answer.get("probe")) if was_tried else ("", "")
    now = told.get("now") or ("" if told and not fails else answer.get("current") if was_tried else before)
    return Host(
        name,
        verdict,
        before=str(before or ""),
        to=str((answer.get("current") if stays else answer.get("failed_release") or version) or ""),
        now=str(now or ""),
        failed=failed,
        p99=p99,
        left=str((closing.get("left") or {}).get(name) or way_back.LEFT_TO_DO.get(verdict, "")),
        message=str((answer.get("msg") if fails else "") or (closing.get("failures") or {}).get(name) or ""),
        batch=starts.index(note["batch"]) + 1 if was_tried else 0,
        began=float(note["began"]) if was_tried else None,
        ended=float(note["ended"]) if was_tried else None,
        strategy=str(note.get("strategy") or ""),
        answer=answer,
        timeline=note.get("timeline") or {},
    )


def _foreseen(run: way_back.Run) -> str:
    """What preflight says of a host, where nothing has followed."""
    if not run.is_lost:
        return ACCEPTED
    return way_back.UNREACHABLE if run.code == way_back.UNREACHABLE else REFUSED
