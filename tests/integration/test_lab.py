"""The lab itself: a host that was off is reached again, whatever address the engine has for it then."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lab
import pytest
from waiting import wait

NAME = f"{os.environ.get('SLIPWAY_LAB', 'test')}lab"


@pytest.fixture
def told() -> Iterator[tuple[Path, str, dict[str, Any]]]:
    path = lab.up(NAME, 1, ["bookworm"])
    ((name, host),) = json.loads(path.read_text())["all"]["hosts"].items()
    yield path, f"slipway-{NAME}-{name}", host
    lab.down(NAME)


def test_a_host_whose_address_went_to_another_one_is_reached(told: tuple[Path, str, dict[str, Any]]) -> None:
    path, container, host = told
    before, other = host["ansible_host"], f"{container}-other"
    lab.docker("stop", container)
    taken = []
    try:
        while before not in taken and len(taken) < 20:  # the engine gives the lowest address that is free
            name = f"{other}{len(taken)}"
            lab.docker("run", "--detach", "--name", name, lab.images.ensure("bookworm"), "sleep", "60")
            taken.append(lab.address_of(name))
        lab.docker("start", container)
        address = lab.moved(container, before)
        lab.wait_until_running(container)
        assert address != before
        wait("it is reached over SSH", lambda: reached(path), 20)
    finally:
        for number in range(len(taken)):
            lab.docker("rm", "--force", f"{other}{number}")


def reached(inventory: Path) -> bool:
    argv = ["ansible", "all", "-i", str(inventory), "-m", "ansible.builtin.ping"]
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0
