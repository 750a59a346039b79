"""The lock-out table: ways in which people lock themselves out, each run for real over SSH.

Each case ends with the operator still able to log in. Where the run has to fail, the host is back on its former state
and the error says what would have happened; where the roles see the danger themselves, the run succeeds.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from waiting import wait

DEADLINE_S = 20
TIMEOUTS = ("ssh_confirm_timeout", "firewall_confirm_timeout", "deploy_user_confirm_timeout", "base_confirm_timeout")
STRANGER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE7Y8Xs0oQ0G0tB9a6Z5m2h6H0m1nqjHqz6kP3kYvZ3d stranger"
# What comes in by eth0 would go out by another interface, but for a mark: strict filtering then drops the controller.
TWO_WAYS = """
mount -o remount,rw /proc/sys
ip link add away type veth peer name nowhere; ip link set away up; ip link set nowhere up
gateway=$(ip -4 route show default | cut -d' ' -f3)
ip route add table 100 default via $gateway dev eth0; ip rule add fwmark 1 lookup 100
iptables -t mangle -A OUTPUT -o away -j MARK --set-mark 1
sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0
ip route add $gateway/32 dev away
"""
# A container may change no more of the kernel than its own network, and the role leaves it alone otherwise.
KERNEL_ONLY = {
    "__base_kernel": True,
    "__base_sysctl_recommended": {"net.ipv4.conf.all.rp_filter": 1},
    **dict.fromkeys(
        [f"base_{name}" for name in ("update", "unattended_upgrades", "time_sync", "permissions", "auditd")], "false"
    ),
    **dict.fromkeys([f"base_{name}" for name in ("password_policy", "faillock", "apparmor")], "false"),
    "base_tools": [],
    "base_controls": dict.fromkeys(
        ("sudo_log", "password_history", "su_wheel", "router_advertisements"), "not what the case is about"
    ),
}
ASKED = """
useradd --create-home --shell /bin/bash --groups sudo admin; echo admin:Secret-1234-word | chpasswd
install -d -m 0700 -o admin -g admin /home/admin/.ssh
install -m 0600 -o admin -g admin /root/.ssh/authorized_keys /home/admin/.ssh/authorized_keys
"""
WRITTEN = "printf '# Written by slipway.go\\nnet.ipv4.conf.all.rp_filter = 1\\n' > /etc/sysctl.d/99-zz-slipway.conf"


@dataclass(frozen=True)
class Case:
    """says: what the error has to say; empty for a run that has to succeed with the danger averted."""

    name: str
    roles: tuple[str, ...] = ("ssh",)
    variables: dict = field(default_factory=dict)
    before: str = ""
    says: str = ""
    play: str = "roles.yml"
    port: int = 22
    user: str = "root"
    suite: str = "bookworm"


CASES = [
    # --- the firewall
    Case("default-deny-before-the-ssh-rule", play="deny.yml", says="a fresh login as root did not work"),
    Case(
        "a-source-range-without-the-controller",
        ("firewall",),
        {"firewall_ssh_sources": ["192.0.2.0/24"]},
        says="firewall_ssh_sources 192.0.2.0/24 leaves it out",
    ),
    Case("a-firewall-that-knows-no-ssh-port", ("firewall",), {"firewall_backend": "ufw"}),
    Case(
        "ssh-on-another-port-than-the-firewall-thinks",
        ("firewall",),
        {"firewall_backend": "ufw", "ansible_port": 2200},
        before="printf 'Port 22\\nPort 2200\\n' > /etc/ssh/sshd_config.d/10-port.conf; systemctl reload ssh",
        port=2200,
    ),
    Case(
        "the-wrong-zone-for-the-interface",
        ("firewall",),
        {"firewall_backend": "firewalld", "firewall_zones": [{"name": "drop", "interfaces": ["eth0"]}]},
        suite="trixie",
    ),
    Case(
        "a-default-zone-that-drops",
        ("firewall",),
        {"firewall_backend": "firewalld", "firewall_zone": "drop"},
        suite="trixie",
    ),
    Case(
        "a-deny-rule-that-comes-first",
        ("firewall",),
        {"firewall_backend": "ufw"},
        before="ufw deny 20:30/tcp >/dev/null",
        says="a fresh login as root did not work.*(taken back|takes? the change back)",
    ),
    Case(
        "a-rich-rule-that-rejects-ssh",
        ("firewall",),
        {"firewall_backend": "firewalld"},
        before="""firewall-offline-cmd --zone=public --add-rich-rule='rule service name="ssh" reject' >/dev/null""",
        suite="trixie",
        says="a fresh login as root did not work.*(taken back|takes? the change back)",
    ),
    # --- who may come in
    Case(
        "allowgroups-without-the-deploy-user",
        variables={"ssh_allow_users": [], "ssh_allow_groups": ["wheel"]},
        says="AllowGroups wheel would refuse deploy",
    ),
    Case(
        "allowusers-without-the-deploy-user",
        variables={"ssh_allow_users": ["somebody"]},
        says="AllowUsers somebody would refuse deploy",
    ),
    Case("denyusers", variables={"ssh_settings": {"DenyUsers": "dep*"}}, says="DenyUsers would refuse deploy"),
    Case(
        "root-closed-and-deploy-has-limited-sudo",
        variables={"deploy_user_sudo": "limited", "ansible_user": "root"},
        says="nobody could administer the host any more",
    ),
    Case("an-account-that-has-expired", before="chage -E 1 deploy", says="a fresh login as deploy did not work"),
    Case("logins-closed-by-nologin", before="touch /etc/nologin", says="a fresh login as deploy did not work"),
    # --- keys
    Case("no-key-at-all", ("deploy_user",), {"deploy_user_keys": []}, says="deploy_user_keys is empty"),
    Case("a-path-instead-of-a-key", ("deploy_user",), {"deploy_user_keys": ["~/.ssh/id.pub"]}, says="not a public key"),
    Case(
        "a-key-that-nobody-here-has",
        ("deploy_user",),
        {"deploy_user_keys": [STRANGER]},
        says="a fresh login as deploy did not work.*(taken back|takes? the change back)",
    ),
    Case(
        "a-key-that-was-never-installed",
        before="rm /home/deploy/.ssh/authorized_keys",
        says="a fresh login as deploy did not work",
    ),
    Case(
        "authorized-keys-others-can-write",
        before="chmod 0777 /home/deploy/.ssh /home/deploy/.ssh/authorized_keys",
        says="a fresh login as deploy did not work",
    ),
    Case("a-home-others-can-write", before="chmod 0777 /home/deploy", says="a fresh login as deploy did not work"),
    Case(
        "a-shell-that-is-none", ("deploy_user",), {"deploy_user_shell": "/usr/sbin/nologin"}, says="lets nobody log in"
    ),
    Case(
        "keys-looked-for-elsewhere",
        variables={"ssh_settings": {"AuthorizedKeysFile": "/etc/ssh/keys/%u"}},
        says="can log in now and could not afterwards: .*deploy",
    ),
    # --- sudo
    Case(
        "a-sudo-rule-that-is-no-rule",
        ("deploy_user",),
        {"deploy_user_sudo": "limited", "deploy_user_commands": ["/bin/ls, !ALL = ("]},
        says="not a plain command",
    ),
    Case(
        "another-file-asks-for-a-password",
        before="echo 'deploy ALL=(ALL:ALL) PASSWD: ALL' > /etc/sudoers.d/zz-other; chmod 440 /etc/sudoers.d/zz-other",
        says="deploy can log in, but `sudo -n -- true` failed",
    ),
    Case(
        "sudo-that-wants-a-terminal",
        before="echo 'Defaults requiretty' > /etc/sudoers.d/zz-tty; chmod 440 /etc/sudoers.d/zz-tty",
        says="deploy can log in, but `sudo -n -- true` failed",
    ),
    Case(
        "a-sudoers-file-that-is-broken-already",
        ("deploy_user",),
        {"deploy_user_sudo": "none", "deploy_user_prove": False},
        before="echo 'nonsense here' > /etc/sudoers.d/zz-broken",
        says="visudo -c failed",
    ),
    Case(
        "limiting-the-sudo-of-the-own-user",
        ("deploy_user",),
        {"deploy_user_sudo": "limited", "ansible_user": "deploy"},
        user="deploy",
        says="`sudo -n -- true` failed.*(taken back|takes? the change back)",
    ),
    Case(
        "an-administrator-whom-sudo-asks-for-a-password",
        ("deploy_user", "ssh"),
        {"ansible_user": "admin", "ansible_become_password": "Secret-1234-word", "ssh_permit_root_login": "yes"},
        before=ASKED,
    ),
    Case(
        "removing-the-own-user",
        ("deploy_user",),
        {"deploy_user_state": "absent", "ansible_user": "deploy"},
        says="the user of this very connection",
    ),
    # --- sshd
    Case(
        "a-directive-that-sshd-does-not-know",
        variables={"ssh_settings": {"PermitEverything": "yes"}},
        says="Bad configuration option",
    ),
    Case(
        "a-configuration-that-is-broken-already",
        before="echo Nonsense >> /etc/ssh/sshd_config",
        says="does not accept its own configuration",
    ),
    Case("algorithms-that-nobody-knows", variables={"ssh_ciphers": ["rot13"]}, says="nobody could log in"),
    Case(
        "a-host-key-that-the-controller-does-not-know",
        variables={"ssh_host_key_algorithms": ["rsa-sha2-512"]},
        says="a fresh login as deploy did not work.*(taken back|takes? the change back)",
    ),
    Case(
        "another-drop-in-comes-first",
        before="echo 'PermitRootLogin yes' > /etc/ssh/sshd_config.d/00-aaa.conf",
        says="another file or Match block.*PermitRootLogin",
    ),
    Case(
        "a-match-block-for-the-deploy-user",
        before="printf 'Match User deploy\\n  PubkeyAuthentication no\\n' >> /etc/ssh/sshd_config",
        says="another file or Match block.*for deploy",
    ),
    Case(
        "cloud-init-turns-passwords-on",
        before="echo 'PasswordAuthentication yes' > /etc/ssh/sshd_config.d/50-cloud-init.conf; systemctl reload ssh",
        variables={"ssh_permit_root_login": "prohibit-password"},
    ),
    Case(
        "a-forced-command",
        variables={"ssh_settings": {"ForceCommand": "/bin/false"}},
        says="deploy can log in, but.*(taken back|takes? the change back)",
    ),
    Case(
        "no-sessions",
        variables={"ssh_settings": {"MaxSessions": 0}},
        says="fresh login as deploy did not work.*(taken back|takes? the change back)",
    ),
    Case(
        "listening-on-the-loopback-only",
        variables={"ssh_settings": {"ListenAddress": "127.0.0.1"}},
        says="a fresh login as deploy did not work.*(taken back|takes? the change back)",
    ),
    Case(
        "a-port-that-is-taken",
        variables={"ssh_ports": [2222]},
        before="systemd-run --quiet --collect --unit=squatter nc -lk 2222",
        says="did not work",
    ),
    Case(
        "a-port-that-the-firewall-does-not-know",
        variables={"ssh_ports": [2222], "ssh_firewall": False},
        before="ufw allow 22/tcp >/dev/null; ufw --force enable >/dev/null",
        says="a fresh login as deploy did not work",
    ),
    Case(
        "a-port-under-ssh-socket",
        variables={"ssh_ports": [2222], "ssh_permit_root_login": "prohibit-password"},
        before="systemctl disable --now ssh.service 2>/dev/null; systemctl enable --now ssh.socket 2>/dev/null",
        port=2222,
    ),
    Case(
        "a-port-under-ssh-socket-on-a-newer-system",
        variables={"ssh_ports": [2222], "ssh_permit_root_login": "prohibit-password"},
        before="systemctl disable --now ssh.service 2>/dev/null; systemctl enable --now ssh.socket 2>/dev/null",
        port=2222,
        suite="trixie",
    ),
    # --- the kernel
    Case(
        "strict-reverse-path-filtering",
        ("base",),
        KERNEL_ONLY,
        before=TWO_WAYS,
        says="base_sysctl, a fresh login as root did not work.*(taken back|takes? the change back)",
    ),
    Case(
        "strict-reverse-path-filtering-that-somebody-had-loosened",
        ("base",),
        KERNEL_ONLY,
        before=TWO_WAYS + WRITTEN,
        says="base_sysctl, a fresh login as root did not work.*(taken back|takes? the change back)",
    ),
    Case(
        "strict-reverse-path-filtering-where-there-is-one-way", ("base",), KERNEL_ONLY, "mount -o remount,rw /proc/sys"
    ),
    # --- passwords
    Case(
        "wrong-passwords-by-a-bot",
        ("base", "ssh"),
        {"base_update": False, "ssh_permit_root_login": "prohibit-password"},
        before="for i in 1 2 3 4 5 6 7; do echo 'x' | runuser -u nobody -- su deploy -c true 2>/dev/null || true; done",
    ),
]


@pytest.fixture
def host(request, hosts):
    case = request.getfixturevalue("case")
    chosen = hosts[case.suite]
    chosen.reset()
    yield chosen
    chosen.inside("systemctl stop squatter.service 2>/dev/null || true")
    chosen.reset()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_nobody_is_locked_out(case, host, record_property):
    host.inside(case.before or "true")
    before = host.fingerprint()
    public = Path(host.key + ".pub").read_text().strip()
    variables = {
        "case_roles": list(case.roles),
        "deploy_user_keys": [public],
        "deploy_user_sudo": "full",
        # Where no connection is left to ask for the revert, a case lasts as long as this. A run that is to succeed has
        # the time that it has by default, however busy the machine is.
        **({} if not case.says else dict.fromkeys(TIMEOUTS, DEADLINE_S)),
        **case.variables,
    }
    done = host.play(case.play, variables)
    if not case.says:
        assert done.returncode == 0, done.stdout
        assert host.ssh("true", port=case.port).returncode == 0
        assert host.ssh("sudo -n true", "deploy", case.port).returncode == 0
        record_property("end", "averted, in force")
        return
    assert done.returncode != 0, done.stdout
    # On a busy machine the deadline may come before the proof gives up: the login then works again, and is too late.
    assert re.search(f"{case.says}|was taken back before it was confirmed", " ".join(done.stdout.split())), done.stdout
    # At once where a connection was left to ask for it, and at the deadline where none was.
    host.wait_until_as(before, 2 * DEADLINE_S)
    record_property("end", how_it_ended(done.stdout))
    record_property("said", what_was_said(done.stdout))


def how_it_ended(output: str) -> str:
    if "takes the change back at its deadline" in " ".join(output.split()):
        return "taken back by the host"
    return "taken back at once" if "taken back" in output else "refused, nothing changed"


def what_was_said(output: str) -> str:
    """The error's first words, as Ansible shows them to the operator."""
    found = re.search(r"FAILED! =>.*? msg: (?:[|>]-? )?(.{0,100})", " ".join(output.split()))
    return found.group(1) if found else ""


