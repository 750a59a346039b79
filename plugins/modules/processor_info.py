#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: processor_info
short_description: Which builds of a program run on a host
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Says for which architecture and level, in Go's words, a program has to be built for this host, from C(uname) and
    C(/proc/cpuinfo).
  - M(slipway.go.release) asks it where its O(slipway.go.release#module:src) has artefacts for several of them.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options: {}
seealso:
  - module: slipway.go.release
  - module: slipway.go.build
"""

EXAMPLES = r"""
- name: For what is to be built?
  slipway.go.processor_info:
  register: processor
"""

RETURN = r"""
machine:
  description: The host's machine, as C(uname -m) says it.
  returned: success
  type: str
  sample: x86_64
goarch:
  description: The same as Go calls it; V(null) where Go has no name for it.
  returned: success
  type: str
  sample: amd64
names:
  description:
    - The builds that the processor can run, the best first, each as C(GOARCH) with its level behind it. Empty where Go
      has no name for the machine.
    - A level that C(/proc/cpuinfo) does not tell is not there. Programs that the kernel starts of another architecture,
      such as those for V(386) on V(amd64), are not there either.
  returned: success
  type: list
  elements: str
  sample: [amd64v3, amd64v2, amd64, amd64v1]
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._binary.machines import host_goarch
from ansible_collections.slipway.go.plugins.module_utils._host import levels
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import read_cpu


def work(_given: AnsibleModule) -> dict[str, Any]:
    machine = os.uname().machine
    goarch = host_goarch(machine)
    found = levels.names(goarch, machine, read_cpu()) if goarch else ()
    return {"changed": False, "machine": machine, "goarch": goarch, "names": list(found)}


def main() -> None:
    _module.run(AnsibleModule(argument_spec={}, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
