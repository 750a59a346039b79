"""Hosts of the lab, the sample service and the load client for the integration tests.

Run them through `make test`, or alone: lab.py run -- pytest tests/integration
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "lab"))

import inside
import lab
import play
from build import build_app, build_load, build_releases
from client import Load

PORT = 8080
LONGEST_FIRST = ("test_molecule.py", "test_hardening.py", "test_site.py", "test_ssh.py", "test_proxy.py")
BINARIES = CHECKOUT / ".work" / "app"


@dataclass
class Host:
    """One host of the lab, looked at from beside Ansible."""

    name: str
    address: str
    container: str

    def run(self, *argv: str, check: bool = True) -> str:
        return inside.run(self.container, *argv, check=check)

    def reboot(self) -> None:
        self.address = lab.restart(self.container)

    def exists(self, path: str) -> bool:
        return self.run("sh", "-c", f"test -e '{path}' && echo yes || echo no") == "yes"

    def current(self, service: str) -> str:
        return self.run("readlink", f"/opt/{service}/current", check=False).rpartition("/")[2]


@dataclass(frozen=True)
class Fleet:
    inventory: Path
    hosts: list[Host]

    def only(self, number: int) -> Fleet:
        """The one host, in an inventory of its own."""
        inventory, host = json.loads(self.inventory.read_text()), self.hosts[number]
        inventory["all"]["hosts"] = {host.name: inventory["all"]["hosts"][host.name]}
        path = self.inventory.with_name(f"{host.name}.yml")
        path.write_text(json.dumps(inventory))
        return Fleet(path, [host])

    def play(self, name: str, variables: dict[str, Any], *flags: str) -> play.Play:
        return play.playbook(name, self.inventory, variables, *flags)

    @contextlib.contextmanager
    def serving(self, variables: dict[str, Any], *flags: str, name: str = "site") -> Iterator[Fleet]:
        """The hosts run this release of a service that no other test file has, until the block ends."""
        done = self.play(name, variables, *flags)
        assert done.code == 0, done.output
        yield self
        self.retire(variables["service_name"])

    def retire(self, service: str) -> None:
        """Nothing of it runs any more; no watch of it takes processor time from the tests that follow, and no port."""
        for host in self.hosts:
            host.run("rm", "-f", *(f"/etc/slipway/{kind}/{service}.json" for kind in ("watch", "ports")))
            for kind in (".service", ".socket"):  # one that is not there would keep the other
                host.run("systemctl", "disable", "--now", f"{service}{kind}", check=False)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes long begins first, so that no worker waits for another one at the end."""

    def rank(item: pytest.Item) -> int:
        return LONGEST_FIRST.index(item.path.name) if item.path.name in LONGEST_FIRST else len(LONGEST_FIRST)

    items.sort(key=rank)


@pytest.fixture(scope="session")
def binaries() -> Path:
    """shop-1.0.0 to shop-3.0.0, shop-arm64 and load, in the folder that the Molecule scenarios use too."""
    build_releases(BINARIES)
    build_app("1.0.0", BINARIES / "shop-arm64", goarch="arm64")
    build_load(BINARIES / "load")
    return BINARIES


@pytest.fixture(scope="session")
def pair() -> Any:
    """Two hosts, Debian 12 and 13, for as long as the tests run."""
    # Another name for a second checkout on the same machine, and for each worker.
    name = os.environ.get("SLIPWAY_LAB", "test") + os.environ.get("PYTEST_XDIST_WORKER", "")
    inventory = lab.up(name, 2, ["bookworm", "trixie"])
    hosts = json.loads(inventory.read_text())["all"]["hosts"]
    yield Fleet(inventory, [Host(n, h["ansible_host"], f"slipway-{name}-{n}") for n, h in hosts.items()])
    lab.down(name)


@pytest.fixture(scope="module")
def fleet(pair: Fleet, request: pytest.FixtureRequest) -> Fleet:
    """Both hosts, or the one that the test file names: HOST = 0 is Debian 12, HOST = 1 is Debian 13.

    One is enough for what is the same on both; each play costs half then.
    """
    number = getattr(request.module, "HOST", None)
    return pair if number is None else pair.only(number)


@pytest.fixture
def load(binaries: Path, fleet: Fleet, tmp_path: Path) -> Any:
    """Starts the load client: load(rate, port, path, mix, hosts) → Load, by default against all hosts."""
    started: list[Load] = []

    def start(
        rate: int = 200, port: int = PORT, path: str = "", mix: str = "", hosts: list[Host] | None = None
    ) -> Load:
        folder = tmp_path / f"load{len(started)}"
        folder.mkdir()
        urls = [f"{host.name}=http://{host.address}:{port}{path}" for host in hosts or fleet.hosts]
        started.append(Load(binaries / "load", folder, urls, rate, *(["-mix", mix] if mix else [])))
        return started[-1]

    yield start
    for client in started:
        client.kill()
