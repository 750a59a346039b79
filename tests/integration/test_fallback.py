"""A release falls when nobody is there: what was good serves again, and no connection is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from waiting import wait

SERVICE = "lantern"
HOST = 1
PORT = 8101
SECONDS = 90


def variables(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "service_watch_interval": 1,
        "service_watch_rollback": 2,
        "service_watch_alert": ["/usr/bin/touch", "/run/fallen"],
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6, "timeout": 1},
        "release_soak_time": 0,
        **more,
    }


def pid(host: Any) -> str:
    return host.run("systemctl", "show", "--property=MainPID", "--value", f"{SERVICE}@{host.current(SERVICE)}.service")


def refused(report: dict[str, Any]) -> int:
    return int(report["total"]["failures"].get("refused", 0))


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path) -> Any:
    with fleet.serving(variables(binaries, "1.0.0")) as serving:
        yield serving


def test_the_only_instance_is_killed_and_no_connection_is_refused(released: Any, load: Any) -> None:
    client = load(rate=100, port=PORT)
    for host in released.hosts:
        before = pid(host)
        host.run("kill", "-KILL", before)
        wait("it runs again", lambda host=host, before=before: pid(host) not in (before, "0"), SECONDS)
        wait(
            "it is healthy",
            lambda host=host: "health    pass" in host.run("slipway", "status", SERVICE, check=False),
            SECONDS,
        )
    report = client.report()
    assert report["total"]["sent"] > 100
    assert refused(report) == 0


def test_a_release_that_crashes_after_its_commit_is_taken_back_without_ansible(
    released: Any, binaries: Path, load: Any
) -> None:
    good = [host.current(SERVICE) for host in released.hosts]
    client = load(rate=100, port=PORT)
    falling = variables(binaries, "2.0.0", release_environment={"APP_CRASH_AFTER": "8s"}, release_serial="100%")
    done = released.play("release", falling)
    assert done.code == 0, done.output
    bad = released.hosts[0].current(SERVICE)
    assert bad.startswith("2.0.0-")
    for host, wanted in zip(released.hosts, good):
        wait("the one before serves", lambda host=host, wanted=wanted: host.current(SERVICE) == wanted, SECONDS)
        wait(
            "nothing is in flight", lambda host=host: not host.exists(f"/var/lib/slipway/{SERVICE}/state.json"), SECONDS
        )
        wait("somebody is told", lambda host=host: host.exists("/run/fallen"), SECONDS)
        assert f"{bad}  (bad)" in host.run("slipway", "status", SERVICE)
        assert "by a rollback: crashed or restarted 2 times" in host.run("slipway", "history", SERVICE)
    report = client.report()
    assert refused(report) == 0
    again = released.play("release", falling)
    assert "is marked bad on this host since" in again.output


def test_while_the_watch_restarts_what_hangs_somebody_can_roll_back(released: Any, binaries: Path) -> None:
    """Systemd waits a minute for a process that does not end, and nobody else has to."""
    host = released.hosts[0]
    good = host.current(SERVICE)
    slow = variables(
        binaries, "3.0.0", service_drain_timeout=60, release_drain_timeout=5, service_watch_rollback=5,
        release_lock_timeout=5,
    )  # fmt: skip
    done = released.play("site", slow, "--limit", host.name)
    assert done.code == 0, done.output
    bad = host.current(SERVICE)
    journal = f"/var/lib/slipway/{SERVICE}/journal.jsonl"
    host.run("kill", "-STOP", pid(host))
    wait("the watch restarts it", lambda: f'"watch_restart", "release": "{bad}"' in host.run("cat", journal), SECONDS)
    assert f"{good} serves; {bad} was left" in host.run("slipway", "rollback", SERVICE)
    assert host.current(SERVICE) == good
