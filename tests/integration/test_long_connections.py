"""Users stay longer than any swap waits: the old release goes on draining beside the new one."""

from __future__ import annotations

import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from waiting import wait

HOST = 0
SERVICES = {"lounge": ("socket", 8120), "parlour": ("proxy", 8121)}
# Behind HAProxy a program that just ends will do.
LINGER = {"socket": "1s", "proxy": "0s"}


def variables(binaries: Path, service: str, version: str, **more: Any) -> dict[str, Any]:
    swap, port = SERVICES[service]
    return {
        "service_name": service,
        "service_swap": swap,
        "service_listen": [str(port)],
        "service_proxy_ports": [18420, 18421],
        "service_drain_timeout": 3,
        # What the program itself would wait for its requests to end.
        "service_environment": {"DRAIN_TIMEOUT": "10m", "DRAIN_LINGER": LINGER[swap]},
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 20},
        "release_soak_time": 1,
        "release_drain_background": 300,
        **more,
    }


class User:
    """One request that takes this long, and what became of it."""

    def __init__(self, host: Any, service: str, seconds: float) -> None:
        self.became = ""
        self._url = f"http://{host.address}:{SERVICES[service][1]}/slow?ms={seconds * 1000:.0f}"
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()
        time.sleep(1)

    def _ask(self) -> None:
        try:
            with urllib.request.urlopen(self._url, timeout=300) as answer:
                answer.read()
                self.became = f"HTTP {answer.status}"
        except OSError as error:
            self.became = f"cut: {error}"

    def wait(self) -> str:
        self._thread.join(300)
        return self.became


def instances(host: Any, service: str) -> list[str]:
    """The versions that run, also those that are ending."""
    listed = host.run("systemctl", "list-units", "--all", "--plain", "--no-legend", f"{service}@*.service")
    rows = [line.split() for line in listed.splitlines()]
    return sorted(row[0].partition("@")[2].partition("-")[0] for row in rows if row[2] not in ("inactive", "failed"))


def waits(host: Any, service: str) -> int:
    """How many units wait for users."""
    return len(host.run("systemctl", "list-units", "--plain", "--no-legend", f"slipway-drain-{service}:*").splitlines())


def history(host: Any, service: str) -> str:
    return str(host.run("slipway", "history", service))


@pytest.fixture(scope="module", params=SERVICES)
def service(request: pytest.FixtureRequest, fleet: Any, binaries: Path) -> Any:
    with fleet.serving(variables(binaries, request.param, "1.0.0")):
        yield request.param


@pytest.fixture
def release(fleet: Any, binaries: Path, service: str) -> Any:
    """Releases a version, whatever served before."""

    def run(version: str, name: str = "release", **more: Any) -> Any:
        values = variables(binaries, service, version, **{"release_environment": {"TRY": str(time.time())}, **more})
        done = fleet.play(name, values)
        assert done.code == 0, done.output[-4000:]
        return done

    return run


def test_a_user_who_stays_holds_up_nothing_and_is_not_cut(fleet: Any, service: str, release: Any) -> None:
    (host,) = fleet.hosts
    release("1.0.0")
    user = User(host, service, 60)
    begun = time.monotonic()
    release("2.0.0")
    assert user.became == "", "the swap has waited for the user"
    assert time.monotonic() - begun < 60
    assert host.current(service).startswith("2.0.0-")
    assert instances(host, service) == ["1.0.0", "2.0.0"]
    assert "draining  1.0.0-" in host.run("slipway", "status", service)
    assert user.wait() == "HTTP 200"
    wait("the old release to end", lambda: instances(host, service) == ["2.0.0"])
    wait("nobody to wait", lambda: waits(host, service) == 0)
    wait("the history", lambda: "nothing was cut" in history(host, service).split(" is the release")[1])
    assert not host.run("sh", "-c", f"ls -d /run/systemd/system/{service}@*.d 2>/dev/null || true")


def test_what_is_open_at_the_end_is_cut_and_counted(fleet: Any, service: str, release: Any) -> None:
    (host,) = fleet.hosts
    release("1.0.0", release_drain_background=5)
    users = [User(host, service, 200), User(host, service, 200)]
    release("2.0.0", release_drain_background=5)
    assert [user.wait()[:3] for user in users] == ["cut", "cut"]
    wait("the old release to end", lambda: instances(host, service) == ["2.0.0"])
    wait("the history", lambda: "2 open connections were cut" in history(host, service))


def test_a_rollback_meets_the_release_that_drains(fleet: Any, service: str, release: Any) -> None:
    (host,) = fleet.hosts
    release("1.0.0")
    user = User(host, service, 40)
    release("2.0.0")
    assert "2.0.0" in host.run("slipway", "status", service)
    begun = time.monotonic()
    assert "1.0.0" in host.run("slipway", "rollback", service)
    assert time.monotonic() - begun < 30
    wait("the new release to end", lambda: instances(host, service) == ["1.0.0"])
    assert host.current(service).startswith("1.0.0-")
    if SERVICES[service][0] == "proxy":
        assert user.wait() == "HTTP 200"
    wait("nobody to wait", lambda: waits(host, service) == 0)
    host.run("slipway", "status", service)


def test_another_release_while_users_stay(fleet: Any, service: str, release: Any, load: Any) -> None:
    (host,) = fleet.hosts
    release("1.0.0")
    user = User(host, service, 120)
    release("2.0.0")
    client = load(50, SERVICES[service][1], hosts=[host])
    release("3.0.0")
    assert client.report()["total"]["failed"] == 0
    if SERVICES[service][0] == "socket":
        assert instances(host, service) == ["1.0.0", "3.0.0"]
        assert user.wait() == "HTTP 200"
    else:  # there are two local ports
        assert user.wait().startswith("cut")
        assert "1 open connections were cut" in history(host, service)
    wait("the old releases to end", lambda: instances(host, service) == ["3.0.0"])


def test_a_stop_does_not_wait_for_users(fleet: Any, service: str, release: Any) -> None:
    (host,) = fleet.hosts
    release("1.0.0")
    User(host, service, 200)
    release("2.0.0")
    begun = time.monotonic()
    host.run("systemctl", "stop", service)
    assert time.monotonic() - begun < 30
    wait("all to end", lambda: instances(host, service) == [])
    wait("nobody to wait", lambda: waits(host, service) == 0)
    host.run("systemctl", "start", service)
    wait("the old release to end", lambda: instances(host, service) == ["2.0.0"])
