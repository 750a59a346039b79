# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What hardening has to know of a host: what it decides on, read without changing anything. PRIVATE."""

from __future__ import annotations

import glob
import os
import pwd
import re
import shutil
import time
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._core import files
from .._deadman.model import System
from . import partitions

APPARMOR = "/etc/apparmor.d"
LOGINS = re.compile(r"(?<![\w.-])(?:sshd(?:-\w+)?|sudo|su|login|agetty|(?:ba|da|z|k|fi)?sh)(?![\w.-])")
PAM = "/etc/pam.d"
# Debian's, and those of the RHEL family.
PAM_STACKS = ("common-auth", "common-account", "system-auth", "password-auth")
WRITABLE = ("/tmp", "/dev/shm")  # noqa: S108
CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")
IPV6_ROUTES = "/proc/net/ipv6_route"
# Of linux/ipv6_route.h: a router advertisement has brought the route.
_RTF_ADDRCONF = 0x00040000
# Debian's, and the RHEL family's.
CRONTABS = ("/var/spool/cron/crontabs", "/var/spool/cron")
AT_JOBS = ("/var/spool/cron/atjobs", "/var/spool/at")


def family(os_release: str) -> tuple[str, str]:
    values = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', os_release, re.MULTILINE))
    ids = [values.get("ID", ""), *values.get("ID_LIKE", "").split()]
    if "debian" in ids:
        return "debian", values.get("VERSION_ID", "")
    if {"rhel", "fedora", "centos"} & set(ids):
        return "redhat", values.get("VERSION_ID", "")
    return ids[0], values.get("VERSION_ID", "")


def in_container(system: System) -> bool:
    """As systemd says, which before its version 249 did not know these two files of Docker and Podman."""
    detected = system.run(["systemd-detect-virt", "--container", "--quiet"])[0] == 0
    return detected or any(os.path.exists(path) for path in CONTAINER_FILES)


def missing_packages(packages: Sequence[str], system: System) -> list[str]:
    if not packages:
        return []
    if shutil.which("dpkg-query"):
        output = system.run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n", *packages])[1]
        installed = {line.split()[1] for line in output.splitlines() if line.startswith("installed ")}
    else:
        installed = set(system.run(["rpm", "--query", "--queryformat", "%{NAME}\\n", *packages])[1].splitlines())
    return [package for package in packages if package not in installed]


def unit_states(names: Sequence[str], system: System) -> dict[str, str]:
    if not names:
        return {}
    output = system.run(["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain", "--full", *names])[1]
    rows = [line.split() for line in output.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[0] in names}


def mount_rows(text: str) -> dict[str, tuple[str, list[str]]]:
    """The type and the options of what a table of mounts says of the two; the last one is on top."""
    rows = [line.split() for line in text.splitlines() if not line.lstrip().startswith("#")]
    return {row[1]: (row[2], row[3].split(",")) for row in rows if len(row) > 3 and row[1] in WRITABLE}


def mounts(text: str, fstab: str) -> dict[str, dict[str, Any]]:
    configured = {path: options for path, (_type, options) in mount_rows(fstab).items()}
    return {
        path: {"type": kind, "options": options, "fstab": configured.get(path)}
        for path, (kind, options) in mount_rows(text).items()
    }


def different_sysctl(wanted: Mapping[str, Any]) -> dict[str, str]:
    """Keys this kernel does not have are none it could get wrong."""
    different = {}
    for key, value in wanted.items():
        path = f"/proc/sys/{key.replace('.', '/')}"
        now = " ".join(files.text(path).split())
        if os.path.exists(path) and now != " ".join(str(value).split()):
            different[key] = now
    return different


def complaining_files(folder: str) -> list[str]:
    """The files of profiles that say complain themselves, or that a link in force-complain says it of."""
    complains = re.compile(r"^[^#\n]*\bflags\s*=\s*\([^)]*\bcomplain\b", re.MULTILINE)
    forced = set(os.listdir(f"{folder}/force-complain")) if os.path.isdir(f"{folder}/force-complain") else set()
    paths = [path for path in sorted(glob.glob(f"{folder}/*")) if os.path.isfile(path)]
    return [path for path in paths if os.path.basename(path) in forced or complains.search(files.text(path))]


def confines_logins(text: str) -> bool:
    """Whether a profile of the file is attached to, or named after, a program that a login or sudo goes through."""
    headers = re.findall(r"^\s*(?:profile\s+|[/@{\"])[^#\n]*\{\s*(?:#.*)?$", text, re.MULTILINE)
    return any(LOGINS.search(header) for header in headers)