@pytest.mark.parametrize("case", [Case("controller")], ids=["a-controller-that-dies"])
def test_the_host_heals_itself(case, host, record_property):
    before = host.fingerprint()
    assert host.play("abandon.yml", {"case_seconds": DEADLINE_S}).returncode == 0
    assert host.ssh("true").returncode == 255, "root was not closed, so that nothing would be proven"
    wait("root can log in", lambda: host.ssh("true").returncode == 0, 2 * DEADLINE_S)
    host.wait_until_as(before, DEADLINE_S)
    record_property("end", "taken back by the host")


@pytest.mark.parametrize("case", [Case("reboot", suite="trixie")], ids=["a-reboot-inside-the-time"])
def test_a_reboot_takes_it_back(case, host, record_property):
    before = host.fingerprint()
    assert host.play("abandon.yml", {"case_seconds": 600}).returncode == 0
    assert host.ssh("true").returncode == 255
    host.restart()
    wait("root can log in", lambda: host.ssh("true").returncode == 0, 60)
    host.wait_until_as(before, DEADLINE_S)
    record_property("end", "taken back at boot")
    assert '"reason": "boot"' in host.inside("cat /var/lib/slipway/deadman/journal.jsonl")


SUDOERS = "/etc/sudoers.d/90-slipway-deploy"
DROP_IN = "/etc/ssh/sshd_config.d/00-slipway.conf"


