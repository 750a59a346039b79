# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the controller says of a release that it could not confirm is what has become of it on the host."""

from __future__ import annotations

import json
import shlex

import pytest
from ansible.errors import AnsibleError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._tool import cli
from ansible_collections.slipway.go.plugins.plugin_utils._action import confirmation
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.release.world import Host

SUDO = "sudo: unable to resolve host web1: Name or service not known\r\n"


@pytest.fixture(params=["socket", "proxy", "reload", "restart"])
def host(request, memory, monkeypatch):
    host = Host(memory, request.param).install(monkeypatch)
    host.release("v1")
    monkeypatch.setattr(confirmation, "WITHIN", 0.0)
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli, "operator", lambda name: name)
    monkeypatch.setattr(cli, "_engine", lambda _one: host.engine())
    return host


@pytest.fixture
def confirm(host, capsys):
    """Release v2 and have the controller confirm it, with a new connection or only with the one that is open."""

    def act(reachable, meanwhile=lambda: None, ask=confirmation.confirm):
        done = host.swap("v2").as_dict()
        meanwhile()

        def run(command, anew):
            if anew and not reachable:
                raise AnsibleError("timed out")
            rc = cli.main(shlex.split(command)[1:])
            said = capsys.readouterr()
            text = SUDO + said.err.replace("\n", "\r\n") + said.out.replace("\n", "\r\n")
            return {"rc": rc, "stdout": text, "stderr": "Shared connection to web1 closed."}

        return ask(run, "shop", done)

    return act


def test_a_warning_of_sudo_before_the_answer_confirms_all_the_same(host, confirm):
    result = confirm(reachable=True)
    assert "failed" not in result
    assert (result["unconfirmed"], result["current"]) == (None, host.id_of("v2"))
    assert host.settled() == host.id_of("v2")


def test_one_that_waits_for_its_fleet_is_reached_anew_and_goes_on_waiting(host, confirm, monkeypatch):
    monkeypatch.setattr(cli, "main", lambda _argv: 1)  # status fails for what is unconfirmed
    result = confirm(reachable=True, ask=confirmation.prove)
    assert "failed" not in result
    assert result["unconfirmed"] == host.store.load().txn


def test_one_that_waits_for_its_fleet_and_cannot_be_reached_anew_is_taken_back(host, confirm):
    result = confirm(reachable=False, ask=confirmation.prove)
    assert (result["failed"], result["rolled_back"], result["unconfirmed"]) == (True, True, None)
    assert host.settled() == host.id_of("v1")


def test_what_was_taken_back_is_told(host, confirm):
    result = confirm(reachable=False)
    old = host.id_of("v1")
    assert (result["failed"], result["rolled_back"], result["current"]) == (True, True, old)
    assert f"It was taken back, and {old} serves again." in result["msg"]
    assert host.settled() == old


def test_a_release_that_stayed_because_the_one_before_does_not_start_is_not_called_taken_back(host, confirm):
    def break_the_old_one():
        host.behave("v1").boots = False
        host.systemd.die(host.id_of("v1"))

    result = confirm(reachable=False, meanwhile=break_the_old_one)
    new = host.id_of("v2")
    assert (result["failed"], result["rolled_back"], result["current"]) == (True, False, new)
    assert "It was not taken back: it serves" in result["msg"]
    assert "release again" not in result["msg"]
    assert host.settled() == new


def test_when_neither_runs_any_more_nothing_is_said_to_serve(host, confirm):
    def break_both():
        for version in ("v1", "v2"):
            host.behave(version).boots = False
            host.systemd.die(host.id_of(version))

    result = confirm(reachable=False, meanwhile=break_both)
    assert host.systemd.running() == []
    assert (result["failed"], result["rolled_back"], result["current"]) == (True, False, None)
    assert f"{host.id_of('v1')} does not run: nothing serves" in result["msg"]


def test_a_take_back_that_fails_says_why(host, confirm, monkeypatch):
    def fail(self, txn):
        raise SlipwayError("damaged_state", "state.json is not readable.", "look at it")

    def damage():
        monkeypatch.setattr(Engine, "recover", fail)

    result = confirm(reachable=False, meanwhile=damage)
    assert (result["failed"], result["rolled_back"], result["current"]) == (True, False, host.id_of("v2"))
    assert "Taking it back failed: state.json is not readable." in result["msg"]


ANSWER = {"changed": True, "current": "2-b", "previous": "1-a", "unconfirmed": "ab" * 16}


def over_the_open_one(rc, said):
    def run(_command, anew):
        if anew:
            raise AnsibleError("Permission denied")
        return {"rc": rc, "stdout": json.dumps(said), "stderr": "shop: state.json is not readable."}

    return confirmation.confirm(run, "shop", dict(ANSWER))


def test_an_older_tool_that_ends_badly_has_taken_nothing_back():
    result = over_the_open_one(1, {})
    assert (result["failed"], result["rolled_back"], result["current"]) == (True, False, "2-b")
    assert "Taking it back failed: slipway ended with 1: shop: state.json is not readable." in result["msg"]


def test_an_older_tool_that_does_not_say_what_serves_has_taken_it_back():
    result = over_the_open_one(0, {"shop": "2-b"})
    assert (result["rolled_back"], result["current"]) == (True, "1-a")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a": 1}', {"a": 1}),
        ('{\r\n  "a": {\r\n    "b": 1\r\n  }\r\n}\r\nlogout\r\n', {"a": {"b": 1}}),
        ('{"level": "warn"}\n{\n  "a": 1\n}\n', {"a": 1}),
        ('{cut short\n{"a": 1}', {"a": 1}),
        ('[\n  {\n    "a": 1\n  }\n]', None),
        ("sudo: a password is required", None),
        ("", None),
    ],
)
def test_the_answer_is_found_wherever_it_stands(text, found):
    assert confirmation._find_object(text) == found