def apparmor() -> dict[str, Any]:
    profiles = files.text("/sys/kernel/security/apparmor/profiles")
    enabled = files.text("/sys/module/apparmor/parameters/enabled").strip() == "Y"
    complaining = complaining_files(APPARMOR)
    logins = [path for path in complaining if confines_logins(files.text(path))]
    return {
        "enabled": enabled,
        "complaining": profiles.count("(complain)"),
        "files": [path for path in complaining if path not in logins],
        "logins": logins,
    }


def faillock(folder: str) -> list[str]:
    used = re.compile(r"^[^#\n]*\bpam_faillock\.so", re.MULTILINE)
    return [name for name in PAM_STACKS if used.search(files.text(f"{folder}/{name}"))]


def selinux() -> dict[str, str]:
    enforce = files.text("/sys/fs/selinux/enforce").strip()
    configured = re.search(r"^SELINUX=(\w+)", files.text("/etc/selinux/config"), re.MULTILINE)
    return {
        "mode": {"1": "enforcing", "0": "permissive"}.get(enforce, "disabled"),
        "configured": configured.group(1) if configured else "disabled",
    }


def password_state(field: str) -> str:
    """Of a field of shadow(5)."""
    if not field:
        return "empty"
    return "locked" if field[0] in "!*" else "set"


def root_password(shadow: str) -> str:
    match = re.search(r"^root:([^:]*):", shadow, re.MULTILINE)
    return password_state(match.group(1)) if match else "locked"


def advertised(routes: str) -> list[str]:
    """The interfaces that have a route by router advertisement, of the kernel's table of IPv6 routes."""
    rows = [line.split() for line in routes.splitlines()]
    return sorted({row[9] for row in rows if len(row) == 10 and int(row[8], 16) & _RTF_ADDRCONF})


def scheduling_users() -> dict[str, list[str]]:
    """Who has jobs of cron and of at, or is allowed to have some."""
    crontabs = next((folder for folder in CRONTABS if os.path.isdir(folder)), "")
    with_crontab = [path for path in glob.glob(f"{crontabs}/*") if crontabs and os.path.isfile(path)]
    jobs = [path for folder in AT_JOBS for path in glob.glob(f"{folder}/[a-z=]*") if os.path.isfile(path)]
    return {"cron": _users("cron", map(os.path.basename, with_crontab)), "at": _users("at", map(_owner_name, jobs))}


def _users(program: str, with_jobs: Iterable[str]) -> list[str]:
    """Those that are denied are not, as long as nothing says who is allowed."""
    allowed = files.text(f"/etc/{program}.allow").split()
    denied = [] if allowed else files.text(f"/etc/{program}.deny").split()
    return sorted({name for name in (*with_jobs, *allowed) if name and name not in denied})


def _owner_name(path: str) -> str:
    try:
        return pwd.getpwuid(os.stat(path).st_uid).pw_name
    except (OSError, KeyError):
        return ""


def audit_enabled(system: System) -> Optional[int]:
    """2 where the rules cannot be changed until the next boot; None where there is no auditctl, or it may not ask."""
    match = re.search(r"^enabled (\d)", system.run(["auditctl", "-s"])[1], re.MULTILINE)
    return int(match.group(1)) if match else None


def updated() -> Optional[int]:
    lists = [*glob.glob("/var/lib/apt/lists/*Release"), *glob.glob("/var/cache/dnf/*.solv*")]
    # A mirror's file keeps its own time; the directory has that of the last fetch.
    newest = max((os.stat(os.path.dirname(path)).st_mtime for path in lists), default=None)
    return None if newest is None else int(time.time() - newest)


def timezone() -> str:
    try:
        return os.readlink("/etc/localtime").partition("zoneinfo/")[2]
    except OSError:
        return ""


def survey(
    packages: Sequence[str],
    units: Sequence[str],
    settings: Mapping[str, Any],
    system: System,
    restrict: bool = False,
) -> dict[str, Any]:
    """Of packages, units and kernel settings, those that are asked about. restrict: whether partitions are to be."""
    name, release = family(files.text("/etc/os-release") or files.text("/usr/lib/os-release"))
    return {
        "family": name,
        "release": release,
        "container": in_container(system),
        "missing_packages": missing_packages(packages, system),
        "units": unit_states(units, system),
        "timezone": timezone(),
        "mounts": mounts(files.text("/proc/mounts"), files.text("/etc/fstab")),
        "partitions": partitions.survey(files.text("/proc/mounts"), files.text("/etc/fstab"), restrict),
        "sysctl": different_sysctl(settings),
        "apparmor": apparmor(),
        "faillock": faillock(PAM),
        "selinux": selinux(),
        "updated": updated(),
        "machine": os.uname().machine,
        "root_password": root_password(files.text("/etc/shadow")),
        "advertised": advertised(files.text(IPV6_ROUTES)),
        "scheduling_users": scheduling_users(),
        "audit_enabled": audit_enabled(system),
    }
