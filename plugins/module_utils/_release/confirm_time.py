# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a host waits for a release to be confirmed before it takes it back. This file is PRIVATE to the collection.

A swap arms the timer for that time, and preflight refuses what the timer would not take.
"""

from __future__ import annotations

import math
from typing import Optional

from .._core.errors import SlipwayError
from .._deadman.model import LONGEST
from .state.model import Settings
from .strategies.base import STOP_MARGIN, Strategy, Wait

# A fix names what is at least that long; of so few variables, one is, where all of them are too long together.
_LARGE = 3600.0


def waits(strategy: Strategy, settings: Settings, hold: float) -> list[Wait]:
    """What that time is made of, by the variable that says so."""
    return [*strategy.waits(), *_beside_the_swap(strategy, settings, hold)]


def _beside_the_swap(strategy: Strategy, settings: Settings, hold: float) -> list[Wait]:
    return [
        Wait("release_soak_time", settings.soak_time),
        Wait("release_pause_time", strategy.pause_time()),
        Wait("release_confirm", settings.confirm),
        Wait("release_confirm_fleet", hold),
    ]


def seconds(strategy: Strategy, settings: Settings, hold: float, takes_over: bool) -> float:
    """From the beginning of the swap. A former service has to end, too, where the release takes over from one."""
    former = settings.drain_timeout + STOP_MARGIN if takes_over else 0.0
    return strategy.time_limit() + sum(one.total for one in _beside_the_swap(strategy, settings, hold)) + former


def objection(strategy: Strategy, settings: Settings, hold: float, takes_over: bool) -> Optional[SlipwayError]:
    """What speaks against a release with these times; None for nothing.

    The fix makes what is long shorter by the same share: a fleet waits for its pauses, so both go together.
    """
    wanted = seconds(strategy, settings, hold, takes_over)
    if wanted <= LONGEST:
        return None
    large = sorted((one for one in waits(strategy, settings, hold) if one.total >= _LARGE), key=lambda one: -one.total)
    there = sum(one.total for one in large)
    share = max(0.0, LONGEST - (wanted - there)) / there
    lower = [f"{one.variable} to {max(1, math.floor(one.seconds * share))}" for one in large]
    return SlipwayError(
        "confirm_too_long",
        f"The host would wait {wanted:.0f} s until it takes back a release that nobody confirms, and it may wait "
        f"{LONGEST} s at most: {', '.join(map(str, large))}.",
        f"set {' and '.join(lower)} or less",
    )
