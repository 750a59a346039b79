# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module takes, gives back or only shows the lease, as its controller's half says."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.state import layout
from ansible_collections.slipway.go.plugins.modules import lease
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    defaults = layout.Layout.__init__.__defaults__
    monkeypatch.setattr(layout.Layout.__init__, "__defaults__", (str(tmp_path), *defaults[1:]))
    return tmp_path


def run(capsys, act=None, run="x", check=False, **claim):
    sealed = {"claim": {"run": run, "seconds": 600.0, **claim}, "by": {"person": run}, "take": act == "take"}
    return run_module(lease, capsys, name="shop", sealed=json.dumps(sealed), _ansible_check_mode=check)


def test_it_is_taken_and_given_back(capsys, state):
    told = run(capsys, "take")
    assert (told["changed"], told["lease"]["run"], told["lease"]["state"]) == (False, "x", "held")
    refused = run(capsys, "take", run="y")
    assert (refused["failed"], refused["code"], refused["lease"]["by"]) == (True, "leased", {"person": "x"})
    assert run(capsys, run="y")["lease"]["state"] == "held", "it is not that run's"
    assert run(capsys)["lease"]["state"] == "given back"
    assert run(capsys, "take", run="y")["lease"]["run"] == "y"


def test_where_nothing_was_taken_nothing_is_written(capsys, state):
    assert run(capsys)["lease"] is None
    assert os.listdir(state) == []


def test_a_check_writes_nothing(capsys, state):
    assert run(capsys, "take", check=True)["lease"] is None
    assert os.listdir(state) == []


def test_a_run_that_is_over_is_ended(capsys):
    run(capsys, "take")
    assert run(capsys, "take", run="y", instead=["x"])["lease"]["run"] == "y"
