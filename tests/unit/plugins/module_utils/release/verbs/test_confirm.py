# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release that waits for somebody's word: who comes first decides, and whoever comes second is told."""

from __future__ import annotations

import json
import re

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.files import sha256_file
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, model, runner
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason, System
from ansible_collections.slipway.go.plugins.module_utils._release import confirm_timer
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host
from ansible_collections.slipway.go.tests.unit.plugins.refusals import refused


@pytest.fixture(params=["socket", "proxy", "reload", "restart"])
def host(request, memory, monkeypatch):
    host = Host(memory, request.param).install(monkeypatch)
    host.release("v1")
    return host


def settings(host):
    with open(f"{host.layout.state}/settings.json", encoding="utf-8") as stream:
        return json.load(stream)


def test_a_release_serves_and_does_not_count_until_it_is_confirmed(host):
    host.soak_time = 2.5
    done = host.swap("v2")
    new, old = host.id_of("v2"), host.id_of("v1")
    left = host.store.load()
    assert (done.current, done.previous, done.unconfirmed) == (new, old, left.txn)
    assert (left.phase, host.layout.current_id(), host.layout.last_good_id()) == ("PROBATION", new, old)
    assert host.boot_id() == ("current" if host.strategy == "reload" else old)
    assert left.deadline > host.clock.now + 60
    assert settings(host)["soak_time"] == 1
    assert host.store.journal.outcomes()[-1]["release"] == old
    confirmed = host.engine().confirm(left.txn)
    assert (confirmed.changed, confirmed.action, confirmed.current, confirmed.previous) == (True, "confirm", new, old)
    assert host.settled() == new
    assert (host.timer, host.leftovers(), settings(host)["soak_time"]) == (None, [], 2.5)
    assert host.store.journal.outcomes()[-1]["swap_seconds"] > 0


def test_what_nobody_confirms_goes_back_and_is_not_bad(host):
    host.soak_time = 2.5
    txn = host.swap("v2").unconfirmed
    host.expire()
    assert host.settled() == host.id_of("v1")
    last = host.store.journal.outcomes()[-1]
    assert (last["event"], last["code"], last["interrupted"], last["txn"]) == ("rolled_back", "unconfirmed", False, txn)
    assert (host.store.journal.bad(), host.leftovers(), settings(host)["soak_time"]) == ({}, [], 1)
    error = refused(lambda: host.engine().confirm(txn), "too_late")
    assert "was taken back at" in error.message
    assert error.details["current"] == host.id_of("v1")
    refused(lambda: host.engine().confirm(), "too_late")
    host.release("v2")
    assert host.settled() == host.id_of("v2")


def test_the_timer_that_comes_after_the_confirmation_finds_nothing(host):
    txn = host.swap("v2").unconfirmed
    host.engine().confirm(txn)
    assert host.engine().recover(txn) is None
    assert host.settled() == host.id_of("v2")
    again = host.engine().confirm(txn)
    assert (again.changed, again.current) == (False, host.id_of("v2"))


def test_a_timer_of_another_swap_takes_nothing_back(host):
    host.swap("v2")
    assert host.engine().recover("0" * 32) is None
    assert host.store.load().phase == "PROBATION"
    refused(lambda: host.engine().confirm("0" * 32), "not_waiting")


def test_the_same_release_again_waits_as_before(host):
    txn = host.swap("v2").unconfirmed
    commands = len(host.systemd.commands)
    again = host.swap("v2")
    assert (again.changed, again.action, again.unconfirmed) == (True, "confirm", txn)
    assert not [c for c in host.systemd.commands[commands:] if not c.startswith("show")], "it only looks"
    host.confirm = 0
    assert host.swap("v2").unconfirmed is None
    assert host.settled() == host.id_of("v2")


def test_another_release_settles_the_one_that_waits(host):
    host.swap("v2")
    host.release("v3")
    assert host.settled() == host.id_of("v3")
    events = [(e["event"], e["release"]) for e in host.store.journal.outcomes()[-2:]]
    assert events == [("rolled_back", host.id_of("v2")), ("committed", host.id_of("v3"))]
    assert host.store.journal.outcomes()[-1]["previous"] == host.id_of("v1")


