# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A diagnosis for people. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .._core.errors import with_fix
from .evidence import Rank

WORDS = {"cause": "likely cause", "suspect": "may be why", "symptom": "what is seen", "note": "also"}


def failing(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The findings that are more than a note."""
    return [one for one in told["findings"] if one["rank"] != Rank.NOTE.name.lower()]


def render(told: Mapping[str, Any]) -> str:
    """The whole answer, one finding after the other."""
    head = f"{told['service']}: {told['current'] or 'no release'}, {told['state']}, health {told['health']}"
    lines = [line for number, one in enumerate(told["findings"], 1) for line in _lines(number, one)]
    return "\n".join([head, *(lines or ["  nothing is wrong that can be seen from this host"])])


def _lines(number: int, finding: Mapping[str, Any]) -> Sequence[str]:
    first = f"{number:>3}. {WORDS[finding['rank']]}: {sentence_of(finding)}"
    return [first, *(f"     | {line}" for line in finding["lines"])]


def sentence_of(finding: Mapping[str, Any]) -> str:
    """What was found, and what to do about it."""
    return with_fix(str(finding["message"]), str(finding["fix"]))
