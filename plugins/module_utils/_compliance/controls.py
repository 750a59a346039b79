# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controls of a hardened host: what each asks for, and whose rule it is. Pure. PRIVATE to the collection.

CIS: the Benchmark for Debian Linux 12. ANSSI: BP-028, "Configuration recommendations of a GNU/Linux system", version 2.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any, Mapping, Sequence

from .._core.errors import SlipwayError

VARIABLE = "base_controls"
ALIKE = 0.5
_CODE = "invalid_variable"
_ON, _OFF = ("true", "yes", "on", "1"), ("false", "no", "off", "0")


@dataclass(frozen=True)
class Control:
    """verified: what is read to see it. fix: how to turn it on. off: why it is off unless somebody turns it on.

    switched: base_controls turns it on and off. The others belong to other roles, whose variables do.
    """

    name: str
    title: str
    references: Sequence[str]
    verified: str
    fix: str = f"run slipway.go.harden, or give the reason why not in {VARIABLE}"
    off: str = ""
    switched: bool = False


def _audit(name: str, title: str, references: Sequence[str], off: str = "") -> Control:
    return Control(f"audit_{name}", title, references, "auditctl -l", off=off, switched=True)


_SSHD = "sshd -T"
_PWQUALITY = "/etc/security/pwquality.conf and the files of pwquality.conf.d"

