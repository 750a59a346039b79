# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb plan: what is to be known of this host before a release. It reads only. PRIVATE to the collection."""

from __future__ import annotations

from typing import Any

from ..._core.errors import SlipwayError
from ..context import Context
from ..state.journal import is_number

PAST = 3


def plan(context: Context) -> dict[str, Any]:
    """What serves, where a failed swap would go back to, how long the last ones took, and who has the lease."""
    serving = context.current_id()
    try:
        returns_to = serving or context.earlier_good(None)
        took = _took(context)
    except SlipwayError:  # a damaged record is for the release to refuse
        returns_to, took = serving, []
    return {"serving": serving, "returns_to": returns_to, "took": took, "lease": context.leases.told()}


def _took(context: Context) -> list[float]:
    """Seconds of the last swaps, the newest last."""
    committed = [e for e in context.journal.outcomes() if e["event"] == "committed" and e.get("kind") == "release"]
    return [float(e["swap_seconds"]) for e in committed if is_number(e.get("swap_seconds"))][-PAST:]
