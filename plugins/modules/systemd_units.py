#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: systemd_units
short_description: Install systemd units that belong together, verified before they are there
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Runs C(systemd-analyze verify) on all given units at once, together with those already on the host, in a directory
    aside. Only when every one is accepted are they written, and systemd is reloaded once.
  - A line that systemd would ignore is an error, because a sandbox that is ignored is not in force. A directive that
    this host's systemd is too old to know is a warning.
  - Nothing that runs is restarted. A unit that has to go is stopped first.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  units:
    description:
      - The units, each with the content it is to have.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description:
          - The unit's file name, for example V(shop.socket).
        type: str
        required: true
      content:
        description:
          - The whole content of the file.
        type: str
        required: true
      enabled:
        description:
          - Whether the unit starts at boot. Leave it out for units that have no C([Install]) section.
        type: bool
      started:
        description:
          - Whether to start the unit when it is not active, which suits a timer. It is never restarted.
        type: bool
        default: false
  absent:
    description:
      - File names of units that must not be there, for example those of a strategy the service no longer uses.
    type: list
    elements: str
    default: []
seealso:
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Units of the shop
  slipway.go.systemd_units:
    units:
      - name: shop.socket
        content: "{{ lookup('ansible.builtin.template', 'shop.socket.j2') }}"
        enabled: true
      - name: shop@.service
        content: "{{ lookup('ansible.builtin.template', 'shop@.service.j2') }}"
"""

RETURN = r"""
units:
  description: The names of the units that were changed, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [shop.socket]
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: invalid_unit
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: correct the variable that this line comes from
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _door, _units


def work(module: AnsibleModule) -> dict[str, Any]:
    wanted = [_units.Unit(**unit) for unit in module.params["units"]]
    plan = _units.plan(wanted, module.params["absent"])
    for warning in _units.verify(plan):
        module.warn(warning)
    if not module.check_mode:
        _units.apply(plan)
    return {
        "changed": plan.changed,
        "units": plan.changed_names,
        "diff": [
            {"before_header": c.name, "after_header": c.name, "before": c.before or "", "after": c.after or ""}
            for c in plan.changes
        ],
    }


def main() -> None:
    unit = {
        "name": {"type": "str", "required": True},
        "content": {"type": "str", "required": True},
        "enabled": {"type": "bool"},
        "started": {"type": "bool", "default": False},
    }
    module = AnsibleModule(
        argument_spec={
            "units": {"type": "list", "elements": "dict", "required": True, "options": unit},
            "absent": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    _door.run(module, work)


if __name__ == "__main__":
    main()
