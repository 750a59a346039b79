"""Roles of hardening, each alone, on a host that somebody else has set up before."""

from __future__ import annotations

import ipaddress
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside
import lab
import play
import pytest
from waiting import wait

LAB = "roles"
INSTALL = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y"
# What a distribution that has made the change does with its alternatives.
SUDO_RS = f"""
{INSTALL} sudo-rs >/dev/null 2>&1
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


@dataclass
class Host:
    inventory: Path
    name: str
    address: str
    play_file: Path

    def inside(self, script: str) -> str:
        return inside.script(f"slipway-{LAB}-{self.name}", script)

    def role(self, name: str, **variables: Any) -> play.Play:
        values = {"case_role": name, **variables}
        done = play.playbook(str(self.play_file), self.inventory, values)
        assert done.code == 0, done.output
        return done

    def reboot(self) -> None:
        self.address = lab.restart(f"slipway-{LAB}-{self.name}")
        wait("the host has booted", lambda: "running" in self.inside("systemctl is-system-running || true"), 60)

    def refused(self, name: str, **variables: Any) -> str:
        """What a role says that has to fail and to change nothing."""
        done = play.playbook(str(self.play_file), self.inventory, {"case_role": name, **variables})
        assert done.code != 0, done.output
        assert changes(done) == 0
        return " ".join(done.output.split())

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
    booted = Host(path, name, told["ansible_host"], file)
    booted.inside("apt-get -qq update")
    yield booted
    lab.down(LAB)


def changes(done: play.Play) -> int:
    (recap,) = done.recap.values()
    return recap["changed"]


OFF = dict.fromkeys(
    ("base_update", "base_unattended_upgrades", "base_password_policy", "base_apparmor", "base_faillock"), False
)


def test_a_host_that_has_never_fetched_its_lists_of_packages(host: Host) -> None:
    """Not even where it is not to be updated: apt calls an empty directory as young as its last change."""
    host.inside("rm -rf /var/lib/apt/lists/*; touch /var/lib/apt/lists")
    host.role("base", **OFF, base_tools=["debsums"])
    host.inside("command -v debsums")


def test_sudo_written_anew_takes_the_same_rules(host: Host) -> None:
    """sudo-rs knows no wildcards in arguments and fewer settings; limited sudo must hold there, too."""
    assert "logfile" in host.inside("cat /etc/sudoers.d/00-slipway-log")
    host.inside(SUDO_RS)
    assert host.inside("sudo -n id -u 2>/dev/null").strip() == "0", "what it does not know stops it"
    host.role("base", **OFF, base_tools=[])
    assert host.inside("ls /etc/sudoers.d | grep -c slipway-log || true").strip() == "0"
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


def test_a_user_goes_for_good_although_a_change_of_its_access_was_not_confirmed(host: Host) -> None:
    """That change would be taken back at its deadline, and bring keys and sudo rules back."""
    key = (host.inventory.parent / "id_ed25519.pub").read_text().strip()
    values = {"deploy_user_name": "leaver", "deploy_user_sudo": "full"}
    host.role("deploy_user", deploy_user_keys=[key], **values)
    paths = ["/home/leaver/.ssh/authorized_keys", "/etc/sudoers.d/90-slipway-leaver"]
    armed = {"name": "access", "state": "armed", "seconds": 10, "paths": paths}
    play.module("slipway.go.deadman", armed, host.inventory)
    host.role("deploy_user", deploy_user_state="absent", **values)
    assert host.inside("id -u leaver 2>/dev/null || true") == ""
    host.inside(f"test ! -e {paths[0]} && test ! -e {paths[1]}")
    assert host.inside("ls /var/lib/slipway/deadman") == "journal.jsonl"


@pytest.mark.parametrize("unit", ["nftables", "netfilter-persistent"])
def test_a_packet_filter_of_the_hosts_own_is_left_alone(host: Host, unit: str) -> None:
    package = {"netfilter-persistent": "iptables-persistent"}.get(unit, unit)
    host.inside(f"{INSTALL} {package} >/dev/null 2>&1; systemctl enable {unit} 2>/dev/null")
    said = host.refused("firewall")
    assert f"{unit}.service" in said
    assert "harden_firewall: false" in said
    assert host.inside(f"systemctl is-enabled {unit}; command -v ufw firewall-cmd || true") == "enabled"
    host.inside(f"systemctl disable {unit} 2>/dev/null")


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


def test_the_run_of_one_service_closes_no_port_of_another(host: Host) -> None:
    """Whether or not the other one has asked for it in a run of its own."""
    records = {"news": "9090", "shop": "8080", "old": "7070"}
    for name, port in records.items():
        host.inside(
            f'install -d /etc/slipway/services; echo \'{{"listen": ["{port}"]}}\' >/etc/slipway/services/{name}.json'
        )
    host.inside("ufw allow 7070/tcp >/dev/null; ufw allow 6060/tcp >/dev/null")
    values = {"firewall_backend": "ufw", "firewall_remove_unmanaged": True}
    news = {"service_name": "news", "service_listen": ["9090"], "firewall_allow": [{"port": "9091"}], **values}
    shop = {"service_name": "shop", "service_listen": ["8080"], **values}
    for run in (news, shop):
        host.role("firewall", **run)
    status = host.inside("ufw status")
    assert all(f"{port}/tcp" in status for port in (22, 7070, 8080, 9090, 9091)), status
    assert "6060" not in status
    assert [changes(host.role("firewall", **run)) for run in (news, shop)] == [0, 0]
    host.inside("rm -r /etc/slipway")
    host.role("firewall", **values)
    assert "9090" not in host.inside("ufw status")


def here(host: Host) -> str:
    """The network that the controller comes from."""
    return str(ipaddress.ip_network(f"{host.address}/16", strict=False))


def test_narrowing_with_ufw(host: Host) -> None:
    """The role's own wide rule goes; a string that says false is no order to remove what is somebody's own."""
    host.inside("ufw allow 9999/tcp >/dev/null; ufw allow log-all 9998/tcp >/dev/null")
    values = {
        "firewall_backend": "ufw",
        "firewall_ssh_sources": [here(host)],
        "firewall_remove_unmanaged": "false",
        "firewall_ssh_limit": "false",
        "firewall_confirm_timeout": "60",
    }
    before = host.inside("ufw status")
    checked = play.playbook(str(host.play_file), host.inventory, {"case_role": "firewall", **values}, "--check")
    assert checked.code == 0, checked.output
    assert host.inside("ufw status") == before
    assert changes(host.role("firewall", **values)) == changes(checked) > 0
    status = host.inside("ufw status")
    assert [line.split() for line in status.splitlines() if line.startswith("22")] == [
        ["22/tcp", "ALLOW", here(host), "#", "slipway"]
    ]
    assert "9999" in status
    assert "9998" in status
    assert changes(host.role("firewall", **values)) == 0


def test_a_wider_rule_of_somebody_else_is_refused(host: Host) -> None:
    host.inside("ufw allow OpenSSH >/dev/null")
    values = {"firewall_backend": "ufw", "firewall_ssh_sources": [here(host)]}
    before = host.inside("ufw status")
    said = host.refused("firewall", **values)
    assert "OpenSSH" in said
    assert "firewall_remove_unmanaged: true" in said
    assert host.inside("ufw status") == before
    host.role("firewall", firewall_remove_unmanaged="true", **values)
    status = host.inside("ufw status")
    assert "OpenSSH" not in status
    assert "9999" not in status
    # Nothing but ufw itself can delete it, so that it is not reported again and again.
    assert "9998" in status
    assert changes(host.role("firewall", firewall_remove_unmanaged="true", **values)) == 0


def test_what_ufw_lets_in_for_one_version_of_ip_only(host: Host) -> None:
    host.inside("ufw allow proto tcp to 0.0.0.0/0 port 8443 >/dev/null; ufw route allow 8444/tcp >/dev/null")
    allow = [{"port": port} for port in ("8443", "8444")]
    values = {"firewall_backend": "ufw", "firewall_ssh_sources": [here(host)], "firewall_allow": allow}
    assert changes(host.role("firewall", **values)) == 1
    status = host.inside("ufw status").splitlines()
    assert [sum(line.startswith(port) for line in status) for port in ("8443/tcp", "8444/tcp")] == [2, 4]
    assert changes(host.role("firewall", **values)) == 0
    host.inside("ufw deny log from 192.0.2.1 port 5 to 10.0.0.5 port 7 proto tcp >/dev/null")
    host.role("firewall", firewall_remove_unmanaged=True, **values)
    assert "10.0.0.5" not in host.inside("ufw status")
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


def test_narrowing_with_firewalld(host: Host) -> None:
    """In the zone that judges the connection, the stock service ssh and the role's plain rule give way."""
    values = {"firewall_backend": "firewalld", "firewall_confirm_timeout": "60"}
    host.inside(
        "firewall-cmd -q --zone=internal --add-service=ssh; firewall-cmd -q --permanent --zone=public --add-service=ssh"
    )
    narrow = {"firewall_ssh_sources": [here(host)], "firewall_remove_unmanaged": "no", **values}
    checked = play.playbook(str(host.play_file), host.inventory, {"case_role": "firewall", **narrow}, "--check")
    assert checked.code == 0, checked.output
    assert changes(host.role("firewall", **narrow)) == changes(checked) > 0
    for view in ("", "--permanent"):
        for zone in ("internal", "public"):
            listed = host.inside(f"firewall-cmd {view} --zone={zone} --list-all")
            assert "dhcpv6-client" in listed
            assert " ssh" not in listed
            assert "22/tcp" not in listed
            assert f'source address="{here(host)}" port port="22"' in listed
    assert changes(host.role("firewall", **narrow)) == 0
    host.inside("firewall-cmd -q --permanent --zone=internal --add-port=20-30/tcp")
    assert "20:30" in host.refused("firewall", **narrow)
    host.role("firewall", **{**narrow, "firewall_remove_unmanaged": "yes"})
    assert "20-30" not in host.inside("firewall-cmd --permanent --zone=internal --list-ports")
    host.inside("systemctl stop firewalld; firewall-offline-cmd --zone=internal --add-service=ssh")
    for flags in (["--check"], []):
        done = play.playbook(str(host.play_file), host.inventory, {"case_role": "firewall", **narrow}, *flags)
        assert done.code == 0, done.output
    assert " ssh" not in host.inside(
        "firewall-cmd --zone=internal --list-services; firewall-cmd --zone=public --list-services"
    )


