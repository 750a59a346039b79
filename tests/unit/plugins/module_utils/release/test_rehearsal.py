# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A rehearsal comes before users and leaves nothing behind."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import BAD
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


def test_a_rehearsal_comes_first_and_leaves_nothing(host):
    outcome = host.rehearse().release("v1")
    assert list(outcome.phases)[:3] == ["STAGE", "REHEARSE", "INTENT"]
    commands = host.systemd.commands
    unit = f"shop-rehearsal@{outcome.current}.service"
    assert commands.index(f"start --no-block {unit}") < commands.index(
        f"start --no-block shop@{outcome.current}.service"
    )
    assert host.settled() == outcome.current


@pytest.mark.parametrize("what", ["cannot start", "never ready", "unhealthy", "dies while it is asked"])
def test_what_fails_in_rehearsal_is_never_exposed(host, what):
    good = host.release("v1").current
    host.behaviours["v2"] = replace(BAD[what][0])
    before = len(host.systemd.commands)
    error = refused(lambda: host.rehearse().release("v2"), "refused")
    assert error.details["failed_phase"] == "REHEARSE"
    assert error.details["current"] == good
    assert not any(c.endswith(f"shop@{host.id_of('v2')}.service") for c in host.systemd.commands[before:])
    assert host.settled() == good
    assert host.systemd.rehearsing() == []
    refused(lambda: host.release("v2"), "known_bad")


@pytest.mark.parametrize("what", BAD)
def test_what_only_fails_before_users_is_rolled_back(host, what):
    good = host.release("v1").current
    host.behaviours["v2"] = replace(BAD[what][0], plays_along=True)
    refused(lambda: host.rehearse().release("v2"), "rolled_back")
    assert host.settled() == good


def test_a_rehearsal_that_was_cut_short_does_not_stand_in_the_way_of_the_next(host):
    host.rehearse().release("v1")
    stray = host.systemd._get("shop-rehearsal@v0-0123456789.service")
    stray.state = "active"
    host.release("v2")
    assert host.systemd.rehearsing() == [], "it may have the port that the next rehearsal needs"
