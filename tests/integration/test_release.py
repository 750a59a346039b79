"""Releases on real hosts over SSH, under load: nothing is lost, and what is reported is what happened."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path
from typing import Any

import play
import pytest

SERVICE = "shop"
PORT = 8080


def variables(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 6},
        "release_soak_time": 1,
        **more,
    }


def runs(fleet: Any) -> set[str]:
    return {host.current(SERVICE).partition("-")[0] for host in fleet.hosts}


def instances(host: Any) -> list[str]:
    listed = host.run("systemctl", "list-units", "--plain", "--no-legend", "--state=active", f"{SERVICE}@*")
    return [line.split()[0] for line in listed.splitlines()]


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path) -> Any:
    """Both hosts run 1.0.0, by the playbook's collection name."""
    with fleet.serving(variables(binaries, "1.0.0"), name="slipway.go.site") as serving:
        yield serving


def test_check_mode_predicts_and_a_second_run_changes_nothing(released: Any, binaries: Path) -> None:
    predicted = released.play("site", variables(binaries, "1.0.0"), "--check", "--diff")
    assert predicted.code == 0, predicted.output
    again = released.play("site", variables(binaries, "1.0.0"))
    for done in (predicted, again):
        assert {host["changed"] for host in done.recap.values()} == {0}


def test_an_upgrade_a_bad_release_and_a_rollback_lose_nothing(released: Any, binaries: Path, load: Any) -> None:
    client = load(rate=200)
    time.sleep(1)
    upgrade = released.play("release", variables(binaries, "2.0.0"))
    assert upgrade.code == 0, upgrade.output
    assert runs(released) == {"2.0.0"}
    assert f"runs on all {len(released.hosts)} hosts, each asked anew." in upgrade.output

    back = released.play("rollback", variables(binaries, "2.0.0"))
    assert back.code == 0, back.output
    assert runs(released) == {"1.0.0"}

    bad = variables(binaries, "3.0.0", release_environment={"APP_UNHEALTHY_AFTER": "0s"})
    refused = released.play("release", bad)
    assert refused.code != 0
    assert "was refused in REHEARSE, before any request could reach it" in refused.output
    assert "Its log ends: " in refused.output
    assert "It answered: " in refused.output
    tried = min(released.hosts, key=lambda host: host.name)
    history = tried.run("slipway", "history", SERVICE)
    assert re.search(r'^ +log: .*"msg":"serving"', history, re.MULTILINE), history
    assert re.search(r'^ +answer: .*"reason":"APP_UNHEALTHY_AFTER"', history, re.MULTILINE), history
    assert runs(released) == {"1.0.0"}

    report = client.report()
    assert report["total"]["sent"] > 1000
    assert report["total"]["failures"] == {}
    assert report["total"]["failed"] == 0
    assert set(report["total"]["versions"]) == {"1.0.0", "2.0.0"}


def test_without_rehearsal_a_bad_release_is_rolled_back_and_loses_nothing(
    released: Any, binaries: Path, load: Any
) -> None:
    client = load(rate=200)
    bad = variables(binaries, "3.0.0", release_environment={"APP_UNHEALTHY_AFTER": "0s"}, release_rehearsal="")
    again = {**bad, "release_force": True}
    assert "is marked bad on this host since" in released.play("release", bad).output
    done = released.play("release", again)
    assert done.code != 0
    assert "was rolled back in OVERLAP" in done.output
    assert runs(released) == {"1.0.0"}
    assert client.report()["total"]["failed"] == 0


def test_the_second_host_is_not_tried_after_the_first_failed(released: Any, binaries: Path) -> None:
    bad = variables(binaries, "3.0.0", release_environment={"APP_UNHEALTHY_AFTER": "0s", "TRY": "again"})
    released.play("release", bad)
    staged = [host.run("sh", "-c", f"ls /opt/{SERVICE}/releases").count("3.0.0") for host in released.hosts]
    first = [host.name for host in released.hosts].index(sorted(h.name for h in released.hosts)[0])
    assert staged[first] == 2  # this one, and the evidence of the bad release before
    assert staged[1 - first] == 0


def test_a_release_that_never_gets_ready_gets_no_request(released: Any, binaries: Path, load: Any) -> None:
    client = load(rate=100)
    stuck = variables(binaries, "3.0.0", release_environment={"APP_NEVER_READY": "1"}, release_start_timeout=2)
    done = released.play("release", stuck)
    assert done.code != 0
    assert "was not ready within 2 s" in done.output
    report = client.report()
    assert report["total"]["failed"] == 0
    assert "3.0.0" not in report["total"]["versions"]


