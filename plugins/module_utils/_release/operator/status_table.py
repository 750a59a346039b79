# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of playbooks/status.yml. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence

from ..._core.table import aligned, plain
from ..._health.outcome import PASS, WARN

COLUMNS = ("host", "service", "release", "commit", "since", "health", "p99", "restarts")
_ABSENT = "-"
_COMMIT = 12
_SPANS = ((86400.0, "d"), (3600.0, "h"), (60.0, "m"), (1.0, "s"))


def render_status_table(rows: Sequence[Mapping[str, Any]], now: Optional[float] = None) -> str:
    """One line for each row, in the order given.

    A row maps the names in COLUMNS: since in seconds of the wall clock (shown as an age where now is given), p99 in
    seconds, health as pass, warn, fail or anything else, which counts as down. What is missing is shown as a dash.
    Below the table stands the message of every row that is not healthy.
    """
    table = [[column.upper() for column in COLUMNS]]
    table += [[_cell(column, row.get(column), now) for column in COLUMNS] for row in rows]
    return "\n".join([aligned(table), *_messages(rows)])


def down(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Which of them do not serve; a row without a verdict, or whose host's record is damaged, is one of them."""
    return [
        f"{_text(row.get('host'))}/{_text(row.get('service'))}"
        for row in rows
        if row.get("health") not in (PASS, WARN) or row.get("damaged")
    ]


def _messages(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    messages = [
        f"{_text(row.get('host'))}/{_text(row.get('service'))}: {_text(row['message'])}"
        for row in rows
        if (row.get("health") != PASS or row.get("damaged")) and row.get("message")
    ]
    return ["", *messages] if messages else []


def _cell(column: str, value: Any, now: Optional[float]) -> str:
    if value is None or value == "":
        return _ABSENT
    if column == "since" and now is not None and _is_number(value):
        return age(now - float(value))
    if column == "p99" and _is_number(value):
        return f"{float(value) * 1000:.1f} ms"
    if column == "commit":
        return _text(value)[:_COMMIT]
    return _text(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    """One line, whatever a host put into it: no control characters reach the operator's terminal."""
    return plain(_ABSENT if value is None else str(value))


def age(seconds: float) -> str:
    """The two largest units of a span of time, such as 3d 4h."""
    rest = max(0.0, seconds)
    parts: list[str] = []
    for size, name in _SPANS:
        count, rest = divmod(rest, size)
        if count or parts or name == "s":
            parts.append(f"{count:.0f}{name}")
    return " ".join(parts[:2])
