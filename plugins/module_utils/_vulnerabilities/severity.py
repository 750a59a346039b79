# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How severe a vulnerability is, in words. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import Any, Optional

LEVELS = ("low", "medium", "high", "critical")
_WORDS = {"moderate": "medium", **{level: level for level in LEVELS}}
_FLOORS = (("critical", 9.0), ("high", 7.0), ("medium", 4.0), ("low", 0.1))
_VECTOR = re.compile(r"CVSS:3\.[01]((?:/[A-Z]{1,3}:[A-Z])+)", re.ASCII)
_SCOPES = ("U", "C")
# The weights of the base metrics, as the specification of CVSS 3.1 gives them in its section 7.4.
_WEIGHTS = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "PR": {"N": 0.85, "L": 0.62, "H": 0.27},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES_ELSEWHERE = {"N": 0.85, "L": 0.68, "H": 0.5}  # where the scope changes


def base_score(vector: str) -> Optional[float]:
    """The base score of a CVSS 3 vector; None for what is not one, or lacks a base metric."""
    match = _VECTOR.fullmatch(vector.strip())
    if match is None:
        return None
    metrics = dict(part.split(":") for part in match.group(1)[1:].split("/"))
    weights = {name: table.get(metrics.get(name, "")) for name, table in _WEIGHTS.items()}
    scope = metrics.get("S")
    if scope not in _SCOPES or None in weights.values():
        return None
    changed = scope == "C"
    if changed:
        weights["PR"] = _PRIVILEGES_ELSEWHERE[metrics["PR"]]
    return _score({name: weight or 0.0 for name, weight in weights.items()}, changed)


def _score(weights: dict[str, float], changed: bool) -> float:
    untouched = (1 - weights["C"]) * (1 - weights["I"]) * (1 - weights["A"])
    lost = 1 - untouched
    impact = 7.52 * (lost - 0.029) - 3.25 * (lost - 0.02) ** 15 if changed else 6.42 * lost
    if impact <= 0:
        return 0.0
    ease = 8.22 * weights["AV"] * weights["AC"] * weights["PR"] * weights["UI"]
    return _round_up(min(1.08 * (impact + ease) if changed else impact + ease, 10.0))


def _round_up(value: float) -> float:
    """To one decimal, without an error of binary fractions being rounded up."""
    whole = round(value * 100000)
    return whole / 100000 if whole % 10000 == 0 else (whole // 10000 + 1) / 10


def severity_of(entry: dict[str, Any], affected: dict[str, Any]) -> str:
    """One of LEVELS, the highest that is said; empty where nothing is said that can be read."""
    said = [_of_score(one) for owner in (entry, affected) for one in _dicts(owner.get("severity"))]
    said += [_of_word(owner.get("database_specific")) for owner in (entry, affected)]
    return max(said, key=rank)


def rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else -1


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _of_score(one: dict[str, Any]) -> str:
    score = base_score(str(one.get("score"))) if one.get("type") == "CVSS_V3" else None
    if score is None:
        return ""
    return next((level for level, floor in _FLOORS if score >= floor), LEVELS[0])


def _of_word(specific: Any) -> str:
    word = specific.get("severity") if isinstance(specific, dict) else None
    return _WORDS.get(word.lower(), "") if isinstance(word, str) else ""
