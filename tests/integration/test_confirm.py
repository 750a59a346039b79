"""A release that its controller cannot confirm goes back by itself, under load, and nothing is lost on the way."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import inside
import play
import pytest
from processes import kill_tree
from waiting import wait

SERVICE = "trial"
PORT = 8103
SECONDS = 90


def variables(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 2},
        "release_probe": {"url": f"http://127.0.0.1:{PORT}/"},
        "release_soak_time": 2,
        "release_start_timeout": 3,
        "release_drain_timeout": 4,
        "release_confirm": 1,
        **more,
    }


def phase(host: Any) -> str:
    found = host.run("cat", f"/var/lib/slipway/{SERVICE}/state.json", check=False)
    return str(json.loads(found)["phase"]) if found else "none"


def history(host: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(host.run("slipway", "history", SERVICE, "--json"))
    return found


def begin(fleet: Any, values: dict[str, Any]) -> subprocess.Popen[bytes]:
    argv = ["ansible-playbook", "playbooks/release.yml", "-i", str(fleet.inventory), "-e", json.dumps(values)]
    argv += ["--limit", fleet.hosts[0].name]
    return subprocess.Popen(argv, env=play.environment(), cwd=play.CHECKOUT, stdout=subprocess.DEVNULL)


def leave(fleet: Any, values: dict[str, Any]) -> None:
    """The controller dies while the release soaks, and the engine goes on without it."""
    host = fleet.hosts[0]
    controller = begin(fleet, values)
    try:
        wait("it soaks", lambda: phase(host) == "SOAK", SECONDS)
    finally:
        kill_tree(controller.pid)
        controller.wait(timeout=60)
    wait("it waits to be confirmed", lambda: phase(host) == "PROBATION", SECONDS)


@pytest.fixture(scope="module")
def trial(fleet: Any) -> Any:
    yield fleet
    fleet.retire(SERVICE)


@pytest.fixture
def released(trial: Any, binaries: Path) -> Any:
    """Each test begins with 1.0.0."""
    done = trial.play("site", variables(binaries, "1.0.0"), "--limit", trial.hosts[0].name)
    assert done.code == 0, done.output
    return trial


def test_without_its_controller_the_host_goes_back_and_a_late_confirmation_is_refused(
    released: Any, binaries: Path, load: Any
) -> None:
    host = released.hosts[0]
    client = load(rate=100, port=PORT, hosts=[host])
    leave(released, variables(binaries, "2.0.0"))
    waiting = json.loads(host.run("slipway", "status", SERVICE, "--json", check=False))[0]["in_flight"]
    assert waiting["deadline"] > time.time()
    said = host.run("sh", "-c", f"slipway status {SERVICE}; echo ended with $?")
    assert f"sudo slipway confirm {SERVICE}" in said
    assert said.endswith("ended with 1"), "a release that waits is not yet a fact"
    assert "nothing to recover" in host.run("slipway", "recover", SERVICE), "it waits, and is no interrupted swap"
    wait("the host takes it back", lambda: phase(host) == "none", SECONDS)
    assert host.current(SERVICE).startswith("1.0.0-")
    last = history(host)[0]
    assert (last["event"], last["code"], last["txn"]) == ("rolled_back", "unconfirmed", waiting["txn"])
    for more in ([], ["--txn", waiting["txn"]]):
        late = inside.attempt(host.container, "slipway", "confirm", SERVICE, *more)
        assert late.returncode == 1
        assert "was taken back at" in late.stderr
    assert waiting["to"] not in json.loads(host.run("slipway", "status", SERVICE, "--json"))[0]["bad"]
    report = client.report()["total"]
    assert (report["failed"], set(report["versions"])) == (0, {"1.0.0", "2.0.0"})


def test_the_same_run_again_confirms_what_waits(released: Any, binaries: Path) -> None:
    host = released.hosts[0]
    values = variables(binaries, "2.0.0", release_confirm=60)
    leave(released, values)
    again = released.play("release", values, "--limit", host.name)
    assert again.code == 0, again.output
    assert (phase(host), history(host)[0]["event"]) == ("none", "committed")
    assert host.current(SERVICE).startswith("2.0.0-")
    assert host.run("sh", "-c", "ls /var/lib/slipway/deadman | grep -v journal", check=False) == ""


def test_a_restart_by_hand_while_it_waits_does_not_turn_back_what_is_confirmed(released: Any, binaries: Path) -> None:
    host = released.hosts[0]
    leave(released, variables(binaries, "2.0.0", release_confirm=60))
    host.run("systemctl", "restart", f"{SERVICE}.service")
    assert host.current(SERVICE).startswith("1.0.0-"), "as after any start of the service"
    host.run("slipway", "confirm", SERVICE)
    status = json.loads(host.run("slipway", "status", SERVICE, "--json"))[0]
    assert [status[key].partition("-")[0] for key in ("current", "last_good")] == ["2.0.0", "2.0.0"]
    assert (status["health"], status["running"]) == ("pass", [f"{SERVICE}@{status['current']}.service"])


def test_a_host_that_takes_no_new_connection_goes_back(released: Any, binaries: Path, load: Any) -> None:
    """The connection that is open already stays so, and proves nothing."""
    host = released.hosts[0]
    client = load(rate=100, port=PORT, hosts=[host])
    values = variables(binaries, "3.0.0", release_confirm=60)
    controller = begin(released, values)
    try:
        wait("it soaks", lambda: phase(host) == "SOAK", SECONDS)
        host.run("systemctl", "stop", "ssh.service")
        assert controller.wait(timeout=120) != 0
    finally:
        host.run("systemctl", "start", "ssh.service")
        if controller.poll() is None:
            kill_tree(controller.pid)
    assert phase(host) == "none"
    assert host.current(SERVICE).startswith("1.0.0-")
    assert history(host)[0]["code"] == "unconfirmed"
    assert client.report()["total"]["failed"] == 0


def test_a_release_that_answers_some_with_an_error_is_found_out_by_the_probe(released: Any, binaries: Path) -> None:
    """It is ready and healthy all the time."""
    host = released.hosts[0]
    values = variables(binaries, "3.0.0", release_environment={"APP_ERROR_RATIO": "0.3"})
    done = released.play("release", values, "--limit", host.name)
    assert done.code != 0
    assert "release_probe.max_failed_percent allows 5 %" in " ".join(done.output.split())
    assert host.current(SERVICE).startswith("1.0.0-")
    last = history(host)[0]
    assert (last["code"], last["probe"]["before"]["failed"]) == ("probe_failed", 0)
    assert last["probe"]["rollback"]["sent"] > 0


def test_a_release_brings_the_tool_that_its_timers_will_call(released: Any, binaries: Path) -> None:
    """One of another version may not know what this engine writes."""
    host = released.hosts[0]
    host.run("sh", "-c", "printf '#!/bin/sh\\nexit 1\\n' > /usr/local/sbin/slipway")
    done = released.play("release", variables(binaries, "2.0.0", release_confirm=60), "--limit", host.name)
    assert done.code == 0, done.output
    assert host.current(SERVICE).startswith("2.0.0-")
    assert "health    pass" in host.run("slipway", "status", SERVICE)
    assert phase(host) == "none"
