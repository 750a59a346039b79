#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: What hardening has to know of a host, in one call
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Reads the few things on which the roles of this collection decide, so that they need no gathered facts and run only
    the tasks that have something to do.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
  - slipway.go.attributes.settled
options:
  packages:
    description:
      - Packages to look for.
    type: list
    elements: str
    default: []
  units:
    description:
      - Units to look for.
    type: list
    elements: str
    default: []
  sysctl:
    description:
      - Kernel settings with the value they should have.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Look
  slipway.go.host_info:
    packages: [auditd]
    units: [cups.service]
  register: host
"""

RETURN = r"""
family:
  description: The family of the distribution, V(debian) or V(redhat), else its id.
  returned: success
  type: str
  sample: debian
release:
  description: The version of the distribution.
  returned: success
  type: str
  sample: "12"
container:
  description: Whether this is a container, whose kernel belongs to another host.
  returned: success
  type: bool
  sample: false
missing_packages:
  description: Those of O(packages) that are not installed.
  returned: success
  type: list
  elements: str
  sample: [auditd]
units:
  description: The state of those of O(units) that exist, as C(systemctl is-enabled) says it.
  returned: success
  type: dict
  sample: {"cups.service": "enabled"}
timezone:
  description: The time zone.
  returned: success
  type: str
  sample: Etc/UTC
mounts:
  description:
    - C(/tmp) and C(/dev/shm), where they are mounts of their own, with the type of the file system, the options it has
      now, and those that C(/etc/fstab) gives it, which are V(null) where it is not named there.
  returned: success
  type: dict
  sample: {"/dev/shm": {"type": "tmpfs", "options": ["rw", "nosuid", "nodev"], "fstab": null}}
sysctl:
  description: Those of O(sysctl) that have another value, with the one they have.
  returned: success
  type: dict
  sample: {"kernel.kptr_restrict": "0"}
apparmor:
  description:
    - Whether AppArmor is enabled, how many loaded profiles only complain, and the files that tell them to.
    - C(logins) has the files that confine a program through which one logs in or becomes root.
  returned: success
  type: dict
  sample: {"enabled": true, "complaining": 0, "files": [], "logins": []}
faillock:
  description: Those of PAM's shared stacks that use C(pam_faillock).
  returned: success
  type: list
  elements: str
  sample: [common-auth, common-account]
selinux:
  description: The mode of SELinux now, V(enforcing), V(permissive) or V(disabled), and the one after a boot.
  returned: success
  type: dict
  sample: {"mode": "disabled", "configured": "disabled"}
updated:
  description: Seconds since the lists of packages were fetched; V(null) if they never were.
  returned: success
  type: int
  sample: 3600