def test_a_reboot_takes_it_back(host):
    host.swap("v2")
    host.reboot()
    assert host.settled() == host.id_of("v1")
    assert host.store.journal.outcomes()[-1]["code"] == "unconfirmed"


def test_an_operator_who_recovers_does_not_touch_what_waits(host):
    host.swap("v2")
    assert host.engine().recover() is None
    assert host.store.load().phase == "PROBATION"
    host.timer = None  # and where no timer would ever settle it, it is settled now
    assert host.engine().recover() == host.id_of("v2")
    assert host.settled() == host.id_of("v1")


def test_an_operator_takes_it_back_and_that_makes_it_bad(host):
    host.swap("v2")
    assert host.engine().predict_rollback().current == host.id_of("v1")
    done = host.rollback()
    assert (done.changed, done.current, done.previous) == (True, host.id_of("v1"), host.id_of("v2"))
    assert host.settled() == host.id_of("v1")
    assert list(host.store.journal.bad()) == [host.id_of("v2")]
    assert not host.rollback().changed


def test_a_fleet_that_goes_back_does_not_make_it_bad(host):
    host.swap("v2")
    assert host.rollback(mark_bad=False).current == host.id_of("v1")
    assert host.store.journal.outcomes()[-1]["code"] == "withdrawn"
    assert host.store.journal.bad() == {}
    host.release("v2")
    assert host.settled() == host.id_of("v2")


def test_a_release_that_waits_for_its_fleet_has_a_later_deadline(host):
    def seconds():
        left = host.store.load()
        return left.deadline - left.started

    host.swap("v2")
    alone = seconds()
    host.expire()
    txn = host.swap("v2", hold=900.0).unconfirmed
    assert seconds() - alone == pytest.approx(900, abs=20)
    host.engine().confirm(txn)
    assert host.settled() == host.id_of("v2")


@pytest.mark.parametrize(
    ("confirm", "hold", "named"),
    [(90000.0, 0.0, ["release_confirm"]), (43200.0, 86400.0, ["release_confirm_fleet", "release_confirm"])],
)
def test_a_time_to_confirm_that_no_host_waits_is_refused_before_anything_happens(host, confirm, hold, named):
    serving, events = host.settled(), len(list(host.store.journal.events()))
    host.confirm = confirm
    for act in (host.engine().predict, host.engine().release):
        error = refused(lambda act=act: act(host.spec("v2", hold=hold)), "confirm_too_long")
        assert "may wait 86400 s at most" in error.message
        assert all(variable in error.message for variable in named)
    assert host.store.load() is None
    assert (host.settled(), len(list(host.store.journal.events()))) == (serving, events)
    assert host.layout.staged() == [serving]
    lower = dict(re.findall(r"(release_\w+) to (\d+)", error.problems[0].fix))
    assert sorted(lower) == sorted(named)
    host.confirm = float(lower["release_confirm"])
    txn = host.swap("v2", hold=float(lower.get("release_confirm_fleet", hold))).unconfirmed
    left = host.store.load()
    assert 86000 < left.deadline - left.started <= 86400 + 20, "nothing of it is given away"
    host.engine().confirm(txn)
    assert host.settled() == host.id_of("v2")


def test_with_batches_a_pause_and_what_the_fleet_waits_for_it_stay_in_proportion(host):
    host.switch("proxy")
    host.proxy = {"weights": [20], "slow": "pause", "pause_time": 43200.0}
    error = refused(lambda: host.swap("v2", hold=86400.0), "confirm_too_long")
    lower = {name: int(most) for name, most in re.findall(r"(release_\w+) to (\d+)", error.problems[0].fix)}
    assert lower["release_confirm_fleet"] == pytest.approx(2 * lower["release_pause_time"], abs=2)
    assert 28000 < lower["release_pause_time"] < 28800


