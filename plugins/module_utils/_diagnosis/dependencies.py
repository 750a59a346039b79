# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service needs of others, as the role service has written it down, asked once. PRIVATE to the collection."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Mapping, Sequence

from .._core.errors import SlipwayError
from .._health.outcome import FAIL
from .._health.parsing import parse_check
from .._health.runner import attempt
from .._release.artefact.fetch import shown
from .evidence import Dependency

PRIORITIES = ("high", "medium", "low")
TIMEOUT = 3.0  # seconds for one dependency
LONGEST = 15.0  # seconds for all of them
AT_A_TIME = 16
SKIPPED = "skipped"


def ask(declared: Sequence[Mapping[str, Any]]) -> list[Dependency]:
    """Each of them, side by side, in the order of their priority."""
    end = time.monotonic() + LONGEST
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = list(pool.map(lambda one: _ask(one, end), declared))
    return sorted(found, key=lambda one: _order(one.priority))


def _order(priority: str) -> int:
    return PRIORITIES.index(priority) if priority in PRIORITIES else len(PRIORITIES)


def _ask(declared: Mapping[str, Any], end: float) -> Dependency:
    name, priority = str(declared.get("name") or "?"), str(declared.get("priority") or "medium")
    target = shown(str(declared.get("url") or declared.get("address") or "?"))
    try:
        made = attempt(parse_check(check_of(declared)), end)
    except SlipwayError as error:
        return Dependency(name, priority, target, FAIL, "error", error.message)
    if made.clipped:
        return Dependency(name, priority, target, SKIPPED, SKIPPED, f"there was no time left of {LONGEST:g} s for all")
    return Dependency(name, priority, target, made.state, made.reason, made.message, made.certificate_days)


def check_of(declared: Mapping[str, Any]) -> dict[str, Any]:
    """The health check of a dependency: of its page where it has a url, else of its TCP address."""
    options = {key: value for key, value in declared.items() if key != "priority" and value not in (None, "", [])}
    kind = str(options["url"]).partition(":")[0] if "url" in options else "tcp"
    return {"kind": kind, "timeout": TIMEOUT, **options}
