# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long nothing served is in the journal, whatever became of the swap."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host


def downtime(host):
    return host.store.journal.outcomes()[-1].get("downtime_seconds")


def fail(host, version, **behaviour):
    host.behaviours[version] = Behaviour(**behaviour)
    with pytest.raises(SlipwayError) as raised:
        host.release(version)
    assert raised.value.code == "rolled_back"
    return raised.value.details


def test_a_swap_that_succeeds(host):
    host.release("v1")
    assert downtime(host) is None, "a first release has nothing to end"
    outcome = host.release("v2")
    assert downtime(host) == outcome.as_dict()["downtime_seconds"]
    assert (downtime(host) is None) == (host.strategy == "socket")


def test_a_release_that_never_serves(host):
    """From the end of the old release until it is back."""
    host.release("v1")
    details = fail(host, "v2", healthy=False)
    assert details.get("downtime_seconds") == downtime(host)
    if host.strategy == "socket":
        assert downtime(host) is None
    else:
        assert downtime(host) > 1


def test_a_release_that_fails_when_it_has_served(restarts):
    """The time in which it served does not count, that of going back does."""
    restarts.soak_time = 500.0
    restarts.release("v1")
    there = restarts.release("v2").downtime_seconds
    restarts.behaviours["v2"] = Behaviour(answer_takes=0.9)
    fail(restarts, "v3", sick_after=100)
    assert there + 0.9 < downtime(restarts) < there + 50


def test_a_handover_has_no_downtime_when_it_fails_either(tmp_path, monkeypatch):
    host = Host(str(tmp_path), "reload").install(monkeypatch)
    host.release("v1")
    details = fail(host, "v2", sick_after=2)
    assert details["failed_phase"] == "SOAK"
    assert downtime(host) is None


def test_a_release_that_nobody_confirms(restarts):
    restarts.release("v1")
    restarts.confirm = 60
    there = restarts.swap("v2").downtime_seconds
    restarts.behaviours["v1"] = Behaviour(answer_takes=0.9)
    restarts.expire()
    last = restarts.store.journal.outcomes()[-1]
    assert (last["event"], last["code"]) == ("rolled_back", "unconfirmed")
    assert last["downtime_seconds"] > there + 0.9


def test_a_release_that_is_confirmed(restarts):
    restarts.release("v1")
    restarts.confirm = 60
    waits = restarts.swap("v2")
    restarts.clock.now += 30
    restarts.engine().confirm(waits.unconfirmed)
    assert downtime(restarts) == waits.as_dict()["downtime_seconds"]
