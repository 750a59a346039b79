# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has become of a host while its batch was compared."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import standing, way_back

OLD, NEW = "1.0-a", "2.0-b"
AFTER = "after the comparison of its batch, "


@pytest.mark.parametrize(
    ("answer", "code", "says"),
    [
        ({"current": NEW, "health": "pass"}, "", ""),
        ({"current": NEW, "health": "warn", "message": "on disk, bin/shop"}, "", ""),
        ({"current": OLD, "health": "pass"}, "fleet_went_back", f"{AFTER}{OLD} runs here instead of {NEW}."),
        ({"current": None, "health": "fail"}, "fleet_went_back", f"{AFTER}nothing runs here instead of {NEW}."),
        (
            {"current": NEW, "health": "fail", "message": "systemd says failed"},
            "fleet_down",
            f"{AFTER}{NEW} does not run here: systemd says failed.",
        ),
        (
            {"current": NEW, "health": "unknown", "message": "state.json is damaged."},
            "fleet_down",
            f"{AFTER}{NEW} does not run here: state.json is damaged.",
        ),
    ],
)
def test_what_speaks_against_a_host(answer, code, says):
    found = standing.objection(NEW, answer)
    assert (getattr(found, "code", ""), getattr(found, "message", "")) == (code, says)


DONE = {"changed": True, "action": "release", "current": NEW, "previous": OLD}
WENT_BACK = {"code": "fleet_went_back", "msg": "gone.", "service": "shop"}


@pytest.mark.parametrize(
    ("failure", "swapped"),
    [
        ({}, True),
        (WENT_BACK, False),
        ({**WENT_BACK, "service": ""}, False),
        ({**WENT_BACK, "service": "books"}, True),
        ({**WENT_BACK, "code": "fleet_down"}, True),
    ],
)
def test_a_host_that_went_back_has_nothing_to_be_taken_back(failure, swapped):
    run = way_back.Run("a", standing.as_it_turned_out(DONE, failure, "shop"), failure)
    assert run.has_swapped is swapped
    assert run.result["current"] == (NEW if swapped else OLD)
