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
  - slipway.go.attributes.wait_for_changes
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
  partitions:
    description:
      - Whether the partitions of C(/boot), C(/home), C(/opt), C(/srv), C(/var) and those below it should have the mount
        options C(nosuid), C(nodev), and where nothing is to run, C(noexec). Only then are their files looked at.
    type: bool
    default: false
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
partitions:
  description:
    - With O(partitions), C(options) has the partitions that lack options, with those, and C(fstab) the whole
      C(/etc/fstab) with them, which is empty where there are none.
    - C(left) has those that are not to be restricted, with what is in them that the options would take away.
    - C(noexec) has those on which nothing runs, now or with that C(fstab).
  returned: success
  type: dict
  sample:
    options: {"/home": ["nosuid", "nodev"]}
    left: {}
    fstab: "UUID=5a1 /home ext4 defaults,nosuid,nodev 0 2"
    noexec: []
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
machine:
  description: The machine, as C(uname -m) says it.
  returned: success
  type: str
  sample: x86_64
root_password:
  description: Whether root's password is V(set), V(locked) or V(empty).
  returned: success
  type: str
  sample: locked
advertised:
  description: The interfaces that have a route by an IPv6 router advertisement.
  returned: success
  type: list
  elements: str
  sample: []
scheduling_users:
  description: Who has jobs of cron and of at, or is allowed to have some.
  returned: success
  type: dict
  sample: {"cron": ["root"], "at": []}
audit_enabled:
  description:
    - What the kernel's audit says of itself, V(2) where its rules stay until the next boot; V(null) without auditctl.
  returned: success
  type: int
  sample: 1
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening.survey import survey


def work(module: AnsibleModule) -> dict[str, Any]:
    values, system = module.params, System()
    deadman.wait_for_changes(values["wait_for_changes"], system, not module.check_mode)
    asked = (values["packages"], values["units"], values["sysctl"])
    return {"changed": False, **survey(*asked, system, restrict=values["partitions"])}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "packages": {"type": "list", "elements": "str", "default": []},
            "units": {"type": "list", "elements": "str", "default": []},
            "sysctl": {"type": "dict", "default": {}},
            "partitions": {"type": "bool", "default": False},
            "wait_for_changes": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