def test_the_default_zone_in_check_mode(host: Host) -> None:
    values = {"case_role": "firewall", "firewall_backend": "firewalld", "firewall_zone": "work"}
    for state in ("start", "stop"):
        host.inside(f"systemctl {state} firewalld; firewall-offline-cmd --set-default-zone=public || true")
        checked = play.playbook(str(host.play_file), host.inventory, values, "--check", "--diff")
        assert checked.code == 0, checked.output
        assert "default zone: work" in checked.output
        done = play.playbook(str(host.play_file), host.inventory, values)
        assert done.code == 0, done.output
        assert changes(done) == changes(checked)
        assert host.inside("firewall-cmd --get-default-zone") == "work"


@pytest.mark.parametrize("backend", ["firewalld", "ufw"])
def test_a_new_port_of_ssh_is_let_in_for_its_networks_only(host: Host, backend: str) -> None:
    """The role ssh opens its port, too, and must not open it for everybody."""
    host.inside("systemctl disable --now firewalld 2>/dev/null; ufw --force disable >/dev/null")
    values = {
        "deploy_user_keys": [(host.inventory.parent / "id_ed25519.pub").read_text().strip()],
        "deploy_user_sudo": "full",
        "ssh_ports": [22, 2222 if backend == "ufw" else 2223],
        "ssh_permit_root_login": "prohibit-password",
        "firewall_backend": backend,
        "firewall_zone": "internal",
        "firewall_ssh_sources": [here(host)],
        "firewall_ssh_limit": "false",
    }
    for role in ("deploy_user", "firewall", "ssh"):
        host.role(role, **values)
    listed = host.inside("ufw status; firewall-cmd --list-all 2>&1 || true")
    lines = [line for line in listed.splitlines() if str(values["ssh_ports"][1]) in line]
    assert lines
    assert all(here(host) in line for line in lines), listed
    assert changes(host.role("firewall", **values)) == 0


