# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who waits for a release can read what it is doing; a release of which nobody wants to know says nothing."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release import progress
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import Claim
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.strategies.test_proxy import Load
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Behaviour, Host

STEPS = [
    {"percent": 5, "requests": 100, "failed": 1, "old_requests": 1900, "old_failed": 2},
    {"percent": 25, "requests": 50, "failed": 0, "old_requests": 150, "old_failed": 1},
]


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def told(tmp_path, clock):
    (tmp_path / "shop").mkdir()
    made = progress.Progress(Layout("shop", str(tmp_path / "opt"), state_root=str(tmp_path)), "run1", clock)
    made.file = tmp_path / "shop" / progress.FILE
    return made


def read(path):
    return json.loads(path.read_text("utf-8"))


def test_a_phase_its_limit_and_what_goes_on_on_purpose(told, clock):
    with told.shown():
        told.enter("OVERLAP", within=60.0, later=40.0)
        assert read(told.file) == {"run": "run1", "phase": "OVERLAP", "within": 60.0, "left": 40.0}
        told.enter("SOAK", lasts=30.0, later=10.0)
        clock.now += 12.0
        told.look(lambda: {"probe": [3, 1]})
        assert read(told.file) == {"run": "run1", "phase": "SOAK", "within": 0.0, "left": 28.0, "probe": [3, 1]}
        clock.now += 100.0
        told.look(dict)
        assert read(told.file)["left"] == 10.0
    assert os.listdir(told.file.parent) == []


def test_figures_are_asked_for_once_a_second_and_only_root_reads_them(told, clock):
    asked = []
    told.enter("SOAK")
    for _look in range(50):
        clock.now += 0.1
        told.look(lambda: asked.append(1) or {})
    assert 4 <= len(asked) <= 5
    assert stat.S_IMODE(told.file.stat().st_mode) == 0o600


def test_nobody_waits(tmp_path, clock):
    (tmp_path / "shop").mkdir()
    told = progress.Progress(Layout("shop", str(tmp_path), state_root=str(tmp_path)), "", clock)
    with told.shown():
        told.enter("SOAK")
        clock.now += 10
        told.look(lambda: pytest.fail("nobody has asked"))
        assert os.listdir(tmp_path / "shop") == []


def test_what_cannot_be_told_is_not(told, clock):
    with told.shown():
        told.enter("SOAK")
        clock.now += 10
        told.look(lambda: 1 / 0)
        told.file.parent.rename(f"{told.file.parent}.gone")
        told.enter("COMMIT")


def test_a_link_in_its_place_is_not_followed(told, tmp_path):
    (tmp_path / "precious").write_text("mine", "utf-8")
    os.symlink(tmp_path / "precious", f"{told.file}.new")
    told.enter("SOAK")
    assert (tmp_path / "precious").read_text("utf-8") == "mine"


def test_the_requests_of_users_over_all_shares():
    assert progress.of_traffic(None) == {}
    figures = {"verdict": "pass", "steps": STEPS}
    assert progress.of_traffic(figures) == {"verdict": "pass", "new": [150, 1], "old": [2050, 3]}
    assert progress.of_traffic({"verdict": "pass", "steps": []})["new"] == [0, 0]


@pytest.fixture
def entered(monkeypatch):
    """What any run tells, in its order."""
    seen = []
    write = progress.Progress._write

    def note(self, figures):
        write(self, figures)
        told = read(Path(self._path))
        seen.append((told["phase"], told["left"]))

    monkeypatch.setattr(progress.Progress, "_write", note)
    return seen


def claimed(host, monkeypatch):
    """Each run of that host has somebody who waits for it."""

    def engine():
        made = Engine(host.settings(), host.layout, host.systemd, claim=Claim("run1"))
        made._context.progress = progress.Progress(host.layout, "run1", host.clock.monotonic)
        return made

    monkeypatch.setattr(host, "engine", engine)
    return host


def test_each_phase_of_a_release_is_told(tmp_path, monkeypatch, entered):
    host = claimed(Host(str(tmp_path), "proxy").install(monkeypatch), monkeypatch)
    host.release("v1")
    host.soak_time, host.proxy = 4.0, {"weights": [5, 25, 100], "step_time": 3}
    entered.clear()
    host.rehearse().release("v2")
    phases = list(dict.fromkeys(phase for phase, _left in entered))
    assert phases == ["STAGE", "REHEARSE", "INTENT", "OVERLAP", "CANARY", "FLIP", "DRAIN", "SOAK", "PROBATION"]
    by_phase = {phase: [left for one, left in entered if one == phase] for phase in phases}
    assert by_phase["OVERLAP"] == [10.0], "two shares and the soak"
    assert (by_phase["CANARY"][0], len(by_phase["CANARY"]) > 3, by_phase["CANARY"][-1] < 6) == (10.0, True, True)
    assert by_phase["SOAK"] == sorted(by_phase["SOAK"], reverse=True)
    assert (by_phase["SOAK"][0], by_phase["SOAK"][-1] < 2) == (4.0, True)
    assert progress.FILE not in os.listdir(host.layout.state)


@pytest.mark.parametrize(("weights", "left"), [([5, 25, 100], 3.0), ([0, 25, 100], 5.0)])
def test_what_may_end_early_is_counted_with_the_least_time(tmp_path, monkeypatch, entered, weights, left):
    host = claimed(Host(str(tmp_path), "proxy").install(monkeypatch), monkeypatch)
    host.release("v1")
    host.have_chosen()
    host.soak_time, host.proxy = 4.0, {"weights": weights, "step_time": 3, "min_time": 1}
    entered.clear()
    host.release("v2")
    assert next(told for phase, told in entered if phase == "OVERLAP") == left


def test_a_rollback_of_a_run_leaves_no_file(sockets, monkeypatch, entered):
    host = claimed(sockets, monkeypatch)
    host.release("v1")
    host.release("v2")
    entered.clear()
    host.engine().rollback()
    assert entered
    assert progress.FILE not in os.listdir(host.layout.state)


def test_the_requests_of_users_so_far_are_told(tmp_path, monkeypatch):
    host = claimed(Host(str(tmp_path), "proxy").install(monkeypatch), monkeypatch)
    host.release("v1")
    host.proxy = {"weights": [50, 100], "step_time": 3}
    Load(host, 40, {})
    seen = []
    of_traffic = progress.of_traffic
    monkeypatch.setattr(progress, "of_traffic", lambda figures: seen.append(of_traffic(figures)) or seen[-1])
    traffic = host.release("v2").traffic
    assert 0 < seen[-1]["new"][0] <= sum(step["requests"] for step in traffic["steps"])
    assert (seen[0]["verdict"], seen[-1]["verdict"], seen[-1]["old"][0] > 0) == ("inconclusive", "pass", True)


def test_the_way_back_is_told(sockets, monkeypatch, entered):
    host = claimed(sockets, monkeypatch)
    host.release("v1")
    host.behaviours["v2"] = Behaviour(healthy=False)
    with pytest.raises(SlipwayError):
        host.release("v2")
    assert entered[-1][0] == progress.GOING_BACK
    assert progress.FILE not in os.listdir(host.layout.state)
