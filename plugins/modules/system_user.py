#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: system_user
short_description: A system user and its group that cannot log in, and never somebody's account
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Creates the user and its group when they are not there. An account that is there is never changed.
  - Refuses root and every account that can log in, because a service must not run as a person, and a person must not be
    locked out by a service.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  name:
    description:
      - The user.
    type: str
    required: true
  group:
    description:
      - The user's group.
    type: str
    required: true
seealso:
  - module: ansible.builtin.user
"""

EXAMPLES = r"""
- name: The user of the shop
  slipway.go.system_user:
    name: shop
    group: shop
"""

RETURN = r"""
created:
  description: What was created, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [group shop, user shop]
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: not_a_service_user
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: choose a name of the service's own in service_user
"""

import grp
import os
import pwd
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError

NO_LOGIN = ("nologin", "false")
SHELL = "/usr/sbin/nologin"
TIMEOUT = 60.0


def refuse_people(account: pwd.struct_passwd) -> None:
    """Raise for root, and for an account with a shell to log in to."""
    if account.pw_uid == 0 or os.path.basename(account.pw_shell) not in NO_LOGIN:
        raise SlipwayError(
            "not_a_service_user",
            f"service_user {account.pw_name!r} is an account that can log in, or root.",
            "choose a name of the service's own in service_user",
        )


def missing(name: str, group: str) -> list[list[str]]:
    """The commands that create what is not there (groupadd(8), useradd(8))."""
    commands = []
    try:
        grp.getgrnam(group)
    except KeyError:
        commands.append(["groupadd", "--system", group])
    try:
        refuse_people(pwd.getpwnam(name))
    except KeyError:
        create = ["useradd", "--system", "--gid", group, "--home-dir", "/nonexistent", "--no-create-home"]
        commands.append([*create, "--shell", SHELL, name])
    return commands


def work(module: AnsibleModule) -> dict[str, Any]:
    commands = missing(module.params["name"], module.params["group"])
    if not module.check_mode:
        for argv in commands:
            command.run(argv, TIMEOUT).require_success()
    return {"changed": bool(commands), "created": [f"{c[0][:-3]} {c[-1]}" for c in commands]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "group": {"type": "str", "required": True}},
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
