# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a notice says: its fields, which templates and programs of users read. Pure. PRIVATE to the collection."""

from __future__ import annotations

import time
from typing import Any, Mapping

SCHEMA = 1
STARTED, BATCH_DONE, WAITING = "started", "batch_done", "waiting"
FINISHED, ROLLED_BACK, FAILED = "finished", "rolled_back", "failed"
WATCH_ACTED = "watch_acted"
OF_RUNS = (STARTED, BATCH_DONE, WAITING, FINISHED, ROLLED_BACK, FAILED)
EVENTS = (*OF_RUNS, WATCH_ACTED)
# A message of a chat or a mail, not a log.
TEXT, LISTED = 600, 20

# Every notice has every field, so that a template that reads one never fails. docs/guide/notices.md describes them.
FIELDS: Mapping[str, Any] = {
    "schema": SCHEMA,
    "event": "",
    "text": "",
    "playbook": "",
    "services": [],
    "version": "",
    "changes": [],
    "hosts": {
        "total": 0,
        "released": 0,
        "unchanged": 0,
        "rolled_back": 0,
        "failed": 0,
        "unreachable": 0,
        "waiting": 0,
        "not_touched": 0,
    },
    "failed_hosts": [],
    "batch": 0,
    "batches": 0,
    **dict.fromkeys(("verdict", "code", "cause", "host", "reason", "person", "controller", "job", "job_url"), ""),
    **dict.fromkeys(("run", "run_id", "when"), ""),
}


def notice(**told: Any) -> dict[str, Any]:
    """A whole notice from what is known."""
    unknown = set(told) - set(FIELDS)
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    found = {name: told.get(name, blank) for name, blank in FIELDS.items()}
    found["hosts"] = {**FIELDS["hosts"], **found["hosts"]}
    found["text"] = one_line(found["text"], TEXT)
    return found


def utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def one_line(text: Any, limit: int) -> str:
    """On one line, without what a terminal or a header could take for a command, and not longer than that."""
    plain = " ".join("".join(one if one.isprintable() else " " for one in str(text)).split())
    return plain if len(plain) <= limit else f"{plain[: limit - 1]}…"
