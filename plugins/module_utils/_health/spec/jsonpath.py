# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The part of JSONPath a health page needs: names, indexes and wildcards. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import Any, Union

from .options import bad

Step = Union[str, int, None]  # a name, an index, or None for a wildcard

# Compiled where a path is read, since most checks have none.
_STEP = r"""
    \. (?P<name> [^.\[\]'"*\s]+ )
  | \. (?P<star> \* )
  | \[ (?P<index> -?\d{1,9} ) \]
  | \[ (?P<all> \* ) \]
  | \[ ' (?P<single> (?: [^'\\] | \\. )* ) ' \]
  | \[ " (?P<double> (?: [^"\\] | \\. )* ) " \]
"""


def parse(text: str, where: str) -> tuple[Step, ...]:
    """$.a.b, a.b, $.list[0].x, $.list[*].x, $['odd name']"""
    rest = text[1:] if text.startswith("$") else text if text.startswith(("[", ".")) else "." + text
    steps: list[Step] = []
    position, pattern = 0, re.compile(_STEP, re.VERBOSE)
    while position < len(rest):
        match = pattern.match(rest, position)
        if match is None:
            raise bad(
                where,
                f"path {text!r} cannot be read from {rest[position:]!r} on",
                "write a path such as $.components.db.status or $.checks[*].status",
            )
        steps.append(_step(match))
        position = match.end()
    return tuple(steps)


def _step(match: Any) -> Step:
    kind = match.lastgroup
    if kind in ("star", "all"):
        return None
    if kind == "index":
        return int(match.group(kind))
    if kind == "name":
        return str(match.group(kind))
    return re.sub(r"\\(.)", r"\1", match.group(kind))


def find(document: Any, steps: tuple[Step, ...]) -> list[Any]:
    """Every value the path leads to; none where it leads nowhere."""
    values = [document]
    for step in steps:
        values = [inner for value in values for inner in _inner(value, step)]
    return values


def _inner(value: Any, step: Step) -> list[Any]:
    if step is None:
        return list(value.values()) if isinstance(value, dict) else list(value) if isinstance(value, list) else []
    if isinstance(step, str) and isinstance(value, dict):
        return [value[step]] if step in value else []
    if isinstance(step, int) and isinstance(value, list):
        return [value[step]] if -len(value) <= step < len(value) else []
    return []
