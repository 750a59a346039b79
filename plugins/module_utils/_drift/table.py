# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The table of playbooks/drift.yml. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from typing import Any, Mapping, Optional, Sequence

from .._core.table import aligned, plain

COLUMNS = ("host", "service", "what", "expected", "found", "since")
_ABSENT = "-"


def render_drift_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """One line for each row, in the order given. since is in seconds of the wall clock, and shown in UTC."""
    return aligned([[column.upper() for column in COLUMNS], *([_cell(row, one) for one in COLUMNS] for row in rows)])


def utc(since: Optional[float]) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(since)) if since else ""


def _cell(row: Mapping[str, Any], column: str) -> str:
    text = str(row.get(column) or "")
    if column == "what":
        text = f"{row['area']} {row['what']}"
    if column == "since":
        text = utc(row.get("since"))
    return plain(text) or _ABSENT
