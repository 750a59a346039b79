"""Which machine, by which port: the connection that an earlier run has left open, behind a port forward."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside
import lab
import play
import pytest

LAB = "connection"
NEW_KEYS = (
    "rm /etc/ssh/ssh_host_*; ssh-keygen -A >/dev/null; systemctl reload ssh; cat /etc/ssh/ssh_host_ed25519_key.pub"
)


class Forward:
    """A port of this machine that leads to a host's sshd; one that is closed refuses."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _from = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection((self.address, 22))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(one, other), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@dataclass(frozen=True)
class Site:
    folder: Path
    shared: dict[str, Any]
    addresses: list[str]
    keys: list[str]
    play_file: Path

    def run(self, own: int, moved: int, known: dict[int, str]) -> play.Play:
        """One host, said to be at the port own, which an earlier run may have moved to the port moved."""
        file = self.folder / "known_hosts"
        file.write_text("".join(f"[127.0.0.1]:{port} {key}\n" for port, key in known.items()))
        told = {"ansible_host": "127.0.0.1", "ansible_port": own, "ssh_ports": [moved]}
        args = f"-o UserKnownHostsFile={file} -o IdentitiesOnly=yes -o ControlPath=none"
        inventory = self.folder / "inventory.json"
        shared = {**self.shared, "ansible_ssh_common_args": args, "ssh_permit_root_login": "prohibit-password"}
        inventory.write_text(json.dumps({"all": {"vars": shared, "hosts": {"second": told}}}))
        return play.playbook(str(self.play_file), inventory, {})


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    inventory = json.loads(lab.up(LAB, 2, ["bookworm"]).read_text())["all"]
    addresses = [told["ansible_host"] for told in inventory["hosts"].values()]
    keys = []
    for name in inventory["hosts"]:
        keys.append(inside.script(f"slipway-{LAB}-{name}", NEW_KEYS))
    folder = tmp_path_factory.mktemp("connection")
    choose = {"ansible.builtin.import_role": {"name": "slipway.go.ssh", "tasks_from": "connection"}}
    said = {"ansible.builtin.command": "hostname", "register": "said"}
    tasks = [choose, said, {"ansible.builtin.debug": {"msg": "I am {{ said.stdout }}"}}]
    file = folder / "connection.yml"
    file.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]))
    yield Site(folder, inventory["vars"], addresses, keys, file)
    lab.down(LAB)


@pytest.fixture
def forwards(site: Site) -> Iterator[list[Forward]]:
    made = [Forward(address) for address in site.addresses]
    yield made
    for forward in made:
        forward.close()


def test_another_machine_s_port_is_not_used(site: Site, forwards: list[Forward]) -> None:
    """The same user and key are let in there: secrets and releases would go to the wrong machine."""
    (first, second), known = forwards, dict(zip((f.port for f in forwards), site.keys))
    done = site.run(second.port, first.port, known)
    assert done.code == 0, done.output
    assert f"I am {LAB}2" in done.output
    second.close()
    done = site.run(second.port, first.port, known)
    assert "UNREACHABLE" in done.output
    assert "I am" not in done.output


def test_a_port_that_has_moved_is_found_where_the_host_key_is_known(site: Site, forwards: list[Forward]) -> None:
    first, second = forwards
    first.close()
    key = site.keys[1]
    done = site.run(first.port, second.port, {first.port: key, second.port: key})
    assert done.code == 0, done.output
    assert f"I am {LAB}2" in done.output
    done = site.run(first.port, second.port, {second.port: key})
    assert "UNREACHABLE" in done.output
