#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: adoption_info
short_description: Look at a service that somebody has set up by hand, and say how the role service would run it
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Reads the unit C(NAME.service) with its drop-ins, its environment files and its socket unit, looks at what it
    listens on now and at what its program can do, and proposes the variables of the role C(service) for it.
  - Says what cannot be taken over as it is, and what will be different, each with a fix.
  - Reads only. Starts no program of the service. Values that may be secrets are not returned, nor is any value of an
    environment file.
  - Fails where there is no such unit.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  name:
    description:
      - The service's name, which is the unit's without C(.service).
    type: str
    required: true
  root:
    description:
      - The directory that is to hold its releases. Defaults to C(/opt/NAME).
    type: path
seealso:
  - module: slipway.go.service_files
  - module: slipway.go.remove
"""

EXAMPLES = r"""
- name: What would this service be with slipway?
  slipway.go.adoption_info:
    name: shop
  register: former

- name: Show it
  slipway.go.show:
    text: "{{ former | slipway.go.adoption_text }}"
"""

RETURN = r"""
managed:
  description: Whether slipway has this service on the host already. Then there is nothing else but RV(service).
  returned: success
  type: bool
  sample: false
former_kept:
  description: Whether the host keeps the unit that the service had before, for M(slipway.go.adoption) to bring back.
  returned: when the service is slipway's
  type: bool
  sample: true
service:
  description: The service's name.
  returned: success
  type: str
  sample: shop
state:
  description: What systemd says of it.
  returned: when the service is not slipway's
  type: str
  sample: active (running)
enabled:
  description: Whether it, or its socket, starts at boot.
  returned: when the service is not slipway's
  type: bool
  sample: true
pid:
  description: Its main process; 0 where it does not run.
  returned: when the service is not slipway's
  type: int
  sample: 4711
type:
  description: C(Type=) of the unit.
  returned: when the service is not slipway's
  type: str
  sample: simple
pid_file:
  description: C(PIDFile=) of the unit, empty where there is none.
  returned: when the service is not slipway's
  type: str
  sample: ""
user:
  description: The user that it runs as.
  returned: when the service is not slipway's
  type: str
  sample: shop
group:
  description: The group that it runs as, empty where the host does not know its user.
  returned: when the service is not slipway's
  type: str
  sample: shop
working_directory:
  description: C(WorkingDirectory=) of the unit, empty where there is none.
  returned: when the service is not slipway's
  type: str
  sample: /srv/shop
program:
  description: The program of its C(ExecStart=).
  returned: when the service is not slipway's
  type: str
  sample: /usr/local/bin/shop
listen:
  description: What its socket unit listens on, or else the TCP addresses on which its processes listen now.
  returned: when the service is not slipway's
  type: list
  elements: str
  sample: ["8080"]
unit_files:
  description: Its unit and socket unit with their drop-ins.
  returned: when the service is not slipway's
  type: list
  elements: str
  sample: [/etc/systemd/system/shop.service, /etc/systemd/system/shop.service.d/limits.conf]
environment_files:
  description: The files of its C(EnvironmentFile=) that are there.
  returned: when the service is not slipway's
  type: list
  elements: str
  sample: [/etc/default/shop]
proposal:
  description: The variables of the role C(service), without those that would be the role's default or empty.
  returned: when the service is not slipway's
  type: dict
  sample:
    service_name: shop
    service_swap: restart
    service_listen: ["8080"]
    service_type: simple
    service_user: shop
    service_environment: {LOG_LEVEL: info, DB_PASSWORD: "{{ vault_shop_db_password }}"}
strategies:
  description: Each swap strategy, whether it fits, and why.
  returned: when the service is not slipway's
  type: list
  elements: dict
  sample: [{"strategy": "socket", "verdict": "does not fit", "because": "the program never reads LISTEN_FDS"}]
findings:
  description:
    - What cannot be taken over as it is (C(blocks)), and what will be different. C(setting) is what it is about.
  returned: when the service is not slipway's
  type: list
  elements: dict
  sample:
    - setting: Type=oneshot
      message: the program ends by itself, and a release is one that stays
      fix: leave it as it is
      blocks: true
adoptable:
  description: Whether nothing of RV(findings) blocks.
  returned: when the service is not slipway's
  type: bool
  sample: true
moved:
  description: The files that have to be away before the role service takes the name.
  returned: when the service is not slipway's
  type: list
  elements: str
  sample: [/etc/systemd/system/shop.service]
kept:
  description: The files that it needs to run as it does now, to be copied first.
  returned: when the service is not slipway's
  type: list
  elements: str
  sample: [/etc/systemd/system/shop.service, /etc/default/shop, /usr/local/bin/shop]
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: unit_not_found
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: install the unit first
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._adoption.look import look
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name


def work(module: AnsibleModule) -> dict[str, Any]:
    name = validate_name(module.params["name"])
    return {"changed": False, **look(Layout(name, module.params["root"] or f"/opt/{name}"))}


def main() -> None:
    module = AnsibleModule(
        argument_spec={"name": {"type": "str", "required": True}, "root": {"type": "path"}}, supports_check_mode=True
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
