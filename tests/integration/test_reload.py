"""A service that hands over by itself: each release is started by the one before, on the same sockets."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import play
import pytest
from waiting import wait

SERVICE = "relay"
HOST = 1
PORT = 8098
UNIT = f"{SERVICE}@current.service"


def variables(binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_swap": "reload",
        "service_listen": [str(PORT)],
        "service_rehearsal": "18098",
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 4},
        "release_soak_time": 1,
        **more,
    }


def show(host: Any, key: str) -> str:
    return host.run("systemctl", "show", "--property", key, "--value", UNIT)


def executes(host: Any) -> str:
    """The release of the file that the main process executes."""
    return host.run("readlink", f"/proc/{show(host, 'MainPID')}/exe").split("/")[4]


@pytest.fixture(scope="module")
def released(fleet: Any, binaries: Path) -> Any:
    with fleet.serving(variables(binaries, "1.0.0")) as serving:
        yield serving


def test_upgrade_bad_release_and_rollback_lose_nothing_and_start_no_unit(
    released: Any, binaries: Path, load: Any
) -> None:
    since = [show(host, "ActiveEnterTimestampMonotonic") for host in released.hosts]
    client = load(rate=200, port=PORT)
    upgrade = released.play("release", variables(binaries, "2.0.0"), "-v")
    assert upgrade.code == 0, upgrade.output
    assert '"downtime_seconds": null' in upgrade.output
    assert [executes(host).partition("-")[0] for host in released.hosts] == ["2.0.0"]

    back = released.play("rollback", variables(binaries, "2.0.0"))
    assert back.code == 0, back.output
    assert [executes(host).partition("-")[0] for host in released.hosts] == ["1.0.0"]

    report = client.report()["total"]
    assert (report["failed"], report["failures"]) == (0, {})
    assert set(report["versions"]) == {"1.0.0", "2.0.0"}
    assert [show(host, "ActiveEnterTimestampMonotonic") for host in released.hosts] == since


def test_a_release_that_dies_in_the_handover_leaves_the_old_one_serving(
    released: Any, binaries: Path, load: Any, tmp_path: Path
) -> None:
    """`systemctl reload` calls this a success."""
    dead = tmp_path / "dead"
    dead.write_bytes(Path("/bin/false").read_bytes())
    before = [show(host, "MainPID") for host in released.hosts]
    client = load(rate=100, port=PORT)
    done = released.play(
        "release",
        variables(binaries, "4.0.0", release_src=str(dead), release_rehearsal="", release_start_timeout=4),
    )
    assert done.code != 0
    assert "was rolled back in START" in done.output
    assert client.report()["total"]["failed"] == 0
    host = released.hosts[0]
    assert show(host, "MainPID") == before[0]
    assert host.current(SERVICE).startswith("1.0.0-")
    assert "health    pass" in host.run("slipway", "status", SERVICE)


def test_a_new_environment_cannot_be_handed_over_and_the_downtime_is_told(released: Any, binaries: Path) -> None:
    values = variables(binaries, "1.0.0", release_environment={"COLOUR": "green"})
    done = released.play("release", values, "-v")
    assert done.code == 0, done.output
    assert '"restarted_because": "the environment differs' in done.output
    assert '"downtime_seconds": 0' in done.output or '"downtime_seconds": 1' in done.output
    for host in released.hosts:
        assert "COLOUR=green" in host.run("sh", "-c", f"tr '\\0' '\\n' < /proc/{show(host, 'MainPID')}/environ")


def test_a_stop_after_a_handover_lets_requests_finish(released: Any, binaries: Path) -> None:
    """The main process is not PID 1's child then, and PID 1 would not wait for it."""
    done = released.play("release", variables(binaries, "2.0.0", release_environment={"COLOUR": "green"}))
    assert done.code == 0, done.output
    for host in released.hosts:
        answers: list[str] = []
        url = f"http://{host.address}:{PORT}/slow?ms=2000"

        def ask(url: str, answers: list[str]) -> None:
            argv = ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", url]
            answers.append(subprocess.run(argv, capture_output=True, text=True, check=False).stdout)

        client = threading.Thread(target=ask, args=(url, answers))
        client.start()
        time.sleep(0.7)
        host.run("systemctl", "stop", SERVICE)
        client.join()
        host.run("systemctl", "start", SERVICE)
        assert answers == ["200"]
        assert executes(host).startswith("2.0.0-")


def test_what_dies_after_a_handover_is_started_again(released: Any, binaries: Path) -> None:
    done = released.play("release", variables(binaries, "1.0.0", release_environment={"COLOUR": "green"}))
    assert done.code == 0, done.output
    for host in released.hosts:
        before = show(host, "MainPID")
        host.run("kill", "-KILL", before)
        wait("it runs again", lambda host=host, before=before: show(host, "MainPID") not in (before, "0"))
        wait("it is ready", lambda host=host: show(host, "ActiveState") == "active")
        assert executes(host).startswith("1.0.0-")


def test_a_boot_in_a_swap_brings_the_last_good_release(released: Any) -> None:
    """The state a power cut leaves after the flip: `current` names a release that nobody has proven."""
    host = released.hosts[0]
    good = host.current(SERVICE)
    other = max(set(host.run("ls", f"/opt/{SERVICE}/releases").split()) - {good, "current"})
    left = {"txn": "x", "phase": "START", "to": other, "source": good, "strategy": "reload", "started": 1.0}
    host.run("sh", "-c", f"echo '{play.json.dumps(left)}' > /var/lib/slipway/{SERVICE}/state.json")
    host.run("ln", "-sfn", f"releases/{other}", f"/opt/{SERVICE}/current")
    host.reboot()
    wait("it is up after the boot", lambda: host.run("systemctl", "is-active", UNIT, check=False) == "active")
    assert executes(host) == good
    wait("nothing is in flight", lambda: not host.exists(f"/var/lib/slipway/{SERVICE}/state.json"))
    assert host.current(SERVICE) == good


def test_back_to_a_socket_of_systemd_and_away_from_it_again(released: Any, binaries: Path) -> None:
    rehearsal = f"/run/{SERVICE}-rehearsal.sock"
    socket = variables(binaries, "2.0.0", service_swap="socket", service_rehearsal=rehearsal)
    for values in (socket, variables(binaries, "1.0.0")):
        done = released.play("site", values, "-v")
        assert done.code == 0, done.output
        assert "was released with the strategy" in done.output
    for host in released.hosts:
        assert executes(host).startswith("1.0.0-")
        assert not host.exists(f"/etc/systemd/system/{SERVICE}.socket")
