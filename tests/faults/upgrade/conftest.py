"""An earlier commit of the collection, as a collections path of its own, and one lab host that it sets up."""

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
from earlier import Collection, Host

LAB = os.environ.get("SLIPWAY_LAB", "upgrade")


@pytest.fixture(scope="session")
def now() -> Collection:
    return Collection(CHECKOUT, CHECKOUT / ".work" / "collections")


@pytest.fixture(scope="session")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    commit = os.environ.get("SLIPWAY_FROM")
    if not commit:
        pytest.exit("say which commit set the hosts up: make upgrade FROM=COMMIT", returncode=2)
    path = tmp_path_factory.mktemp("earlier") / "collections"
    root = path / "ansible_collections" / "slipway" / "go"
    root.mkdir(parents=True)
    archive = subprocess.run(["git", "-C", str(CHECKOUT), "archive", commit], check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(root)], input=archive.stdout, check=True)
    for dependency in ("ansible", "community"):
        (path / "ansible_collections" / dependency).symlink_to(
            CHECKOUT / ".work" / "collections" / "ansible_collections" / dependency
        )
    return Collection(root, path)


@pytest.fixture(scope="session")
def binaries() -> Path:
    return build_releases(CHECKOUT / ".work" / "app")


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    inventory = lab.up(LAB, 1, ["bookworm"])
    ((name, _variables),) = json.loads(inventory.read_text())["all"]["hosts"].items()
    try:
        yield Host(inventory, f"slipway-{LAB}-{name}")
    finally:
        if not os.environ.get("SLIPWAY_LAB_KEEP"):
            lab.down(LAB)
