# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb keep former: what a service was before slipway is kept, so that a release may take it over.

The service goes on running. This file is PRIVATE to the collection.
"""

from __future__ import annotations

from typing import Sequence

from ..._core.errors import SlipwayError
from ..context import Context
from ..recovery import is_awaiting_confirmation, settle_in_flight
from ..strategies.base import STOP_MARGIN


def keep_former(context: Context, moved: Sequence[str], kept: Sequence[str]) -> bool:
    """Keep a copy of the former service's files, for the next release to take over; return whether it is to.

    moved: its units and drop-ins, which go while a release serves. kept: what else it needs. What a run before has left
    in flight comes first; a release that only waits to be confirmed is left to the next release.
    """
    with context.locked():
        takeover, in_flight = context.takeover, context.store.load()
        if in_flight is not None and is_awaiting_confirmation(context, in_flight):
            return False
        settle_in_flight(context)
        if context.current_id() is not None:
            return False
        if takeover.in_force:
            start_former(context)
        takeover.keep(moved, kept)
        return True


def close_former(context: Context, predict: bool = False) -> bool:
    """Have no later run use what one has prepared; return whether it could have.

    Where a swap has the lock, its own end closes it.
    """
    was_open = context.takeover.is_open
    if predict or not was_open:
        return was_open
    try:
        with context.locked():
            was_open = context.takeover.is_open
            context.takeover.close()
            return was_open
    except SlipwayError as error:
        if error.code != "locked":
            raise
        return False


def start_former(context: Context) -> None:
    """Have the former service run, with its files as somebody may have changed them; raise where it does not."""
    settings = context.settings
    unwell = context.takeover.start(settings.drain_timeout + 2 * STOP_MARGIN, settings.start_timeout)
    if unwell is not None:
        raise not_started(unwell)


def not_started(unwell: SlipwayError) -> SlipwayError:
    return SlipwayError(
        "former_not_started",
        f"the files of the former service are back, and it does not run: {unwell.message}",
        unwell.fix,
    )
