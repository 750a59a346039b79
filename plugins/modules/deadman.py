#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: deadman
short_description: Arm, confirm or take back a change that could cut you off
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Armed, it saves the given paths on the host, synced to disk, and sets a timer of systemd. Unless the change is
    confirmed in time, the host restores the paths and runs the given commands by itself, without Ansible and without a
    network, and also when it is rebooted inside that time.
  - Confirming compares the token under the same lock that the revert takes, so that only one of them happens.
  - What was taken back is journaled in C(/var/lib/slipway/deadman/journal.jsonl).
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
    details:
      - Nothing is armed, and RV(token) is V(null).
  diff_mode:
    support: none
options:
  name:
    description:
      - The name of the change. Only one change of a name can be armed; arming waits until another one has ended.
    type: str
    required: true
  state:
    description:
      - V(armed) saves O(paths) and starts the clock.
      - V(confirmed) lets the change stand. It fails if the change was taken back, and then takes back once more what
        was changed since, as a run that was paused may have gone on. It does not where a change of the same paths has
        been armed or confirmed meanwhile, nor for a change of a module that arms and changes in one step.
      - V(reverted) takes the change back now, if it is armed. With the O(token) of a change that was taken back before,
        it does so once more, as V(confirmed) does.
    type: str
    choices: [armed, confirmed, reverted]
    required: true
  seconds:
    description:
      - The time to confirm.
    type: float
    default: 60
  paths:
    description:
      - Files and directories to restore as they are now, with content, owner, mode, and labels. One that is not there
        now is removed by a revert, and so is everything added to a directory.
      - One that leads through a symbolic link that is not root's own is refused, and one that does so later is left
        alone by the revert, which says so in its journal.
    type: list
    elements: path
    default: []
  run:
    description:
      - Commands to run after the paths are restored, each a list of arguments.
    type: list
    elements: list
    default: []
  run_at_boot:
    description:
      - Commands to run instead of O(run) when a reboot takes the change back.
    type: list
    elements: list
    default: []
  stage:
    description:
      - When a reboot takes the change back. V(early) is before the network and its services, V(late) is after them.
    type: str
    choices: [early, late]
    default: early
  token:
    description:
      - The RV(token) of the armed change. Needed with O(state=confirmed).
    type: str
seealso:
  - module: slipway.go.confirm_login
"""

EXAMPLES = r"""
- name: Arm
  slipway.go.deadman:
    name: firewall
    state: armed
    seconds: 60
    paths: [/etc/ufw]
    run:
      - [ufw, reload]
  register: armed

# One step, well within the time: it does not ask whether the change is still armed, as the modules of slipway.go do.
- name: Change the firewall
  community.general.ufw:
    state: enabled
    policy: deny

- name: Prove that the host can still be reached, and let the change stand
  slipway.go.confirm_login:
    name: firewall
    token: "{{ armed.token }}"
"""

RETURN = r"""
token:
  description: What confirms the change; V(null) in check mode and where nothing is armed.
  returned: success
  type: str
  sample: 5d41402abc4b2a76b9719d911017c592
reverted:
  description: What was taken back, now or before, as it was journaled; V(null) if nothing was.
  returned: success
  type: dict
  sample: null
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: reverted
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: see what kept the confirmation from coming in time, then run again
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._deadman import change as deadman
from ansible_collections.slipway.go.plugins.module_utils._deadman import ending
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import RevertPlan


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    name, state = values["name"], values["state"]
    result: dict[str, Any] = {"changed": False, "token": None, "reverted": None}
    if module.check_mode:
        return result
    if state == "armed":
        plan = RevertPlan(
            values["paths"],
            [list(map(str, argv)) for argv in values["run"]],
            [list(map(str, argv)) for argv in values["run_at_boot"]],
            values["stage"],
        )
        deadman.wait_until_free(name)
        # Arming is no change of the host that anybody could keep: it is gone again after the next step.
        return {**result, "token": deadman.arm(name, values["seconds"], plan)}
    if state == "confirmed":
        ending.confirm(name, values["token"])
        return result
    reverted = ending.revert(name, values["token"])
    if reverted is None and values["token"]:
        return {**result, "reverted": ending.taken_back(name, values["token"])}
    return {**result, "changed": bool(reverted), "reverted": reverted}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "state": {"type": "str", "choices": ["armed", "confirmed", "reverted"], "required": True},
            "seconds": {"type": "float", "default": 60},
            "paths": {"type": "list", "elements": "path", "default": []},
            "run": {"type": "list", "elements": "list", "default": []},
            "run_at_boot": {"type": "list", "elements": "list", "default": []},
            "stage": {"type": "str", "choices": ["early", "late"], "default": "early"},
            "token": {"type": "str", "no_log": False},
        },
        required_if=[("state", "confirmed", ["token"])],
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
