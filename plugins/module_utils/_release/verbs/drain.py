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


def finish(context: Context, release_id: str, seconds: float, hurried: Callable[[], bool]) -> Optional[int]:
    """Wait up to that long for the users of this release to leave it, then have it end; no longer once it is hurried.

    Return how many open connections that has cut; None where it serves again, or another run has ended it.
    """
    strategy, begun = context.strategy_of(release_id), time.monotonic()
    limit = seconds + context.settings.drain_timeout + STOP_MARGIN
    users, told, calm, passed = 0, strategy.ends_by_draining, 0, 0.0
    while passed < limit or not told:
        over = hurried() or passed >= seconds
        found = strategy.users(release_id)
        if _serves(context, strategy, release_id) or (found is None and not told):
            return None
        if found is None:
            break
        users, calm = found, 0 if found else calm + 1
        if not told and (calm >= CALM or over):
            told = _dismiss(context, strategy, release_id)
        elif hurried():
            strategy.hasten(release_id)
        time.sleep(POLL if told and not strategy.ends_by_draining else EVERY)
        passed = time.monotonic() - begun
    unit = strategy.unit(release_id)
    by_itself = context.systemd.end(unit, STOP_MARGIN, STOP_MARGIN)
    background_drain.forbid(context.systemd, unit)
    cut = 0 if by_itself and strategy.ends_by_draining and not hurried() else users
    context.journal.record("drained", release=release_id, cut=cut, seconds=round(time.monotonic() - begun, 3))
    return cut


def _serves(context: Context, strategy: Strategy, release_id: str) -> bool:
    return context.current_id() == release_id or strategy.serves(release_id)


def _dismiss(context: Context, strategy: Strategy, release_id: str) -> bool:
    """Have it end, unless it serves; return whether it does. A run under way comes first."""
    try:
        with context.locked(0):
            if _serves(context, strategy, release_id):
                return False
            strategy.dismiss(release_id)
            return True
    except SlipwayError as error:
        if error.code != "locked":
            raise
        return False
