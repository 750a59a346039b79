#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: config_files
short_description: Write whole configuration files that belong together, validated, and taken back if they do harm
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Compares all files in one call, lets each one's own tool judge the new content aside, and only then writes those
    that differ. A command that fails afterwards takes everything back.
  - A run that is cut short after it has written, and before its commands have succeeded, leaves a note of that on the
    host, below C(/var/lib/slipway). The next one validates the files, runs their commands, and reports a change.
  - With O(guard), the change is armed as with M(slipway.go.deadman) before the first file is written, and stays armed
    until RV(token) is confirmed.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  files:
    description:
      - The files.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description:
          - Where the file is. Missing directories are made.
        type: path
        required: true
      content:
        description:
          - The whole content of the file. It is logged on the host and returned; for what is secret, use O(secrets).
        type: str
      settings:
        description:
          - Instead of O(files[].content), lines to set in the file as it is, for programs that read no drop-ins.
        type: dict
      separator:
        description:
          - What stands between name and value with O(files[].settings).
        type: str
        default: " "
      state:
        description:
          - Whether the file is to be there.
        type: str
        choices: [present, absent]
        default: present
      mode:
        description:
          - The permissions, as an octal number in quotes.
        type: str
        default: "0644"
      owner:
        description:
          - The owner.
        type: str
        default: root
      group:
        description:
          - The group.
        type: str
        default: root
      validate:
        description:
          - A command that must accept the file before it is written; C(%s) stands for the file.
        type: list
        elements: str
        default: []
      run:
        description:
          - Commands to run when this file has changed.
        type: list
        elements: list
        default: []
      secret:
        description:
          - Whether to keep what the file has been out of diffs, for one that is to go. Those of O(secrets) always are.
          - Not together with O(files[].content) or O(files[].settings).
        type: bool
  secrets:
    description:
      - The contents of files that are secret, by their O(files[].path). They are not logged, returned or in diffs.
    type: dict
    default: {}
  exclusive:
    description:
      - Directories in which no other file may be. What is below their subdirectories stays.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description:
          - The directory; one that is not there has no files.
        type: path
        required: true
      keep:
        description:
          - Names of files that something else takes care of, beside those of O(files).
        type: list
        elements: str
        default: []
  check:
    description:
      - Commands that must succeed once the files are written, before O(run).
    type: list
    elements: list
    default: []
  run:
    description:
      - Commands to run when any file has changed.
    type: list
    elements: list
    default: []
  again:
    description:
      - Whether to run the commands although every file is as it should be, for where something else has changed what
        they set. It counts as a change.
    type: bool
    default: false
  guard:
    description:
      - Arms a dead-man revert of the files, see M(slipway.go.deadman), and writes them and runs all commands only while
        it is armed. An earlier change of this name that is not
        confirmed yet is waited for before the files are looked at.
    type: dict
    suboptions:
      name:
        description:
          - The name of the change.
        type: str
        required: true
      seconds:
        description:
          - The time to confirm.
        type: float
        default: 60
      run:
        description:
          - Commands to run after a revert.
        type: list
        elements: list
        default: []
      run_at_boot:
        description:
          - Commands to run instead when a reboot takes the change back.
        type: list
        elements: list
        default: []
      paths:
        description:
          - Further paths to save.
        type: list
        elements: path
        default: []
seealso:
  - module: slipway.go.deadman
  - module: slipway.go.confirm_login
"""

EXAMPLES = r"""
- name: Sudo for the operators
  slipway.go.config_files:
    files:
      - path: /etc/sudoers.d/operators
        content: "%operators ALL=(ALL:ALL) NOPASSWD: ALL\n"
        mode: "0440"
        validate: [visudo, -cf, "%s"]
    check:
      - [visudo, -c]
    guard:
      name: sudo

- name: A certificate with its key
  slipway.go.config_files:
    files:
      - path: /etc/shop/tls.pem
        mode: "0600"
        run:
          - [systemctl, reload, shop.service]
    secrets:
      /etc/shop/tls.pem: "{{ lookup('ansible.builtin.file', 'tls.pem', rstrip=false) }}"
"""

RETURN = r"""
paths:
  description: The files that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [/etc/sudoers.d/operators]
token:
  description: What confirms the change; V(null) without O(guard), in check mode and when nothing changed.
  returned: success
  type: str
  sample: 5d41402abc4b2a76b9719d911017c592
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: invalid_file
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: correct the variable it comes from
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import managed_files
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System


def plan(values: dict[str, Any], system: System) -> list[managed_files.FileChange]:
    files = managed_files.parse_files(values["files"], values["secrets"])
    surplus = [
        file for folder in values["exclusive"] for file in managed_files.surplus(folder["path"], folder["keep"], files)
    ]
    folders = [folder["path"] for folder in values["exclusive"]]
    return managed_files.plan([*files, *surplus], folders, system, values["again"])


def attempt(module: AnsibleModule, system: System) -> managed_files.Applied:
    values = module.params
    guard = managed_files.Guard(**values["guard"]) if values["guard"] else None
    if guard:
        deadman.wait_until_free(guard.name, system, not module.check_mode)
    changes = plan(values, system)
    if module.check_mode:
        managed_files.validate(changes, system)
        return managed_files.Applied(changes)
    return managed_files.apply(
        changes, values["check"], values["run"], guard, system, again=lambda: plan(values, system)
    )


def work(module: AnsibleModule) -> dict[str, Any]:
    system = System()
    return managed_files.from_the_start(lambda: attempt(module, system)).as_dict()


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": managed_files.FILE_OPTIONS,
                "mutually_exclusive": [["secret", "content"], ["secret", "settings"]],
            },
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "exclusive": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": managed_files.EXCLUSIVE_OPTIONS,
            },
            "check": {"type": "list", "elements": "list", "default": []},
            "run": {"type": "list", "elements": "list", "default": []},
            "again": {"type": "bool", "default": False},
            "guard": {"type": "dict", "options": managed_files.GUARD_OPTIONS},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
