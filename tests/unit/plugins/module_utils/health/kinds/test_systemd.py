"""The systemd kind against a systemctl that says what the test wants."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._health import parsing, runner
from ansible_collections.slipway.go.plugins.module_utils._health.kinds import systemd

Systemctl = Callable[..., None]


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: Any) -> Systemctl:
    def install(text: str = "", rc: int = 0, body: str = "", **properties: Any) -> None:
        shown = {
            "LoadState": "loaded",
            "ActiveState": "active",
            "SubState": "running",
            "Result": "success",
            "NRestarts": 0,
            "MainPID": os.getpid(),
            "WatchdogUSec": 0,
            "WatchdogTimestampMonotonic": 0,
            **properties,
        }
        lines = text or "\n".join(f"{name}={value}" for name, value in shown.items())
        script = tmp_path / "systemctl"
        script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\n{body}\ncat <<"END"\n{lines}\nEND\nexit {rc}\n')
        script.chmod(0o755)

    monkeypatch.setattr(command, "PATH", f"{tmp_path}:{command.PATH}")
    return install


def tried(**options: Any) -> Any:
    return runner.attempt(parsing.parse_check({"kind": "systemd", "unit": "shop", **options}))


def test_an_active_unit_passes_with_its_main_process(systemctl: Systemctl, tmp_path: Path) -> None:
    systemctl()
    found = tried()
    assert (found.state, found.pid) == ("pass", os.getpid())
    assert found.details == {"active": "active", "sub": "running", "result": "success", "restarts": 0}
    assert (tmp_path / "asked").read_text().endswith("-- shop.service\n")


@pytest.mark.parametrize(
    ("active", "sub"), [("reloading", "reload"), ("reloading", "reload-notify"), ("refreshing", "refresh-extensions")]
)
def test_a_unit_that_reads_its_configuration_again_is_up(systemctl: Systemctl, active: str, sub: str) -> None:
    systemctl(ActiveState=active, SubState=sub)
    found = tried()
    assert (found.state, found.message) == ("pass", f"shop is {active} ({sub})")


@pytest.mark.parametrize(
    ("properties", "options", "words"),
    [
        ({"ActiveState": "failed", "SubState": "failed", "Result": "exit-code"}, {}, "result exit-code"),
        ({"ActiveState": "activating", "SubState": "auto-restart"}, {}, "auto-restart"),
        ({"ActiveState": "inactive", "SubState": "dead"}, {}, "is inactive (dead)"),
        ({"LoadState": "not-found", "ActiveState": "inactive"}, {}, "does not exist"),
        ({"NRestarts": 4}, {"max_restarts": 3}, "restarted 4 times"),
        ({"WatchdogUSec": "10s", "WatchdogTimestampMonotonic": 1}, {}, "last fed its watchdog"),
    ],
)
def test_what_is_wrong_with_a_unit(systemctl: Systemctl, properties: Any, options: Any, words: str) -> None:
    systemctl(**properties)
    found = tried(**options)
    assert (found.state, found.reason) == ("fail", "unit")
    assert words in found.message


@pytest.mark.parametrize("microseconds", ["10s", "1min 30s", "infinity", "0"])
def test_a_watchdog_that_was_fed(systemctl: Systemctl, microseconds: str) -> None:
    systemctl(WatchdogUSec=microseconds, WatchdogTimestampMonotonic=int(time.clock_gettime(1) * 1e6))
    assert tried().state == "pass"


def test_systemctl_fails(systemctl: Systemctl) -> None:
    systemctl(text="Failed to connect to bus: Host is down", rc=1)
    found = tried()
    assert (found.reason, "Host is down" in found.message) == ("unit", True)


def test_systemctl_hangs(systemctl: Systemctl) -> None:
    systemctl(body="sleep 60")
    began = time.monotonic()
    assert tried(timeout=0.3).reason == "timeout"
    assert time.monotonic() - began < 3


def test_systemctl_cannot_be_started(monkeypatch: Any) -> None:
    """A host without a process to spare is not a defect, and no verdict on the unit."""

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(command, "run", refuse)
    found = tried()
    assert (found.state, found.reason) == ("fail", "exec")
    assert "Resource temporarily unavailable" in found.message


def test_there_is_no_systemctl(monkeypatch: Any) -> None:
    monkeypatch.setattr(command, "PATH", "/nonexistent")
    assert tried().reason == "exec"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("30s", 30), ("1min 30s", 90), ("500ms", 0.5), ("2h", 7200), ("infinity", 0), ("1.5s", 1.5), ("x", 0)],
)
def test_spans(text: str, seconds: float) -> None:
    assert systemd.span(text) == pytest.approx(seconds)


def test_a_restart_by_systemd_in_the_window_is_unstable(systemctl: Systemctl, monkeypatch: Any) -> None:
    systemctl()
    tries = []

    def restarted(session: Any, end: Any) -> Any:
        tries.append(1)
        if len(tries) == 3:
            systemctl(NRestarts=1)
        return runner.attempt(session.check, end, session)

    spec = {"kind": "systemd", "unit": "shop", "min_healthy_time": 5, "interval": 0.02}
    result = runner.run(parsing.parse_check(spec), restarted)
    assert (result.reason, len(result.attempts)) == ("unstable", 3)
    assert "NRestarts 0 → 1" in result.message
