#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: drift_info
short_description: Tell what on a host is no longer as it was hardened and released
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Compares each service with its current release, which are its files, units and state.
  - Compares the host with what M(slipway.go.baseline) has written down when it was hardened, which are files, accounts,
    firewall rules, kernel settings, directives of sshd, units, mounts, held packages, SELinux and AppArmor.
  - Reads only. Starts no program of a service. Contents of files are not returned, for they may hold secrets.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  name:
    description:
      - The service to compare. When empty, the host and all of its services are.
    type: str
    default: ""
seealso:
  - module: slipway.go.baseline
  - module: slipway.go.release_info
"""

EXAMPLES = r"""
- name: What has been changed by hand on this host?
  slipway.go.drift_info:
  register: drift
"""

RETURN = r"""
findings:
  description:
    - Each difference. C(service) is empty where it belongs to the host, C(area) and C(what) say what differs, and
      C(since) is when it became so in seconds since the epoch, V(null) where the host cannot tell.
  returned: success
  type: list
  elements: dict
  sample:
    - service: ""
      area: files
      what: /etc/ssh/sshd_config
      expected: as recorded
      found: another content
      since: 1789000000.123
baseline:
  description: When the host was written down, in seconds since the epoch; V(null) where it never was, or with O(name).
  returned: success
  type: float
  sample: 1788999994.511
services:
  description: The services that were compared.
  returned: success
  type: list
  elements: str
  sample: [shop]
notes:
  description: What could not be compared, or not as a whole, such as a service with a release in flight.
  returned: success
  type: list
  elements: str
  sample: []
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._drift import report
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name


def work(module: AnsibleModule) -> dict[str, Any]:
    name = module.params["name"]
    return {"changed": False, **report.drift(validate_name(name) if name else "")}


def main() -> None:
    module = AnsibleModule(argument_spec={"name": {"type": "str", "default": ""}}, supports_check_mode=True)
    _module.run(module, work)


if __name__ == "__main__":
    main()
