"""Lab hosts with a released service, each of which can vanish at any moment, and the way back after every case."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab"), str(Path(__file__).parent)]

import lab
from build import build_releases
from fleet import Fleet
from vanishing import Cuts, with_files

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
    cuts = Cuts("SLIPWAY-FLEET")
    found = with_files(told, path.parent, LAB, cuts)
    inventory = path.parent / "vanishing.yml"
    inventory.write_text(json.dumps(told))
    try:
        with cuts.in_force():
            yield Fleet(inventory, found, cuts)
    finally:
        if not os.environ.get("SLIPWAY_LAB_KEEP"):
            lab.down(LAB)


@pytest.fixture
def fleet(hosts: Fleet, binaries: Path) -> Iterator[Fleet]:
    """The same with 2.0.0 on every host, and 1.0.0 to go back to."""
    hosts.prepare(binaries)
    yield hosts
    hosts.back()
