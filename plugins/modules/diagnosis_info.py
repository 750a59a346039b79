#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: diagnosis_info
short_description: Tell why a service on a host fails
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Looks at the service and its release, its unit and its last log lines, the host's disks, memory and limits, its
    ports and firewall, and at what the service needs of others. Gives what is wrong in one list, the likely cause
    first, each with its fix.
  - Takes seconds, and about half a minute where nothing answers. Reads only, and starts no program of the service
    but its health check.
  - Values of the service's environment and credentials are masked in the lines of its log.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  name:
    description:
      - The service's name.
    type: str
    required: true
seealso:
  - module: slipway.go.release_info
  - module: slipway.go.drift_info
"""

EXAMPLES = r"""
- name: Why does the shop fail?
  slipway.go.diagnosis_info:
    name: shop
  register: diagnosis
"""

RETURN = r"""
service:
  description: The service's name.
  returned: success
  type: str
  sample: shop
current:
  description: The id of the release that serves, or should; V(null) where there is none.
  returned: success
  type: str
  sample: 2.0.0-3b1d8f00aa
last_good:
  description: The id of the release that a rollback would go to; V(null) where there is none.
  returned: success
  type: str
  sample: 1.9.0-77aa01c2f3
state:
  description: What systemd says of it.
  returned: success
  type: str
  sample: activating (auto-restart), result exit-code, exit status 1, restarted 7 times
health:
  description: What its health check says, V(pass), V(warn), V(fail) or V(unknown).
  returned: success
  type: str
  sample: fail
message:
  description: Why the health check says that.
  returned: success
  type: str
  sample: systemd says activating (auto-restart)
findings:
  description:
    - What was found, the likely cause first. C(rank) is V(cause), V(suspect), V(symptom) or V(note), and a note is no
      failure. C(code) is stable, C(message) says what was measured, C(fix) what to do, and C(lines) what the service
      has logged about it.
  returned: success
  type: list
  elements: dict
  sample:
    - rank: cause
      code: dependency_refused
      message: >-
        the dependency database (db.internal:5432, priority high) fails: 10.0.0.7:5432 refused the connection: nothing
        listens there.
      fix: start database
      lines: []
notes:
  description: What could not be looked at.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._diagnosis import report
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import operator
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name


def work(module: AnsibleModule) -> dict[str, Any]:
    return {"changed": False, **report.diagnose(operator(validate_name(module.params["name"])))}


def main() -> None:
    module = AnsibleModule(argument_spec={"name": {"type": "str", "required": True}}, supports_check_mode=True)
    _module.run(module, work)


if __name__ == "__main__":
    main()
