# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module hands its options to the engine, and the engine's answer back."""

from __future__ import annotations

import json

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.problems import Problem, ProblemsError
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Artefact, Settings
from ansible_collections.slipway.go.plugins.modules import release
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

HEX = "ab" * 32
TOLD = {"digest": HEX, "size": 7, "goarch": "amd64"}
SENT = {"name": "shop", "version": "2.0", "src": "/x/shop", "sealed": json.dumps(TOLD)}
DONE = Outcome(True, "2.0-0123456789", "1.0-0123456789", "release", {"SOAK": 1.23456}, 0.5, None, ["0.9-0123456789"])
JUDGED = {"max_latency_ratio": 2.0, "min_requests": 50, "inconclusive": "accept", "min_time": None}
ASKED = {"slow": "rollback", "pause_time": 900.0}
PROXY = {"ports": [], "weights": [], "step_time": 30.0, "max_errors": 1.0, **JUDGED, **ASKED}


def throw(error):
    raise error


@pytest.fixture
def engine(monkeypatch):
    """An engine that writes down what it is told, and answers with `outcome`, an Outcome or an error."""

    class Engine:
        outcome = DONE
        objection = None
        taken = 0

        def __init__(self, settings, by, claim):
            Engine.told.append(settings)
            Engine.by = by
            Engine.claim = claim

        def plan(self):
            return {"serving": "1.0-0123456789"}

        def lease_objection(self):
            return Engine.objection

        def take_lease(self):
            Engine.taken += 1

        def _answer(self, how, spec):
            Engine.told.append((how, spec))
            if isinstance(Engine.outcome, Exception):
                throw(Engine.outcome)
            return Engine.outcome

        def predict(self, spec):
            return self._answer("predict", spec)

        def release(self, spec):
            return self._answer("release", spec)

    Engine.told = []
    monkeypatch.setattr(release, "Engine", Engine)
    return Engine


def test_what_is_left_out_has_its_default(engine, capsys):
    result = run_module(release, capsys, **SENT)
    settings, (how, spec) = engine.told
    assert settings == Settings("shop", "/opt/shop", confirm=60, proxy=PROXY)
    assert (how, spec.version, spec.strategy, spec.group) == ("release", "2.0", "socket", "shop")
    assert (spec.environment, spec.listen, spec.rehearsal, spec.force) == ({}, [], "", False)
    assert spec.artefact == Artefact(HEX, 7, "amd64", None, origin={"source": "/x/shop", "sha256": HEX})
    assert result["changed"] is True
    assert result["phases"] == {"SOAK": 1.235}
    assert result["diff"] == {"before": "1.0-0123456789\n", "after": "2.0-0123456789\n"}
    assert (result["pruned"], result["downtime_seconds"]) == (["0.9-0123456789"], None)
    assert "host_profile" not in result


def test_who_has_asked_for_it_arrives(engine, capsys):
    run_module(release, capsys, **SENT, by={"person": "alice", "reason": "why not"})
    assert {name: text for name, text in engine.by.items() if text} == {"person": "alice", "reason": "why not"}


def test_what_is_given_arrives(engine, capsys):
    given = {
        "strategy": "restart",
        "group": "web",
        "listen": ["80"],
        "rehearsal": "18080",
        "force": True,
        "sealed": json.dumps({**TOLD, "uploaded": "/tmp/x"}),
        "root": "/srv/shop",
        "health": {"url": "http://127.0.0.1/"},
        "start_timeout": 1,
        "drain_timeout": 2,
        "soak_time": 3,
        "lock_timeout": 4,
        "keep": 9,
        "probe": {"rate": 7},
        "confirm": 8,
        "environment": {"A": True},
        "proxy": {"ports": [1, 2], "weights": [5]},
    }
    run_module(release, capsys, **{**SENT, **given})
    settings, (_ignored, spec) = engine.told
    assert settings == Settings(
        "shop",
        "/srv/shop",
        {"url": "http://127.0.0.1/"},
        1,
        2,
        3,
        4,
        9,
        {"rate": 7},
        8,
        proxy={**PROXY, "ports": [1, 2], "weights": [5]},
    )
    assert (spec.strategy, spec.group, spec.listen, spec.rehearsal, spec.force) == (
        "restart",
        "web",
        ["80"],
        "18080",
        True,
    )
    assert spec.environment == {"A": True}
    assert spec.artefact.path == "/tmp/x"


