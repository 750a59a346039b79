# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a host still serves what the run has released there, once its batch was compared. Pure.

PRIVATE to the collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError, sentence

# Seconds within which a host has to answer.
WITHIN = 60.0
WENT_BACK = "fleet_went_back"
DOWN = "fleet_down"


def objection(expected: str, answer: Mapping[str, Any]) -> SlipwayError | None:
    """Why the host counts as lost, by what slipway.go.release_info has answered there."""
    current = answer.get("current")
    if current != expected:
        text = (
            f"after the comparison of its batch, {current or 'nothing'} runs here instead of {expected or 'a release'}."
        )
        return SlipwayError(WENT_BACK, text, "see sudo slipway history there, then release again")
    if answer.get("health") in ("fail", "unknown"):
        text = f"after the comparison of its batch, {expected} does not run here: {answer.get('message')}"
        return SlipwayError(DOWN, sentence(text), "see what the release logged there, then release again")
    return None


def as_it_turned_out(result: Mapping[str, Any], failure: Mapping[str, Any], service: str) -> Mapping[str, Any]:
    """What a release has answered, or, on a host that has gone back since, what it would have answered then."""
    if failure.get("code") != WENT_BACK or failure.get("service", service) not in ("", service):
        return result
    return {**result, "changed": False, "failed_release": result.get("current"), "current": result.get("previous")}
