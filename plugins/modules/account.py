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

import shutil
from dataclasses import dataclass
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending, managed_files
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import Argv, RevertPlan, System
from ansible_collections.slipway.go.plugins.module_utils._hardening import account, services

NAME = "access"


@dataclass(frozen=True)
class Difference:
    """What is not as it should be; keys is None where they are."""

    now: Optional[account.Account]
    wanted: account.Wanted
    commands: list[Argv]
    keys: Optional[str]
    sudo: list[managed_files.FileChange]

    def changes(self) -> list[str]:
        found = {"account": self.commands, "keys": self.keys is not None, "sudo": self.sudo}
        return [name for name, differs in found.items() if differs]

    def diff(self) -> list[dict[str, str]]:
        found = []
        if self.commands:
            after = account.describe(self.now, self.wanted)
            found.append(_diff(f"account {self.wanted.name}", account.describe(self.now), after))
        if self.keys is not None:
            before = account.read_keys(self.wanted.home) or ""
            found.append(_diff(account.key_file(self.wanted.home), before, self.keys))
        return [*found, *(change.diff() for change in self.sudo)]


def _diff(what: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": what, "after_header": what, "before": before, "after": after}


def compare(asked: account.Wanted, system: System) -> Difference:
    now = account.look(asked.name)
    wanted = account.complete(asked, now)
    account.refuse_unusable(wanted, now, system)
    before = account.read_keys(wanted.home)
    keys = account.wanted_keys(before, wanted.keys, wanted.exclusive)
    same = keys == before and now is not None and account.keys_are_safe(now, wanted.home)
    sudo = managed_files.plan([account.sudoers_file(wanted.name, account.sudoers(wanted))], system=system)
    commands = account.entry_commands(wanted, now, account.today())
    return Difference(now, wanted, commands, None if same else keys, sudo)


def make(difference: Difference, system: System) -> None:
    """Keys first where there is a home directory: sudo comes last, when all else is as it should be."""
    wanted = difference.wanted
    account.run_or_raise(difference.commands, system)
    if difference.keys is not None:
        made = account.look(wanted.name)
        if made:
            account.write_keys(made, difference.keys)
            account.restorecon([made.home + "/.ssh"], system)
    if difference.sudo:
        managed_files.apply(difference.sudo, sudo_check(), system=system)


def sudo_check() -> list[Argv]:
    return [["visudo", "-c"]] if shutil.which("visudo") else []


def present(module: AnsibleModule, asked: account.Wanted, system: System) -> dict[str, Any]:
    found = compare(asked, system)
    result = {"changed": bool(found.changes()), "changes": found.changes(), "diff": found.diff(), "token": None}
    result["login"], result["services"] = found.wanted.proof(), list(found.wanted.services)
    if shutil.which("visudo"):
        managed_files.validate(found.sudo, system)
    if module.check_mode or not found.changes():
        return result
    with deadman.transaction(NAME, module.params["seconds"], account.plan(found.wanted, found.now), system) as token:
        # Another run may have ended between the look and the lock.
        again = compare(asked, system)
        if (again.now is None) != (found.now is None) or again.wanted.home != found.wanted.home:
            raise deadman.changed_meanwhile(f"somebody else has made, moved or removed {asked.name}")
        make(again, system)
    return {**result, "token": stand(module, token, system)}


def absent(module: AnsibleModule, name: str, system: System) -> dict[str, Any]:
    now, sudo = account.look(name), managed_files.plan([account.sudoers_file(name, None)], system=system)
    result: dict[str, Any] = {"token": None, "login": None, "services": []}
    if now is None and not sudo:
        gone = account.remains(name) if module.check_mode else account.remove_remains(name)
        return {**result, "changed": bool(gone), "changes": gone, "diff": [_diff(path, "there\n", "") for path in gone]}
    if now:
        account.refuse_removal(now)
    changes = (["account"] if now else []) + (["sudo"] if sudo else [])
    diff = [_diff(f"account {name}", account.describe(now), "")] if now else []
    result = {**result, "changed": True, "changes": changes, "diff": [*diff, *(change.diff() for change in sudo)]}
    if module.check_mode:
        return result
    saved = RevertPlan([account.sudoers_path(name), account.record(name)], account=name)
    with deadman.transaction(NAME, module.params["seconds"], saved, system) as token:
        if account.look(name) != now:
            raise deadman.changed_meanwhile(f"somebody else has changed {name}")
        if now:
            account.write_record(now)
            account.run_or_raise([["userdel", "--force", name]], system)
        managed_files.apply(sudo, sudo_check(), system=system)
    return {**result, "token": stand(module, token, system)}


def stand(module: AnsibleModule, token: str, system: System) -> Optional[str]:
    if module.params["confirm"]:
        return token
    ending.confirm(NAME, token, system)
    return None


def work(module: AnsibleModule) -> dict[str, Any]:
    system = System()
    return managed_files.from_the_start(lambda: attempt(module, system))


def attempt(module: AnsibleModule, system: System) -> dict[str, Any]:
    values = module.params
    deadman.wait_until_free(NAME, system, not module.check_mode)
    if values["state"] == "absent":
        return absent(module, values["name"], system)
    on_host = [service.name for service in services.services()] if values["sudo"] == "limited" else []
    wanted = account.Wanted(
        values["name"],
        values["keys"],
        values["exclusive"],
        values["shell"],
        values["home"],
        values["groups"],
        values["sudo"],
        sorted({*values["services"], *on_host}),
        values["commands"],
    )
    return present(module, wanted, system)


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
