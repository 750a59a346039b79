"""The operator's own commands decide in the rehearsal, before any request could reach the release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

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
