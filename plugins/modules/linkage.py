#!/usr/bin/python

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: linkage
short_description: Say whether a program will start on this host, without executing it
version_added: 0.1.0
description:
  - Answers what C(file), C(ldd), C(objdump -p) and C(readelf) are asked before a release, by reading alone. Neither
    the program nor a loader nor a library is ever executed; C(ldd) does execute what it inspects.
  - Finds every library where this host's loader, glibc's or musl's, would find it. Search order, C(RPATH) and
    C(RUNPATH) with their scope, C($ORIGIN), C(glibc-hwcaps), C(ld.so.cache), what libraries need in turn, symbol
    versions of the library found, and symbols that are bound at start all count.
  - Checks what the kernel checks. Architecture, interpreter, permissions, noexec mounts, file capabilities, page size,
    the kernel release and the processor level the program was built for.
  - With O(unit) it judges as that unit would start the program.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  path:
    description:
      - The programs to judge.
      - With O(unit) and a C(RootDirectory=), a path as the service names it or the same file's path on the host.
    type: list
    elements: path
    required: true
  unit:
    description:
      - A systemd unit whose C(Environment=), C(EnvironmentFile=), C(RootDirectory=), C(BindPaths=),
        C(BindReadOnlyPaths=), C(InaccessiblePaths=), C(TemporaryFileSystem=), C(ProtectHome=), C(PrivateTmp=),
        C(ExecPaths=), C(NoExecPaths=), C(User=), C(Group=), C(DynamicUser=), C(StateDirectory=), C(NoNewPrivileges=),
        C(CapabilityBoundingSet=), C(SystemCallArchitectures=), C(MemoryDenyWriteExecute=) and C(WorkingDirectory=)
        apply.
      - Files, directories, users and groups that the unit names and that do not exist are problems, too.
      - Read from the unit files and drop-ins on disk, so that it need not be loaded yet. Instances of templates work,
        and so does the absolute path of a unit file.
      - Without it, the C(LD_) variables and the working directory are those of the module itself, and a setuid, setgid
        or capable program is judged as someone other than its owner would start it.
    type: str
seealso:
  - module: slipway.go.binary_info
author:
  - Slipway maintainers (@slipway)
"""

EXAMPLES = r"""
- name: Will the new binary run here
  slipway.go.linkage:
    path: /opt/shop/releases/1.4.2-3f9c21d0aa/shop
    unit: shop.service
  register: shop_linkage

- name: Stop where it will not, and say what to do
  ansible.builtin.assert:
    that: shop_linkage.binaries | rejectattr('runnable') | length == 0
    fail_msg: "{{ shop_linkage.binaries | map(attribute='problems') | flatten | map(attribute='fix') | join(' ') }}"

- name: Many programs in one call
  slipway.go.linkage:
    path:
      - /usr/local/bin/agent
      - /usr/local/bin/collector
"""

RETURN = r"""
binaries:
  description: One entry per path, in the order asked.
  returned: always
  type: list
  elements: dict
  sample:
    - path: /opt/shop/shop
      runnable: false
      class: dynamic
      interpreter: /lib64/ld-linux-x86-64.so.2
      libraries:
        - name: libc.so.6
          path: /lib/x86_64-linux-gnu/libc.so.6
      problems:
        - code: version_missing
          message: "/opt/shop/shop: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.38' not found (required by
            /opt/shop/shop)"
          fix: "rebuild on a host as old as this one, or with CGO_ENABLED=0: it needs GLIBC_2.38, and the libc here
            provides up to GLIBC_2.36"
  contains:
    path:
      description: The path as asked.
      returned: always
      type: str
      sample: /opt/shop/shop
    runnable:
      description: Whether it will start. Exactly then RV(binaries[].problems) is empty.
      returned: always
      type: bool
      sample: true
    class:
      description:
        - V(static), V(static-pie), V(dynamic), V(interpreter-only) (a loader and no libraries, which C(ldd) calls
          static), V(library), V(script) (judged by its interpreter) or V(other) (an object file or a core dump).
        - Null where the file cannot be read as a program.
      returned: always
      type: str
      sample: dynamic
    interpreter:
      description: The dynamic loader it names, or the interpreter behind C(#!) of a script; null where it names none.
      returned: always
      type: str
      sample: /lib64/ld-linux-x86-64.so.2
    libraries:
      description:
        - What the loader would load, in its order, by the name that is needed and the path where it is found.
        - The path is null where there is none.
      returned: always
      type: list
      elements: dict
      sample:
        - name: libc.so.6
          path: /lib/x86_64-linux-gnu/libc.so.6
    problems:
      description:
        - Everything that keeps it from starting. The codes are stable and listed in the guide "Will it run there?".
      returned: always
      type: list
      elements: dict
      sample: []
      contains:
        code:
          description: What kind of problem.
          returned: always
          type: str
          sample: library_missing
        message:
          description: What the kernel or the loader would say.
          returned: always
          type: str
          sample: "/opt/shop/shop: error while loading shared libraries: libfoo.so.1: cannot open shared object file:
            No such file or directory"
        fix:
          description: One line that says what to do.
          returned: always
          type: str
          sample: "install libfoo.so.1: dnf install 'libfoo.so.1()(64bit)', or rebuild with CGO_ENABLED=0"
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _module
from ..module_utils._core.text import printable
from ..module_utils._host.kernel import read_host
from ..module_utils._linkage.checker import Checker
from ..module_utils._units.context import own_context, unit_context


def work(module: AnsibleModule) -> dict[str, Any]:
    unit = module.params["unit"]
    checker = Checker(read_host(), unit_context(unit) if unit else own_context())
    binaries = [checker.check(path).as_dict() for path in module.params["path"]]
    return {"changed": False, "binaries": printable(binaries)}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "list", "elements": "path", "required": True},
            "unit": {"type": "str"},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