def test_a_step_counts_as_often_as_there_are_shares(host):
    host.switch("proxy")
    host.proxy = {"weights": [1, 2, 3, 4, 100], "step_time": 30000.0}
    error = refused(lambda: host.swap("v2"), "confirm_too_long")
    assert "release_step_time is 30000 s in each of 4 steps" in error.message
    (most,) = re.findall(r"set release_step_time to (\d+) or less", error.problems[0].fix)
    assert 21000 < int(most) < 21600


def test_what_nobody_has_to_confirm_may_take_any_time(host):
    host.confirm = 0.0
    assert host.engine().predict(host.spec("v2", hold=90000.0)).action == "release"


def test_an_operator_confirms_without_knowing_the_transaction(host):
    host.swap("v2")
    assert host.engine().confirm().changed
    assert host.settled() == host.id_of("v2")
    assert not host.engine().confirm().changed, "there is nothing left to confirm"


def test_a_restart_by_hand_does_not_turn_back_what_is_confirmed_later(host):
    txn = host.swap("v2").unconfirmed
    host.systemd.restart_service()
    assert host.layout.current_id() == host.id_of("v1"), "as after any start of the service"
    host.engine().confirm(txn)
    assert host.settled() == host.id_of("v2")
    assert not host.swap("v2").changed


def test_one_that_has_died_meanwhile_cannot_be_confirmed(host):
    txn = host.swap("v2").unconfirmed
    host.systemd.die(host.id_of("v2"))
    error = refused(lambda: host.engine().confirm(txn), "rolled_back")
    assert error.details["rolled_back"]
    assert host.settled() == host.id_of("v1")
    assert list(host.store.journal.bad()) == [host.id_of("v2")]


def test_a_swap_cut_short_cannot_be_confirmed(host):
    host.swap("v2")
    left = host.store.load()
    left.phase = "SOAK"
    host.store.save(left)
    assert "sudo slipway recover shop" in refused(lambda: host.engine().confirm(), "interrupted").fix


def test_a_first_release_and_a_rollback_count_at_once(host):
    assert host.store.load() is None, "v1 was the first"
    host.release("v2")
    assert host.rollback().unconfirmed is None
    assert host.settled() == host.id_of("v1")


def test_a_release_that_fails_leaves_no_timer(host):
    host.behaviours["v2"] = Behaviour(healthy=False)
    refused(lambda: host.swap("v2"), "rolled_back")
    assert host.timer is None


def test_without_a_timer_there_is_no_swap(host, monkeypatch):
    def refuse(*_arguments):
        raise SlipwayError("no_timer", "systemd-run did not set the timer.", "use a host that runs systemd")

    monkeypatch.setattr(confirm_timer, "arm", refuse)
    refused(lambda: host.swap("v2"), "rolled_back")
    assert host.settled() == host.id_of("v1")
    assert host.store.journal.bad() == {}


def test_without_the_tool_there_is_no_release(host, monkeypatch):
    monkeypatch.setattr(confirm_timer, "TOOL", "/nowhere/slipway")
    refused(lambda: host.swap("v2"), "no_tool")
    assert host.store.load() is None
    host.confirm = 0
    host.swap("v2")
    assert host.settled() == host.id_of("v2")


def test_a_host_without_the_tool_is_accepted_where_the_release_brings_it(host, monkeypatch):
    monkeypatch.setattr(confirm_timer, "TOOL", "/nowhere/slipway")
    assert host.engine().predict(host.spec("v1")).action == "none", "there is nothing to take back"
    refused(lambda: host.engine().predict(host.spec("v2")), "no_tool")
    wanted = sha256_file(__file__)
    assert host.engine().predict(host.spec("v2", tool=wanted)).action == "release"
    assert host.swap("v2", tool=wanted).action == "tool"


