"""The role ssh where several people administer a host, where Match blocks wait, and where ssh_config says the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside
import lab
import play
import pytest

LAB = "ssh"
OPEN = {"ssh_permit_root_login": "prohibit-password", "ssh_shut_out_users": ["alice", "bob"]}
PEOPLE = """
for user in deploy alice bob; do
  id $user >/dev/null 2>&1 || useradd -m -s /bin/sh $user
  mkdir -p /home/$user/.ssh; cp /root/.ssh/authorized_keys /home/$user/.ssh/; chown -R $user /home/$user/.ssh
  usermod -p '*' $user; echo "$user ALL=(ALL) NOPASSWD: ALL" > /etc/sudoers.d/$user
done
"""
RESTART = "systemctl reset-failed ssh; systemctl restart ssh"  # as often as the tests need it
FRESH = f"rm -f /etc/ssh/sshd_config.d/*; cp /etc/ssh/sshd_config.before /etc/ssh/sshd_config; {RESTART}"


@dataclass(frozen=True)
class Host:
    folder: Path
    name: str
    told: dict[str, Any]
    shared: dict[str, Any]

    def inside(self, script: str) -> str:
        return inside.script(f"slipway-{LAB}-{self.name}", script)

    def run(self, told: dict[str, Any], *flags: str) -> play.Play:
        """The role, with these variables of the host; one that is None is not said at all."""
        variables = {**self.shared, **self.told, **told}
        shown = {key: value for key, value in variables.items() if value is not None}
        inventory = self.folder / "inventory.json"
        inventory.write_text(json.dumps({"all": {"hosts": {self.name: shown}}}))
        return play.playbook(str(self.folder / "role.yml"), inventory, {}, *flags)

    def allowed(self) -> list[str]:
        return self.inside("sshd -T | sed -n 's/^allowusers //p'").split()


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    inventory = json.loads(lab.up(LAB, 1, ["bookworm"]).read_text())["all"]
    ((name, told),) = inventory["hosts"].items()
    folder = tmp_path_factory.mktemp("ssh")
    role = {"ansible.builtin.import_role": {"name": "slipway.go.ssh"}}
    reached = {"ansible.builtin.shell": "echo I am ${SUDO_USER:-$(id -un)}", "changed_when": False}
    plays = [{"hosts": "all", "become": True, "gather_facts": False, "tasks": [role, reached]}]
    (folder / "role.yml").write_text(json.dumps(plays))
    host = Host(folder, name, told, {**inventory["vars"], **OPEN})
    host.inside(f"{PEOPLE}cp /etc/ssh/sshd_config /etc/ssh/sshd_config.before")
    yield host
    lab.down(LAB)


@pytest.fixture
def host(machine: Host) -> Host:
    machine.inside(FRESH)
    return machine


def ran(done: play.Play, changed: int | None = None) -> play.Play:
    assert done.code == 0, done.output
    (recap,) = done.recap.values()
    assert changed is None or recap["changed"] == changed, done.output
    return done


def refused(done: play.Play, *words: str) -> None:
    said = " ".join(done.output.split())
    assert done.code != 0, said
    for word in words:
        assert word in said, said


def test_administrators_do_not_shut_out_one_another(host: Host) -> None:
    ran(host.run({"ansible_user": "alice"}))
    assert sorted(host.allowed()) == ["alice", "deploy", "root"]
    for user in ("deploy", "alice", "root"):
        ran(host.run({"ansible_user": user}), 0)
    ran(host.run({"ansible_user": "deploy", "ssh_allow_users": ["deploy", "alice", "bob"]}))
    ran(host.run({"ansible_user": "bob"}), 0)


def test_nobody_is_shut_out_unasked(host: Host) -> None:
    """By a key or by a password, in check mode and for good; root that is closed is named and not asked about."""
    host.inside(
        "id carl >/dev/null 2>&1 || useradd -m -s /bin/sh carl; echo carl:secret-12 | chpasswd;"
        "printf 'PasswordAuthentication yes\n' > /etc/ssh/sshd_config.d/50-passwords.conf; systemctl reload ssh"
    )
    before = host.inside("sshd -T")
    closed = {"ssh_permit_root_login": "false", "ssh_shut_out_users": []}
    for flags in (["--check"], []):
        done = host.run(closed, *flags)
        refused(done, "alice (by key", "bob (by key", "carl (by password", "ssh_shut_out_users")
        assert "root (" not in done.output
    assert host.inside("sshd -T") == before
    kept = {**closed, "ssh_keep_users": ["alice", "bob"]}
    refused(host.run(kept), "1 of this host's accounts", "carl (by password")
    done = ran(host.run({**kept, "ssh_shut_out_users": ["carl"]}))
    assert "root, carl could log in until now, and cannot afterwards." in done.output
    assert sorted(host.allowed()) == ["alice", "bob", "deploy"]
    host.inside("userdel --force --remove carl")


def test_a_list_of_one_s_own_is_exact_and_shuts_out_nobody_unasked(host: Host) -> None:
    before = host.inside("sshd -T")
    done = host.run({"ansible_user": "alice", "ssh_allow_users": ["deploy", "bob"]})
    refused(done, "AllowUsers deploy bob root would refuse alice", "ssh_allow_users")
    assert host.inside("sshd -T") == before
    ran(host.run({"ansible_user": "deploy", "ssh_allow_users": ["deploy@172.16.0.0/12", "bob"]}))
    assert sorted(host.allowed()) == ["bob", "deploy@172.16.0.0/12", "root"]


def test_root_that_is_closed_needs_no_place_in_a_list(host: Host) -> None:
    ran(host.run({"ssh_permit_root_login": "false", "ssh_confirm_timeout": "60", "ssh_allow_users": ["deploy", "bob"]}))
    assert sorted(host.allowed()) == ["bob", "deploy"]


def test_match_blocks_count_as_the_controller_meets_them(host: Host) -> None:
    match = "printf 'Match Address %s\\n  PasswordAuthentication yes\\n' >> /etc/ssh/sshd_config"
    host.inside(match.replace("%s", "172.16.0.0/12"))
    refused(host.run({}), "another file or Match block", "for deploy from 172.", "PasswordAuthentication is yes")
    host.inside(FRESH)
    host.inside(match.replace("%s", "127.0.0.1"))
    ran(host.run({}))


def test_what_only_ssh_config_says(host: Host) -> None:
    """Neither user nor port in the inventory: the proof and the rest of the run find them as ssh does."""
    host.inside(f"echo Port 2200 > /etc/ssh/sshd_config.d/50-port.conf; {RESTART}")
    known = Path(host.shared["ansible_ssh_private_key_file"]).parent / "known_hosts"
    config = host.folder / "ssh_config"
    lines = [f"HostName {host.told['ansible_host']}", "User alice", "Port 2200", f"UserKnownHostsFile {known}"]
    config.write_text("Host by-config\n" + "".join(f"  {line}\n" for line in [*lines, "StrictHostKeyChecking no"]))
    told = {"ansible_host": "by-config", "ansible_user": None, "ansible_ssh_common_args": f"-F {config}"}
    done = ran(host.run(told, "-v"))
    assert "I am alice" in done.output
    assert "alice" in host.allowed()


def test_the_port_of_the_connection_is_kept_where_it_stays_in_the_list(host: Host) -> None:
    """Nobody need be able to log in by the other one from here."""
    host.inside("printf 'Match LocalPort 21\\n  PubkeyAuthentication no\\n' >> /etc/ssh/sshd_config")
    ran(host.run({"ssh_ports": ["21", "22"]}))
    assert sorted(host.inside("sed -n 's/^Port //p' /etc/ssh/sshd_config.d/*").split()) == ["21", "22"]


def test_a_port_that_moves_takes_the_run_along(host: Host) -> None:
    ran(host.run({"ssh_ports": [2323, 2222]}))
    done = ran(host.run({"ssh_ports": [2323, 2222], "ansible_port": 2222}), 0)
    assert "UNREACHABLE" not in done.output


ALLOWED = {"ssh_settings": {"AllowTcpForwarding": "local"}}


@pytest.mark.parametrize(
    ("arguments", "told", "kept"),
    [
        ("-o ProxyJump=root@bastion:22", {}, True),
        ('-o ProxyCommand="ssh -W %h:%p -q 192.0.2.1"', {}, True),
        ("-J x,bastion", {}, True),
        ("-J bastion", ALLOWED, False),
        ("-J other-bastion", {}, False),
        ("-J bastion2", {}, False),
        ("-o UserKnownHostsFile=/lab/bastion/known_hosts", {}, False),
    ],
)
def test_a_jump_host_keeps_its_forwarding(tmp_path: Path, arguments: str, told: dict[str, Any], kept: bool) -> None:
    """No host is asked: the inventory alone says who is reached through whom."""
    hosts = {"bastion": {"ansible_host": "192.0.2.1", **told}, "inner": {"ansible_ssh_common_args": arguments}}
    inventory, file = tmp_path / "inventory.json", tmp_path / "validate.yml"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    role = {"ansible.builtin.import_role": {"name": "slipway.go.ssh", "tasks_from": "validate"}}
    file.write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [role]}]))
    done = play.playbook(str(file), inventory, {})
    assert (done.code != 0) is kept, done.output
    assert ("ssh_settings to {AllowTcpForwarding: local}" in done.output) is kept
