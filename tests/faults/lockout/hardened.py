"""A lab host that gets hardened: how it is reached, what a lock-out would change on it, and the way back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import inside
import lab
from waiting import wait

CHECKOUT = Path(__file__).resolve().parents[3]
PLAYS = Path(__file__).parent / "plays"
# The container engine owns three files below /etc.
SAVED = (
    "--exclude=etc/hosts --exclude=etc/resolv.conf --exclude=etc/hostname"
    " etc home/deploy root/.ssh usr/share/pam-configs var/lib/pam"
)
# What a lock-out would change. Over SSH, so that taking it is itself a login.
FINGERPRINT = r"""
/usr/sbin/sshd -T 2>&1 | sort
ss -lntH | awk '{print $4}' | sort
find /etc/ssh /etc/sudoers* /etc/pam.d /etc/systemd/system /home/deploy/.ssh -type f ! -name '*.pyc' \
  -exec stat -c '%n %a %U %G' {} + | sort
find /etc/systemd/system -type l -printf '%p %l\n' | sort
find /etc/ssh /etc/sudoers* /etc/pam.d /etc/systemd/system /home/deploy/.ssh -type f -exec sha256sum {} + | sort
ls /etc/sysctl.d; sysctl net.ipv4.conf.all.rp_filter
ufw status; systemctl is-active ssh.service ssh.socket firewalld.service
ls -A /var/lib/slipway/deadman | grep -v '^\.\|journal.jsonl'  # what was taken back is kept for a late confirmation
"""


class Host:
    """A lab host, reached over SSH like any other; container is only for what a case breaks and repairs."""

    def __init__(self, name: str, variables: dict, shared: dict, lab: str) -> None:
        self.name, self.address, self.suite = name, variables["ansible_host"], variables["lab_suite"]
        self.key = shared["ansible_ssh_private_key_file"]
        self.known = str(Path(self.key).parent / "known_hosts")
        self.lab, self.container = lab, f"slipway-{lab}-{name}"

    def ssh(self, command: str, user: str = "root", port: int = 22) -> subprocess.CompletedProcess:
        options = ["BatchMode=yes", "ControlPath=none", "ConnectTimeout=5", "IdentitiesOnly=yes"]
        options += [f"UserKnownHostsFile={self.known}", "StrictHostKeyChecking=no"]
        argv = ["ssh", "-p", str(port), "-i", self.key, *(word for o in options for word in ("-o", o))]
        return subprocess.run([*argv, f"{user}@{self.address}", command], capture_output=True, text=True, check=False)

    def inside(self, script: str, check: bool = True) -> str:
        return inside.run(self.container, "sh", "-ec", script, check=check)

    def restart(self) -> None:
        self.address = lab.restart(self.container)

    def fingerprint(self) -> str:
        # A reload is done when sshd has its signal; until it has begun anew, it listens nowhere.
        deadline = time.monotonic() + 5
        while (done := self.ssh(FINGERPRINT)).returncode == 255 and time.monotonic() < deadline:
            time.sleep(0.2)
        assert done.returncode != 255, f"{self.name}: root cannot log in any more: {done.stderr}"
        return done.stdout

    def wait_until_as(self, before: str, seconds: float) -> None:
        """Root can log in, and everything that a lock-out would change is what it was."""
        wait("root can log in", lambda: self.ssh("true").returncode == 0, seconds)
        deadline = time.monotonic() + seconds
        while (now := self.fingerprint()) != before and time.monotonic() < deadline:
            time.sleep(0.5)
        lost, new = set(before.splitlines()) - set(now.splitlines()), set(now.splitlines()) - set(before.splitlines())
        assert now == before, f"lost: {sorted(lost)}; new: {sorted(new)}"

    def save(self) -> None:
        self.inside(f"tar -cf /root/baseline.tar -C / {SAVED}")

    def reset(self) -> None:
        self.inside(
            "rm -rf /etc/ssh/sshd_config.d /etc/sudoers.d /etc/ufw /etc/firewalld /etc/pam.d /home/deploy"
            " /etc/systemd/system /run/nologin /etc/nologin;"
            "tar -xf /root/baseline.tar -C / ; systemctl daemon-reload;"
            "systemctl stop firewalld squatter 2>/dev/null || true;"
            "ip link del away 2>/dev/null && ip rule del fwmark 1 && ip route flush table 100"
            " && iptables -t mangle -F OUTPUT || true;"
            "rm -f /etc/sysctl.d/99-zz-slipway.conf;"
            "ufw --force disable >/dev/null; chage -E -1 deploy; faillock --user deploy --reset 2>/dev/null || true;"
            "systemctl disable --now ssh.socket 2>/dev/null || true; systemctl reset-failed;"
            "systemctl enable ssh.service 2>/dev/null; systemctl restart ssh.service;"
            # A login of the case before may still hold the port that it came in by.
            "for pid in $(ss -lntpH 'sport = :2222' | grep -o 'pid=[0-9]*' | cut -d= -f2); do kill $pid || true; done"
        )
        wait("root can log in", lambda: self.ssh("true").returncode == 0, 60)

    def play(self, play: str, variables: dict) -> subprocess.CompletedProcess:
        inventory = CHECKOUT / ".work" / "lab" / self.lab / "inventory.yml"
        argv = [
            "ansible-playbook",
            "-i",
            str(inventory),
            "-l",
            self.name,
            str(PLAYS / play),
            "-e",
            json.dumps(variables),
        ]
        environment = {
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            # A control socket of an earlier case would keep a door open that this case is about.
            "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=no -o ControlPath=none",
        }
        return subprocess.run(
            argv, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=600, env={**_env(), **environment}
        )


def _env() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
