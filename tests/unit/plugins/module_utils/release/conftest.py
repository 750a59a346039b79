# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Simulated hosts, one for each strategy."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host


@pytest.fixture(params=["socket", "restart"])
def host(request, tmp_path, monkeypatch):
    return Host(str(tmp_path), request.param).install(monkeypatch)


@pytest.fixture
def sockets(tmp_path, monkeypatch):
    return Host(str(tmp_path), "socket").install(monkeypatch)


@pytest.fixture
def restarts(tmp_path, monkeypatch):
    return Host(str(tmp_path), "restart").install(monkeypatch)
