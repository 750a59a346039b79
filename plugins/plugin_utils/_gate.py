# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads the controller's vulnerability database and the rules on it. This file is PRIVATE to the collection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.database import check_age, read_database
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.gate import Gate, pack
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.judge import (
    ACCEPT,
    REFUSE,
    Rules,
    parse_ignored,
)
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.severity import LEVELS
from ansible_collections.slipway.go.plugins.plugin_utils import _survey

MAX_AGE = 30.0
_LONGEST = 36500


def _days(value: Any, variable: str) -> float:
    found = _survey.number(value, variable)
    if not 0 <= found <= _LONGEST:
        raise SlipwayError(
            f"invalid_{variable.partition('_')[2] or variable}",
            f"{variable} is {found:g}, not 0 to {_LONGEST} days.",
            "give a number of days",
        )
    return found


# How each option is read, and the variable of the role that it comes from.
OPTIONS: dict[str, tuple[str, Callable[[Any, str], Any]]] = {
    "database": ("release_vulnerability_database", _survey.text),
    "severity": ("release_vulnerability_severity", _survey.choice(*LEVELS)),
    "grace": ("release_vulnerability_grace", _days),
    "max_age": ("release_vulnerability_max_age", _days),
    "ignore": ("release_vulnerability_ignore", _survey.records),
    "inconclusive": ("release_vulnerability_inconclusive", _survey.choice(ACCEPT, REFUSE)),
    "toolchain": ("release_vulnerability_toolchain", _survey.switch),
}


def read_gate(path: str, given: Mapping[str, Any]) -> str:
    """The database at that path and the rules, as the text that programs are judged by, here and on hosts."""
    today = datetime.now(timezone.utc).date()
    rules = Rules(
        today=today,
        severity=given.get("severity") or "",
        grace=given.get("grace") or 0,
        ignored=parse_ignored(given.get("ignore") or []),
        inconclusive=given.get("inconclusive") or REFUSE,
        toolchain=bool(given.get("toolchain")),
    )
    database = read_database(path)
    age = given.get("max_age")
    check_age(database, today, MAX_AGE if age is None else age, path)
    return pack(Gate(database.modules, rules))
