# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is secret is neither logged nor returned, and what nobody has confirmed is not taken for the host's own."""

from __future__ import annotations

import grp
import os
import pwd
import threading
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, managed_files
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Reason, RevertPlan, System
from ansible_collections.slipway.go.plugins.modules import config_files
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

ME = {"owner": pwd.getpwuid(os.getuid()).pw_name, "group": grp.getgrgid(os.getgid()).gr_name}
KEY = "-----BEGIN PRIVATE KEY-----\nhunter2hunter2\n-----END PRIVATE KEY-----\n"


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    said: list[str] = []
    system = System(str(tmp_path / "slipway" / "deadman"))
    monkeypatch.setattr(config_files, "System", lambda: system)
    monkeypatch.setattr(
        config_files.AnsibleModule, "log", lambda _module, msg, log_args=None: said.append(f"{msg} {log_args}")
    )
    return said


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_secret_is_written_and_not_told(tmp_path: Path, capsys: Any, logged: list[str], check_mode: bool) -> None:
    target = tmp_path / "key.pem"
    file = {"path": str(target), "mode": "0600", "run": [["true"]], **ME}
    told = run_module(config_files, capsys, files=[file], secrets={str(target): KEY}, _ansible_check_mode=check_mode)
    assert (told["changed"], told["paths"]) == (True, [str(target)])
    assert target.exists() is not check_mode
    assert check_mode or target.read_text() == KEY
    assert logged
    assert "hunter2" not in str(told) + str(logged)


def test_a_secret_on_the_open_way_is_refused_before_it_is_logged(
    tmp_path: Path, capsys: Any, logged: list[str]
) -> None:
    file = {"path": str(tmp_path / "key.pem"), "content": KEY, "secret": True, **ME}
    told = run_module(config_files, capsys, files=[file])
    assert told["failed"]
    assert "mutually exclusive" in told["msg"]
    assert logged == []
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("path", "more", "code"),
    [("/x/other", {"content": "y"}, "no_such_file"), ("/x/key", {"content": "y"}, "two_contents")],
)
def test_a_secret_that_fits_no_file_is_refused(capsys: Any, path: str, more: dict[str, str], code: str) -> None:
    told = run_module(config_files, capsys, files=[{"path": path, **more}], secrets={"/x/key": KEY})
    assert (told["failed"], told["code"]) == (True, code)
    assert "/x/key" in told["msg"]


def a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    """Where changes are armed, on a host whose timers always run."""
    folders = (str(tmp_path / name) for name in ("deadman", "units", "run"))
    system = System(*folders, lambda argv: (0, "" if argv[2:] == ["slipway-deadman-rules.service"] else "active"))
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(config_files, "System", lambda: system)
    return system


@pytest.mark.parametrize("check_mode", [True, False])
def test_a_change_that_nobody_has_confirmed_is_not_the_hosts_own_state(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    """A run that finds it would call the file in order, and the deadline would take it away afterwards."""
    system = a_place(tmp_path, monkeypatch)
    target = tmp_path / "rules"
    target.write_text("old\n")
    token = deadman.arm("rules", 60, RevertPlan([str(target)]), system)
    target.write_text("new\n")
    target.chmod(0o644)
    timer = threading.Timer(0.5, ending.revert, ["rules", token, Reason.DEADLINE, system])
    timer.start()
    told = run_module(
        config_files,
        capsys,
        files=[{"path": str(target), "content": "new\n", **ME}],
        guard={"name": "rules"},
        _ansible_check_mode=check_mode,
    )
    timer.join()
    assert told["changed"]
    assert (told["token"] is None) == check_mode
    assert target.read_text() == ("old\n" if check_mode else "new\n")


def test_what_another_controller_has_confirmed_meanwhile_is_kept(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was armed after this run had looked, and confirmed before this run could arm."""
    system = a_place(tmp_path, monkeypatch)
    target = tmp_path / "login.defs"
    target.write_text("UMASK 022\n")
    validate, timers = managed_files.validate, []

    def and_somebody_begins(changes: Any, where: Any) -> None:
        validate(changes, where)
        if not timers:
            token = deadman.arm("rules", 60, RevertPlan([str(target)]), system)
            target.write_text("UMASK 022\nPASS_MIN_DAYS 1\n")
            timers.append(threading.Timer(0.5, ending.confirm, ["rules", token, system]))
            timers[0].start()

    monkeypatch.setattr(managed_files, "validate", and_somebody_begins)
    told = run_module(
        config_files,
        capsys,
        files=[{"path": str(target), "settings": {"UMASK": "027"}, **ME}],
        guard={"name": "rules", "run": [["reload"]]},
    )
    timers[0].join()
    assert told["changed"], told
    assert target.read_text() == "UMASK 027\nPASS_MIN_DAYS 1\n"
    assert ending.last_revert("rules", system) is None, "what never began was taken back"
    assert deadman.armed("rules", system).token == told["token"]
