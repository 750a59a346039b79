"""What is interrupted (scenarios), how (faults), and what a row has shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEADLINE_S = 10
PAUSE_S = 15  # 1.5 times the deadline
OUTAGES_S = (20, 60, 200)
# After an outage the run ends within this time, whatever it waits for.
PATIENCE_S = 90
TIMEOUTS = ("ssh_confirm_timeout", "firewall_confirm_timeout", "deploy_user_confirm_timeout", "base_confirm_timeout")
STRANGER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE7Y8Xs0oQ0G0tB9a6Z5m2h6H0m1nqjHqz6kP3kYvZ3d stranger"
LEFT_OUT = (
    "update", "unattended_upgrades", "time_sync", "permissions", "auditd", "password_policy", "faillock", "apparmor",
)  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """A change of access by one role. before: what the host is like; user: who the run comes as."""

    name: str
    role: str
    suite: str
    variables: dict[str, Any] = field(default_factory=dict)
    before: str = "true"
    user: str = "root"


SCENARIOS = (
    Scenario(
        "account",
        "deploy_user",
        "bookworm",
        {"deploy_user_shell": "/bin/bash", "ansible_user": "deploy"},
        "printf 'PermitRootLogin no\\n' > /etc/ssh/sshd_config.d/10-closed.conf; usermod -s /bin/sh deploy;"
        " systemctl reload ssh",
        "deploy",
    ),
    Scenario("ufw", "firewall", "bookworm", {"firewall_backend": "ufw", "firewall_allow": [{"port": "443"}]}),
    Scenario("firewalld", "firewall", "trixie", {"firewall_backend": "firewalld", "firewall_allow": [{"port": "443"}]}),
    Scenario("sshd", "ssh", "trixie"),
    Scenario(
        "kernel",
        "base",
        "bookworm",
        {
            "__base_kernel": True,
            "__base_sysctl_recommended": {"net.ipv4.conf.all.rp_filter": 1},
            "base_tools": [],
            "base_controls": dict.fromkeys(
                ("sudo_log", "password_history", "su_wheel", "router_advertisements"), "not what the scenario is about"
            ),
            **{f"base_{name}": False for name in LEFT_OUT},
        },
        "mount -o remount,rw /proc/sys; sysctl -qw net.ipv4.conf.all.rp_filter=0",
    ),
)


@dataclass(frozen=True)
class Task:
    number: int
    name: str


@dataclass(frozen=True)
class Row:
    """fault: pause, kill or outage; when: before, during or after the task; seconds: how long."""

    scenario: Scenario
    fault: str
    when: str
    task: Task
    seconds: int = 0

    @property
    def title(self) -> str:
        length = f" {self.seconds} s" if self.seconds else ""
        return f"{self.scenario.name}: {self.fault}{length} {self.when} `{self.task.name}`"

    @property
    def at(self) -> str:
        return f"{'after' if self.when == 'after' else 'before'} {self.task.number}"


@dataclass
class Result:
    title: str
    end: str = ""
    said: str = ""
    next_run: str = ""
    broken: list[str] = field(default_factory=list)
    seconds: float = 0.0
    log: str = ""


def rows_of(scenario: Scenario, tasks: list[Task], outages: tuple[int, ...]) -> list[Row]:
    """Every fault before, during and after every task that ran."""
    rows = [Row(scenario, "pause", when, task, PAUSE_S) for task in tasks for when in ("before", "during", "after")]
    rows += [Row(scenario, "kill", when, task) for task in tasks for when in ("before", "during")]
    rows += [Row(scenario, "outage", "during", task, seconds) for task in tasks for seconds in outages]
    return rows
