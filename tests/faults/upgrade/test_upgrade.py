"""Hosts that an earlier version has set up and left with something in flight, and what this version makes of it.

`make upgrade FROM=COMMIT` runs it. What is on the host stays what that version wrote: its tool, its units, its state,
its timers. Only the controller has the collection of this checkout.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from earlier import Collection, Host
from processes import kill_tree
from waiting import wait

PLAYS = Path(__file__).parent / "plays"
SECONDS = 120
STRATEGIES = ("socket", "proxy", "reload", "restart")
PORTS = {name: 8120 + number for number, name in enumerate(STRATEGIES)}


def values(strategy: str, binaries: Path, version: str, **more: Any) -> dict[str, Any]:
    port = PORTS[strategy]
    return {
        "service_name": f"by-{strategy}",
        "service_swap": strategy,
        "service_listen": [str(port)],
        "service_proxy_ports": [10000 + 2 * port, 10001 + 2 * port],
        "service_rehearsal": "slot" if strategy == "proxy" else str(30000 + port),
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 5},
        "release_soak_time": 2,
        "release_start_timeout": 5,
        "release_drain_timeout": 4,
        "release_confirm": 300,
        **more,
    }


@pytest.fixture(params=STRATEGIES)
def begun(
    request: pytest.FixtureRequest, host: Host, earlier: Collection, binaries: Path
) -> Callable[..., dict[str, Any]]:
    """Let the earlier version release 1.0.0 and begin with 2.0.0; its controller dies in the soak."""

    def begin(**more: Any) -> dict[str, Any]:
        service = f"by-{request.param}"
        host.run("sh", "-c", f"systemctl stop '{service}*'; rm -rf /opt/{service} /var/lib/slipway/{service}")
        earlier.play("site", host, values(request.param, binaries, "1.0.0"))
        second = values(request.param, binaries, "2.0.0", **more)
        controller = earlier.begin("release", host, second)
        try:
            wait("it soaks", lambda: host.phase(service) == "SOAK", SECONDS)
        finally:
            kill_tree(controller.pid)
            controller.wait(timeout=60)
        wait("it waits to be confirmed", lambda: host.phase(service) == "PROBATION", SECONDS)
        return second

    return begin


def test_what_waits_is_shown_and_the_same_run_confirms_it(
    begun: Callable[..., dict[str, Any]], host: Host, now: Collection, binaries: Path
) -> None:
    second = begun()
    service = second["service_name"]
    shown = now.attempt("status", host, {"service_name": service})
    assert shown.returncode == 2, shown.stdout
    assert "PROBATION" in shown.stdout
    assert host.phase(service) == "PROBATION", "a look changes nothing"

    now.play("release", host, second)
    assert (host.phase(service), host.serves(service), host.last(service)) == ("", "2.0.0", "committed")
    now.play("release", host, {**second, "release_version": "3.0.0", **third(binaries)})
    assert host.serves(service) == "3.0.0"
    now.play("rollback", host, {**second, "release_version": "3.0.0"})
    assert host.serves(service) == "2.0.0"
    host.run("systemctl", "restart", f"{service}.service")
    assert host.serves(service) == "2.0.0", "what a boot would start"


def third(binaries: Path) -> dict[str, str]:
    return {"release_src": str(binaries / "shop-3.0.0")}


def test_what_nobody_confirms_is_taken_back_by_the_tool_of_this_version(
    begun: Callable[..., dict[str, Any]], host: Host, now: Collection
) -> None:
    second = begun(release_confirm=45)
    service = second["service_name"]
    before = host.run("sha256sum", "/usr/local/sbin/slipway")
    refused = now.attempt("site", host, {**second, "release_checksum": "sha256:" + "0" * 64})
    assert refused.returncode == 2, refused.stdout
    now.play(PLAYS / "tool.yml", host, {})
    assert host.run("sha256sum", "/usr/local/sbin/slipway") != before
    assert host.phase(service) == "PROBATION"
    seconds = host.deadline(service) - time.time()
    wait("the timer has settled it", lambda: host.phase(service) == "", seconds + 30)
    assert (host.serves(service), host.last(service)) == ("1.0.0", "rolled_back")


def test_another_release_takes_back_what_waits(
    begun: Callable[..., dict[str, Any]], host: Host, now: Collection, binaries: Path
) -> None:
    second = begun()
    service = second["service_name"]
    now.play("site", host, {**second, "release_version": "3.0.0", **third(binaries)})
    assert (host.phase(service), host.serves(service), host.last(service)) == ("", "3.0.0", "committed")


@pytest.fixture
def armed(host: Host, earlier: Collection) -> Callable[[float], str]:
    """The token of a change of sshd that the earlier version has armed."""

    def arm(seconds: float) -> str:
        assert grace(host) == "120"
        said = earlier.play(PLAYS / "armed.yml", host, {"armed_seconds": seconds})
        assert grace(host) == "33"
        return said.partition("TOKEN=")[2].partition("=")[0]

    return arm


def grace(host: Host) -> str:
    return host.run("sh", "-c", "/usr/sbin/sshd -T | sed -n 's/^logingracetime //p'")


def test_a_change_of_access_that_it_armed_is_taken_back(armed: Callable[[float], str], host: Host) -> None:
    armed(20)
    wait("the host takes it back", lambda: grace(host) == "120", SECONDS)


def test_a_change_of_access_that_it_armed_can_be_confirmed(
    armed: Callable[[float], str], host: Host, now: Collection
) -> None:
    begun = time.monotonic()
    token = armed(60)
    now.play(PLAYS / "confirm.yml", host, {"armed_token": token})
    time.sleep(max(0.0, 65 - (time.monotonic() - begun)))
    assert grace(host) == "33"
    host.run("sh", "-c", "rm -f /etc/ssh/sshd_config.d/*slipway*; systemctl reload ssh")


def test_a_late_confirmation_of_what_it_armed_is_told_the_truth(
    armed: Callable[[float], str], host: Host, now: Collection
) -> None:
    token = armed(10)
    wait("the host takes it back", lambda: grace(host) == "120", SECONDS)
    late = now.attempt(PLAYS / "confirm.yml", host, {"armed_token": token})
    assert late.returncode == 2, late.stdout
    assert "taken back" in " ".join(late.stdout.split())
    assert grace(host) == "120"
