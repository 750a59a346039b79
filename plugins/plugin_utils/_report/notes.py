# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the tasks of a run keep for its report, in the temporary folder of the run. PRIVATE to the collection.

So the figures of a timeline are in no result, and in no output of a job. Ansible removes the folder when the run ends.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible import constants

PREFLIGHT, RELEASE, CLOSING, COMPARISON = "preflight", "release", "closing", "comparison"
_FOLDER = "slipway-report"
# What of an answer of slipway.go.release the report shows.
_ANSWERED = (
    "action",
    "answer",
    "build_host",
    "changed",
    "code",
    "current",
    "cut",
    "downtime_seconds",
    "draining",
    "failed",
    "failed_phase",
    "failed_release",
    "fix",
    "log",
    "msg",
    "notices",
    "paused",
    "phases",
    "previous",
    "probe",
    "problems",
    "restarted_because",
    "rolled_back",
    "swap_seconds",
    "traffic",
    "unreachable",
)


def keep(kind: str, service: str, host: str, note: Mapping[str, Any]) -> None:
    """Keep it instead of what was kept of that before. A note that cannot be kept is missing in the report."""
    with contextlib.suppress(OSError, TypeError, ValueError):
        folder = Path(constants.DEFAULT_LOCAL_TMP) / _FOLDER
        folder.mkdir(exist_ok=True)
        name = hashlib.sha256("\0".join((kind, service, host)).encode(errors="surrogateescape")).hexdigest()
        own = folder / f"{name}.new"
        own.write_text(json.dumps({**note, "kind": kind, "service": service, "host": host}, default=str), "utf-8")
        own.replace(folder / f"{name}.json")


def kept() -> Iterator[dict[str, Any]]:
    """All notes of this run, in no order."""
    for path in (Path(constants.DEFAULT_LOCAL_TMP) / _FOLDER).glob("*.json"):
        with contextlib.suppress(OSError, ValueError):
            yield json.loads(path.read_text("utf-8"))


def of_answer(answer: Mapping[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in _ANSWERED if name in answer}


def batch_of(variables: Mapping[str, Any]) -> int:
    """The place of the batch's first host among all hosts, by which batches are told apart."""
    everyone = list(variables.get("ansible_play_hosts_all") or [])
    batch = set(variables.get("ansible_play_batch") or [])
    return next((place for place, host in enumerate(everyone) if host in batch), 0)
