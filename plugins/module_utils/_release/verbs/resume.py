# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb resume: what a person says of a release that waits for that. This file is PRIVATE to the collection.

The engine that waits holds the service's lock and does the rest; who says it may be gone by then.
"""

from __future__ import annotations

import time
from typing import Any, Mapping, NamedTuple, Optional

from ..._core.errors import SlipwayError
from .. import pause
from ..context import Context
from ..phases import Phase
from ..state.store import Transaction

# Seconds within which the engine hears it, and from one look at that to the next.
WITHIN, LOOK = 15.0, 0.2


class Said(NamedTuple):
    """What is said of which release. changed: nobody had said it before. heard: the engine acts by it."""

    release: str
    previous: Optional[str]
    word: str
    changed: bool
    heard: bool

    def as_dict(self) -> Mapping[str, Any]:
        return self._asdict()


def resume(context: Context, back: bool = False, check: bool = False) -> Said:
    """Have the release that waits for a person go on, or go back. check: say what would be said, and to which one."""
    word = pause.SENT_BACK if back else pause.RESUMED
    waiting = context.store.load()
    goes_on = waiting is not None and not back and _has_been_resumed(context, waiting.txn)
    if waiting is None or not (waiting.paused or goes_on):
        raise _not_paused(context, waiting)
    if _is_deserted(context, waiting):
        raise SlipwayError(
            "interrupted",
            f"{waiting.to} was paused, and the run that paused it was cut short; nobody hears that it is to go on.",
            f"run sudo slipway recover {context.layout.name} on the host, then release again",
        )
    if check or not waiting.paused:
        return Said(waiting.to, waiting.source, word, bool(waiting.paused), True)
    pause.say(context.layout, waiting.txn, word, context.by)
    heard = _await(context, waiting.txn)
    if heard and back == _has_been_resumed(context, waiting.txn):
        raise _goes_on(context, waiting) if back else _too_late(context, waiting)
    return Said(waiting.to, waiting.source, word, True, heard)


def _is_deserted(context: Context, waiting: Transaction) -> bool:
    """Whether no engine is at work on it, so that what the state says is of one that was killed."""
    return waiting.phase != Phase.PROBATION and context.store.is_free() and context.store.load() == waiting


def _await(context: Context, txn: str) -> bool:
    end = time.monotonic() + WITHIN
    while time.monotonic() < end:
        now = context.store.load()
        if now is None or now.txn != txn or not now.paused:
            return True
        time.sleep(LOOK)
    return False


def _has_been_resumed(context: Context, txn: str) -> bool:
    return any(one["event"] == "resumed" and one.get("txn") == txn for one in context.journal.events())


def _too_late(context: Context, waiting: Transaction) -> SlipwayError:
    ended = context.journal.outcome_of(waiting.txn)
    reason = ended.get("reason") or "it is going back now"
    return SlipwayError(
        "too_late",
        f"{waiting.to} went back before this was heard: {reason}",
        "see what the release logged, then release it again with release_force: true",
    )


def _goes_on(context: Context, waiting: Transaction) -> SlipwayError:
    return SlipwayError(
        "too_late",
        f"{waiting.to} was resumed before this was heard: it goes on already.",
        f"run sudo slipway rollback {context.layout.name} on the host",
    )


def _not_paused(context: Context, in_flight: Optional[Transaction]) -> SlipwayError:
    """What is there instead, and what to do about that."""
    name, current = context.layout.name, context.current_id()
    if in_flight is None:
        last = context.journal.last_outcome()
        went = last.get("event") == "rolled_back" and isinstance(last.get("paused"), dict)
        there = f"{last.get('release')} has gone back: {pause.describe(last['paused'])}" if went else ""
        serves = f"{current} serves" if current else "no release serves"
        text, fix = (f"{there}; {serves}" if there else serves), f"see sudo slipway history {name}"
    elif in_flight.phase == Phase.PROBATION:
        text = f"{in_flight.to} serves and waits to be confirmed"
        fix = f"run sudo slipway confirm {name} to keep it, or sudo slipway rollback {name}"
    else:
        text, fix = f"a swap to {in_flight.to} is in {in_flight.phase}", f"see sudo slipway status {name}"
    return SlipwayError("not_paused", f"no release of {name} is paused: {text}.", fix)
