# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is purged is told, in check mode too, and a service that nobody knows has nothing to purge."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings
from ansible_collections.slipway.go.plugins.modules import purge
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module


@pytest.fixture
def staged(monkeypatch):
    staged = ["1.0-0123456789", "2.0-0123456789"]

    class Engine:
        def __init__(self, settings):
            assert settings.name == "shop"

        def purge(self, names, predict):
            doomed = [name for name in staged if name in names]
            if not predict:
                staged[:] = [name for name in staged if name not in names]
            return doomed

    monkeypatch.setattr(purge, "Engine", Engine)
    monkeypatch.setattr(purge, "load_settings", {"shop": Settings("shop", "/opt/shop")}.__getitem__)
    return staged


def test_purge_and_once_more(staged, capsys):
    first = staged[0]
    foreseen = run_module(purge, capsys, name="shop", releases=[first], _ansible_check_mode=True)
    assert (foreseen["changed"], foreseen["purged"], len(staged)) == (True, [first], 2)
    done = run_module(purge, capsys, name="shop", releases=[first])
    assert (done["changed"], done["purged"], len(staged)) == (True, [first], 1)
    again = run_module(purge, capsys, name="shop", releases=[first])
    assert (again["changed"], again["purged"]) == (False, [])


@pytest.mark.parametrize(("code", "failed"), [("unknown_service", False), ("damaged_settings", True)])
def test_a_service_that_the_host_does_not_know(monkeypatch, capsys, code, failed):
    def load(name):
        raise SlipwayError(code, f"{name} is not known.", "release it")

    monkeypatch.setattr(purge, "load_settings", load)
    result = run_module(purge, capsys, name="shop", releases=["others"])
    assert bool(result.get("failed")) == failed
    assert not result.get("changed")
