# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb drain: a release ends that was left to drain beside the next one. PRIVATE to the collection.

It holds the service's lock only to decide, for releases and rollbacks must not wait for users to leave.
"""

from __future__ import annotations

import time
from typing import Callable, Optional

from ..._core.errors import SlipwayError
from ..._host.systemd import POLL
from .. import background_drain
from ..context import Context
from ..strategies.base import STOP_MARGIN, Strategy

EVERY = 2.0  # seconds between two looks
CALM = 2  # looks in a row that find no user
_ENDING = ("inactive", "failed", "deactivating")


def finish(context: Context, release_id: str, until: float, hurried: Callable[[], bool]) -> Optional[int]:
    """Wait until then, in time.monotonic(), for the users of this release to leave it, or until hurried; then end it.

    Return how many open connections that has cut; None where it serves again, or another run has ended it.
    """
    strategy, begun = context.strategy_of(release_id), time.monotonic()
    limit = until + context.settings.drain_timeout + STOP_MARGIN
    users, told, calm = None, strategy.ends_by_draining, 0
    while True:
        found = strategy.users(release_id)
        if found is None:
            break
        if _serves(context, strategy, release_id):
            return None
        users, calm = found, 0 if found else calm + 1
        if told and hurried():
            strategy.hasten(release_id)
        elif not told and (calm >= CALM or hurried() or time.monotonic() >= until):
            told = bool(_locked(context, lambda: _dismiss(context, strategy, release_id)))
            if hurried() and not told:
                return None
        if told and time.monotonic() >= limit:
            break
        time.sleep(POLL if told and not strategy.ends_by_draining else EVERY)
    if users is None or not told:
        return None
    return _conclude(context, strategy, release_id, (users, begun), hurried)


def _serves(context: Context, strategy: Strategy, release_id: str) -> bool:
    return context.current_id() == release_id or strategy.serves(release_id)


def _locked(context: Context, act: Callable[[], Optional[int]]) -> Optional[int]:
    """What the act returns, with the service's lock held; None where a run is under way, which comes first."""
    try:
        with context.locked(0):
            return act()
    except SlipwayError as error:
        if error.code != "locked":
            raise
        return None


def _dismiss(context: Context, strategy: Strategy, release_id: str) -> bool:
    """Have it end, unless it serves; return whether it does."""
    if _serves(context, strategy, release_id):
        return False
    strategy.dismiss(release_id)
    return True


def _conclude(
    context: Context, strategy: Strategy, release_id: str, seen: tuple[int, float], hurried: Callable[[], bool]
) -> Optional[int]:
    """Make sure that it has ended, and write down what that has cut. seen: its last users, and when the wait began."""
    unit, (users, begun) = strategy.unit(release_id), seen

    def act() -> int:
        state = context.systemd.show(unit)
        starts = state.active not in _ENDING or (state.active != "deactivating" and state.job)
        if starts or _serves(context, strategy, release_id):
            return -1  # it is to serve again
        by_itself = context.systemd.end(unit, STOP_MARGIN, STOP_MARGIN)
        background_drain.forbid(context.systemd, unit)
        cut = 0 if by_itself and strategy.ends_by_draining and not hurried() else users
        context.journal.record("drained", release=release_id, cut=cut, seconds=round(time.monotonic() - begun, 3))
        return cut

    while True:
        cut = _locked(context, act)
        if cut is not None:
            return None if cut < 0 else cut
        if hurried():
            return None
        time.sleep(EVERY)
