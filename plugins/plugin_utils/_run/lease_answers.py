# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hosts of a play say of the lease, taken together. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

LEASED = "leased"
_OVER = ("given back", "ended")

Told = Mapping[str, Any]


def lease_of(answer: Told) -> Told:
    """The last lease on a host, whether it holds or not; empty where there was none."""
    plan = answer.get("plan")
    found = plan.get("lease") if isinstance(plan, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def over(answers: Iterable[Told]) -> set[str]:
    """The runs that are over: a run gives back what it has only when it ends."""
    leases = [lease_of(answer) for answer in answers]
    last = {str(lease["run"]) for lease in leases if lease.get("state") in _OVER and lease.get("run")}
    return last | {str(run) for lease in leases for run in _listed(lease.get("over"))}


def _listed(given: Any) -> list[Any]:
    return given if isinstance(given, list) else []


def blocked_by(answer: Told) -> str:
    """The run whose lease is all that speaks against a release on this host; empty where it is not that."""
    problems = answer.get("problems") or [{"code": answer.get("code")}]
    lease = answer.get("lease")
    if "action" in answer or not isinstance(lease, Mapping):
        return ""
    return str(lease.get("run") or "") if all(one.get("code") == LEASED for one in problems) else ""


def is_accepted(answer: Told, ended: set[str]) -> bool:
    """Whether the host takes the release, or would if those runs were over, which they are."""
    return "action" in answer or blocked_by(answer) in ended


def why(answer: Told) -> str:
    return str(answer.get("msg") or "This host did not answer.")
