# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that was removed comes back with its next release, and finds its releases and its history again."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.periods import DURING
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Parts, Wish
from ansible_collections.slipway.go.plugins.module_utils._release.state import store
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

STRATEGIES = ("socket", "restart", "reload", "proxy")


def removed(tmp_path, monkeypatch, strategy):
    """A host with two releases of a service that was removed, and that the role has configured once more."""
    host = Host(str(tmp_path), strategy).install(monkeypatch)
    first = host.release("v1").current
    second = host.release("v2").current
    parts = Parts(host.layout, Wish("nobody", "nogroup", metrics.path), host.folder)
    # The configuration is what the role writes once more.
    gone = [path for path in parts.doomed() if path not in parts.configuration]
    assert {host.layout.current, host.layout.last_good} <= set(gone)
    host.systemd.reboot()
    for found in host.systemd.instances.values():
        found.state, found.pid, found.inode = "inactive", 0, None
    host.systemd.socket, host.systemd.umbrella = None, False
    for path in gone:
        store.remove(path)
    host.apply_role()
    assert host.layout.current_id() is None
    return host, first, second


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_stays_is_found_again(tmp_path, monkeypatch, strategy):
    host, first, _second = removed(tmp_path, monkeypatch, strategy)
    assert host.release("v1").current == first
    assert host.settled() == first
    second = host.release("v3").current
    assert host.settled() == second
    assert host.rollback().current == first
    assert len(host.store.journal.outcomes()) == 5


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_first_release_that_fails_leaves_the_earlier_one_as_if_it_had_been_released(tmp_path, monkeypatch, strategy):
    """It serves, systemctl stops it, the next boot starts it, and the tool of the host knows it."""
    host, _first, second = removed(tmp_path, monkeypatch, strategy)
    host.behaviours["v3"] = Behaviour(healthy=False)
    failed = refused(lambda: host.release("v3"), "rolled_back", f"Now {second} serves again.")
    assert failed.details["current"] == second
    assert host.settled() == second
    assert store.load_settings("shop", host.layout.state_root).name == "shop"
    host.systemd.reboot()
    assert host.settled() == second


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nobody_asks_a_service_that_was_removed_until_it_serves_again(tmp_path, monkeypatch, strategy):
    host, _first, _second = removed(tmp_path, monkeypatch, strategy)
    host.behaviours["v3"] = Behaviour(loses=DURING)
    done = host.release("v3")
    assert host.settled() == done.current
    assert DURING not in (done.probe or {})
