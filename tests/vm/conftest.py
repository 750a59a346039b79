"""One virtual machine for all these tests, in the state that each of them needs.

Run them through `make test-vm`, or alone: pytest tests/vm. `make harden-vm` hardens the machine first, and looks at
what that did, too.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT / "tests" / "lab"), str(Path(__file__).parent)]

import play
import vm
from build import build_app, build_load
from client import Load

HARDENED = os.environ.get("SLIPWAY_VM") == "hardened"
SERVICE, PORT = "shop", 8080
BINARIES = CHECKOUT / ".work" / "app"
VERSIONS = ("1.0.0", "2.0.0")
REQUESTS_A_SECOND = 2  # of the load and of the release's probe: without KVM, one takes the machine half a second


def run(machine: vm.Machine, playbook: str, variables: dict[str, Any], *flags: str) -> play.Play:
    done = play.playbook(playbook, machine.inventory, variables, *flags, log=machine.folder / "ansible.log")
    assert done.code == 0, done.output
    return done


def release(version: str) -> dict[str, Any]:
    return {
        "service_name": SERVICE,
        "service_listen": [str(PORT)],
        "release_version": version,
        "release_src": str(BINARIES / f"{SERVICE}-{version}"),
        "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "timeout": 30, "deadline": vm.SLOW_S},
        "release_soak_time": 1,
        "release_probe": {"rate": REQUESTS_A_SECOND},
        "release_confirm": vm.SLOW_S,
    }


def hardening(machine: vm.Machine) -> dict[str, Any]:
    return {
        "deploy_user_keys": [(machine.folder / "id_ed25519.pub").read_text().strip()],
        "deploy_user_sudo": "full",
        "firewall_allow": [{"port": str(PORT)}],
        "service_name": SERVICE,
        "selinux_force": True,
        **vm.PATIENCE,
    }


def now(machine: vm.Machine) -> float:
    return float(machine.ssh("date +%s").stdout)


def denials(machine: vm.Machine, since: float = 0, boot: bool = False) -> dict[str, str]:
    """What SELinux has denied: who did what to which class, each with one message of it.

    From the audit log, and from the journal for what came before auditd; since a time, or in this boot.
    """
    audit = f"ausearch --input-logs -m AVC,USER_AVC {'--start boot' if boot else ''}"
    journal = f"journalctl --dmesg --grep 'avc: +denied' {'--boot' if boot else ''}"
    found = {}
    for line in machine.ssh(f"{audit}; {journal}", check=False).stdout.splitlines():
        when, denied = re.search(r"audit\(([0-9.]+):", line), re.search(r"denied +({[^}]*})", line)
        if when and denied and float(when.group(1)) >= since:
            kinds = re.findall(r"[st]context=\w+:\w+:(\w+)|tclass=(\w+)", line)
            found[" ".join(["".join(kind) for kind in kinds] + [denied.group(1)])] = line
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What hardening does is there to be seen only where it was asked for."""
    absent = [item for item in items if item.get_closest_marker("hardened") and not HARDENED]
    config.hook.pytest_deselected(items=absent)
    items[:] = [item for item in items if item not in absent]


@dataclass(frozen=True)
class Swapped:
    """report is what the load client counted; begun is when the swap did, by the machine's clock."""

    machine: vm.Machine
    report: dict[str, Any]
    begun: float


@pytest.fixture(scope="session")
def other_ssh() -> int:
    """Another port for sshd. The proof of a login goes to the port that it listens on, so it is the same outside."""
    return vm.free_port()


@pytest.fixture(scope="session")
def machine(other_ssh: int) -> Any:
    made = vm.create("test", forwards=[PORT], same=[other_ssh])
    try:
        made.boot()
        yield made
    finally:
        made.cut()


@pytest.fixture(scope="session")
def bare_boot(machine: vm.Machine) -> dict[str, str]:
    """What the distribution's own policy denies its own programs at boot."""
    return denials(machine, boot=True)


@pytest.fixture(scope="session")
def released(machine: vm.Machine, bare_boot: dict[str, str]) -> vm.Machine:
    """A first release; where that is asked for, in a run that comes as root, hardens the machine and closes root."""
    build_app(VERSIONS[0], BINARIES / f"{SERVICE}-{VERSIONS[0]}")
    values = hardening(machine) if HARDENED else {"site_harden": False}
    run(machine, "site", {**values, **release(VERSIONS[0])})
    if HARDENED:
        machine.root_is_closed("deploy")
    return machine


@pytest.fixture(scope="session")
def swapped(released: vm.Machine) -> Swapped:
    """The service is swapped while requests come in."""
    begun = now(released)
    build_app(VERSIONS[1], BINARIES / f"{SERVICE}-{VERSIONS[1]}")
    load = build_load(BINARIES / "load")
    url = f"{SERVICE}=http://127.0.0.1:{released.port(PORT)}"
    with Load(load, released.folder, [url], REQUESTS_A_SECOND) as client:
        run(released, "release", release(VERSIONS[1]))
        return Swapped(released, client.report(), begun)


@pytest.fixture(scope="session")
def rebooted(swapped: Swapped) -> vm.Machine:
    swapped.machine.restart()
    return swapped.machine