"""

import glob
import os
import re
import shutil
import time
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core import files as _files
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System

APPARMOR = "/etc/apparmor.d"
LOGINS = re.compile(r"(?<![\w.-])(?:sshd(?:-\w+)?|sudo|su|login|agetty|(?:ba|da|z|k|fi)?sh)(?![\w.-])")
PAM = "/etc/pam.d"
# Debian's, and those of the RHEL family.
PAM_STACKS = ("common-auth", "common-account", "system-auth", "password-auth")
WRITABLE = ("/tmp", "/dev/shm")  # noqa: S108
CONTAINER_FILES = ("/.dockerenv", "/run/.containerenv")


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
    said = system.run(["systemd-detect-virt", "--container", "--quiet"])[0] == 0
    return said or any(os.path.exists(path) for path in CONTAINER_FILES)


def missing(packages: list[str], system: System) -> list[str]:
    if not packages:
        return []
    if shutil.which("dpkg-query"):
        said = system.run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n", *packages])[1]
        there = {line.split()[1] for line in said.splitlines() if line.startswith("installed ")}
    else:
        there = set(system.run(["rpm", "--query", "--queryformat", "%{NAME}\\n", *packages])[1].splitlines())
    return [package for package in packages if package not in there]


def units(names: list[str], system: System) -> dict[str, str]:
    if not names:
        return {}
    said = system.run(["systemctl", "list-unit-files", "--no-legend", "--no-pager", "--plain", "--full", *names])[1]
    rows = [line.split() for line in said.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1 and row[0] in names}


def mount_rows(text: str) -> dict[str, tuple[str, list[str]]]:
    """The type and the options of what a table of mounts says of the two; the last one is on top."""
    rows = [line.split() for line in text.splitlines() if not line.lstrip().startswith("#")]
    return {row[1]: (row[2], row[3].split(",")) for row in rows if len(row) > 3 and row[1] in WRITABLE}


def mounts(text: str, fstab: str) -> dict[str, dict[str, Any]]:
    said = {path: options for path, (_type, options) in mount_rows(fstab).items()}
    return {
        path: {"type": kind, "options": options, "fstab": said.get(path)}
        for path, (kind, options) in mount_rows(text).items()
    }


def sysctl(wanted: dict[str, Any]) -> dict[str, str]:
    """Keys this kernel does not have are none it could get wrong."""
    different = {}
    for key, value in wanted.items():
        path = f"/proc/sys/{key.replace('.', '/')}"
        now = " ".join(_files.text(path).split())
        if os.path.exists(path) and now != " ".join(str(value).split()):
            different[key] = now
    return different


def complaining_files(folder: str) -> list[str]:
    """The files of profiles that say complain themselves, or that a link in force-complain says it of."""
    said = re.compile(r"^[^#\n]*\bflags\s*=\s*\([^)]*\bcomplain\b", re.MULTILINE)
    forced = set(os.listdir(f"{folder}/force-complain")) if os.path.isdir(f"{folder}/force-complain") else set()
    files = [path for path in sorted(glob.glob(f"{folder}/*")) if os.path.isfile(path)]
    return [path for path in files if os.path.basename(path) in forced or said.search(_files.text(path))]


def confines_logins(text: str) -> bool:
    """Whether a profile of the file is attached to, or named after, a program that a login or sudo goes through."""
    headers = re.findall(r"^\s*(?:profile\s+|[/@{\"])[^#\n]*\{\s*(?:#.*)?$", text, re.MULTILINE)
    return any(LOGINS.search(header) for header in headers)


def apparmor() -> dict[str, Any]:
    profiles = _files.text("/sys/kernel/security/apparmor/profiles")
    enabled = _files.text("/sys/module/apparmor/parameters/enabled").strip() == "Y"
    found = complaining_files(APPARMOR)
    logins = [path for path in found if confines_logins(_files.text(path))]
    return {
        "enabled": enabled,
        "complaining": profiles.count("(complain)"),
        "files": [path for path in found if path not in logins],
        "logins": logins,
    }


def faillock(folder: str) -> list[str]:
    used = re.compile(r"^[^#\n]*\bpam_faillock\.so", re.MULTILINE)
    return [name for name in PAM_STACKS if used.search(_files.text(f"{folder}/{name}"))]


def selinux() -> dict[str, str]:
    enforce = _files.text("/sys/fs/selinux/enforce").strip()
    found = re.search(r"^SELINUX=(\w+)", _files.text("/etc/selinux/config"), re.MULTILINE)
    return {
        "mode": {"1": "enforcing", "0": "permissive"}.get(enforce, "disabled"),
        "configured": found.group(1) if found else "disabled",
    }


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


def work(module: AnsibleModule) -> dict[str, Any]:
    system = System()
    deadman.wait_for_changes(module.params["settled"], system, not module.check_mode)
    name, release = family(_files.text("/etc/os-release") or _files.text("/usr/lib/os-release"))
    return {
        "changed": False,
        "family": name,
        "release": release,
        "container": in_container(system),
        "missing_packages": missing(module.params["packages"], system),
        "units": units(module.params["units"], system),
        "timezone": timezone(),
        "mounts": mounts(_files.text("/proc/mounts"), _files.text("/etc/fstab")),
        "sysctl": sysctl(module.params["sysctl"]),
        "apparmor": apparmor(),
        "faillock": faillock(PAM),
        "selinux": selinux(),
        "updated": updated(),
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "sysctl": {"type": "dict", "default": {}},
            "settled": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
