"""What only a kernel of one's own can show: SELinux that bites, kernel settings, mounts, auditd, and the next boot.

The tests run in the order of this file: a bare machine, with a service released, swapped, rebooted; by `make harden-vm`
hardened before the release.
"""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import play
import pytest
import vm
from conftest import PORT, SERVICE, VERSIONS, Swapped, denials, hardening, now, run

BY_HAND = Path(__file__).parent / "plays"


def answer(machine: vm.Machine) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{machine.port(PORT)}/version", timeout=60) as response:
        return json.load(response)


def test_the_machine_boots_enforcing(machine: vm.Machine) -> None:
    assert machine.ssh("getenforce").stdout.strip() == "Enforcing"


def test_a_denial_is_seen(machine: vm.Machine) -> None:
    """What the tests below find nothing of is there when somebody does what SELinux forbids."""
    begun = now(machine)
    machine.ssh(
        "systemd-run --wait --pipe -p SELinuxContext=system_u:system_r:chronyd_t:s0 cat /etc/shadow", check=False
    )
    assert denials(machine, begun)


@pytest.mark.hardened
def test_root_is_closed_and_the_deploy_user_administers(released: vm.Machine) -> None:
    refused = released.login("root")
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr
    assert released.login("deploy", "sudo -n id -u").stdout.strip() == "0"


@pytest.mark.hardened
def test_tmp_stays_what_it_is_until_the_next_boot(released: vm.Machine) -> None:
    """A service with PrivateTmp wants /tmp mounted; doing so would hide the files of whatever runs."""
    released.ssh("systemd-run --wait -p PrivateTmp=yes true")
    assert released.ssh("findmnt /tmp", check=False).stdout == ""


def test_a_swap_while_enforcing_loses_no_request(swapped: Swapped) -> None:
    total = swapped.report["total"]
    assert set(total["versions"]) == set(VERSIONS)
    assert total["failures"] == {}
    assert swapped.machine.ssh("getenforce").stdout.strip() == "Enforcing"


def test_releasing_was_denied_nothing(swapped: Swapped) -> None:
    assert denials(swapped.machine, swapped.begun) == {}


def test_the_release_serves_again_after_a_reboot(rebooted: vm.Machine, bare_boot: dict[str, str]) -> None:
    """By itself, and as it was: enforcing, and denied nothing but what Debian's own boot is."""
    assert answer(rebooted)["version"] == VERSIONS[-1]
    assert rebooted.ssh("getenforce; systemctl is-active 'shop@*' shop.socket").stdout.split() == [
        "Enforcing", "active", "active",
    ]  # fmt: skip
    assert denials(rebooted, boot=True).keys() - bare_boot.keys() == set()


def test_the_release_is_labelled_as_a_program(rebooted: vm.Machine) -> None:
    labels = rebooted.ssh(f"stat --format %C /opt/{SERVICE}/releases/*/bin/{SERVICE}").stdout.split()
    assert len(labels) == len(VERSIONS)
    assert {label.split(":")[2] for label in labels} == {"bin_t"}


@pytest.mark.hardened
def test_kernel_settings_are_in_force(rebooted: vm.Machine) -> None:
    """Each key that the kernel knows has the value that the file asks for."""
    written = rebooted.ssh("cat /etc/sysctl.d/99-zz-slipway.conf").stdout
    wanted = dict(line.split(" = ") for line in written.splitlines() if " = " in line)
    said = rebooted.ssh(f"sysctl --ignore {' '.join(wanted)}").stdout
    now = dict(line.split(" = ") for line in said.splitlines())
    assert len(now) > 30
    assert {key: value.strip() for key, value in now.items()} == {key: wanted[key] for key in now}


@pytest.mark.hardened
@pytest.mark.parametrize("path", ["/tmp", "/dev/shm"])
def test_nothing_runs_where_everybody_writes(rebooted: vm.Machine, path: str) -> None:
    options = rebooted.ssh(f"findmnt --noheadings --output OPTIONS {path}").stdout.strip().split(",")
    assert {"nosuid", "nodev", "noexec"} <= set(options)
    tried = rebooted.ssh(f"cp /bin/true {path}/slipway-probe && {path}/slipway-probe", check=False)
    rebooted.ssh(f"rm -f {path}/slipway-probe")
    assert tried.returncode == 126, "a program ran from there"


@pytest.mark.hardened
def test_the_audit_rules_are_loaded_and_heard(rebooted: vm.Machine) -> None:
    written = rebooted.ssh("grep -c '^-[wa] ' /etc/audit/rules.d/50-slipway.rules").stdout
    loaded = rebooted.ssh("auditctl -l").stdout.splitlines()
    assert len(loaded) == int(written)
    assert {"-w /etc/shadow -p wa -k identity", "-w /opt -p wa -k releases"} <= set(loaded)
    rebooted.ssh("touch /etc/sudoers.d/.probe && rm /etc/sudoers.d/.probe")
    heard = rebooted.ssh("ausearch --input-logs -k privileges --start recent --interpret").stdout
    assert "/etc/sudoers.d/.probe" in heard


@pytest.mark.hardened
def test_blocked_modules_do_not_load(rebooted: vm.Machine) -> None:
    rebooted.ssh("modprobe dccp; modprobe sctp", check=False)
    assert not re.search("^(dccp|sctp) ", rebooted.ssh("cat /proc/modules").stdout, re.M)


@pytest.mark.hardened
def test_a_second_run_changes_nothing(rebooted: vm.Machine) -> None:
    again = run(rebooted, "harden", hardening(rebooted))
    assert {host["changed"] for host in again.recap.values()} == {0}, again.output


@pytest.mark.hardened
def test_ssh_on_a_port_without_a_label_is_taken_back(rebooted: vm.Machine, other_ssh: int) -> None:
    """A port that SELinux does not give to sshd: sshd could not listen there, and the operator keeps the old one."""
    before = rebooted.ssh("sshd -T | sort").stdout
    done = play.playbook(str(BY_HAND / "unlabelled.yml"), rebooted.inventory, {"case_port": other_ssh})
    assert done.code != 0, done.output
    assert "a fresh login as deploy did not work" in " ".join(done.output.split())
    assert rebooted.ssh("sshd -T | sort").stdout == before


@pytest.mark.hardened
def test_ssh_moves_to_a_port_that_the_role_has_labelled(rebooted: vm.Machine, other_ssh: int) -> None:
    moving = {**hardening(rebooted), "ssh_ports": [other_ssh], "harden_base": False, "harden_selinux": False}
    run(rebooted, "harden", moving)
    assert rebooted.login("deploy", "sudo -n id -u", other_ssh).stdout.strip() == "0"
