# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemctl says is understood, and what it does not say is not made up."""

from __future__ import annotations

import sys

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host import systemd as _systemd
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import Systemd, UnitState, parse_show
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Clock
from hypothesis import given
from hypothesis import strategies as st

UNIT = "shop@1.0-0123456789.service"
RUNNING = """MainPID=4242
Result=success
NRestarts=2
ExecMainStatus=0
LoadState=loaded
ActiveState=active
SubState=running
"""
STARTING = "LoadState=loaded\nActiveState=activating\nSubState=start\nMainPID=7\nNRestarts=0\nJob=1234\n"
QUEUED = "LoadState=loaded\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\nJob=77\n"
FAILED = "LoadState=loaded\nActiveState=failed\nSubState=failed\nNRestarts=0\nResult=exit-code\nExecMainStatus=3\n"
LOOPING = (
    "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nMainPID=0\nNRestarts=1\n"
    "Result=signal\nExecMainStatus=9\n"
)
ABSENT = "LoadState=not-found\nActiveState=inactive\nSubState=dead\nMainPID=0\nNRestarts=0\n"


def test_a_running_unit():
    state = parse_show(RUNNING)
    assert state == UnitState("loaded", "active", "running", 4242, 2, "success", 0, 0)
    assert state.up
    assert not state.settled_down
    assert state.describe() == "active (running), restarted 2 times"


@pytest.mark.parametrize(
    ("text", "up", "settled", "says"),
    [
        (STARTING, False, False, "activating (start)"),
        (QUEUED, False, False, "inactive (dead)"),
        (FAILED, False, True, "failed (failed), result exit-code, exit status 3"),
        (LOOPING, False, False, "activating (auto-restart), result signal, exit status 9, restarted 1 times"),
        (ABSENT, False, True, "inactive (dead)"),
        ("", False, False, " ()"),
    ],
)
def test_other_units(text, up, settled, says):
    state = parse_show(text)
    assert (state.up, state.settled_down, state.describe()) == (up, settled, says)


def test_a_key_that_an_old_systemd_does_not_know():
    assert parse_show("ActiveState=active\nMainPID=5\n") == UnitState("", "active", "", 5, 0, "", 0, 0)


def test_a_value_may_hold_an_equals_sign_and_a_number_none():
    state = parse_show("Result=a=b\nMainPID=[not set]\nNRestarts=\nJob=x\n")
    assert (state.result, state.main_pid, state.restarts, state.job) == ("a=b", 0, 0, 0)


@given(st.one_of(st.text(), st.text("MainPIDJob=0123456789\n ActiveState", max_size=80)))
def test_whatever_it_says_there_is_a_state(text):
    state = parse_show(text)
    assert isinstance(state.main_pid, int)
    assert isinstance(state.describe(), str)


class Script(Systemd):
    """Answers to `show`, one after the other; the last one for ever. Everything else is written down."""

    def __init__(self, *answers):
        super().__init__()
        self.answers, self.calls = list(answers), []

    def call(self, *arguments, timeout=None, check=True):
        self.calls.append((arguments, timeout, check))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(_systemd, "time", clock)
    return clock


def test_waiting_ends_when_it_is_active(clock):
    systemd = Script(QUEUED, STARTING, STARTING, RUNNING)
    assert systemd.wait_active(UNIT, 60).main_pid == 4242
    assert len(systemd.calls) == 4


@pytest.mark.parametrize("end", [FAILED, ABSENT, LOOPING])
def test_waiting_ends_when_it_cannot_become_active(clock, end):
    begun = clock.now
    with pytest.raises(SlipwayError) as caught:
        Script(QUEUED, STARTING, end).wait_active(UNIT, 60)
    assert caught.value.code == "not_started"
    assert parse_show(end).describe() in str(caught.value)
    assert UNIT in caught.value.fix
    assert clock.now - begun < 1


def test_waiting_ends_when_time_is_up(clock):
    begun = clock.now
    systemd = Script(STARTING)
    with pytest.raises(SlipwayError) as caught:
        systemd.wait_active(UNIT, 12.5)
    assert caught.value.code == "start_timeout"
    assert "not ready within 12.5 s: activating (start)" in str(caught.value)
    assert "release_start_timeout" in caught.value.fix
    assert 12.5 <= clock.now - begun < 13
    assert len(systemd.calls) > 100


def test_without_any_time_it_looks_once(clock):
    assert Script(RUNNING).wait_active(UNIT, 0).up
    with pytest.raises(SlipwayError):
        Script(STARTING).wait_active(UNIT, 0)


LISTENING = """ActiveState=active
Listen=[::]:8080 (Stream)
Listen=127.0.0.1:9090 (Stream)
Listen=0.0.0.0:53 (Datagram)
Listen=/run/shop1234 (Stream)
Listen=/run/odd:77 (Stream)
Listen=@abstract99 (Stream)
Listen=443 (Stream)
ListenStream=[::]:8022
ListenStream=/run/old:22
ListenDatagram=[::]:514
"""