def test_the_tool_of_another_engine_is_replaced_before_anything_happens(host, monkeypatch, tmp_path):
    """It would have to take back what this engine has written."""
    tool = tmp_path / "slipway"
    tool.write_text("another engine")
    tool.chmod(0o755)
    monkeypatch.setattr(confirm_timer, "TOOL", str(tool))
    before = len(host.systemd.commands)
    assert host.release("v2", tool=sha256_file(__file__)).action == "tool"
    assert not [c for c in host.systemd.commands[before:] if not c.startswith("show ")]
    assert host.settled() == host.id_of("v1")
    assert host.release("v1", tool=sha256_file(__file__)).action == "none"
    assert host.release("v2", tool=sha256_file(str(tool))).action == "release"


def test_the_timer_of_a_release_runs_the_tool_and_nothing_after_a_reboot(tmp_path, monkeypatch):
    ran = []
    states = ["active"]

    def run(argv):
        ran.append(list(argv))
        return 0, states[0] if argv[:2] == ["systemctl", "is-active"] else ""

    system = System(str(tmp_path / "deadman"), str(tmp_path), str(tmp_path), run)
    monkeypatch.setattr(model, "System", lambda: system)
    name, txn = "a" * 31, "ab" * 16
    for seconds in (30, 90):  # one that an ended run has left is no hindrance
        confirm_timer.arm(name, txn, seconds)
    assert confirm_timer.deadline(name, "cd" * 16) is None
    assert confirm_timer.deadline(name, txn) > 0
    line = ending.revert(f"release-{name}", txn, Reason.DEADLINE)
    assert ran[-2][-5:] == [confirm_timer.TOOL, "recover", name, "--txn", txn]
    assert "--no-block" in ran[-2], "the timer must not hold its own lock until the service's is free"
    assert line["problems"] == []
    confirm_timer.arm(name, txn, 30)
    ran.clear()
    (tmp_path / f"slipway-deadman-release-{name}").unlink()
    states[0] = "inactive"
    assert confirm_timer.deadline(name, txn) is None, "what was before the reboot waits for no timer"
    assert runner.main(["revert", f"release-{name}", "--token", txn, "--boot"], system) == 0
    assert [argv for argv in ran if "recover" in argv] == []
    states[0] = "active"
    confirm_timer.arm(name, txn, 30)
    confirm_timer.disarm(name, "cd" * 16)
    assert confirm_timer.deadline(name, txn) is not None
    confirm_timer.disarm(name, txn)
    assert confirm_timer.deadline(name, txn) is None


def test_a_release_that_is_armed_for_less_time_stays_armed_all_the_while(tmp_path, monkeypatch):
    ran = []

    def run(argv):
        ran.append(list(argv))
        ticks = any(word.endswith(".timer") for word in argv)
        return 0, ("active" if ticks else "inactive") if argv[:2] == ["systemctl", "is-active"] else ""

    system = System(str(tmp_path / "deadman"), str(tmp_path), str(tmp_path), run)
    monkeypatch.setattr(model, "System", lambda: system)
    name, txn = "shop", "ab" * 16
    confirm_timer.arm(name, txn, 9000)
    before = confirm_timer.deadline(name, txn)
    ran.clear()
    confirm_timer.shorten(name, txn, 90)
    assert confirm_timer.deadline(name, txn) < before - 8000
    (started,) = [argv for argv in ran if argv[0] == "systemd-run"]
    assert "--on-active=90s" in started
    assert [argv for argv in ran if argv[:2] == ["systemctl", "stop"]] == [], "the other timer goes on"
    refused(lambda: confirm_timer.shorten(name, "cd" * 16, 90), "not_armed")


def test_one_that_crashes_again_and_again_while_it_waits_is_taken_back_by_the_watch(host):
    host.swap("v2")
    done = host.engine().roll_back_automatically(host.id_of("v2"), "it crashed 3 times")
    assert (done.changed, done.current, done.previous) == (True, host.id_of("v1"), host.id_of("v2"))
    assert host.settled() == host.id_of("v1")
    assert host.store.journal.bad()[host.id_of("v2")]["reason"] == "it crashed 3 times"