@pytest.mark.parametrize(
    ("case", "name", "undo", "in_force"),
    [
        (
            Case("ssh", variables={"ssh_permit_root_login": "prohibit-password"}),
            "ssh",
            f"rm {DROP_IN}; systemctl reload ssh",
            f"test -f {DROP_IN}",
        ),
        (
            Case("firewall", ("firewall",), {"firewall_backend": "ufw"}),
            "firewall",
            "ufw --force disable",
            "ufw status | grep -q 'Status: active'",
        ),
        (Case("sudo", ("deploy_user",)), "access", f"rm {SUDOERS}", f"test -f {SUDOERS}"),
    ],
    ids=["run-again-before-sshd-is-confirmed", "before-the-firewall-is", "before-sudo-is"],
)
def test_a_run_before_the_last_one_is_confirmed(case, name, undo, in_force, host, record_property):
    """The second run finds all as it is to be, and would let the host take it back afterwards."""
    public = Path(host.key + ".pub").read_text().strip()
    variables = {
        "case_roles": list(case.roles),
        "deploy_user_keys": [public],
        "deploy_user_sudo": "full",
        **case.variables,
    }
    assert host.play("roles.yml", variables).returncode == 0
    host.inside(in_force)
    unconfirmed = {"case_name": name, "case_seconds": DEADLINE_S, "case_undo": undo}
    assert host.play("unconfirmed.yml", unconfirmed).returncode == 0
    done = host.play("roles.yml", variables)
    assert done.returncode == 0, done.stdout
    assert host.inside("ls /var/lib/slipway/deadman").split() == ["journal.jsonl"]
    host.inside(in_force)
    record_property("end", "made again, in force")
