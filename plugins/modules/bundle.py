#!/usr/bin/python

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Make one signed file with all that a site without a network needs for a release
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Puts artefacts with all that stands beside them, collections as tarballs, Python wheels for the controller, further
    files and a text with the commands for the receiver into one tar archive, C(NAME.tar) in O(dest).
  - Its first member C(MANIFEST.json) lists each file with its size and SHA-256. It is signed, and every byte of the
    archive follows from it.
  - The same files and keys give the same bytes, as neither a clock nor an owner is in it. C(SOURCE_DATE_EPOCH) in the
    environment is the time in the manifest. A bundle that is there already is not written again.
  - Beside the bundle is the signed program C(slipway-unbundle.pyz), which unpacks bundles where nothing but Python is
    installed yet.
  - Runs on a host with a network. C(pip) and C(ansible-galaxy) take servers and passwords from their own settings.
requirements:
  - pip for O(python), and ansible-galaxy, on the host that makes the bundle
  - minisign or ssh-keygen on that host
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.building.signing
  - slipway.go.building.bundle
attributes:
  check_mode:
    support: full
    details:
      - Says whether a bundle would be written. Collections and wheels are fetched for that, and thrown away.
  diff_mode:
    support: none
options:
  name:
    description:
      - The name of the bundle, and of the folder that it is unpacked to.
    type: str
    required: true
  version:
    description:
      - The version that the bundle is for.
    type: str
    required: true
  dest:
    description:
      - The folder for the bundle.
    type: path
    required: true
  artefacts:
    description:
      - Files and folders with artefacts, such as the O(slipway.go.build#module:dest) of a build. What is in a folder
        comes to C(artefacts/).
    type: list
    elements: path
    default: []
  files:
    description:
      - Further files and folders, such as an inventory or a database of vulnerabilities. They come to C(files/).
    type: list
    elements: path
    default: []
  collections:
    description:
      - Absolute paths of tarballs and of folders of collections, and collections of a server as C(NAMESPACE.NAME) or
        C(NAMESPACE.NAME:VERSION). What they need and is not among them is fetched with C(ansible-galaxy).
    type: list
    elements: str
    default: []
  requirements:
    description:
      - Python packages for the controller, such as C(ansible-core==2.19.14). They and what they need are fetched as
        wheels.
    type: list
    elements: str
    default: []
  python:
    description:
      - The interpreter whose C(pip) fetches the wheels, by default the one that runs the module. The wheels are for its
        version and platform unless O(python_version) or O(platforms) say otherwise.
    type: path
  python_version:
    description:
      - The version of Python on the receiver's controller, such as V(3.12), if it differs.
    type: str
    default: ''
  platforms:
    description:
      - The platforms of the receiver's controller as C(pip) names them, such as V(manylinux2014_aarch64), if they
        differ.
    type: list
    elements: str
    default: []
  ansible_galaxy:
    description:
      - The program C(ansible-galaxy), by default the one beside the interpreter, else that of C(PATH).
    type: path
  base:
    description:
      - An earlier bundle, which the receiver has. Files that it has, under whatever name, are left out.
    type: path
  cache:
    description:
      - The folder in which the bundle is put together.
    type: path
    default: ~/.cache/slipway-bundle
  timeout:
    description:
      - Seconds that C(pip) or C(ansible-galaxy) may take.
    type: float
    default: 1800
seealso:
  - module: slipway.go.unbundle
  - module: slipway.go.build
"""

EXAMPLES = r"""
- name: Make a bundle of a build
  slipway.go.bundle:
    name: shop-2.0.0
    version: 2.0.0
    dest: /home/ci/bundles
    artefacts: [/home/ci/artefacts]
    collections: [slipway.go, ansible.posix, community.general]
    requirements: [ansible-core==2.19.14]
    ssh_key: /home/ci/.ssh/release

- name: Make one of what is new since
  slipway.go.bundle:
    name: shop-2.1.0
    version: 2.1.0
    dest: /home/ci/bundles
    base: /home/ci/bundles/shop-2.0.0.tar
    artefacts: [/home/ci/artefacts]
    collections: [slipway.go, ansible.posix, community.general]
    requirements: [ansible-core==2.19.14]
    ssh_key: /home/ci/.ssh/release
"""

RETURN = r"""
path:
  description: The bundle.
  returned: success
  type: str
  sample: /home/ci/bundles/shop-2.0.0.tar
name:
  description: Its name.
  returned: success
  type: str
  sample: shop-2.0.0
version:
  description: The version that it is for.
  returned: success
  type: str
  sample: 2.0.0
created:
  description: The time in its manifest; empty without C(SOURCE_DATE_EPOCH).
  returned: success
  type: str
  sample: "2026-01-31T12:00:00Z"
base:
  description: The name of the earlier bundle that it needs; empty where it needs none.
  returned: success
  type: str
  sample: ""
size:
  description: The bytes of all its files.
  returned: success
  type: int
  sample: 41216000
packed:
  description: The bytes of those that it has itself.
  returned: success
  type: int
  sample: 41216000
verifier:
  description: The program that unpacks bundles where nothing is installed yet.
  returned: success
  type: str
  sample: /home/ci/bundles/slipway-unbundle.pyz
files:
  description: Its files.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: Where it is in the bundle.
      type: str
    size:
      description: Its bytes.
      type: int
    sha256:
      description: Its SHA-256.
      type: str
    kind:
      description: What it is.
      type: str
    base:
      description: Its path in the earlier bundle, which has it; empty where this one does.
      type: str
  sample:
    - path: artefacts/shop-linux-amd64
      size: 6815744
      sha256: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
      kind: artefact
      base: ""
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._bundle import make, request
from ansible_collections.slipway.go.plugins.module_utils._core.text import printable

LISTS = ("artefacts", "files", "collections", "requirements", "platforms")
TEXTS = ("name", "version", "dest", "cache", "python", "python_version", "base")


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    keys = Keys(
        minisign_key=values["minisign_key"] or "",
        minisign_public=values["minisign_public_key"],
        minisign_password=values["minisign_password"] or "",
        ssh_key=values["ssh_key"] or "",
        namespace=values["ssh_namespace"],
        prefix="bundle",
    )
    given: dict[str, Any] = {name: values[name] or "" for name in TEXTS}
    given.update({name: tuple(values[name]) for name in LISTS})
    wanted = request.Request(
        galaxy=values["ansible_galaxy"] or "",
        most=values["max_size"] << 20 if values["max_size"] > 0 else 0,
        timeout=values["timeout"],
        keys=keys,
        **given,
    )
    told: dict[str, Any] = printable(make.bundle(wanted, module.check_mode))
    return told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "version": {"type": "str", "required": True},
            "dest": {"type": "path", "required": True},
            "artefacts": {"type": "list", "elements": "path", "default": []},
            "files": {"type": "list", "elements": "path", "default": []},
            "collections": {"type": "list", "elements": "str", "default": []},
            "requirements": {"type": "list", "elements": "str", "default": []},
            "python": {"type": "path"},
            "python_version": {"type": "str", "default": ""},
            "platforms": {"type": "list", "elements": "str", "default": []},
            "ansible_galaxy": {"type": "path"},
            "base": {"type": "path"},
            "cache": {"type": "path", "default": "~/.cache/slipway-bundle"},
            "max_size": {"type": "int", "default": 4096},
            "timeout": {"type": "float", "default": 1800},
            "minisign_key": {"type": "path", "no_log": False},
            "minisign_public_key": {"type": "str", "default": "", "no_log": False},
            "minisign_password": {"type": "str", "no_log": True},
            "ssh_key": {"type": "path", "no_log": False},
            "ssh_namespace": {"type": "str", "default": "file"},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