def test_secrets_travel_sealed_and_do_not_come_back(engine, capsys):
    sealed = json.dumps({**TOLD, "environment": {"TOKEN": "hunter2"}, "health": {"headers": {"X": "hunter2"}}})
    result = run_module(release, capsys, **{**SENT, "sealed": sealed})
    settings, (_ignored, spec) = engine.told
    assert spec.environment == {"TOKEN": "hunter2"}
    assert settings.health == {"headers": {"X": "hunter2"}}
    assert "hunter2" not in json.dumps(result)


def test_check_mode_only_predicts_and_asks_for_judgement(engine, capsys):
    result = run_module(release, capsys, **SENT, _ansible_check_mode=True)
    assert engine.told[1][0] == "predict"
    assert result["changed"] is True
    assert result["host_profile"]


def test_an_artefact_that_is_not_there_is_to_be_judged_before_it_is_uploaded(engine, capsys):
    engine.outcome = Outcome(False, "1.0-0123456789", None, "upload")
    result = run_module(release, capsys, **SENT)
    assert (result["changed"], result["action"]) == (False, "upload")
    assert result["host_profile"]


def test_a_failure_is_told_with_its_code_its_fix_and_its_details(engine, capsys):
    engine.outcome = SlipwayError("rolled_back", "It was rolled back.", "look there", rolled_back=True, current=None)
    result = run_module(release, capsys, **SENT)
    assert result["failed"] is True
    assert result["msg"] == "It was rolled back. Fix: look there"
    assert (result["code"], result["fix"], result["rolled_back"]) == ("rolled_back", "look there", True)


def test_an_error_of_the_system_is_no_traceback(engine, capsys):
    engine.outcome = OSError(28, "No space left on device", "/var/lib/slipway/shop/state.json")
    result = run_module(release, capsys, **SENT)
    assert result["failed"] is True
    assert result["msg"] == "No space left on device (/var/lib/slipway/shop/state.json)"
    assert result["code"] == "os_error"


@pytest.mark.parametrize(
    ("wrong", "variable"),
    [
        ({"name": "No"}, "service_name"),
        ({"version": ""}, "release_version"),
        ({"keep": 1}, "release_keep"),
        ({"soak_time": -1}, "release_soak_time"),
        ({"root": "/"}, "service_root"),
    ],
)
def test_bad_input_is_refused_before_the_engine_is_asked(engine, capsys, wrong, variable):
    result = run_module(release, capsys, **{**SENT, **wrong})
    assert result["failed"] is True
    assert variable in result["msg"]
    assert not any(isinstance(told, tuple) for told in engine.told)


CLAIM = {"run": "x", "seconds": 60.0, "instead": ["y"]}
LEASED = SlipwayError("leased", "shop is being released by alice.", "wait for that run to end", lease={"run": "z"})


def foresee(capsys, lease):
    sealed = json.dumps({**TOLD, "claim": CLAIM})
    return run_module(release, capsys, **{**SENT, "sealed": sealed}, lease=lease, _ansible_check_mode=True)


@pytest.mark.parametrize(("lease", "taken"), [("require", 0), ("tell", 0), ("take", 1)])
def test_a_check_takes_the_lease_where_it_is_told_to(engine, capsys, lease, taken):
    told = foresee(capsys, lease)
    assert (engine.taken, engine.claim.run, engine.claim.instead) == (taken, "x", ("y",))
    assert told["plan"] == {"serving": "1.0-0123456789"}


@pytest.mark.parametrize("lease", ["require", "take"])
def test_the_lease_of_another_run_is_a_problem_and_the_others_are_named_too(engine, capsys, lease):
    engine.objection = LEASED
    told = foresee(capsys, lease)
    assert (told["failed"], [one["code"] for one in told["problems"]]) == (True, ["leased"])
    assert (told["lease"], told["plan"]) == ({"run": "z"}, {"serving": "1.0-0123456789"})
    engine.outcome = ProblemsError([Problem("port_in_use", "port 80 is in use.", "stop it")])
    told = foresee(capsys, lease)
    assert [one["code"] for one in told["problems"]] == ["port_in_use", "leased"]
    assert told["lease"] == {"run": "z"}
    assert engine.taken == 0


def test_a_plan_only_tells_of_it(engine, capsys):
    engine.objection = LEASED
    assert foresee(capsys, "tell")["action"] == "release"


def test_a_refusal_has_its_plan_and_takes_nothing(engine, capsys):
    engine.outcome = SlipwayError("known_bad", "2.0 is marked bad.", "release another version")
    told = foresee(capsys, "take")
    assert (told["code"], told["plan"], engine.taken) == ("known_bad", {"serving": "1.0-0123456789"}, 0)
