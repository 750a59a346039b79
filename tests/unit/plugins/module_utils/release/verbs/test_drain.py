# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release whose users stay goes on draining beside the next one, and nobody waits for them."""

from __future__ import annotations

import contextlib
import math
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import background_drain
from ansible_collections.slipway.go.plugins.module_utils._release.operator import watch
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator, WatchOptions
from ansible_collections.slipway.go.plugins.module_utils._release.state import model
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.socket import SocketStrategy
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused

BESIDE = 600.0
USERS = 3


@pytest.fixture(params=["socket", "proxy"])
def host(memory, monkeypatch, request):
    return at_work(memory, monkeypatch, request.param)


def at_work(memory, monkeypatch, strategy):
    """v1 serves, and some of its users stay for longer than service_drain_timeout."""
    made = Host(memory, strategy).install(monkeypatch)
    made.monkeypatch = monkeypatch
    made.drain_background = BESIDE
    made.behaviours["v1"] = Behaviour(keeps_open=USERS)
    made.release("v1")
    stay(made, "a")
    return made


def stay(host, slot, users=USERS):
    """Behind HAProxy it is that which counts them."""
    host.haproxy.servers_now[slot] = host.haproxy.servers_now[slot]._replace(sessions=users)


def leave(host, version, slot, after):
    """The users leave so many seconds after the swap's own drain."""
    waited, end = host.clock.sleep, host.clock.now + after
    unit(host, version).left_at = end
    host.behaviours[version].leaves_after = after if host.strategy == "socket" else 0.0

    def sleep(seconds):
        waited(seconds)
        if host.clock.now >= end:
            stay(host, slot, 0)

    host.clock.sleep = sleep


def unit(host, version):
    return host.systemd._get(f"shop@{host.id_of(version)}.service")


def drained(host):
    return [event for event in host.store.journal.events() if event["event"] == "drained"]


def test_the_swap_ends_and_the_users_stay(host):
    begun = host.clock.now
    done = host.release("v2")
    assert (done.draining, done.cut, done.warnings) == ([host.id_of("v1")], 0, [])
    assert host.clock.now - begun < 60
    assert unit(host, "v1").pid
    assert host.drains == {host.id_of("v1"): BESIDE}
    assert host.layout.last_good_id() == host.id_of("v2")


def test_status_names_it(host):
    host.release("v2")
    status = Operator(host.settings(), host.layout, host.systemd).status(0)
    assert (status["current"], status["draining"]) == (host.id_of("v2"), [host.id_of("v1")])


def test_it_ends_when_its_users_have_left(host):
    host.release("v2")
    leave(host, "v1", "a", 100)
    begun = host.clock.now
    assert host.finish_drain("v1") == 0
    assert 95 < host.clock.now - begun < 110
    assert not unit(host, "v1").pid
    assert [(e["release"], e["cut"]) for e in drained(host)] == [(host.id_of("v1"), 0)]
    assert host.settled() == host.id_of("v2")


def test_it_ends_when_it_has_had_its_time_and_what_that_cuts_is_told(host):
    host.release("v2")
    begun = host.clock.now
    assert host.finish_drain("v1") == USERS
    assert BESIDE - 10 < host.clock.now - begun < BESIDE + 50
    assert host.settled() == host.id_of("v2")
    (last,) = host.store.journal.history()[-1]["drained"]
    assert (last["release"], last["cut"]) == (host.id_of("v1"), USERS)
    assert not background_drain.is_allowed(unit(host, "v1").unit)


def test_what_a_drain_has_cut_afterwards_is_exported_with_the_swap(host, tmp_path):
    host.release("v2")
    host.finish_drain("v1")
    options = WatchOptions(watch.Policy(), str(tmp_path))
    Operator(host.settings(), host.layout, host.systemd).watch(options)
    assert (
        f'slipway_swap_connections_cut{{service="shop",result="committed"}} {USERS}'
        in (tmp_path / "slipway-shop.prom").read_text()
    )


def test_a_drain_in_a_hurry_ends_at_once(host):
    host.release("v2")
    begun = host.clock.now
    assert host.finish_drain("v1", hurried=lambda: True) == USERS
    assert host.clock.now - begun < 60
    assert host.settled() == host.id_of("v2")


