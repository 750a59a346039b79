# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that was removed comes back with its next release, and finds its releases and its history again."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.operator import metrics
from ansible_collections.slipway.go.plugins.module_utils._release.removal.parts import Parts, Wish
from ansible_collections.slipway.go.plugins.module_utils._release.state import store
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host


@pytest.mark.parametrize("strategy", ["socket", "restart", "reload", "proxy"])
def test_what_stays_is_found_again(tmp_path, monkeypatch, strategy):
    host = Host(str(tmp_path), strategy).install(monkeypatch)
    first = host.release("v1").current
    host.release("v2")
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
    assert host.release("v1").current == first
    assert host.settled() == first
    second = host.release("v3").current
    assert host.settled() == second
    assert host.rollback().current == first
    assert len(host.store.journal.outcomes()) == 5
