# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at all that the controls are about. Reads only. PRIVATE to the collection."""

from __future__ import annotations

import glob
import json
import os
import stat
from typing import Any, Callable, Mapping, Optional, Sequence

from .._core import command, files
from .._core.errors import SlipwayError
from .._deadman.model import System
from .._drift import survey as drift
from .._drift.item import IS, NOW
from .._hardening import partitions
from .._hardening import survey as hardening
from .checks import ADVERTISED, CRON_MODES
from .evidence import Evidence, Mode, Wanted
from .published import Seen, published

TEXTS = (
    "/etc/bash.bashrc",
    "/etc/default/useradd",
    "/etc/issue",
    "/etc/issue.net",
    "/etc/login.defs",
    "/etc/pam.d/*",
    "/etc/profile",
    "/etc/profile.d/*.sh",
    "/etc/security/*.conf",
    "/etc/security/*.d/*.conf",
    "/proc/sys/fs/suid_dumpable",
)
MODES = ("/etc/sudoers.d", "/etc/cron.allow", "/etc/at.allow", *CRON_MODES)
PROGRAMS = ("crontab", "at", "sudo", "unattended-upgrade")
SECONDS = 60.0
JOURNAL = "/var/log/journal"
SUDOERS = "/etc/sudoers"


def look(wanted: Wanted, system: System) -> Evidence:
    name, _release = hardening.family(files.text("/etc/os-release") or files.text("/usr/lib/os-release"))
    units = _area(drift.units) or {}
    sysctl = {**wanted.sysctl, **ADVERTISED}
    forwarded = _published()
    return Evidence(
        family=name,
        machine=os.uname().machine,
        container=hardening.in_container(system),
        texts={path: files.text(path) for pattern in TEXTS for path in glob.glob(pattern) if os.path.isfile(path)},
        modes={path: mode for path in MODES if (mode := _mode(path)) is not None},
        sysctl=hardening.different_sysctl(sysctl),
        unit_files=hardening.unit_states([*wanted.services_off, "dnf-automatic.timer"], system),
        active=[unit for unit, item in units.items() if item.aspects.get(NOW) == "active"],
        mounts=hardening.mounts(files.text("/proc/mounts"), files.text("/etc/fstab")),
        partitions=list(partitions.held(files.text("/proc/mounts"), files.text("/etc/fstab"))),
        partitions_lack=partitions.lacking(files.text("/proc/mounts"), files.text("/etc/fstab")),
        selinux=hardening.selinux()["mode"],
        apparmor=hardening.apparmor(),
        faillock=hardening.faillock(hardening.PAM),
        sshd=_sshd(),
        firewall=_firewall(),
        modprobe=_said(["modprobe", "--showconfig"]),
        apt=_said(["apt-config", "dump"]),
        audit=_lines(["auditctl", "-l"]),
        audit_enabled=hardening.audit_enabled(system),
        sudo=sudo_defaults(_said(["cvtsudoers", "-f", "json", SUDOERS])),
        sudo_rs="sudo-rs" in (_said(["sudo", "--version"]) or "").partition("\n")[0],
        root_has_password=hardening.root_password(files.text("/etc/shadow")) == "set",
        advertised=hardening.advertised(files.text(hardening.IPV6_ROUTES)),
        journal_on_disk=any(glob.iglob(f"{JOURNAL}/*/*.journal")),
        has=[program for program in PROGRAMS if command.is_there(program)],
        published=forwarded.ports,
        unread_chains=forwarded.unread_chains,
    )


def _area(read: Callable[[], Any]) -> Any:
    """None where it cannot be read."""
    try:
        return read()
    except (SlipwayError, OSError):
        return None


def _said(argv: Sequence[str]) -> Optional[str]:
    """What a program says; None where it is not there, fails, or does not end."""
    done = _area(lambda: command.run(argv, SECONDS))
    return None if done is None or done.code else str(done.text)


def _lines(argv: Sequence[str]) -> Optional[list[str]]:
    text = _said(argv)
    return None if text is None else text.splitlines()


def _mode(path: str) -> Optional[Mode]:
    try:
        told = os.stat(path)
    except OSError:
        return None
    return Mode(stat.S_IMODE(told.st_mode), told.st_uid)


def _sshd() -> Optional[Mapping[str, str]]:
    items = _area(drift.sshd)
    return None if items is None else {name: item.aspects[IS] for name, item in items.items()}


def _firewall() -> Optional[list[str]]:
    items = _area(drift.firewall)
    return None if items is None else list(items)


def sudo_defaults(text: Optional[str]) -> Optional[dict[str, Any]]:
    """The Defaults that hold for everybody, of sudoers as JSON."""
    try:
        found = json.loads(text or "")
        unbound = [entry for entry in found.get("Defaults") or [] if not entry.get("Binding")]
        return {name: value for entry in unbound for option in entry["Options"] for name, value in option.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _published() -> Seen:
    saved = [_said([program, "-t", "nat"]) or "" for program in ("iptables-save", "ip6tables-save")]
    return published(_said(["nft", "--json", "list", "ruleset"]) or "", saved)