def test_a_rollback_brings_it_back(host):
    host.release("v2")
    process = unit(host, "v1").pid
    begun = host.clock.now
    assert host.rollback().changed
    assert host.clock.now - begun < 60
    # Behind HAProxy it has never been told to end, and its users have stayed with it.
    assert (unit(host, "v1").pid == process) == (host.strategy == "proxy")
    assert host.layout.current_id() == host.layout.last_good_id() == host.id_of("v1")
    assert host.id_of("v1") not in host.drains
    assert host.settled() == host.id_of("v1")


def test_a_release_that_fails_after_the_drain_gives_way_to_it(host):
    host.behaviours["v2"] = Behaviour(sick_after=3)
    host.soak_time = 10
    refused(lambda: host.release("v2"), "rolled_back")
    assert host.settled() == host.id_of("v1")


def test_the_one_that_is_unconfirmed_gives_way_to_it(host):
    host.swap("v2")
    host.expire()
    assert host.settled() == host.id_of("v1")


def test_what_waits_for_users_ends_nothing_that_serves_again(host):
    """It looks only every few seconds, and may not have noticed yet."""
    host.release("v2")
    host.rollback()
    host.drains = {host.id_of("v1"): BESIDE}
    assert host.finish_drain("v1") is None
    assert host.settled() == host.id_of("v1")


def test_a_confirmation_does_not_end_it(host):
    assert host.swap("v2").unconfirmed
    begun = host.clock.now
    host.engine().confirm()
    assert host.clock.now - begun < 5
    assert unit(host, "v1").pid
    assert host.finish_drain("v1") == USERS
    assert host.settled() == host.id_of("v2")


def test_the_next_release_has_its_own_drain(host):
    host.behaviours["v2"] = Behaviour(keeps_open=1)
    host.release("v2")
    stay(host, "b", 1)
    begun = host.clock.now
    host.release("v3")
    assert host.clock.now - begun < 150
    if host.strategy == "socket":
        assert set(host.drains) == {host.id_of("v1"), host.id_of("v2")}
        assert host.finish_drain("v1") == USERS
    else:  # its local port is needed: that is said, and not waited for any longer
        assert not unit(host, "v1").pid
        assert [(e["cut"], e["because"]) for e in drained(host)] == [(USERS, "its local port is needed")]
        assert host.finish_drain("v1") is None
    assert host.finish_drain("v2") == 1
    assert host.settled() == host.id_of("v3")


def test_pruning_leaves_it(memory, monkeypatch):
    host = at_work(memory, monkeypatch, "socket")
    host.keep = 2
    host.release("v2")
    host.release("v3")
    assert host.id_of("v1") in host.layout.staged()


def test_another_socket_waits_for_nobody(memory, monkeypatch):
    host = at_work(memory, monkeypatch, "socket")
    host.release("v2")
    host.write_unit("another backlog")
    begun = host.clock.now
    host.release("v3")
    assert host.clock.now - begun < 60
    assert not unit(host, "v1").pid
    assert host.settled() == host.id_of("v3")


def test_where_the_host_cannot_wait_it_ends_in_the_swap(host, monkeypatch):
    def fail(*_arguments):
        raise SlipwayError("command_failed", "no systemd-run")

    monkeypatch.setattr(background_drain, "arm", fail)
    done = host.release("v2")
    assert (done.draining, done.cut) == ([], USERS)
    assert host.settled() == host.id_of("v2")


def test_a_run_under_way_is_not_disturbed(memory, monkeypatch):
    """It may be about to lead users back."""
    host = at_work(memory, monkeypatch, "proxy")
    host.release("v2")
    stay(host, "a", 0)
    waited, over = host.clock.sleep, host.clock.now + 2 * BESIDE
    stop = f"stop --no-block shop@{host.id_of('v1')}.service"
    with contextlib.ExitStack() as run:
        run.enter_context(host.store.locked(0))

        def sleep(seconds):
            waited(seconds)
            if host.clock.now >= over:
                run.close()
            else:
                assert stop not in host.systemd.commands

        host.clock.sleep = sleep
        assert host.finish_drain("v1") == 0
    assert stop in host.systemd.commands
    assert host.clock.now >= over


