# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a release, as state.json, the journal and results name them. This file is PRIVATE to the collection.

docs/design/architecture.md says what happens in each.
"""

from __future__ import annotations

from enum import Enum


class Phase(str, Enum):
    """A phase is its name: equal to that text, and written as it."""

    STAGE = "STAGE"
    REHEARSE = "REHEARSE"
    INTENT = "INTENT"
    OVERLAP = "OVERLAP"
    CANARY = "CANARY"
    START = "START"
    FLIP = "FLIP"
    DRAIN = "DRAIN"
    SOAK = "SOAK"
    PROBATION = "PROBATION"
    COMMIT = "COMMIT"
    PRUNE = "PRUNE"

    def __str__(self) -> str:
        return str(self.value)


# Starts the new before it stops the old.
OVERLAPPING = (Phase.INTENT, Phase.OVERLAP, Phase.FLIP, Phase.DRAIN, Phase.SOAK, Phase.COMMIT)
# The running release starts the new one itself, from what is current, and ends when that one serves.
HANDING_OVER = (Phase.INTENT, Phase.FLIP, Phase.START, Phase.DRAIN, Phase.SOAK, Phase.COMMIT)
# Stops the old before it starts the new: what a strategy does that cannot overlap, and a change of strategy.
IN_TURN = (Phase.INTENT, Phase.DRAIN, Phase.FLIP, Phase.START, Phase.SOAK, Phase.COMMIT)
# In turn, where users are led only to what is proven.
PROVEN_BEFORE_FLIP = (Phase.INTENT, Phase.DRAIN, Phase.START, Phase.FLIP, Phase.SOAK, Phase.COMMIT)
