"""What is in force on a hardened host: asked of the programs themselves, and tried from outside (testinfra)."""

import json
import os
import pathlib
import re
import subprocess

import pytest

KEY = pathlib.Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "id_ed25519"
OPTIONS = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "ConnectTimeout=5"]


def address(host):
    return host.check_output("hostname -I").split()[0]


def login(host, user, *more, command="sudo -n id -u || id -u"):
    argv = ["ssh", *(word for option in [*OPTIONS, *more] for word in ("-o", option))]
    argv += ["-i", str(KEY), f"{user}@{address(host)}", command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


@pytest.fixture
def sshd(host):
    lines = host.check_output("/usr/sbin/sshd -T").splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def test_the_deploy_user_gets_in_and_can_administer(host):
    done = login(host, "deploy")
    assert (done.returncode, done.stdout.strip()) == (0, "0")


def test_root_is_refused(host):
    done = login(host, "root")
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_passwords_are_refused(host):
    done = login(host, "deploy", "PubkeyAuthentication=no", "PreferredAuthentications=password,keyboard-interactive")
    assert done.returncode == 255
    assert "Permission denied (publickey)" in done.stderr


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("permitrootlogin", "no"),
        ("passwordauthentication", "no"),
        ("kbdinteractiveauthentication", "no"),
        ("x11forwarding", "no"),
        ("allowtcpforwarding", "no"),
        ("maxauthtries", "3"),
        ("allowusers", "deploy"),
        ("loglevel", "VERBOSE"),
        ("banner", "/etc/issue.net"),
    ],
)
def test_sshd_has_it_in_force(sshd, key, value):
    assert sshd[key] == value


def test_only_strong_algorithms(host, sshd):
    said = re.search(r"OpenSSH_(\d+)\.(\d+)", host.run("ssh -V").stderr)
    # Older ones have nothing that a quantum computer would not break.
    strong = r"sntrup761|mlkem" if tuple(map(int, said.groups())) >= (8, 5) else r"^curve25519"
    assert not [name for name in sshd["kexalgorithms"].split(",") if not re.search(strong, name)]
    assert "cbc" not in sshd["ciphers"]
    assert all(name.endswith("-etm@openssh.com") for name in sshd["macs"].split(","))


def test_nothing_is_left_armed(host):
    assert host.run("ls /var/lib/slipway/deadman").stdout.split() == []
    assert host.run("ls -d /etc/systemd/system/slipway-boot-revert-*").rc != 0
    assert "slipway-deadman" not in host.check_output("systemctl list-timers --all")


def test_what_the_firewall_lets_in(host):
    if host.run("systemctl is-active firewalld").rc == 0:
        zone = host.check_output("firewall-cmd --zone=public --list-all")
        assert "ports: 22/tcp 8080/tcp" in zone or "ports: 8080/tcp 22/tcp" in zone
        assert 'source address="10.99.0.0/16" port port="9100" protocol="tcp" accept' in zone
        assert "services: dhcpv6-client\n" in zone
        assert host.check_output("firewall-cmd --permanent --zone=public --list-ports") != ""
    else:
        status = host.check_output("ufw status verbose")
        assert "Status: active" in status
        assert "Default: deny (incoming)" in status
        assert "10.99.0.0/16" in status


def test_the_kernel_has_these_rules(host):
    """Not what the programs above remember, but what packets meet."""
    rules = host.check_output("nft list ruleset" if host.exists("nft") else "iptables-save")
    assert re.search(r"dport 22\b.* (accept|ACCEPT)", rules), rules
    assert re.search(r"10\.99\.0\.0/16.*dport 9100\b.* (accept|ACCEPT)", rules), rules
    assert re.search(r"policy drop|:INPUT DROP|reject with icmpx", rules), rules


def test_a_port_scan_from_outside(host):
    """Two servers listen, one of them on a port that nobody let in."""
    for port in (8080, 8081):
        host.run(f"systemd-run --quiet --collect --unit=scan{port} python3 -m http.server {port}")
    script = """
import json, socket, sys, time
def state(port):
    s = socket.socket(); s.settimeout(2)
    try:
        s.connect((sys.argv[1], port)); return "open"
    except OSError:
        return "closed"
    finally:
        s.close()
time.sleep(1)
print(json.dumps({p: state(p) for p in (22, 8080, 8081, 9100, 111, 5353)}))
"""
    done = subprocess.run(["python3", "-c", script, address(host)], capture_output=True, text=True, check=True)
    for port in (8080, 8081):
        host.run(f"systemctl stop scan{port}")
    found = json.loads(done.stdout)
    assert {port for port, state in found.items() if state == "open"} == {"22", "8080"}


def test_sudo_is_valid(host):
    assert host.run("visudo -c").rc == 0
    assert host.file("/etc/sudoers.d/90-slipway-deploy").mode == 0o440


def test_an_unneeded_service_is_off_and_stays_off(host):
    assert host.check_output("systemctl is-enabled slipway-unneeded.service || true") == "masked"
    assert not host.service("slipway-unneeded.service").is_running


def test_the_journal_is_kept_and_bounded(host):
    assert host.file("/var/log/journal").is_directory
    assert "SystemMaxUse=1G" in host.check_output("systemd-analyze cat-config systemd/journald.conf")


def test_kernel_settings(host):
    """In a container they belong to another host; there, only what the next boot would read is looked at."""
    wanted = dict(
        line.split(" = ")
        for line in host.file("/etc/sysctl.d/99-zz-slipway.conf").content_string.splitlines()
        if " = " in line
    )
    assert wanted["kernel.kptr_restrict"] == "2"
    # The systemd of Debian 11 does not recognise every container.
    if host.run("systemd-detect-virt --container").rc != 0 and not host.file("/.dockerenv").exists:
        for key, value in wanted.items():
            assert host.sysctl(key) == int(value)


def test_new_files_and_new_users(host):
    assert host.check_output("bash -lc umask") == "0027"
    assert login(host, "deploy", command="ulimit -H -c").stdout.strip() == "0"
    assert "UMASK\t027" in host.file("/etc/login.defs").content_string


def test_wrong_passwords_lock_passwords_and_never_keys(host):
    for _attempt in range(6):
        host.run("runuser -u nobody -- sh -c 'echo wrong | su deploy -c true'")
    assert "su" in host.check_output("faillock --user deploy")
    assert login(host, "deploy").returncode == 0
    host.run("faillock --user deploy --reset")


def test_security_updates_come_by_themselves(host):
    settings = host.check_output("apt-config dump APT::Periodic")
    assert 'APT::Periodic::Unattended-Upgrade "1"' in settings
    assert host.service("apt-daily-upgrade.timer").is_enabled


def test_the_clock(host):
    assert host.file("/etc/localtime").linked_to.endswith("UTC")
    assert host.service("systemd-timesyncd").is_enabled


def test_nothing_has_failed(host):
    assert host.check_output("systemctl --failed --no-legend --plain") == ""
