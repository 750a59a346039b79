# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module diagnosis_info and the command, over one finding."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._diagnosis import report
from ansible_collections.slipway.go.plugins.module_utils._tool import cli
from ansible_collections.slipway.go.plugins.modules import diagnosis_info
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

STOPPED = {"rank": "cause", "code": "stopped_by_hand", "message": "shop was stopped.", "fix": "start it", "lines": []}
REMARK = {
    "rank": "note",
    "code": "not_watched",
    "message": "nothing watches shop.",
    "fix": "start the watch",
    "lines": [],
}


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    findings: list[dict[str, Any]] = []

    def diagnose(operator: Any) -> dict[str, Any]:
        told = {"service": operator.name, "current": None, "state": "inactive (dead)", "health": "fail"}
        return {**told, "findings": findings, "notes": ["the clock cannot be looked at."]}

    def operator(name: str) -> Any:
        if name == "other":
            raise SlipwayError("unknown_service", "other has never been released on this host.", "release it")
        return SimpleNamespace(name=name)

    monkeypatch.setattr(report, "diagnose", diagnose)
    monkeypatch.setattr(diagnosis_info, "operator", operator)
    monkeypatch.setattr(cli, "operator", operator)
    monkeypatch.setattr(cli, "before_release", lambda _name: None)
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    return findings


def test_the_module_hands_on_what_was_found(found: list[dict[str, Any]], capsys: Any) -> None:
    found.append(STOPPED)
    told = run_module(diagnosis_info, capsys, name="shop")
    assert (told["changed"], told["service"], told["findings"]) == (False, "shop", [STOPPED])


@pytest.mark.parametrize(
    ("name", "code"), [("other", "unknown_service"), ("", "invalid_name"), ("a b", "invalid_name")]
)
def test_a_service_that_is_not_there(found: list[dict[str, Any]], capsys: Any, name: str, code: str) -> None:
    told = run_module(diagnosis_info, capsys, name=name)
    assert (told["failed"], told["code"]) == (True, code)
    assert found == []


@pytest.mark.parametrize(
    ("findings", "code"), [([], cli.OK), ([REMARK], cli.OK), ([STOPPED, REMARK], cli.FAILED), ([STOPPED], cli.FAILED)]
)
def test_the_command_ends_with_1_for_more_than_a_remark(
    found: list[dict[str, Any]], capsys: Any, findings: list[dict[str, Any]], code: int
) -> None:
    found += findings
    assert cli.main(["diagnose", "shop"]) == code
    said = capsys.readouterr()
    assert said.out.startswith("shop: no release, inactive (dead), health fail\n")
    assert said.err == "slipway: the clock cannot be looked at.\n"
    assert cli.main(["diagnose", "shop", "--json"]) == code
    assert json.loads(capsys.readouterr().out)["findings"] == findings


def test_the_command_says_when_there_is_no_such_service(found: list[dict[str, Any]], capsys: Any) -> None:
    assert cli.main(["diagnose", "other"]) == cli.FAILED
    assert "other has never been released on this host" in capsys.readouterr().err
    assert found == []
