# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import handover
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host


@pytest.fixture
def host(memory, monkeypatch):
    return Host(f"{memory}/host", "reload").install(monkeypatch)


@pytest.mark.parametrize(
    ("executable", "wanted"),
    [
        ("/opt/shop/releases/1-aaaaaaaaaa/bin/shop", "1-aaaaaaaaaa"),
        ("/opt/shop/releases/1-aaaaaaaaaa/bin/shop (deleted)", "1-aaaaaaaaaa"),
        ("/opt/shop/releases/.tmp-1-aaaaaaaaaa.old/bin/shop (deleted)", None),
        ("/opt/shop/releases/1-aaaaaaaaaa/bin/other", None),
        ("/opt/shop/releases/1-aaaaaaaaaa/x/bin/shop", None),
        ("/opt/shop2/releases/1-aaaaaaaaaa/bin/shop", None),
        ("/usr/bin/kill", None),
    ],
)
def test_what_a_process_executes_names_its_release(executable, wanted):
    assert handover.release_of(executable, Layout("shop", "/opt/shop")) == wanted


def test_a_handover_starts_no_unit_and_has_no_downtime(host):
    host.release("v1")
    host.systemd.commands.clear()
    host.watch()
    done = host.release("v2")
    assert (done.downtime_seconds, done.restarted_because) == (None, None)
    assert list(done.phases)[1:6] == ["INTENT", "FLIP", "START", "DRAIN", "SOAK"]
    assert "reload --no-block shop@current.service" in host.systemd.commands
    assert not [c for c in host.systemd.commands if c.startswith(("start --no-block", "stop shop@"))]
    assert host.systemd.lowest == 1
    assert host.settled() == host.id_of("v2")


@pytest.mark.parametrize("change", ["environment", "unit", "credential"])
def test_what_cannot_reach_a_running_process_restarts_it_and_is_told(host, change):
    host.release("v1")
    if change == "environment":
        host.own = "other"
    elif change == "credential":
        os.makedirs(os.path.join(host.layout.config, "credentials"))
        with open(os.path.join(host.layout.config, "credentials", "password"), "w", encoding="utf-8") as stream:
            stream.write("hunter22")
    else:
        host.write_unit("another sandbox", "shop@.service")
    done = host.release("v2")
    assert f" {change} differs" in done.restarted_because
    assert done.downtime_seconds > 0
    back = host.rollback()
    assert f" {change} differs" in back.restarted_because


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        (Behaviour(boots=False), "within 60 s"),
        (Behaviour(ready=False), "within 60 s"),
        (Behaviour(healthy=False), "503"),
    ],
)
def test_a_release_that_is_not_taken_over_by_leaves_the_old_one(host, behaviour, code):
    host.release("v1")
    host.behaviours["v2"] = behaviour
    host.watch()
    with pytest.raises(SlipwayError, match=code) as caught:
        host.release("v2")
    assert caught.value.code == "rolled_back"
    assert host.settled() == host.id_of("v1")
    assert host.systemd.lowest == 1
    assert host.systemd.processes(host.layout, "shop@current.service").keys() == {
        host.systemd.instance(host.id_of("v1")).pid
    }


def test_a_reload_that_takes_its_time_is_not_asked_for_again(host, monkeypatch):
    """A second one would reach the new process, and that would hand over once more."""
    host.release("v1")
    found = host.systemd.instance(host.id_of("v1"))
    host.behave("v2").ready_after = 400
    reload, take_over = host.systemd._reload, host.systemd._take_over

    def slow(victim):
        reload(victim)
        victim.state = "reloading"

    def until_ready(victim):
        take_over(victim)
        if victim.state == "reloading" and victim.next is None:
            victim.state = "active"

    def main_only(layout, unit):
        return {pid: i for pid, i in host.systemd.processes(layout, unit).items() if pid == found.pid}

    monkeypatch.setattr(host.systemd, "_reload", slow)
    monkeypatch.setattr(host.systemd, "_take_over", until_ready)
    monkeypatch.setattr(handover, "running", main_only)
    host.release("v2")
    assert len([c for c in host.systemd.commands if c.startswith("reload ")]) == 1
    assert host.settled() == host.id_of("v2")


def test_a_service_that_refused_is_asked_again(host, monkeypatch):
    host.release("v1")
    takes, refused = host.systemd._reload, []

    def reload(found):
        if len(refused) < 2:
            refused.append(found)
        else:
            takes(found)

    monkeypatch.setattr(host.systemd, "_reload", reload)
    host.release("v2")
    assert host.settled() == host.id_of("v2")


def test_a_process_that_will_not_leave_is_killed(host, monkeypatch):
    host.release("v1")
    old = host.systemd.instance(host.id_of("v1")).pid
    stubborn = {old: host.id_of("v1")}
    killed = []

    def running(layout, unit):
        return {**host.systemd.processes(layout, unit), **stubborn}

    monkeypatch.setattr(handover, "running", running)
    monkeypatch.setattr(handover, "kill", lambda pid, number: (killed.append((pid, number)), stubborn.clear()))
    host.release("v2")
    assert killed == [(old, 9)]


def test_a_release_killed_by_its_own_reload_signal_is_a_crash(host, monkeypatch):
    host.release("v1")
    found = host.systemd.instance(host.id_of("v1"))

    def dies(victim):
        victim.restarts += 1
        victim.pid += 1

    monkeypatch.setattr(host.systemd, "_reload", dies)
    with pytest.raises(SlipwayError, match="ended in the handover"):
        host.release("v2")
    assert found.runs == host.id_of("v1")
