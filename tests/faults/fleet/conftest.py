"""Lab hosts with a released service, each of which can vanish at any moment, and the way back after every case."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab"), str(Path(__file__).parent)]

import lab
from build import build_releases
from fleet import Fleet, Host

LAB = os.environ.get("SLIPWAY_LAB", "fleet")
# test_way_back.py does with three; test_vanish.py needs five.
HOSTS = int(os.environ.get("SLIPWAY_FLEET_HOSTS", "5"))


@pytest.fixture(scope="session")
def binaries() -> Path:
    return build_releases(CHECKOUT / ".work" / "app")


@pytest.fixture(scope="session")
def hosts() -> Iterator[Fleet]:
    """An inventory in which every address is read from a file whenever it is asked for."""
    path = lab.up(LAB, HOSTS, ["bookworm", "trixie"])
    told = json.loads(path.read_text())
    found = []
    for name, variables in told["all"]["hosts"].items():
        address = path.parent / f"address-{name}"
        found.append(Host(name, variables["ansible_host"], f"slipway-{LAB}-{name}", address))
        variables["ansible_host"] = f"{{{{ lookup('ansible.builtin.file', '{address}') }}}}"
    # Without this, ssh waits for ever for a host that has vanished while a task ran there.
    told["all"]["vars"]["ansible_ssh_extra_args"] = "-o ServerAliveInterval=3 -o ServerAliveCountMax=3"
    inventory = path.parent / "vanishing.yml"
    inventory.write_text(json.dumps(told))
    subprocess.run(["iptables", "-N", "SLIPWAY-FLEET"], check=False, capture_output=True)
    subprocess.run(["iptables", "-I", "OUTPUT", "-j", "SLIPWAY-FLEET"], check=True)
    try:
        yield Fleet(inventory, found)
    finally:
        subprocess.run(["iptables", "-D", "OUTPUT", "-j", "SLIPWAY-FLEET"], check=False)
        subprocess.run(["iptables", "-F", "SLIPWAY-FLEET"], check=False)
        subprocess.run(["iptables", "-X", "SLIPWAY-FLEET"], check=False)
        if not os.environ.get("SLIPWAY_LAB_KEEP"):
            lab.down(LAB)


@pytest.fixture
def fleet(hosts: Fleet, binaries: Path) -> Iterator[Fleet]:
    """The same with 2.0.0 on every host, and 1.0.0 to go back to."""
    hosts.prepare(binaries)
    yield hosts
    hosts.back()