def test_after_a_reboot_nothing_of_it_is_left(host):
    host.release("v2")
    host.systemd.reboot()
    assert host.settled() == host.id_of("v2")
    assert not os.path.exists(host.runtime_units)


def test_without_users_nothing_goes_on(host):
    host.behaviours["v1"].keeps_open = 0
    stay(host, "a", 0)
    done = host.release("v2")
    assert (done.draining, host.drains) == ([], {})
    assert not os.path.exists(background_drain._drop_in(unit(host, "v1").unit))
    assert host.settled() == host.id_of("v2")


def test_users_who_leave_in_the_drain_of_the_swap_are_not_waited_for(host):
    leave(host, "v1", "a", 10)
    done = host.release("v2")
    assert (done.draining, done.cut, host.drains) == ([], 0, {})
    assert host.settled() == host.id_of("v2")


@pytest.mark.parametrize("seconds", [-1, math.inf, math.nan])
def test_what_is_no_time_is_refused(seconds):
    error = refused(lambda: model.Settings("shop", "/opt/shop", drain_background=seconds), "invalid_duration")
    assert "release_drain_background" in str(error)


def test_the_first_release_with_the_setting_keeps_its_users_over_the_confirmation(host):
    """Who confirms works with the settings of the release before, in which there was none."""
    assert host.swap("v2").unconfirmed
    host.drain_background = 0.0
    host.engine().confirm()
    assert unit(host, "v1").pid
    assert host.finish_drain("v1") == USERS
    assert host.settled() == host.id_of("v2")


def test_a_release_that_is_being_started_again_is_not_stopped(host):
    """Between its last process and the next one, it looks as if it had ended."""
    host.release("v2")
    found = unit(host, "v1")
    if host.strategy == "socket":
        looks = iter((USERS, USERS))
        host.monkeypatch.setattr(SocketStrategy, "users", lambda _self, _release: next(looks, None))
        found.state, found.deadline, found.pid = "activating", None, 0
        assert host.finish_drain("v1") is None
        assert f"stop {found.unit}" not in host.systemd.commands
    else:
        host.rollback()
        host.drains = {host.id_of("v1"): BESIDE}
        assert host.finish_drain("v1") is None
        assert found.state == "active"


def test_one_that_serves_again_is_stopped_in_its_usual_time(memory, monkeypatch):
    """A run that died before it stopped the release has left it more time."""
    host = at_work(memory, monkeypatch, "socket")
    found = unit(host, "v1")
    host.swap("v2")
    host.expire()
    background_drain.allow(host.systemd, found.unit, 3600)
    host.behaviours["v3"] = Behaviour(healthy=False)
    refused(lambda: host.release("v3"), "rolled_back")
    assert not background_drain.is_allowed(found.unit)


def test_a_release_that_fails_ends_no_other_that_drains(memory, monkeypatch):
    host = at_work(memory, monkeypatch, "socket")
    host.release("v2")
    host.behaviours["v3"] = Behaviour(healthy=False)
    refused(lambda: host.release("v3"), "rolled_back")
    assert unit(host, "v1").pid
    assert host.finish_drain("v1") == USERS
    assert host.settled() == host.id_of("v2")


def test_one_in_a_hurry_leaves_it_to_the_run_that_is_under_way(memory, monkeypatch):
    """Which may remove the service, and waits for this."""
    host = at_work(memory, monkeypatch, "proxy")
    host.release("v2")
    with host.store.locked(0):
        assert host.finish_drain("v1", hurried=lambda: True) is None
    assert unit(host, "v1").pid


@pytest.mark.parametrize("seconds", [3600.0, 1_209_600.0])
def test_systemd_reads_the_times(memory, monkeypatch, seconds):
    host = Host(memory).install(monkeypatch)
    background_drain.allow(host.systemd, "shop@1.service", seconds)
    with open(background_drain._drop_in("shop@1.service"), encoding="utf-8") as stream:
        assert f"TimeoutStopSec={seconds:.0f}.000\n" in stream.read()
