"""Roles of hardening, each alone, on a host that somebody else has set up before."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab
import play
import pytest

LAB = "roles"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y"
# What a distribution that has made the change does with its alternatives.
SUDO_RS = f"""
apt-get -qq update; {INSTALL} sudo-rs >/dev/null 2>&1
for path in /usr/bin/sudo /usr/sbin/visudo; do
  mv $path $path.ws
  ln -s /usr/lib/cargo/bin/$(basename $path) $path
done
"""
UFW = f"""
{INSTALL} ufw >/dev/null 2>&1
printf '[OpenSSH]\\ntitle=SSH\\ndescription=SSH\\nports=22/tcp\\n' > /etc/ufw/applications.d/slipway-test
ufw allow OpenSSH >/dev/null; ufw deny 25/tcp >/dev/null; ufw allow 9999/tcp >/dev/null
"""
FIREWALLD = f"""
ufw --force disable >/dev/null
{INSTALL} firewalld >/dev/null 2>&1
systemctl enable --now firewalld >/dev/null 2>&1
firewall-cmd --quiet --zone=internal --change-interface=eth0 --permanent
for add in 'rich-rule=rule family="ipv4" source address="192.0.2.0/24" accept' protocol=igmp port=9999/tcp \\
    forward-port=port=80:proto=tcp:toport=8080; do
  firewall-cmd --quiet --permanent --zone=internal "--add-$add"
done
firewall-cmd --quiet --reload
"""


@dataclass(frozen=True)
class Host:
    inventory: Path
    name: str
    address: str
    play_file: Path

    def inside(self, script: str) -> str:
        argv = ["docker", "exec", f"slipway-{LAB}-{self.name}", "sh", "-ec", script]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def role(self, name: str, **variables: Any) -> play.Play:
        values = {"case_role": name, **variables}
        done = play.playbook(str(self.play_file), self.inventory, values)
        assert done.code == 0, done.output
        return done

    def ssh(self, command: str) -> subprocess.CompletedProcess[str]:
        state = self.inventory.parent
        options = ["BatchMode=yes", "IdentitiesOnly=yes", f"UserKnownHostsFile={state / 'known_hosts'}"]
        words = [word for option in options for word in ("-o", option)]
        argv = ["ssh", *words, "-i", str(state / "id_ed25519"), f"deploy@{self.address}", command]
        return subprocess.run(argv, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    path = lab.up(LAB, 1, ["trixie"])
    ((name, told),) = json.loads(path.read_text())["all"]["hosts"].items()
    file = tmp_path_factory.mktemp("play") / "role.yml"
    role = {"ansible.builtin.include_role": {"name": "slipway.go.{{ case_role }}"}}
    file.write_text(json.dumps([{"hosts": "all", "become": True, "gather_facts": False, "tasks": [role]}]))
    yield Host(path, name, told["ansible_host"], file)
    lab.down(LAB)


def changes(done: play.Play) -> int:
    (recap,) = done.recap.values()
    return recap["changed"]


def test_sudo_written_anew_takes_the_same_rules(host: Host) -> None:
    """sudo-rs knows no wildcards in arguments and fewer settings; limited sudo must hold there, too."""
    host.inside(SUDO_RS)
    values = {
        "deploy_user_keys": [(host.inventory.parent / "id_ed25519.pub").read_text().strip()],
        "deploy_user_sudo": "limited",
        "deploy_user_services": ["shop"],
    }
    host.role("deploy_user", **values)
    assert "/usr/lib/cargo" in host.inside("readlink /usr/bin/sudo /usr/sbin/visudo")
    assert "Unit shop.service not found" in host.ssh("sudo -n /usr/bin/systemctl restart shop").stderr
    for refused in ("id", "/usr/bin/systemctl restart ssh", "/usr/bin/systemctl restart shop x"):
        done = host.ssh(f"sudo -n {refused}")
        assert done.returncode != 0
        assert "uid=" not in done.stdout
        assert "not found" not in done.stderr
    assert changes(host.role("deploy_user", **values)) == 0


def test_rules_of_ufw_that_nobody_asked_for(host: Host) -> None:
    host.inside(UFW)
    values = {"firewall_backend": "ufw"}
    said = " ".join(host.role("firewall", **values).output.split())
    assert "3 rules are there that nobody asked for" in said
    for word in ("OpenSSH", "9999", "deny"):
        assert word in said
    assert changes(host.role("firewall", **values)) == 0
    host.role("firewall", firewall_remove_unmanaged=True, **values)
    status = host.inside("ufw status")
    assert "22/tcp" in status
    for word in ("OpenSSH", "9999", "DENY"):
        assert word not in status
    assert changes(host.role("firewall", firewall_remove_unmanaged=True, **values)) == 0


def test_rules_of_firewalld_that_nobody_asked_for(host: Host) -> None:
    """In the zone of the interface, too, although it is not the one that the role was given."""
    host.inside(FIREWALLD)
    values = {"firewall_backend": "firewalld"}
    said = " ".join(host.role("firewall", **values).output.split())
    for word in ("192.0.2.0/24", "igmp", "9999", "toport"):
        assert word in said
    assert changes(host.role("firewall", **values)) == 0
    host.role("firewall", firewall_remove_unmanaged=True, **values)
    for view in ("", "--permanent"):
        zone = host.inside(f"firewall-cmd {view} --zone=internal --list-all")
        for word in ("192.0.2.0/24", "igmp", "9999", "8080"):
            assert word not in zone
    assert changes(host.role("firewall", firewall_remove_unmanaged=True, **values)) == 0
