#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: compliance_info
short_description: Tell how a host complies with each control of hardening
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Compares what is in force on the host with what each control asks for, and says how it has seen that, and which
    rules of CIS and ANSSI ask for it. Hosts that were never hardened are answered, too.
  - Reads only. Contents of files are not returned.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  controls:
    description:
      - The controls that are off, with the reason, and those that are on although they are off by default, as in
        C(base_controls).
    type: dict
    default: {}
  password_length:
    description:
      - The least length of a new password.
    type: int
    default: 15
  umask:
    description:
      - The umask of logins.
    type: str
    default: "027"
  sysctl:
    description:
      - Kernel settings with the value they should have.
    type: dict
    default: {}
  services_off:
    description:
      - Units that may not start.
    type: list
    elements: str
    default: []
  blocked_modules:
    description:
      - Kernel modules that may not load.
    type: list
    elements: str
    default: []
seealso:
  - module: slipway.go.drift_info
  - module: slipway.go.host_info
"""

EXAMPLES = r"""
- name: How does this host comply?
  slipway.go.compliance_info:
    controls:
      su_wheel: the operators of the database become its user by su
  register: compliance
"""

RETURN = r"""
controls:
  description: Each control, in the order of the documentation.
  returned: success
  type: list
  elements: dict
  contains:
    control:
      description: Its name, as in C(base_controls).
      type: str
    title:
      description: What holds where the host complies.
      type: str
    references:
      description: The rules that ask for it.
      type: list
      elements: str
    verdict:
      description:
        - V(pass); V(fail); V(off) where it is not wanted for a RV(controls[].reason); V(not applicable) where the host
          has not what it is about; V(unknown) where it could not be read. V(fail) and V(unknown) are deviations.
      type: str
    expected:
      description: What it asks for.
      type: str
    found:
      description: What is there.
      type: str
    verified:
      description: What was read to see it.
      type: str
    reason:
      description: Why it is off or not applicable; empty otherwise.
      type: str
    fix:
      description: What to do about a deviation; empty otherwise.
      type: str
  sample:
    - control: ssh_root
      title: sshd lets no root in
      references: [CIS 5.1.20, ANSSI R33]
      verdict: pass
      expected: permitrootlogin no
      found: "no"
      verified: sshd -T
      reason: ""
      fix: ""
counts:
  description: How many controls have each verdict.
  returned: success
  type: dict
  sample: {"pass": 30, "fail": 1, "off": 2, "not applicable": 11, "unknown": 0}
references:
  description: Which publications the references are about.
  returned: success
  type: str
  sample: "CIS: Benchmark for Debian Linux 12. ANSSI: BP-028, version 2."
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._compliance import controls
from ansible_collections.slipway.go.plugins.module_utils._compliance.evidence import Wanted
from ansible_collections.slipway.go.plugins.module_utils._compliance.report import compliance
from ansible_collections.slipway.go.plugins.module_utils._core.text import printable
from ansible_collections.slipway.go.plugins.module_utils._deadman.model import System


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    controls.check(values["controls"])
    wanted = Wanted(
        choices=controls.choose(values["controls"]),
        password_length=values["password_length"],
        umask=values["umask"],
        sysctl=values["sysctl"],
        services_off=values["services_off"],
        modules=values["blocked_modules"],
    )
    told: dict[str, Any] = printable(compliance(wanted, System()))
    return {"changed": False, **told}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "controls": {"type": "dict", "default": {}},
            "password_length": {"type": "int", "default": 15, "no_log": False},
            "umask": {"type": "str", "default": "027"},
            "sysctl": {"type": "dict", "default": {}},
            "services_off": {"type": "list", "elements": "str", "default": []},
            "blocked_modules": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