CONTROLS: Sequence[Control] = (
    # --- the host
    Control(
        "security_updates",
        "Security updates are installed by themselves",
        ("CIS 1.2.2.1", "ANSSI R61"),
        "apt-config dump, or the state of dnf-automatic.timer",
        switched=True,
    ),
    Control(
        "services_off", "Services that nobody needs are off", ("ANSSI R62",), "systemctl list-unit-files", switched=True
    ),
    Control(
        "kernel_modules",
        "Rarely used kernel modules cannot load",
        ("CIS 1.1.1",),
        "modprobe --showconfig",
        switched=True,
    ),
    Control(
        "kernel_settings",
        "The kernel has the settings of base_sysctl",
        ("CIS 1.5.1", "CIS 1.5.2", "CIS 3.3", "ANSSI R9", "ANSSI R11", "ANSSI R12", "ANSSI R14"),
        "/proc/sys",
        switched=True,
    ),
    Control(
        "router_advertisements",
        "IPv6 router advertisements are not accepted",
        ("CIS 3.3.11", "ANSSI R13"),
        "/proc/sys/net/ipv6/conf",
        switched=True,
    ),
    Control(
        "core_dumps",
        "Programs write no core dumps",
        ("CIS 1.5.3",),
        "/proc/sys/fs/suid_dumpable and limits.d",
        switched=True,
    ),
    Control(
        "mounts",
        "/tmp and /dev/shm are mounts with nosuid, nodev and noexec",  # noqa: S108
        ("CIS 1.1.2.1", "CIS 1.1.2.2", "ANSSI R28"),
        "/proc/mounts",
        switched=True,
    ),
    Control(
        "partitions",
        "Partitions for /home, /var and others have nodev, nosuid where no service runs, and noexec where nothing does",
        ("CIS 1.1.2.3", "CIS 1.1.2.4", "CIS 1.1.2.5", "CIS 1.1.2.6", "CIS 1.1.2.7", "ANSSI R28"),
        "/proc/mounts and /etc/fstab",
        off="a program may have to run from one of them, and a line of /etc/fstab decides whether a machine boots",
        switched=True,
    ),
    Control("confinement", "SELinux or AppArmor enforces", ("CIS 1.3.1", "ANSSI R37", "ANSSI R45"), "/sys"),
    Control(
        "banner",
        "A notice is shown before a login",
        ("CIS 1.6.2", "CIS 1.6.3"),
        "/etc/issue and /etc/issue.net",
        switched=True,
    ),
    Control("journal", "The journal is kept on disk", ("CIS 6.1.2.4",), "/var/log/journal", switched=True),
    Control("firewall", "A firewall refuses what is not allowed", ("CIS 4.2.3", "CIS 4.2.7"), "ufw or firewall-cmd"),
    Control(
        "published_ports",
        "No container publishes a port that passes the firewall",
        (),
        "nft --json list ruleset, iptables-save, ip6tables-save",
        "publish it on this host alone, such as -p 127.0.0.1:8080:80, or restrict it in the chain DOCKER-USER",
    ),
    # --- logins
    Control("ssh_root", "sshd lets no root in", ("CIS 5.1.20", "ANSSI R33"), _SSHD),
    Control("ssh_passwords", "sshd takes no passwords", (), _SSHD),
    Control("ssh_users", "sshd lets only named users or groups in", ("CIS 5.1.4",), _SSHD),
    Control(
        "ssh_settings",
        "sshd offers no more than is needed",
        tuple(f"CIS 5.1.{number}" for number in (5, 7, 8, 10, 11, 13, 14, 16, 17, 18, 19, 21, 22)),
        _SSHD,
    ),
    Control("ssh_algorithms", "sshd has no weak algorithm", ("CIS 5.1.6", "CIS 5.1.12", "CIS 5.1.15"), _SSHD),
    Control(
        "umask",
        "Files of users are their own",
        ("CIS 5.4.3.3", "ANSSI R36"),
        "/etc/login.defs and profile.d",
        switched=True,
    ),
    Control(
        "shell_timeout",
        "An idle shell ends after 15 minutes",
        ("CIS 5.4.3.2", "ANSSI R32"),
        "/etc/profile.d",
        switched=True,
    ),
    Control(
        "su_wheel",
        "Only administrators may use su",
        ("CIS 5.2.7",),
        "/etc/pam.d/su",
        switched=True,
    ),
    Control("sudo_pty", "sudo gives each command a terminal of its own", ("CIS 5.2.2", "ANSSI R39"), "cvtsudoers"),
    Control("sudo_log", "sudo logs to a file of its own", ("CIS 5.2.3",), "cvtsudoers", switched=True),
    Control(
        "sudoers_permissions",
        "/etc/sudoers.d is for root alone",
        ("ANSSI R50",),
        "the mode of /etc/sudoers.d",
        switched=True,
    ),
    # --- passwords
    Control(
        "password_quality",
        "New passwords are long and mixed",
        ("CIS 5.3.3.2.2", "CIS 5.3.3.2.4", "CIS 5.3.3.2.6", "ANSSI R31", "ANSSI R68"),
        _PWQUALITY,
        switched=True,
    ),
    Control(
        "password_quality_more",
        "New passwords have all kinds of characters, no sequences, and differ from the old ones",
        ("CIS 5.3.3.2.1", "CIS 5.3.3.2.3", "CIS 5.3.3.2.5", "CIS 5.3.3.2.7", "ANSSI R31", "ANSSI R68"),
        _PWQUALITY,
        switched=True,
    ),
    Control(
        "password_history",
        "The last 24 passwords are refused",
        ("CIS 5.3.2.4", "CIS 5.3.3.3.1", "CIS 5.3.3.3.3", "ANSSI R31"),
        "PAM's stack for new passwords",
        switched=True,
    ),
    Control(
        "passwords_of_root",
        "Root, too, can set only passwords that are good and new",
        ("CIS 5.3.3.2.8", "CIS 5.3.3.3.2"),
        f"{_PWQUALITY}, and PAM's stack for new passwords",
        off="programs that set passwords as root, such as chpasswd, would fail with one that was set before",
        switched=True,
    ),
    Control(
        "password_hash",
        "Passwords are hashed with yescrypt or SHA-512",
        ("CIS 5.4.1.4",),
        "/etc/login.defs",
    ),
    Control(
        "inactive_accounts",
        "New accounts are closed 45 days after their password has expired",
        ("CIS 5.4.1.5",),
        "/etc/default/useradd",
        switched=True,
    ),
    Control(
        "faillock",
        "Wrong passwords lock password logins",
        ("CIS 5.3.2.2", "CIS 5.3.3.1.1", "CIS 5.3.3.1.2", "ANSSI R31"),
        "PAM's stacks and faillock.conf",
        switched=True,
    ),
    Control(
        "faillock_root",
        "Wrong passwords lock root's password logins for a minute",
        ("CIS 5.3.3.1.3",),
        "PAM's stacks and faillock.conf",
        switched=True,
    ),
    # --- jobs
    Control(
        "cron_permissions",
        "Schedules are for root alone",
        ("CIS 2.4.1",),
        "the modes of /etc/crontab and /etc/cron.*",
        switched=True,
    ),
    Control("cron_allow", "Only named users may use crontab", ("CIS 2.4.1.8",), "/etc/cron.allow", switched=True),
    Control("at_allow", "Only named users may use at", ("CIS 2.4.2.1",), "/etc/at.allow", switched=True),
    # --- records
    Control(
        "auditd",
        "auditd runs",
        ("CIS 6.2.1.1", "CIS 6.2.1.2", "ANSSI R73"),
        "systemctl show auditd.service",
        switched=True,
    ),
    Control(
        "audit_base",
        "Changes of identities, privileges, keys, units, the kernel and the clock are recorded",
        ("CIS 6.2.3.1", "CIS 6.2.3.2", "CIS 6.2.3.4", "CIS 6.2.3.8", "CIS 6.2.3.10", "CIS 6.2.3.19", "ANSSI R73"),
        "auditctl -l",
        switched=True,
    ),
    _audit("b32", "Calls of 32-bit programs are recorded, too", ("CIS 6.2.3", "ANSSI R73")),
    _audit("perm_mod", "Changes of permissions and owners are recorded", ("CIS 6.2.3.9", "ANSSI R73")),
    _audit("delete", "Deleted and renamed files are recorded", ("CIS 6.2.3.13", "ANSSI R73")),
    _audit("access", "Refused access to files is recorded", ("CIS 6.2.3.7", "ANSSI R73")),
    _audit("session", "Sessions are recorded", ("CIS 6.2.3.11", "ANSSI R73")),
    _audit("login", "Logins and lock-outs are recorded", ("CIS 6.2.3.12", "ANSSI R73")),
    _audit("network", "Changes of names and of the network are recorded", ("CIS 6.2.3.5", "ANSSI R73")),
    _audit("programs", "Calls of sudo and of what loads kernel modules are recorded", ("CIS 6.2.3.19", "ANSSI R73")),
    Control(
        "audit_immutable",
        "The audit rules stay until the next boot",
        ("CIS 6.2.3.20", "ANSSI R73"),
        "auditctl -s",
        off="a changed rule would wait for the next boot, and a mistake in one, too",
        switched=True,
    ),
)

