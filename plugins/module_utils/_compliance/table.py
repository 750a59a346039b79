# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of playbooks/compliance.yml. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .._core.table import aligned, plain

COLUMNS = ("host", "control", "verdict", "expected", "found", "reason")
_ABSENT = "-"
_WIDEST = 60


def render_compliance_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each row, in the order given."""
    return aligned([[column.upper() for column in COLUMNS], *([_cell(row, one) for one in COLUMNS] for row in rows)])


def _cell(row: Mapping[str, Any], column: str) -> str:
    shown = plain(str(row.get(column) or ""))
    return (shown if len(shown) <= _WIDEST else f"{shown[: _WIDEST - 1]}…") or _ABSENT


def summary(host: str, counts: Mapping[str, int]) -> str:
    """How many controls of a host have each verdict, in one line."""
    told = ", ".join(f"{number} {verdict}" for verdict, number in counts.items() if number)
    return f"{host}: {told}"
