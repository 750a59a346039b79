#!/usr/bin/python

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rebuild
short_description: Build a Go artefact again from its source, and say whether it is the same and what differs
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Reads the build information of an artefact, checks its commit out into a fresh folder, builds it again with the same
    toolchain, variables and flags, and compares both byte by byte. Nothing of the artefact is executed.
  - Succeeds only if both have the same bytes. Else it fails with the C(code) V(rebuild_different) and all that differs,
    or with another C(code) and the C(verdict) V(cannot be rebuilt).
  - C(go) does not write C(-ldflags) into a program that is built with C(-trimpath). They come from O(ldflags), from the
    manifest beside the artefact (C(NAME.json)), or from its provenance (C(NAME.intoto.jsonl)). Without these, C(-s -w)
    is taken for a program without a symbol table.
  - Programs with cgo, without C(-trimpath), or from a tree with changes that are in no commit cannot be rebuilt.
requirements:
  - The release of Go that the artefact was built with, and git if the source is in a repository
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.building.toolchain
attributes:
  check_mode:
    support: full
    details:
      - Reads the artefact, the toolchain's version and a source that is a folder, and says what would be built. Nothing
        is fetched or written.
  diff_mode:
    support: none
options:
  artefact:
    description:
      - The artefact, on the host that builds.
    type: path
    required: true
  source:
    description:
      - A folder in a clone of the source's repository, the URL of a repository, or a folder that is in no repository. A
        folder is only read. By default the repository that the artefact's provenance names, if it is one of
        O(repositories).
    type: str
    default: ''
  ref:
    description:
      - What to build, as a tag, a branch or a commit. By default the commit that the artefact names, else that of its
        manifest or provenance.
    type: str
    default: ''
  repositories:
    description:
      - Which repositories may be cloned because a provenance names them. A C(*) in one stands for any text.
    type: list
    elements: str
    default: []
  ldflags:
    description:
      - The C(-ldflags) of the build, of C(-s), C(-w) and C(-X PACKAGE.NAME=VALUE).
    type: str
    default: ''
  timeout:
    description:
      - Seconds that a clone or a command of C(go) may take.
    type: float
    default: 1800
seealso:
  - module: slipway.go.build
  - module: slipway.go.binary_info
"""

EXAMPLES = r"""
- name: Rebuild what a release has taken
  slipway.go.rebuild:
    artefact: /home/ci/artefacts/shop-linux-amd64
    source: /home/ci/shop

- name: Rebuild from the repository of its provenance
  slipway.go.rebuild:
    artefact: /home/ci/artefacts/shop-linux-amd64
    repositories: ["https://git.example.com/shop/*"]
"""

RETURN = r"""
verdict:
  description:
    - V(same), V(different) or V(cannot be rebuilt); V(null) in check mode. With V(different) and V(cannot be rebuilt)
      the module fails. With V(cannot be rebuilt) only this key is there, beside C(msg), C(code) and C(fix).
  returned: always
  type: str
  sample: same
text:
  description: The verdict in one sentence.
  returned: success
  type: str
  sample: "shop is the same as its rebuild from commit 4f1c2d3e4f1c of /home/ci/shop with go1.27.3: 1,540,096 bytes"
artefact:
  description: The artefact.
  returned: where it can be rebuilt
  type: str
  sample: /home/ci/artefacts/shop-linux-amd64
sha256:
  description: Its SHA-256.
  returned: where it can be rebuilt
  type: str
  sample: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
size:
  description: Its bytes.
  returned: where it can be rebuilt
  type: int
  sample: 1540096
rebuilt_sha256:
  description: SHA-256 of the rebuild; V(null) in check mode.
  returned: where it can be rebuilt
  type: str
  sample: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
rebuilt_size:
  description: Bytes of the rebuild; V(null) in check mode.
  returned: where it can be rebuilt
  type: int
  sample: 1540096
source:
  description: The folder or the URL of the source.
  returned: where it can be rebuilt
  type: str
  sample: /home/ci/shop
commit:
  description: The commit that was built; empty for a folder that is in no repository.
  returned: where it can be rebuilt
  type: str
  sample: 4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e
toolchain:
  description: The version of Go.
  returned: where it can be rebuilt
  type: str
  sample: go1.27.3
target:
  description: What it is built for.
  returned: where it can be rebuilt
  type: str
  sample: linux/amd64/v1
package:
  description: The import path of the program.
  returned: where it can be rebuilt
  type: str
  sample: example.com/shop/cmd/shop
flags:
  description: The flags of the rebuild.
  returned: where it can be rebuilt
  type: list
  elements: str
  sample: [-trimpath, -buildvcs=auto, -pgo=auto, "-ldflags=-s -w"]
flags_from:
  description: Who says them. V(variable), V(manifest), V(provenance) or V(artefact).
  returned: where it can be rebuilt
  type: str
  sample: manifest
warnings_beside:
  description: Which files beside the artefact are about another file.
  returned: where it can be rebuilt
  type: list
  elements: str
  sample: []
differences:
  description: All that differs, the causes first.
  returned: where it can be rebuilt
  type: list
  elements: dict
  contains:
    kind:
      description: V(module), V(setting), V(symbols), V(build_id), V(size), V(section) or V(outside).
      type: str
    name:
      description: Of the module, the setting or the section.
      type: str
    artefact:
      description: What it is in the artefact; of a section, its bytes.
      type: str
    rebuilt:
      description: What it is in the rebuild.
      type: str
    text:
      description: The difference as a clause.
      type: str
    offset:
      description: The byte of the artefact in which the difference begins; V(null) where there is none.
      type: int
  sample:
    - kind: section
      name: .text
      artefact: 411,913
      rebuilt: 411,913
      text: .text (machine code) differs in 1 of 411,913 bytes, first at byte 1,000 of it (byte 5,096 of the artefact)
      offset: 5096
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._build import rebuild
from ansible_collections.slipway.go.plugins.module_utils._core.text import printable

AS_GIVEN = ("artefact", "source", "ref", "ldflags", "cache", "offline", "proxy", "as_root", "timeout")


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    wanted = rebuild.Rebuild(
        repositories=tuple(values["repositories"]),
        private=tuple(values["private"]),
        go=values["go"] or "",
        **{name: values[name] for name in AS_GIVEN},
    )
    told: dict[str, Any] = printable(rebuild.rebuild(wanted, module.check_mode))
    return told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "artefact": {"type": "path", "required": True},
            "source": {"type": "str", "default": ""},
            "ref": {"type": "str", "default": ""},
            "repositories": {"type": "list", "elements": "str", "default": []},
            "ldflags": {"type": "str", "default": ""},
            "go": {"type": "path"},
            "cache": {"type": "path", "default": "~/.cache/slipway-build"},
            "offline": {"type": "bool", "default": False},
            "proxy": {"type": "str", "default": ""},
            "private": {"type": "list", "elements": "str", "default": []},
            "as_root": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 1800},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
