# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb recover: finish or undo what a run that was cut short has left. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Optional

from ..context import Context
from ..recovery import is_awaiting_confirmation, settle_in_flight

# As long as the timer of a transaction waits for another run to end, in seconds.
LONGEST = 86400.0
# Beside the names of services in the answer of a recovery: what serves now, by service. No service has such a name.
SERVING = "_serving"


def recover(context: Context, txn: Optional[str] = None) -> Optional[str]:
    """Finish or undo what a run that was cut short has left; return the release it was about, if any.

    With a transaction, only that one, however long another run takes. Without, one that still waits to be confirmed
    is left alone.
    """
    with context.locked(None if txn is None else LONGEST):
        in_flight = context.store.load()
        if in_flight is None or txn not in (None, in_flight.txn):
            return None
        if txn is None and is_awaiting_confirmation(context, in_flight):
            return None
        settle_in_flight(context)
        return in_flight.to


def serving(context: Context) -> Optional[str]:
    """The release that serves now; None where the one that should does not run."""
    current = context.current_id()
    return current if current and context.strategy_of(current).serves(current) else None
