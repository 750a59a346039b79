# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release of another strategy takes over while users connect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host


@pytest.mark.parametrize("strategy", ["restart", "reload"])
def test_who_connects_between_two_releases_does_not_bring_the_first_one_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strategy: str
) -> None:
    """The guard of the socket starts the release before, as long as there is the socket: it would have the port."""
    host = Host(str(tmp_path), "socket").install(monkeypatch)
    host.release("v1")
    host.switch(strategy)
    stop = host.systemd.stop

    def stopped(unit: str, *rest: Any) -> bool:
        done: bool = stop(unit, *rest)
        host.systemd.connect()
        return done

    monkeypatch.setattr(host.systemd, "stop", stopped)
    current = host.release("v2").current
    runs = "current" if strategy == "reload" else current
    assert host.systemd.active_instances(host.layout.name) == [f"{host.layout.name}@{runs}.service"]