def test_ports_of_a_socket_unit():
    assert Script(LISTENING).socket_ports("shop.socket") == {8080, 9090, 443, 8022}


@pytest.mark.parametrize("text", [LISTENING.replace("=active", "=inactive"), "", "ActiveState=active\n"])
def test_a_socket_that_is_not_open_has_no_ports(text):
    assert Script(text).socket_ports("shop.socket") == set()


def test_instances_that_run_or_try_to():
    states = ["active", "activating", "reloading", "deactivating", "inactive", "failed"]
    rows = [f"shop@{number}.service loaded {state} x Shop, release {number}" for number, state in enumerate(states)]
    assert Script("\n".join(rows) + "\n\nhalf a\n").active_instances("shop") == [
        f"shop@{number}.service" for number in range(4)
    ]


@pytest.mark.parametrize(("said", "by_itself"), [("Result=success\n", True), ("Result=timeout\n", False), ("", True)])
def test_a_stop_says_how_it_ended_forgets_the_failure_and_takes_its_time(said, by_itself):
    systemd = Script(said)
    assert systemd.stop(UNIT, 45) is by_itself
    asked = (("show", "--property=Result", UNIT), None, False)
    assert systemd.calls == [(("stop", UNIT), 45, True), asked, (("reset-failed", UNIT), None, False)]


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl on the PATH that does what the test says."""
    path = tmp_path / "bin" / "systemctl"
    path.parent.mkdir()
    monkeypatch.setattr(command, "PATH", f"{path.parent}:{command.PATH}")

    def write(script):
        path.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
        path.chmod(0o755)

    return write


@pytest.mark.parametrize(
    ("active", "sub", "busy"),
    [
        ("active", "running", False),
        ("activating", "start", True),
        ("activating", "auto-restart", False),
        ("activating", "auto-restart-queued", False),
        ("reloading", "reload", True),
        ("deactivating", "stop-sigterm", True),
        ("failed", "failed", False),
    ],
)
def test_what_pid_1_is_at(active, sub, busy):
    assert parse_show(f"ActiveState={active}\nSubState={sub}\n").busy == busy


def test_systemctl_is_asked_without_pager_and_password(systemctl):
    systemctl("print(*sys.argv[1:], sep='|')")
    said = Systemd().call("start", "--no-block", UNIT)
    assert said == f"--no-pager|--no-ask-password|start|--no-block|{UNIT}\n"


def test_a_failure_says_what_the_command_said(systemctl):
    systemctl("sys.stderr.write('Unit x not found.\\n'); sys.exit(5)")
    with pytest.raises(SlipwayError) as caught:
        Systemd().start_and_wait(UNIT)
    assert caught.value.code == "command_failed"
    assert f"start {UNIT} failed (5): Unit x not found." in str(caught.value)
    assert Systemd().call("stop", UNIT, check=False) == ""
    systemctl("print('only on stdout'); sys.exit(1)")
    with pytest.raises(SlipwayError, match="only on stdout"):
        Systemd().restart(UNIT)


def test_output_that_is_no_text(systemctl):
    systemctl("sys.stdout.buffer.write(b'ActiveState=active\\nSubState=\\xff\\n')")
    assert Systemd().show(UNIT).up


def test_a_command_that_does_not_end(systemctl):
    systemctl("import time; time.sleep(600)")
    with pytest.raises(SlipwayError) as caught:
        Systemd(timeout=0.05).call("stop", UNIT)
    assert caught.value.code == "command_timeout"
    assert f"stop {UNIT} did not end within 0.05 s" in str(caught.value)


def test_a_host_without_systemd(tmp_path, monkeypatch):
    monkeypatch.setattr(command, "PATH", str(tmp_path))
    with pytest.raises(SlipwayError) as caught:
        Systemd().call("show", UNIT)
    assert caught.value.code == "no_systemd"
    assert caught.value.fix


JOBS = "12 shop.service {}    running\n13 shop@1.0.service stop running\n"


@pytest.mark.parametrize(
    ("jobs", "socket", "closed"),
    [
        (JOBS.format("stop"), "ActiveState=active\n", True),
        (JOBS.format("stop"), "LoadState=not-found\nActiveState=inactive\n", False),
        (JOBS.format("restart"), "ActiveState=active\n", False),
        ("", "ActiveState=active\n", False),
    ],
    ids=["a-stop", "no-socket", "a-restart-keeps-it", "no-job"],
)
def test_a_stop_closes_the_socket_where_systemd_does_not(jobs, socket, closed):
    systemd = Script(jobs, socket, "")
    systemd.close_with("shop")
    last = systemd.calls[-1][0]
    assert (last == ("stop", "--no-block", "shop.socket")) is closed
