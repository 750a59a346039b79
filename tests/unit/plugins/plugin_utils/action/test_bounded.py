from __future__ import annotations

import contextlib
import importlib
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.slipway.go.plugins.action import firewall
from ansible_collections.slipway.go.plugins.plugin_utils._action import bounded


def retried(action: Any) -> None:
    """As the connection plugin does with whatever Exception it meets."""
    for attempt in (1, 2):
        try:
            action()
        except Exception:
            if attempt == 2:
                raise


def test_what_takes_too_long_fails_although_the_connection_would_try_again() -> None:
    begun = time.monotonic()
    with pytest.raises(AnsibleError, match="no answer"), bounded.limit(0.2, "no answer"):
        retried(lambda: time.sleep(5))
    assert time.monotonic() - begun < 2
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_what_is_in_time_is_left_alone() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with bounded.limit(5, "no answer"):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0
    assert signal.getsignal(signal.SIGALRM) is before


def test_a_time_limit_of_the_task_itself_stays() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with bounded.limit(0.1, "no answer"):
            time.sleep(0.3)
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_a_host_that_does_not_answer_is_said_to_take_the_change_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "SLACK", 0.1)
    action: Any = SimpleNamespace(_execute_module=lambda task_vars: time.sleep(5))
    answer = bounded.run_armed(action, 0.1, {})
    assert (answer["failed"], answer["code"]) == (True, "no_answer")
    assert "takes back by itself" in answer["msg"]


@pytest.mark.parametrize(
    ("arguments", "longest"),
    [
        ({}, 150.0),
        ({"seconds": 10, "ssh_ports": [22]}, 55.0),
        ({"seconds": 100, "rules": [{"port": "443"}, {"port": "80"}]}, 240.0),
        ({"rules": "none", "zones": [{"name": "dmz", "interfaces": ["eth1"], "sources": []}, "x"]}, 155.0),
    ],
)
def test_a_firewall_is_waited_for_as_long_as_its_rules_may_take(
    arguments: dict[str, Any], longest: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded.ActionBase, "run", lambda *_words: {})
    made = firewall.ActionModule.__new__(firewall.ActionModule)
    made._task = SimpleNamespace(args=arguments, async_val=0)
    asked = []

    @contextlib.contextmanager
    def limit(seconds: float, _says: str) -> Iterator[None]:
        asked.append(seconds)
        yield

    monkeypatch.setattr(bounded, "limit", limit)
    made._execute_module = lambda **_words: {"changed": True}
    assert made.run() == {"changed": True}
    assert asked == [longest]


def test_a_host_that_cannot_be_reached_stays_that() -> None:
    def fails(task_vars: dict[str, Any]) -> None:
        raise AnsibleConnectionFailure("no route to host")

    with pytest.raises(AnsibleConnectionFailure):
        bounded.run_armed(SimpleNamespace(_execute_module=fails), 60, {})  # type: ignore[arg-type]


@pytest.mark.parametrize(("given", "seconds"), [("90", 90.0), (None, 60.0), ("soon", 60.0)])
def test_a_time_that_is_none_is_for_the_module_to_refuse(given: Any, seconds: float) -> None:
    assert bounded.time_to_confirm(given) == seconds


@pytest.mark.parametrize("name", ["account", "config_files", "confirm_login", "firewall", "release", "sshd"])
@pytest.mark.parametrize("fails", [lambda: time.sleep(5), AnsibleConnectionFailure("connection timed out")])
def test_a_result_stands_though_the_host_is_gone_before_it_is_cleaned(
    name: str, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ansible removes the temporary directory after the action, and a failure of that replaces the action's result."""
    monkeypatch.setattr(bounded, "CLEANUP", 0.1)
    action = importlib.import_module(f"ansible_collections.slipway.go.plugins.action.{name}").ActionModule
    asked = []

    def remove(_path: str) -> None:
        asked.append(name)
        if callable(fails):
            fails()
        else:
            raise fails

    made = action.__new__(action)
    made._task = SimpleNamespace(async_val=0)
    made._connection = SimpleNamespace(_shell=SimpleNamespace(tmpdir="/root/.ansible/tmp/one"))
    made._remove_tmp_path = remove
    made.cleanup()
    assert asked == [name]
