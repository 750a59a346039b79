"""Lab hosts with a released service that can vanish at any moment: what runs on them, and how they are cut off."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside

NOBODY = "172.17.0.250"  # an address that the lab's network has not given to anybody
SERVICE = "shop"


class Cuts:
    """A chain of packets that are dropped."""

    def __init__(self, chain: str) -> None:
        self.chain = chain

    @contextmanager
    def in_force(self) -> Iterator[None]:
        self._run("-N", self.chain, check=False)
        self._run("-I", "OUTPUT", "-j", self.chain)
        try:
            yield
        finally:
            self._run("-D", "OUTPUT", "-j", self.chain, check=False)
            self._run("-F", self.chain, check=False)
            self._run("-X", self.chain, check=False)

    def add(self, address: str, *only: str) -> None:
        """No packet of SSH reaches that address any more; only: none that matches."""
        self._run("-A", self.chain, "-d", address, "-p", "tcp", "--dport", "22", *only, "-j", "DROP")

    def clear(self) -> None:
        self._run("-F", self.chain)

    @staticmethod
    def _run(*argv: str, check: bool = True) -> None:
        subprocess.run(["iptables", "-w", *argv], check=check, capture_output=True)


@dataclass(frozen=True)
class Host:
    """file: has the address at which Ansible looks for it."""

    name: str
    address: str
    container: str
    file: Path
    cuts: Cuts

    def run(self, *argv: str, check: bool = True) -> str:
        return inside.run(self.container, *argv, check=check)

    def serves(self) -> str:
        return self.run("readlink", f"/opt/{SERVICE}/current", check=False).rpartition("/")[2].partition("-")[0]

    def phase(self) -> str:
        told = self.run("cat", f"/var/lib/slipway/{SERVICE}/state.json", check=False)
        return str(json.loads(told)["phase"]) if told else ""

    def vanish(self) -> None:
        """Before a connection: its address is nobody's."""
        self.file.write_text(NOBODY)

    def cut(self, *only: str) -> None:
        """Also in the middle of a task: its packets are dropped; only: those that match."""
        self.file.write_text(self.address)
        self.cuts.add(self.address, *only)


def with_files(told: dict[str, Any], folder: Path, lab: str, cuts: Cuts) -> list[Host]:
    """The hosts of an inventory, which is changed: every address is read from a file whenever it is asked for."""
    found = []
    for name, variables in told["all"]["hosts"].items():
        address = folder / f"address-{name}"
        found.append(Host(name, variables["ansible_host"], f"slipway-{lab}-{name}", address, cuts))
        address.write_text(variables["ansible_host"])
        variables["ansible_host"] = f"{{{{ lookup('ansible.builtin.file', '{address}') }}}}"
    # Without this, ssh waits for ever for a host that has vanished while a task ran there.
    told["all"]["vars"]["ansible_ssh_extra_args"] = "-o ServerAliveInterval=3 -o ServerAliveCountMax=3"
    return found
