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
  - Units that come with a release wait until the next one takes them along, see O(service).
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
  service:
    description:
      - The service whose releases come with units of their own, which for V(shop) are C(shop@.service), C(shop.socket)
        and C(shop-guard.service). They are written to C(/etc/shop/units), where the next release takes them along.
      - What PID 1 has of them is what the release came with that serves now, so that whatever starts that release again
        starts it as it was proven. Where there is none yet, it is what O(units) says.
      - A unit, drop-in or running process of the service's names that is not slipway's is refused, and nothing changes.
      - Without it, every unit is in force at once, and one of that name in C(/etc) is replaced, whoever has written it.
    type: dict
    suboptions:
      name:
        description:
          - The service's name.
        type: str
        required: true
      root:
        description:
          - The folder with its releases.
        type: path
        required: true
seealso:
  - module: ansible.builtin.systemd_service
"""

EXAMPLES = r"""
- name: Units of the shop
  slipway.go.systemd_units:
    service:
      name: shop
      root: /opt/shop
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
drop_ins:
  description:
    - Drop-ins that change the units of O(service). They are the operator's own (C(systemctl edit)) and stay; no release
      brings or takes them.
  returned: success
  type: list
  elements: str
  sample: [/etc/systemd/system/shop@.service.d/override.conf]
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

import os
from dataclasses import replace
from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._release import configuration, staged_units
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._units import foreign, installer


def plan(wanted: list[installer.UnitFile], absent: list[str], service: Optional[dict[str, str]]) -> installer.UnitPlan:
    """What differs, of what is in force and of what waits for the next release."""
    if service is None:
        return installer.plan(wanted, absent)
    layout = Layout(service["name"], service["root"])
    installer.validate(wanted, absent)
    coming = staged_units.next_release(wanted, layout)
    surplus = [name for name in map(os.path.basename, layout.own_units) if name not in {unit.name for unit in coming}]
    planned = installer.plan(*staged_units.in_force(wanted, absent, layout, installer.is_active))
    return replace(planned, aside=installer.compare(coming, surplus, layout.units))


def work(module: AnsibleModule) -> dict[str, Any]:
    wanted, service = [installer.UnitFile(**unit) for unit in module.params["units"]], module.params["service"]
    place = staged_units.place(Layout(service["name"], service["root"])) if service else None
    drop_ins = foreign.check(place) if place else []
    if service and not module.check_mode:
        configuration.finish(Layout(service["name"], service["root"]))
    planned = plan(wanted, module.params["absent"], service)
    if wanted and (planned.changes or planned.aside):
        for warning in installer.verify(wanted):
            module.warn(warning)
    if not module.check_mode:
        if place:
            foreign.note(place, {unit.name: unit.content for unit in planned.wanted})
        installer.apply(planned)
    return {
        "changed": planned.changed,
        "units": planned.changed_names,
        "drop_ins": drop_ins,
        "diff": [
            {"before_header": c.path, "after_header": c.path, "before": c.before or "", "after": c.after or ""}
            for c in [*planned.changes, *planned.aside]
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
            "service": {
                "type": "dict",
                "options": {"name": {"type": "str", "required": True}, "root": {"type": "path", "required": True}},
            },
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