@pytest.mark.parametrize("backend", ["ufw", "firewalld"])
def test_a_reboot_leaves_a_firewall_off_that_was_off(host: Host, tmp_path: Path, backend: str) -> None:
    """Nobody has confirmed it by then; a host that comes back with it on may be out of reach."""
    on = {"ufw": "ufw status | grep ' active'", "firewalld": "systemctl is-active firewalld"}
    off = "ufw --force disable >/dev/null; systemctl disable --now firewalld 2>/dev/null || true"
    host.inside(off)
    role = {"name": "slipway.go.firewall"}
    # A port where nobody answers, so that the proof is still waited for when the host goes down.
    given = {"hosts": "all", "become": True, "gather_facts": False, "tasks": [{"ansible.builtin.include_role": role}]}
    file = tmp_path / "unproven.yml"
    file.write_text(json.dumps([{**given, "module_defaults": {"slipway.go.confirm_login": {"port": 9}}}]))
    values = json.dumps({"firewall_backend": backend, "firewall_confirm_timeout": 600})
    argv = ["ansible-playbook", "-i", str(host.inventory), str(file), "-e", values]
    with subprocess.Popen(argv, cwd=play.CHECKOUT, env=play.environment(), stdout=subprocess.PIPE, text=True) as run:
        try:
            assert any("Prove it with a fresh login" in line for line in run.stdout or ())
            assert host.inside(on[backend])
        finally:
            run.kill()
    host.reboot()
    assert host.inside("systemctl is-active firewalld || true") == "inactive"
    assert host.inside("systemctl is-enabled firewalld || true") == "disabled"
    assert host.inside("ufw status") == "Status: inactive"
    assert '"reason": "boot"' in host.inside("tail -n 1 /var/lib/slipway/deadman/journal.jsonl")
    assert host.inside("ls /var/lib/slipway/deadman") == "journal.jsonl"
