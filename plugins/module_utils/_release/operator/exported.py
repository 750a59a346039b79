# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All metrics that the watch exports of one service. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Mapping, Optional, Sequence

from ..state.journal import Event
from . import figures, metrics


@dataclass(frozen=True)
class Known:
    """What is known of a service at one look.

    release: the one that serves, with its version and commit; empty where none does. restarts: by systemd. checks: as
    CheckResult.as_dict() gives them. watch: as watch.step() gives it. unfinished: None where it is not known.
    """

    release: Mapping[str, Any] = field(default_factory=dict)
    up: bool = False
    stopped: bool = False
    restarts: Optional[int] = None
    checks: Sequence[Mapping[str, Any]] = ()
    watch: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Event] = ()
    bad: int = 0
    unfinished: Optional[bool] = False
    deadline: Optional[float] = None
    running: bool = False
    paused_until: Optional[float] = None


def families(service: str, known: Known, now: float) -> list[metrics.Family]:
    last = figures.last_by_result(known.history)
    since = last.get("committed", {}).get("at")
    return [
        *(metrics.release(service, known.release, since) if known.release else []),
        metrics.up(service, known.up),
        *metrics.unit(service, known.stopped, known.restarts),
        *metrics.health(service, known.checks, now),
        *metrics.watch(service, known.watch),
        metrics.swaps(service, figures.results(known.history)),
        *metrics.last_swaps(service, last),
        metrics.rollbacks(service, figures.rollbacks(known.history)),
        metrics.unconfirmed(service, figures.unconfirmed(known.history)),
        *metrics.unfinished(service, known.unfinished, known.deadline),
        *metrics.at_work(service, known.running, now),
        *metrics.paused(service, known.paused_until),
        metrics.bad(service, known.bad),
    ]
