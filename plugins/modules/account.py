#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: account
short_description: An account that administers, with its keys and its sudo rules, changed as one and left armed
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Makes the account, its shell, home directory and groups, its keys and its sudo rules what they should be, in one
    step that is armed under the name V(access), as with M(slipway.go.deadman), and taken back unless RV(token) is
    confirmed.
  - Refuses before anything changes what would let nobody log in, such as a shell that is not installed or that runs no
    command, a home directory that is not there, or a key file behind a link that a user can have made.
  - An account that is there keeps its shell, its home directory and its password, unless O(shell) or O(home) say
    otherwise. One that has expired is let in again.
  - The account does not end. For one that has no usable password, expiry and the greatest age of its password are
    taken away, for PAM refuses keys, too, once they are over; a new one does not get those of C(login.defs). One
    whose password can be typed and will expire, or that is to expire itself, is refused, and the day is named.
  - A revert restores the entries of this account in C(passwd), C(shadow), C(group) and their like, and leaves those of
    others as they are.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  name:
    description:
      - The account.
    type: str
    required: true
  state:
    description:
      - V(absent) removes the account with its sudo rules. Its home directory stays until the removal is confirmed; the
        call after that one removes it.
    type: str
    choices: [present, absent]
    default: present
  keys:
    description:
      - The public keys that may log in.
    type: list
    elements: str
    default: []
  exclusive:
    description:
      - Whether other keys are removed. If not, a key that has other options than asked for stays, after the one that
        is asked for. A key that is commented out does not count.
    type: bool
    default: true
  shell:
    description:
      - The login shell. When empty, an account that is there keeps its own, and a new one gets C(/bin/bash).
    type: str
    default: ""
  home:
    description:
      - The home directory. When empty, an account that is there keeps its own, and a new one gets one in C(/home).
      - Nothing is moved. Another one for an account that is there must be there, too, and belong to it.
    type: str
    default: ""
  groups:
    description:
      - Groups that the account is in, beside those that it is in already.
    type: list
    elements: str
    default: []
  sudo:
    description:
      - What it may do as root without a password. V(limited) is to start, stop, restart and reload O(services) and
        those that the host has already, to run the release engine for them, and O(commands).
    type: str
    choices: [full, limited, none]
    default: limited
  services:
    description:
      - Services that V(limited) sudo is about, beside those that the host has.
    type: list
    elements: str
    default: []
  commands:
    description:
      - Further commands for V(limited) sudo, in full and with their arguments.
    type: list
    elements: str
    default: []
  seconds:
    description:
      - The time to confirm.
    type: float
    default: 60
  confirm:
    description:
      - Whether the change waits to be confirmed. Otherwise it stands when this module ends.
    type: bool
    default: true
seealso:
  - module: slipway.go.confirm_login
  - module: slipway.go.deadman
"""

EXAMPLES = r"""
- name: Change the account
  slipway.go.account:
    name: deploy
    keys: ["{{ lookup('ansible.builtin.file', 'deploy.pub') }}"]
    sudo: full
  register: account

- name: Prove it
  slipway.go.confirm_login:
    name: access
    token: "{{ account.token }}"
    logins: ["{{ account.login }}"]
  when: account.token is not none
"""

RETURN = r"""
changes:
  description: What was changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [account, keys, sudo]
token:
  description: What confirms the change; V(null) when nothing changed, in check mode, and where it stands already.
  returned: success
  type: str
  sample: 5d41402abc4b2a76b9719d911017c592
login:
  description: The login that has to work now, as M(slipway.go.confirm_login) takes it; V(null) with O(state=absent).
  returned: success
  type: dict
  sample: {"user": "deploy", "sudo": "full", "command": []}
services:
  description: The services that V(limited) sudo is about.
  returned: success
  type: list
  elements: str
  sample: [shop]
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: unusable_shell
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: install it first, or set deploy_user_shell to a shell that is there, for example /bin/bash
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System
from ansible_collections.slipway.go.plugins.module_utils._hardening.account import change
from ansible_collections.slipway.go.plugins.module_utils._hardening.account.model import WantedAccount


def work(module: AnsibleModule) -> dict[str, Any]:
    values = dict(module.params)
    state, seconds, stays_armed = values.pop("state"), values.pop("seconds"), values.pop("confirm")
    if state == "absent":
        return change.make_absent(values["name"], seconds, stays_armed, module.check_mode, System()).as_dict()
    wanted = WantedAccount(**values)
    return change.make_present(wanted, seconds, stays_armed, module.check_mode, System()).as_dict()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "exclusive": {"type": "bool", "default": True},
            "shell": {"type": "str", "default": ""},
            "home": {"type": "str", "default": ""},
            "groups": {"type": "list", "elements": "str", "default": []},
            "sudo": {"type": "str", "choices": ["full", "limited", "none"], "default": "limited"},
            "services": {"type": "list", "elements": "str", "default": []},
            "commands": {"type": "list", "elements": "str", "default": []},
            "seconds": {"type": "float", "default": 60},
            "confirm": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
