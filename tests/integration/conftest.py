"""Hosts of the lab, the sample service and the load client for the integration tests.

Run them through `make test`, or alone: lab.py run -- pytest tests/integration
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT / "tests" / "lab"))

import lab
import play
from build import build_app, build_load

PORT = 8080
BINARIES = CHECKOUT / ".work" / "app"


@dataclass(frozen=True)
class Host:
    """One host of the lab, looked at from beside Ansible."""

    name: str
    address: str
    container: str

    def run(self, *argv: str, check: bool = True) -> str:
        done = subprocess.run(["docker", "exec", self.container, *argv], capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise AssertionError(f"{argv} failed on {self.name}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def exists(self, path: str) -> bool:
        return self.run("sh", "-c", f"test -e '{path}' && echo yes || echo no") == "yes"

    def current(self, service: str) -> str:
        return self.run("readlink", f"/opt/{service}/current", check=False).rpartition("/")[2]


@dataclass(frozen=True)
class Fleet:
    inventory: Path
    hosts: list[Host]

    def play(self, name: str, variables: dict[str, Any], *flags: str) -> play.Play:
        return play.playbook(name, self.inventory, variables, *flags)


@pytest.fixture(scope="session")
def binaries() -> Path:
    """shop-1.0.0 to shop-3.0.0, shop-arm64 and load, in the folder that the Molecule scenarios use too."""
    for version in ("1.0.0", "2.0.0", "3.0.0"):
        build_app(version, BINARIES / f"shop-{version}")
    build_app("1.0.0", BINARIES / "shop-arm64", goarch="arm64")
    build_load(BINARIES / "load")
    return BINARIES


@pytest.fixture(scope="session")
def fleet() -> Any:
    """Two hosts, Debian 12 and 13, for as long as the tests run."""
    name = os.environ.get("SLIPWAY_LAB", "test")  # another name for a second checkout on the same machine
    inventory = lab.up(name, 2, ["bookworm", "trixie"])
    hosts = json.loads(inventory.read_text())["all"]["hosts"]
    yield Fleet(inventory, [Host(n, h["ansible_host"], f"slipway-{name}-{n}") for n, h in hosts.items()])
    lab.down(name)


class Load:
    """The load client, running; report() ends it."""

    def __init__(
        self, binary: Path, report: Path, hosts: list[Host], rate: int, port: int = PORT, path: str = "", mix: str = ""
    ) -> None:
        targets = [part for host in hosts for part in ("-url", f"{host.name}=http://{host.address}:{port}{path}")]
        targets += ["-mix", mix] if mix else []
        self._report = report
        self._process = subprocess.Popen(
            [str(binary), *targets, "-rate", str(rate), "-interval", "0", "-json", str(report)],
            stdout=subprocess.DEVNULL,
        )

    def report(self) -> dict[str, Any]:
        self._process.send_signal(signal.SIGINT)
        self._process.wait(timeout=60)
        found: dict[str, Any] = json.loads(self._report.read_text())
        return found

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()


@pytest.fixture
def load(binaries: Path, fleet: Fleet, tmp_path: Path) -> Any:
    """Starts the load client: load(rate, port, path, mix, hosts) → Load, by default against all hosts."""
    started: list[Load] = []

    def start(
        rate: int = 200, port: int = PORT, path: str = "", mix: str = "", hosts: list[Host] | None = None
    ) -> Load:
        report = tmp_path / f"load{len(started)}.json"
        started.append(Load(binaries / "load", report, hosts or fleet.hosts, rate, port, path, mix))
        return started[-1]

    yield start
    for client in started:
        client.kill()
