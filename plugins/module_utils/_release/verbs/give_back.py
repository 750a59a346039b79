# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb give back: the service that was there before slipway runs again. This file is PRIVATE to the collection.

It is a transaction like any other, from the release that serves to none, so that the next run, the timer or a boot
finishes what is cut short.
"""

from __future__ import annotations

import time

from ..._core.errors import SlipwayError
from ..._deadman.model import LONGEST
from .. import confirm_timer
from ..context import Context
from ..outcome import Outcome, unchanged
from ..phases import Phase
from ..recovery import restore, settle_in_flight
from ..state.store import Transaction
from ..strategies.base import STOP_MARGIN
from ..strategies.registry import PROXY
from .keep_former import not_started, start_former

GIVEN_BACK = SlipwayError("given_back", "somebody gave the service back to the unit that it had before slipway.")


def predict(context: Context) -> Outcome:
    """Say whether anything would change; raise where the former service cannot come back."""
    takeover, current = context.takeover, context.current_id()
    takeover.require_kept()
    in_flight = context.store.load()
    if takeover.in_force:
        return Outcome(True, None, in_flight.to, "given_back") if in_flight is not None else unchanged(None)
    if current is None:
        raise SlipwayError(
            "not_adopted",
            f"no release of {context.layout.name} is current on this host, so its former unit has nothing to replace.",
            f"release a version first, or move what {takeover.folder} keeps into its place by hand",
        )
    if context.strategy_of(current).name == PROXY:
        raise SlipwayError(
            "other_front",
            f"{current} was released with service_swap: proxy, and HAProxy has the port of the former "
            f"{takeover.service}.",
            "release a version with service_swap: restart and proxy_state: absent first",
        )
    return Outcome(True, None, current, "given_back")


def give_back(context: Context) -> Outcome:
    """End the release that serves, and have the former service as it was."""
    with context.locked():
        context.takeover.require_kept()
        in_flight = context.store.load()
        settle_in_flight(context, GIVEN_BACK, context.by)
        if context.takeover.in_force:
            start_former(context)
            return unchanged(None) if in_flight is None else Outcome(True, None, in_flight.to, "given_back")
        outcome = predict(context)
        confirm_timer.require_tool()
        outcome.downtime_seconds = _swap(context, str(outcome.previous))
        return outcome


def _swap(context: Context, current: str) -> float:
    """From the release to the former service; return the seconds in which neither was up."""
    strategy, settings = context.strategy_of(current), context.settings
    transaction = context.store.begin(current, None, strategy.name, "rollback", GIVEN_BACK.message, by=context.by)
    seconds = strategy.time_limit() + settings.start_timeout + 2 * (settings.drain_timeout + STOP_MARGIN)
    seconds = min(seconds, LONGEST)
    transaction.deadline = time.time() + seconds
    confirm_timer.arm(context.layout.name, transaction.txn, seconds)
    _enter(context, transaction)
    context.takeover.reclaim()
    begun = time.monotonic()
    unwell = restore(
        context.service,
        transaction,
        GIVEN_BACK,
        context.takeover,
        measured=lambda: {"downtime_seconds": round(time.monotonic() - begun, 3)},
    )
    if unwell is not None:
        raise not_started(unwell)
    return time.monotonic() - begun


def _enter(context: Context, transaction: Transaction) -> None:
    transaction.phase = Phase.INTENT
    context.store.save(transaction)
    context.store.record_phase(
        transaction,
        source=None,
        kind=transaction.kind,
        strategy=transaction.strategy,
        **({"by": transaction.by} if transaction.by else {}),
    )
