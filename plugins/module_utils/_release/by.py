# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has asked for a release or a rollback, from where, and why. Pure. This file is PRIVATE to the collection.

It is what they say of themselves: a record for people, and no proof.
"""

from __future__ import annotations

from typing import Any, Mapping

# The most characters of each, so that no history and no log is flooded.
LIMITS = {"person": 100, "controller": 100, "job": 200, "reason": 500, "break_glass": 500}


def parse_by(given: Mapping[str, Any]) -> dict[str, str]:
    """Those of the fields that say something, each on one line."""
    found = {name: _one_line(given.get(name), limit) for name, limit in LIMITS.items()}
    return {name: text for name, text in found.items() if text}


def _one_line(value: Any, limit: int) -> str:
    text = "" if value is None else str(value)
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def describe_by(by: Mapping[str, Any]) -> str:
    """In words; empty where nothing is known."""
    told = parse_by(by)
    where = f" on {told['controller']}" if "controller" in told else ""
    job = f" ({told['job']})" if "job" in told else ""
    who = f"{told.get('person', 'somebody')}{where}{job}" if where or job or "person" in told else ""
    why = ": ".join(part for part in (who, told.get("reason", "")) if part)
    return "; ".join(part for part in (why, _broken(told)) if part)


def _broken(told: Mapping[str, str]) -> str:
    return f"released in a freeze: {told['break_glass']}" if "break_glass" in told else ""
