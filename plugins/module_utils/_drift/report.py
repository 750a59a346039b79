# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All that a host has to say about its drift. Reads only. PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from . import baseline, released
from .item import Finding, compare
from .survey import survey

NO_BASELINE = "nothing was written down of this host when it was hardened, so only its services were compared"
UNDER_WAY = "a run that hardens this host has not ended, and what it has changed so far counts as a difference"
IN_FLIGHT = "a release is in flight, so it was not compared"


def drift(service: str = "") -> dict[str, Any]:
    """What is not as it was hardened and released: of one service, or of the host and all of its services.

    baseline is when the host was written down, in seconds since the epoch; None where it never was, or is not asked.
    """
    services = released.compare_services(service)
    notes = [f"{name}: {IN_FLIGHT}" for name in services.in_flight]
    found, kept = services.findings, None if service else baseline.load()
    if kept is not None:
        found = [*found, *compare(kept.record, survey())]
        notes += [UNDER_WAY] if baseline.is_begun() else []
    elif not service:
        notes.append(NO_BASELINE)
    rows = [one.as_dict() for one in sorted(found, key=_order)]
    return {
        "findings": rows,
        "baseline": kept.time if kept else None,
        "services": services.services,
        "notes": notes,
    }


def counts(told: Mapping[str, Any]) -> dict[str, int]:
    """How many findings each part that was compared has; the host's are without a name."""
    parts = [*([] if told["baseline"] is None else [""]), *told["services"]]
    return {part: sum(one["service"] == part for one in told["findings"]) for part in parts}


def _order(one: Finding) -> tuple[str, str, str, str]:
    return one.service, one.area, one.what, one.found


def sentence_of(finding: Mapping[str, Any], since: Optional[str] = None) -> str:
    """One finding in one line."""
    of_service = f"{finding['service']}: " if finding.get("service") else ""
    told = f"{of_service}{finding['area']} {finding['what']}: expected {finding['expected']}, found {finding['found']}"
    return f"{told}, since {since}" if since else told