BY_NAME: Mapping[str, Control] = {control.name: control for control in CONTROLS}


@dataclass(frozen=True)
class Choice:
    """Whether a control is wanted. reason: why it is off, empty where nobody says. given: somebody chose it."""

    on: bool
    reason: str = ""
    given: bool = False


def _chosen(control: Control, value: Any) -> Choice:
    if value is None or (isinstance(value, str) and not value.strip()):
        return Choice(not control.off, control.off)
    text = str(value).strip()
    if text.lower() in _ON:
        return Choice(True, given=True)
    return Choice(False, "" if text.lower() in _OFF else text, given=True)


def choose(values: Mapping[str, Any]) -> dict[str, Choice]:
    """What base_controls says of every control; what was left out, or is empty, is the control's own default."""
    return {control.name: _chosen(control, values.get(control.name)) for control in CONTROLS}


def check(values: Mapping[Any, Any]) -> None:
    """Raise for a control that there is not, and for a value that is neither on, off nor a reason."""
    for name, value in values.items():
        if str(name) not in BY_NAME:
            raise SlipwayError(_CODE, f"{VARIABLE} has {name}, which is no control.", _meant(str(name)))
        if not (value is None or isinstance(value, (bool, str, int))):
            raise SlipwayError(
                _CODE,
                f"{VARIABLE} has {name}, which is neither true, false nor a text.",
                f"set {name} to true, or to the reason why it is off",
            )
        control = BY_NAME[str(name)]
        if not control.switched and str(value).strip().lower() in _OFF:
            raise SlipwayError(
                _CODE,
                f"{VARIABLE} has {name}: {value}, and {name} is turned off by variables of another role.",
                f"write the reason why {name} is off",
            )


def _meant(name: str) -> str:
    alike = difflib.get_close_matches(name, BY_NAME, 1, ALIKE)
    return f"write {alike[0]} in {VARIABLE}" if alike else f"remove {name} from {VARIABLE}"
