"""Several services of one host, declared once: two behind HAProxy and a worker, none in the way of another."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

HOST = 1
PORTS = {"till": 8092, "books": 8093}


def declared(binaries: Path, version: str) -> dict[str, Any]:
    behind = {"service_swap": "proxy"}
    return {
        "release_version": version,
        "release_src": str(binaries / f"shop-{version}"),
        "release_soak_time": 1,
        "slipway_services": {
            **{
                name: {
                    **behind,
                    "service_listen": [str(port)],
                    "release_health": {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 20},
                }
                for name, port in PORTS.items()
            },
            "worker": {"service_swap": "restart", "service_environment": {"PORT": "{{ 8000 + 94 }}"}},
        },
    }


@pytest.fixture(scope="module")
def services(fleet: Any, binaries: Path) -> Any:
    names = [*PORTS, "worker"]
    done = fleet.play("site", declared(binaries, "1.0.0"))
    assert done.code == 0, done.output
    yield fleet
    for name in names:
        fleet.retire(name)


def current(host: Any) -> dict[str, str]:
    return {name: host.current(name).partition("-")[0] for name in (*PORTS, "worker")}


def test_one_run_configures_and_releases_all_of_them(services: Any) -> None:
    (host,) = services.hosts
    assert set(current(host).values()) == {"1.0.0"}
    assert host.run("cat", "/etc/worker/environment") == 'PORT="8094"'
    reserved = [json.loads(host.run("cat", f"/etc/slipway/ports/{name}.json"))["ports"] for name in PORTS]
    assert len({port for ports in reserved for port in ports}) == 4


def test_a_release_of_two_of_them_loses_nothing_and_leaves_the_third(services: Any, binaries: Path, load: Any) -> None:
    (host,) = services.hosts
    clients = [load(rate=50, port=port) for port in PORTS.values()]
    time.sleep(1)
    done = services.play("release", {**declared(binaries, "2.0.0"), "service_name": "books,till"})
    assert done.code == 0, done.output
    assert current(host) == {"till": "2.0.0", "books": "2.0.0", "worker": "1.0.0"}
    for client in clients:
        report = client.report()["total"]
        assert (report["failed"], report["failures"]) == (0, {})
        assert set(report["versions"]) == {"1.0.0", "2.0.0"}


def test_a_port_that_another_service_has_is_refused_though_it_is_idle(services: Any, binaries: Path) -> None:
    (host,) = services.hosts
    idle = next(
        port
        for port in json.loads(host.run("cat", "/etc/slipway/ports/books.json"))["ports"]
        if f":{port} " not in host.run("ss", "-Hltn")
    )
    more = declared(binaries, "2.0.0")
    more["slipway_services"]["worker"]["service_listen"] = [str(idle)]
    refused = services.play("preflight", {**more, "service_name": "worker"})
    assert refused.code != 0
    assert f"port {idle} of service_listen belongs to books on this host" in refused.output
