#!/usr/bin/python

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: binary_info
short_description: Tell what a binary is and how it was built, without executing it
version_added: 0.1.0
description:
  - Reads an ELF file on the host. Class, architecture, interpreter, needed libraries and symbol versions, build ids and
    hardening; and what the Go toolchain recorded, as C(go version -m) shows it, from Go 1.13 on.
  - Says whether a program is packed by UPX. What it says of such a file is of the stub that unpacks the program into
    memory; the program's own libraries and build information cannot be read.
  - Fails with a message, a C(code) and a C(fix) where the file is no ELF file.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  path:
    description: The file to read.
    type: path
    required: true
  checksum:
    description: Whether to read the whole file for its SHA-256.
    type: bool
    default: true
  sbom:
    description:
      - Whether to return a CycloneDX bill of materials of a Go binary, made from its build info alone. The same binary
        gives the same document.
      - Implies O(checksum=true).
    type: bool
    default: false
seealso:
  - module: slipway.go.linkage
author:
  - Slipway maintainers (@slipway)
"""

EXAMPLES = r"""
- name: What is running here
  slipway.go.binary_info:
    path: /opt/shop/current/shop
  register: shop_binary

- name: Refuse what was built from a modified tree
  ansible.builtin.assert:
    that: not shop_binary.binary.go.vcs.modified
    fail_msg: "Built from a modified tree at {{ shop_binary.binary.go.vcs.revision }}"

- name: Keep the bill of materials
  slipway.go.binary_info:
    path: /opt/shop/current/shop
    sbom: true
  register: shop_sbom

- name: Write it beside the release
  ansible.builtin.copy:
    content: "{{ shop_sbom.sbom | to_nice_json }}"
    dest: /opt/shop/current/sbom.cdx.json
    mode: "0644"
"""

RETURN = r"""
binary:
  description: What the file tells.
  returned: success
  type: dict
  sample:
    path: /opt/shop/shop
    class: static
    goarch: amd64
  contains:
    path:
      description: The path as asked.
      returned: always
      type: str
      sample: /opt/shop/shop
    size:
      description: Bytes.
      returned: always
      type: int
      sample: 8217344
    sha256:
      description: SHA-256 of the file; null with O(checksum=false).
      returned: always
      type: str
      sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
    class:
      description:
        - V(static), V(static-pie), V(dynamic), V(interpreter-only) (a loader and no libraries, which C(ldd) calls
          static), V(library) or V(other) (an object file or a core dump).
      returned: always
      type: str
      sample: static
    type:
      description: ELF type. V(exec), V(dyn), V(rel) or V(core).
      returned: always
      type: str
      sample: exec
    machine:
      description: Processor family in ELF's words.
      returned: always
      type: str
      sample: x86-64
    bits:
      description: V(32) or V(64).
      returned: always
      type: int
      sample: 64
    endian:
      description: V(little) or V(big).
      returned: always
      type: str
      sample: little
    abi:
      description: The OS ABI byte.
      returned: always
      type: str
      sample: sysv
    goos:
      description: Operating system in Go's words; null where unknown.
      returned: always
      type: str
      sample: linux
    goarch:
      description: Architecture in Go's words; null where Go has no port.
      returned: always
      type: str
      sample: amd64
    interpreter:
      description: The dynamic loader it names, or null.
      returned: always
      type: str
      sample: /lib64/ld-linux-x86-64.so.2
    soname:
      description: The name a library gives itself, or null.
      returned: always
      type: str
      sample: libfoo.so.1
    needed:
      description: Libraries it needs directly.
      returned: always
      type: list
      elements: str
      sample: [libc.so.6]
    rpath:
      description: C(DT_RPATH), or null.
      returned: always
      type: str
      sample: $ORIGIN/../lib
    runpath:
      description: C(DT_RUNPATH), or null.
      returned: always
      type: str
      sample: $ORIGIN/../lib
    versions:
      description: Symbol versions it requires, by library. The absence of a weak one is forgiven.
      returned: always
      type: list
      elements: dict
      sample:
        - library: libc.so.6
          names: [GLIBC_2.34]
          weak: []
    provides:
      description: Symbol versions it defines.
      returned: always
      type: list
      elements: str
      sample: []
    build_ids:
      description: The Go build id and the GNU build id, each null where there is none.
      returned: always
      type: dict
      sample:
        go: 6VxZw7Xt93ZwuFpK6ueh/OotGs7aUD6ZRVjVoFCnp/MOZmkh6YLNm19wcxoo3f/DJpvOLIUGXsoRRZ-4o3S
        gnu: null
    stripped:
      description: Whether the symbol table is gone.
      returned: always
      type: bool
      sample: false
    pie:
      description: Whether it is a position-independent program.
      returned: always
      type: bool
      sample: false
    relro:
      description: V(none), V(partial) or V(full).
      returned: always
      type: str
      sample: full
    nx:
      description: Whether its stack is not executable; null where it leaves that to the kernel.
      returned: always
      type: bool
      sample: true
    libc:
      description: V(glibc) or V(musl), asked for or linked in; null where there is none or nothing tells.
      returned: always
      type: str
      sample: glibc
    packed:
      description: V(upx), or null. What is reported of a packed program is of the stub that unpacks it.
      returned: always
      type: str
      sample: upx
    min_kernel:
      description: The oldest kernel it supports, from its notes and its Go release; null where nothing tells.
      returned: always
      type: str
      sample: 3.2.0
    go:
      description: What the Go toolchain recorded; null for other programs, and for what is packed or stripped of it.
      returned: always
      type: dict
      sample:
        version: go1.22.3
        path: example.com/shop/cmd/shop
        main:
          path: example.com/shop
          version: v1.4.2
          sum: ""
          replace: null
        deps:
          - path: golang.org/x/sys
            version: v0.20.0
            sum: h1:Od9JTbYCk261bKm4M/mw7AklTlFYIa0bIp9BgSm1S8Y=
            replace: null
        settings:
          CGO_ENABLED: "0"
          GOAMD64: v1
        vcs:
          system: git
          revision: 8d2b0c7f3c1e4a5b6d7e8f901234567890abcdef
          time: "2025-05-20T10:00:00Z"
          modified: false
        cgo: false
        damaged: false
sbom:
  description: A CycloneDX 1.6 document; null where the binary has no Go build info.
  returned: when O(sbom=true)
  type: dict
  sample:
    bomFormat: CycloneDX
    specVersion: "1.6"
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import _module
from ..module_utils._binary.facts import read_binary
from ..module_utils._binary.sbom import cyclonedx
from ..module_utils._core.text import printable


def work(module: AnsibleModule) -> dict[str, Any]:
    path = module.params["path"]
    wants_sbom = module.params["sbom"]
    binary = read_binary(path, checksum=module.params["checksum"] or wants_sbom)
    result: dict[str, Any] = {"changed": False, "binary": printable(binary.facts)}
    if wants_sbom:
        facts = binary.facts
        result["sbom"] = None
        if binary.info is not None:
            result["sbom"] = cyclonedx(binary.info, printable(os.path.basename(path)), facts["sha256"], facts["size"])
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "checksum": {"type": "bool", "default": True},
            "sbom": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
