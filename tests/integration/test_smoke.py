"""The operator's own commands: those that decide in the rehearsal, and one that is run once for a version."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import play
import pytest
from waiting import wait

SERVICE = "taster"
HOST = 1
PORT = 8102
SECRET = "correct-horse-battery"
BY_SOCKET = f"""
import getpass, os, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(os.environ["SLIPWAY_SOCKET"])
s.sendall(b"GET /version HTTP/1.0\\r\\n\\r\\n")
said = b"".join(iter(lambda: s.recv(4096), b"")).decode()
assert getpass.getuser() == "{SERVICE}", getpass.getuser()
sys.exit(0 if '"version":"2.0.0"' in said else said)
"""
TELLS = "import sys; print('the database says %s' % sys.argv[1]); sys.exit(7)"
MIGRATES = f"""
import getpass, os, time
assert os.environ["PASSWORD"] == "{SECRET}" and os.getcwd() == os.environ["SLIPWAY_DIRECTORY"]
with open(os.environ["STATE_DIRECTORY"] + "/migrated", "a") as stream:
    print(getpass.getuser(), os.environ["SLIPWAY_RELEASE"], file=stream)
time.sleep(3)
print("applied 0042 with {SECRET}")
"""


def variables(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6},
        "release_environment": {"PASSWORD": SECRET},
        "release_soak_time": 0,
        **more,
    }


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path) -> Any:
    with fleet.serving(variables(binaries, "1.0.0")) as serving:
        yield serving


def test_a_command_that_fails_refuses_the_release_and_shows_no_secret(released: Any, binaries: Path, load: Any) -> None:
    client = load(rate=100, port=PORT)
    smoke = [["/usr/bin/python3", "-c", TELLS, SECRET]]
    done = released.play("release", variables(binaries, "2.0.0", release_smoke=smoke))
    assert done.code != 0
    assert "was refused in REHEARSE, before any request could reach it: the smoke command" in done.output
    assert "ended with exit status 7: the database says ********" in done.output
    report = client.report()["total"]
    assert (report["failed"], set(report["versions"])) == (0, {"1.0.0"})


def test_a_command_that_hangs_is_ended_with_all_it_has_started(released: Any, binaries: Path) -> None:
    hangs = [["/usr/bin/python3", "-c", "import os, time; os.fork(); time.sleep(4321)"]]
    done = released.play("release", variables(binaries, "2.0.0", release_smoke=hangs, release_smoke_timeout=2))
    assert "did not end within 2 s" in done.output
    for host in released.hosts:
        assert "sleep(4321)" not in host.run("ps", "-eo", "args")


def test_a_command_that_is_not_there(released: Any, binaries: Path) -> None:
    done = released.play("release", variables(binaries, "2.0.0", release_smoke=[["/usr/bin/nothing"]]))
    assert "/usr/bin/nothing ended with exit status" in done.output


def test_commands_reach_the_release_as_its_own_user(released: Any, binaries: Path) -> None:
    smoke = [["/usr/bin/python3", "-c", BY_SOCKET], ["/usr/bin/test", "${SLIPWAY_ADDRESS}", "=", "${SLIPWAY_SOCKET}"]]
    done = released.play("release", variables(binaries, "2.0.0", release_smoke=smoke))
    assert done.code == 0, done.output


def test_without_a_rehearsal_there_is_nothing_to_ask(released: Any, binaries: Path) -> None:
    done = released.play("release", variables(binaries, "3.0.0", release_smoke=[["true"]], release_rehearsal=""))
    assert "set service_rehearsal, or leave release_smoke empty" in done.output


def test_a_migration_runs_once_over_three_runs_of_which_one_is_killed(released: Any, binaries: Path) -> None:
    """It outlives the engine that has started it, and the next run takes over how it ended."""
    (host,) = released.hosts
    before = host.current(SERVICE)
    once = ["/usr/bin/python3", "-c", MIGRATES]
    values = variables(binaries, "3.0.0", release_once=once, release_once_timeout="60")
    migrated = f"/var/lib/{SERVICE}/migrated"
    argv = ["ansible-playbook", "playbooks/release.yml", "-i", str(released.inventory), "-e", json.dumps(values)]
    run = subprocess.Popen(argv, env=play.environment(), cwd=play.CHECKOUT, stdout=subprocess.DEVNULL)
    try:
        wait("it runs", lambda: host.exists(migrated), 120)
        host.run("kill", "-KILL", str(json.loads(host.run("cat", f"/var/lib/slipway/{SERVICE}/lock"))["pid"]))
    finally:
        run.wait(timeout=120)
    assert (run.returncode != 0, host.current(SERVICE)) == (True, before)
    for _run in range(2):
        done = released.play("release", values)
        assert done.code == 0, done.output
        assert host.current(SERVICE).startswith("3.0.0-")
    assert host.run("cat", migrated).split() == [SERVICE, host.current(SERVICE)]
    told = host.run("grep", '"event": "once"', f"/var/lib/slipway/{SERVICE}/journal.jsonl")
    assert [json.loads(line)["state"] for line in told.splitlines()] == ["started", "done"]
    assert "applied 0042 with ********" in told
    assert host.run("systemctl", "list-units", "--all", "--plain", "--no-legend", f"slipway-once-{SERVICE}*") == ""
