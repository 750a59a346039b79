# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The module treats the service as its last release was treated."""

from __future__ import annotations

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.meant import Meant
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import Claim
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings
from ansible_collections.slipway.go.plugins.modules import rollback
from ansible_collections.slipway.go.tests.unit.plugins.modules.in_process import run_module

LAST = Settings("shop", "/srv/shop", {"url": "http://127.0.0.1/"})


@pytest.fixture
def told(monkeypatch):
    told = []

    class Engine:
        objection = None

        def __init__(self, settings, by, claim):
            told.append(settings)
            Engine.by, Engine.claim = by, claim

        def lease_objection(self):
            return Engine.objection

        def rollback(self, wanted, meant, mark_bad):
            told.append(("rollback", wanted, meant, mark_bad))
            return Outcome(True, "1.0-0123456789", "2.0-0123456789", "rollback")

        def predict_rollback(self, wanted, meant):
            told.append(("predict", wanted, meant))
            return Outcome(False, "1.0-0123456789", None, "none")

    monkeypatch.setattr(rollback, "Engine", Engine)
    monkeypatch.setattr(rollback, "load_settings", {"shop": LAST}.__getitem__)
    return told


def test_rollback(told, capsys):
    result = run_module(rollback, capsys, name="shop")
    assert told == [LAST, ("rollback", None, None, True)]
    assert (result["changed"], result["current"], result["previous"]) == (True, "1.0-0123456789", "2.0-0123456789")
    assert result["diff"] == {"before": "2.0-0123456789\n", "after": "1.0-0123456789\n"}


def test_who_has_asked_for_it_arrives(told, capsys):
    run_module(rollback, capsys, name="shop", by={"person": "alice"})
    assert rollback.Engine.by["person"] == "alice"


def test_a_run_says_that_it_goes_back(told, capsys):
    """Whoever only asks for a rollback makes no claim."""
    run_module(rollback, capsys, name="shop")
    assert rollback.Engine.claim is None
    run_module(rollback, capsys, name="shop", claim={"run": "x", "held": True})
    assert rollback.Engine.claim == Claim("x", held=True)


def test_named_rollback(told, capsys):
    run_module(rollback, capsys, name="shop", release="0.9-0123456789")
    assert told == [LAST, ("rollback", "0.9-0123456789", None, True)]


def test_what_is_to_be_taken_back(told, capsys):
    run_module(rollback, capsys, name="shop", of="2.0", run="4711")
    assert told == [LAST, ("rollback", None, Meant("2.0", "4711"), True)]


@pytest.mark.parametrize("option", ["of", "run"])
def test_an_empty_answer_takes_nothing_back(told, capsys, option):
    result = run_module(rollback, capsys, name="shop", **{option: ""})
    assert (result["failed"], result["code"]) == (True, "empty_of")
    assert told == [LAST]


def test_check_mode(told, capsys):
    result = run_module(rollback, capsys, name="shop", _ansible_check_mode=True)
    assert told == [LAST, ("predict", None, None)]
    assert result["changed"] is False
    assert result["diff"] == {"before": "1.0-0123456789\n", "after": "1.0-0123456789\n"}


def test_a_service_nobody_knows(monkeypatch, capsys):
    def load(name):
        raise SlipwayError("unknown_service", f"{name} has never been released on this host.", "release it")

    monkeypatch.setattr(rollback, "load_settings", load)
    result = run_module(rollback, capsys, name="shop")
    assert (result["failed"], result["code"]) == (True, "unknown_service")


def test_the_lease_of_a_run_is_told_and_keeps_nobody_from_going_back(told, capsys, monkeypatch):
    warned = []
    monkeypatch.setattr(rollback.AnsibleModule, "warn", lambda _self, text, **_more: warned.append(text))
    rollback.Engine.objection = SlipwayError("leased", "shop is being released by alice.", "wait")
    assert run_module(rollback, capsys, name="shop")["changed"]
    assert warned == ["shop is being released by alice. The rollback goes on."]
