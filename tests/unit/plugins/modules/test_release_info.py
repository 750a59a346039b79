# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine has recorded is told as it is, also on a host that has seen nothing."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.modules import release_info
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module


@pytest.fixture
def host(memory, monkeypatch):
    host = Host(memory).install(monkeypatch)
    monkeypatch.setattr(release_info, "load_settings", lambda _name: host.settings())
    monkeypatch.setattr(release_info, "Operator", lambda settings: Operator(settings, host.layout, host.systemd))
    return host


def test_a_host_that_has_seen_nothing(host, capsys):
    found = run_module(release_info, capsys, name="shop")
    assert found["changed"] is False
    assert (found["current"], found["last_good"], found["state"]) == (None, None, "never released")
    assert (found["releases"], found["running"], found["history"], found["in_flight"]) == ([], [], [], None)


def test_a_service_that_runs(host, capsys):
    first = host.release("v1").current
    second = host.release("v2").current
    found = run_module(release_info, capsys, name="shop")
    assert (found["current"], found["last_good"], found["version"]) == (second, second, "v2")
    assert (found["state"], found["health"]) == ("active (running)", "pass")
    assert found["running"] == [f"shop@{second}.service"]
    assert found["releases"] == [first, second]
    assert [event["release"] for event in found["history"]] == [second, first]
    assert run_module(release_info, capsys, name="shop", history=1)["history"] == found["history"][:1]


def test_everything_that_is_told_is_documented(host, capsys):
    host.release("v1")
    told = set(run_module(release_info, capsys, name="shop")) - {"changed", "invocation"}
    assert told == set(yaml.safe_load(release_info.RETURN))


def test_what_is_bad_and_what_was_given_up_is_told(host, capsys):
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    with pytest.raises(SlipwayError):
        host.release("v2")
    assert run_module(release_info, capsys, name="shop")["bad"] == [host.id_of("v2")]


def test_a_dead_service_is_called_so(host, capsys):
    host.systemd.die(host.release("v1").current)
    found = run_module(release_info, capsys, name="shop")
    assert found["health"] == "fail"
    assert "failed" in found["message"]


def test_a_name_that_is_none(capsys):
    found = run_module(release_info, capsys, name="../x")
    assert (found["failed"], found["code"]) == (True, "invalid_name")