def test_what_outlives_the_drain_is_counted(released: Any, binaries: Path) -> None:
    host = min(released.hosts, key=lambda one: one.name)
    folder = f"/etc/systemd/system/{SERVICE}@.service.d"
    host.run("sh", "-c", f"mkdir {folder} && echo '[Service]\nTimeoutStopSec=2' > {folder}/drain.conf")
    host.run("systemctl", "daemon-reload")
    ask = f"import urllib.request as r; r.urlopen('http://127.0.0.1:{PORT}/slow?ms=60000')"
    host.run("systemd-run", "--quiet", "--unit=upload", "/usr/bin/python3", "-c", ask)
    time.sleep(1)
    other = variables(binaries, "2.0.0", release_environment={"TRY": "cut"})
    done = released.play("release", other, "--limit", host.name)
    host.run("sh", "-c", f"rm -r {folder}; systemctl daemon-reload")
    assert done.code == 0, done.output
    assert "still open when its drain ended, and were cut: 1." in " ".join(done.output.split())
    assert "cut: 1 open connections" in host.run("slipway", "history", SERVICE)
    back = released.play("rollback", other, "--limit", host.name)
    assert back.code == 0, back.output


def test_a_changed_port_is_a_release(released: Any, binaries: Path) -> None:
    """The socket moves with the release; afterwards it moves back."""
    moved = variables(
        binaries,
        "1.0.0",
        service_listen=["8081"],
        release_health={"url": "http://127.0.0.1:8081/readyz", "deadline": 6},
    )
    done = released.play("site", moved)
    assert done.code == 0, done.output
    for host in released.hosts:
        assert len(instances(host)) == 1
        assert "Listen=[::]:8081" in host.run("systemctl", "show", "--property=Listen", f"{SERVICE}.socket").replace(
            "0.0.0.0", "[::]"
        )
    back = released.play("site", variables(binaries, "1.0.0"))
    assert back.code == 0, back.output


def test_a_dead_release_is_started_again_by_the_next_run(released: Any, binaries: Path) -> None:
    for host in released.hosts:
        host.run("systemctl", "stop", SERVICE)
        assert instances(host) == []
    done = released.play("site", variables(binaries, "1.0.0"))
    assert done.code == 0, done.output
    for host in released.hosts:
        assert len(instances(host)) == 1


def test_a_run_cut_short_is_repaired_by_the_next(released: Any, binaries: Path) -> None:
    """The engine is killed in the middle of a soak; the next run restores what was, and goes on."""
    host = released.hosts[0]
    values = variables(binaries, "2.0.0", release_soak_time=30, release_force=True)
    only = ("--limit", host.name)
    argv = [
        "ansible-playbook",
        "playbooks/release.yml",
        "-i",
        str(released.inventory),
        "-e",
        play.json.dumps(values),
        *only,
    ]
    run = subprocess.Popen(argv, env=play.environment(), cwd=play.CHECKOUT, stdout=subprocess.DEVNULL)
    try:
        state = f"/var/lib/slipway/{SERVICE}/state.json"
        deadline = time.monotonic() + 60
        while '"SOAK"' not in host.run("cat", state, check=False):
            assert time.monotonic() < deadline, "the release never came to its soak"
            time.sleep(0.1)
        holder = play.json.loads(host.run("cat", f"/var/lib/slipway/{SERVICE}/lock"))["pid"]
        host.run("kill", "-KILL", str(holder))
    finally:
        run.wait(timeout=60)
    done = released.play("release", variables(binaries, "1.0.0"), *only)
    assert done.code == 0, done.output
    assert host.current(SERVICE).startswith("1.0.0-")
    assert instances(host) == [f"{SERVICE}@{host.current(SERVICE)}.service"]
    assert not host.exists(state)


def test_a_reboot_brings_the_release_back(released: Any) -> None:
    host = released.hosts[0]
    before = host.current(SERVICE)
    host.reboot()
    deadline = time.monotonic() + 60
    while not (found := instances_if_up(host)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert found == [f"{SERVICE}@{before}.service"]
    assert host.run("systemctl", "is-active", f"{SERVICE}.service", f"{SERVICE}.socket").split() == ["active", "active"]


def instances_if_up(host: Any) -> list[str]:
    listed = host.run(
        "systemctl", "list-units", "--plain", "--no-legend", "--state=active", f"{SERVICE}@*", check=False
    )
    return [line.split()[0] for line in listed.splitlines() if "@" in line]
