# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the journal knows of swaps, as figures for metrics. PRIVATE to the collection.

An entry of an earlier version may lack any of them, and a damaged one may have anything in their place: what is no
number is left out.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from ..periods import ROLLBACK, SINCE_THE_SWAP_BEGAN
from ..state.journal import OUTCOMES, WITHDRAWN, Event, is_number

SWAPPED = ("committed", "rolled_back")
OPERATOR, WATCH, FLEET = "operator", "watch", "fleet"
OTHER = "other"
# Why a release that waited was taken back, by the code of its entry; any other code counts as OTHER.
UNCONFIRMED_REASONS = ("unconfirmed", "taken_back", "withdrawn", "crashed", OTHER)


def results(outcomes: Sequence[Event]) -> dict[str, int]:
    """How many swaps ended in each way."""
    return {name: sum(event["event"] == name for event in outcomes) for name in OUTCOMES}


def rollbacks(outcomes: Sequence[Event]) -> dict[str, int]:
    """How many rollbacks succeeded, by who began them."""
    begun = [_trigger(e) for e in outcomes if e["event"] == "committed" and e.get("kind") == "rollback"]
    return {name: begun.count(name) for name in (OPERATOR, WATCH, FLEET)}


def _trigger(rollback: Event) -> str:
    """Only the watch gives a reason of its own; a run that takes all hosts back says so."""
    if rollback.get(WITHDRAWN):
        return FLEET
    return WATCH if rollback.get("reason") else OPERATOR


def unconfirmed(outcomes: Sequence[Event]) -> dict[str, int]:
    """How many releases had proven themselves and were taken back, by the reason: only those have a swap's seconds."""
    counts = dict.fromkeys(UNCONFIRMED_REASONS, 0)
    for event in outcomes:
        if event["event"] == "rolled_back" and is_number(event.get("swap_seconds")):
            code = str(event.get("code"))
            counts[code if code in counts else OTHER] += 1
    return counts


def last_by_result(history: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """The figures of the last swap that ended in each way."""
    return {str(event["event"]): of_swap(event) for event in history}


def of_swap(swap: Event) -> dict[str, Any]:
    """One swap: how long it took, when it ended, and what became of requests."""
    return {
        "seconds": _number(swap.get("swap_seconds")),
        "downtime": _number(swap.get("downtime_seconds")),
        "at": swap["time"],
        "lost": _lost(swap.get("probe") or {}),
        "cut": _cut(swap) if swap["event"] in SWAPPED else None,
        **_canary(swap.get("traffic")),
    }


def _lost(probe: Mapping[str, Any]) -> Optional[float]:
    """Failed requests of the probe from the beginning of the swap; None where it has sent none."""
    periods = [one for one in map(probe.get, (*SINCE_THE_SWAP_BEGAN, ROLLBACK)) if isinstance(one, dict)]
    return _sum(periods, "failed") if _sum(periods, "sent") else None


def _cut(swap: Event) -> float:
    drained = swap.get("drained")
    told = [one for one in drained if isinstance(one, dict)] if isinstance(drained, list) else []
    return (_number(swap.get("cut")) or 0) + _sum(told, "cut")


def _canary(traffic: Any) -> dict[str, float]:
    """The verdict's counts over all of its steps; nothing where users' requests were not counted."""
    steps = traffic.get("steps") if isinstance(traffic, dict) else None
    told = [step for step in steps if isinstance(step, dict)] if isinstance(steps, list) else []
    shares = [step["percent"] for step in told if is_number(step.get("percent"))]
    if not shares:
        return {}
    return {
        "share": max(shares) / 100,
        "new_requests": _sum(told, "requests"),
        "new_errors": _sum(told, "failed"),
        "old_requests": _sum(told, "old_requests"),
        "old_errors": _sum(told, "old_failed"),
    }


def _sum(entries: Sequence[Mapping[str, Any]], name: str) -> float:
    return sum(_number(entry.get(name)) or 0 for entry in entries)


def _number(value: Any) -> Optional[float]:
    return value if is_number(value) else None
