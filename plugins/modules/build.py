#!/usr/bin/python

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: build
short_description: Build a Go program for several architectures, with checksums, SBOM, manifest and signatures
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Builds one program of a Go module without cgo, the same bytes for the same inputs, and puts artefacts into
    O(dest) as M(slipway.go.release) takes them.
  - Beside each artefact are a CycloneDX SBOM (C(.cdx.json)), a manifest (C(.json)) and, with keys, its signatures
    (C(.minisig), C(.sig)). C(SHA256SUMS) lists all of them and is signed, too.
  - An artefact is built again only if the digest of its inputs has changed, or if it is not what its manifest says. The
    inputs are the content of every file that C(go list) names for it, of C(go.mod), C(go.sum) and
    C(vendor/modules.txt), the toolchain's version, its flags and variables, and what git says of the commit.
  - All artefacts are built before the first is put in place, so that a failure leaves O(dest) as it was.
requirements:
  - Go 1.21 or newer on the host that builds, and git if the source is in a repository
  - minisign or ssh-keygen on that host, for signatures
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.building.toolchain
  - slipway.go.building.signing
attributes:
  check_mode:
    support: full
    details:
      - Says which artefacts would be built. The caches below O(cache) may be filled, as C(go list) reads the source.
  diff_mode:
    support: none
options:
  source:
    description:
      - The folder of the module, or of the program's package in it, on the host that builds.
    type: path
    required: true
  dest:
    description:
      - The folder for the artefacts. In a repository it must be one that git ignores.
    type: path
    required: true
  name:
    description:
      - The program's name.
    type: str
    required: true
  ref:
    description:
      - A tag, branch or commit of the source's repository. It is built in a working tree of its own; the repository is
        only read. Submodules are not checked out. By default the folder is built as it is.
    type: str
    default: ''
  package:
    description:
      - The folder of the package main below O(source), such as C(./cmd/shop).
    type: str
    default: .
  targets:
    description:
      - What to build for, each as C(linux/GOARCH) or C(linux/GOARCH/LEVEL), such as C(linux/amd64/v3) or
        C(linux/arm/6).
    type: list
    elements: str
    default: []
  machines:
    description:
      - What C(uname -m) says on the hosts that the program is for. Decides what to build for if O(targets) is empty.
    type: list
    elements: str
    default: []
  artefact:
    description:
      - The file name of an artefact, from C({name}), C({version}), C({goos}), C({goarch}) and C({level}). The level is
        empty for C(v1) of amd64, and C(v5) to C(v7) for arm.
    type: str
    default: '{name}-{goos}-{goarch}{level}'
  version:
    description:
      - The version. By default what C(git describe --tags) says.
    type: str
    default: ''
  commit:
    description:
      - The commit to name in the program. By default that of git.
    type: str
    default: ''
  time:
    description:
      - The time to name in the program, in RFC 3339 or in seconds since 1970. By default the environment's
        C(SOURCE_DATE_EPOCH), else the time of the commit.
    type: str
    default: ''
  variables:
    description:
      - The string variables of the program that get the C(version), the C(commit) and the C(time), such as
        C(version=main.version). A variable that the program does not have is an error.
    type: dict
    default: {}
  tags:
    description:
      - Build tags.
    type: list
    elements: str
    default: []
  strip:
    description:
      - Whether to leave out the symbol table and debug information (C(-s -w)).
    type: bool
    default: true
  pgo:
    description:
      - V(auto) takes C(default.pgo) beside the program's package, V(off) no profile; else a profile's path below
        O(source).
    type: str
    default: auto
  mod:
    description:
      - V(vendor) takes modules from C(vendor/) alone; V(auto) does so where C(go) would.
    type: str
    choices: [auto, vendor, readonly]
    default: auto
  vcs:
    description:
      - Whether C(go) writes the commit into the program's build info (C(-buildvcs)).
    type: str
    choices: [auto, 'true', 'false']
    default: auto
  dirty:
    description:
      - Whether a repository with changes that are in no commit is built. The manifest says V(modified) then.
    type: str
    choices: [refuse, accept]
    default: refuse
  cgo:
    description:
      - V(refuse) fails where a package calls C, and says which. V(without) builds such packages with cgo off, which is
        right only for those that have another way then.
    type: str
    choices: [refuse, without]
    default: refuse
  toolchain:
    description:
      - The release of Go that it must be, such as V(1.27.3), or a series, such as V(1.27). No toolchain is fetched.
    type: str
    default: ''
  vet:
    description:
      - Whether C(go vet ./...) must pass before anything is built.
    type: bool
    default: false
  test:
    description:
      - Whether C(go test ./...) must pass before anything is built.
    type: bool
    default: false
  verify:
    description:
      - Whether to build each artefact a second time from a copy of the source in another folder, with a cache of its
        own, and to refuse it unless both have the same bytes.
    type: bool
    default: false
  timeout:
    description:
      - Seconds that one command of C(go) may take.
    type: float
    default: 1800
  provenance_builder:
    description:
      - The URI that names who builds. If it is set, the provenance of each artefact is written beside it, signed with
        each key, as a statement of in-toto with a predicate of SLSA Provenance v1 in an envelope of DSSE.
    type: str
    default: ''
  provenance_repository:
    description:
      - The URL of the repository as the provenance names it. By default that of C(origin), without a user.
    type: str
    default: ''
seealso:
  - module: slipway.go.release
  - module: slipway.go.binary_info
"""

EXAMPLES = r"""
- name: Build for two architectures
  slipway.go.build:
    source: /home/ci/shop
    package: ./cmd/shop
    dest: /home/ci/artefacts
    name: shop
    version: 2.0.0
    targets: [linux/amd64, linux/arm64]
    variables: {version: main.version, commit: main.commit, time: main.built}

- name: Build a tag offline, twice, and sign it
  slipway.go.build:
    source: /home/ci/shop
    ref: v2.0.0
    dest: /home/ci/artefacts
    name: shop
    targets: [linux/amd64/v3]
    mod: vendor
    offline: true
    verify: true
    minisign_key: /home/ci/.minisign/minisign.key
    minisign_public_key: RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3
    minisign_password: "{{ vaulted_password }}"
"""

RETURN = r"""
version:
  description: The version.
  returned: success
  type: str
  sample: 2.0.0
commit:
  description: The commit; empty where it is not known.
  returned: success
  type: str
  sample: 4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e4f1c2d3e
branch:
  description: The branch; empty where there is none.
  returned: success
  type: str
  sample: main
modified:
  description: Whether the repository has changes that are in no commit.
  returned: success
  type: bool
  sample: false
time:
  description: The time of the source in RFC 3339; empty where it is not known.
  returned: success
  type: str
  sample: "2026-01-31T12:00:00Z"
toolchain:
  description: The version of Go.
  returned: success
  type: str
  sample: go1.27.3
checksums:
  description: The file with the checksums of all artefacts.
  returned: success
  type: str
  sample: /home/ci/artefacts/SHA256SUMS
artefacts:
  description: The artefacts, one for each target.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    target:
      description: What it is built for.
      type: str
    goarch:
      description: Its architecture in Go's words.
      type: str
    level:
      description: Its level of processors; empty where the architecture has one.
      type: str
    built:
      description: Whether this run has built it, or in check mode would.
      type: bool
    inputs:
      description: The digest of all that decides what comes out.
      type: str
    sha256:
      description: SHA-256 of the file; V(null) where it is not there.
      type: str
    size:
      description: Its bytes; V(null) where it is not there.
      type: int
    reproducible:
      description: Whether a second build had the same bytes; V(null) where there was none.
      type: bool
    sbom:
      description: The file with its SBOM.
      type: str
    manifest:
      description: The file with its manifest.
      type: str
    signatures:
      description: The files with its signatures.
      type: list
      elements: str
    provenance:
      description: The file with its provenance; V(null) without O(provenance_builder).
      type: str
  sample:
    - path: /home/ci/artefacts/shop-linux-amd64
      target: linux/amd64/v1
      goarch: amd64
      level: v1
      built: true
      inputs: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      sha256: fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9
      size: 6815744
      reproducible: true
      sbom: /home/ci/artefacts/shop-linux-amd64.cdx.json
      manifest: /home/ci/artefacts/shop-linux-amd64.json
      signatures: []
      provenance: null
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._build import builder, request, targets
from ansible_collections.slipway.go.plugins.module_utils._build.signing import Keys
from ansible_collections.slipway.go.plugins.module_utils._core.text import printable

AS_GIVEN = (
    *("source", "dest", "name", "ref", "package", "version", "commit", "time", "variables", "mod", "vcs", "pgo"),
    *("strip", "offline", "proxy", "dirty", "cgo", "toolchain", "vet", "test", "verify", "as_root", "timeout"),
    *("provenance_builder", "provenance_repository"),
)


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    wanted = request.Request(
        targets=tuple(
            map(targets.parse, values["targets"]) if values["targets"] else targets.of_machines(values["machines"])
        ),
        cache=values["cache"],
        pattern=values["artefact"],
        tags=tuple(values["tags"]),
        private=tuple(values["private"]),
        go=values["go"] or "",
        **{name: values[name] for name in AS_GIVEN},
    )
    keys = Keys(
        minisign_key=values["minisign_key"] or "",
        minisign_public=values["minisign_public_key"],
        minisign_password=values["minisign_password"] or "",
        ssh_key=values["ssh_key"] or "",
        namespace=values["ssh_namespace"],
    )
    told: dict[str, Any] = printable(builder.build(wanted, keys, module.check_mode))
    return told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "source": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "name": {"type": "str", "required": True},
            "ref": {"type": "str", "default": ""},
            "package": {"type": "str", "default": "."},
            "targets": {"type": "list", "elements": "str", "default": []},
            "machines": {"type": "list", "elements": "str", "default": []},
            "artefact": {"type": "str", "default": request.PATTERN},
            "version": {"type": "str", "default": ""},
            "commit": {"type": "str", "default": ""},
            "time": {"type": "str", "default": ""},
            "variables": {"type": "dict", "default": {}},
            "tags": {"type": "list", "elements": "str", "default": []},
            "strip": {"type": "bool", "default": True},
            "pgo": {"type": "str", "default": request.AUTO},
            "mod": {"type": "str", "choices": list(request.MOD), "default": request.AUTO},
            "vcs": {"type": "str", "choices": list(request.VCS), "default": request.AUTO},
            "offline": {"type": "bool", "default": False},
            "proxy": {"type": "str", "default": ""},
            "private": {"type": "list", "elements": "str", "default": []},
            "dirty": {"type": "str", "choices": [request.REFUSE, request.ACCEPT], "default": request.REFUSE},
            "cgo": {"type": "str", "choices": [request.REFUSE, request.WITHOUT], "default": request.REFUSE},
            "go": {"type": "path"},
            "toolchain": {"type": "str", "default": ""},
            "vet": {"type": "bool", "default": False},
            "test": {"type": "bool", "default": False},
            "verify": {"type": "bool", "default": False},
            "cache": {"type": "path", "default": "~/.cache/slipway-build"},
            "as_root": {"type": "bool", "default": False},
            "timeout": {"type": "float", "default": 1800},
            "minisign_key": {"type": "path", "no_log": False},
            "minisign_public_key": {"type": "str", "default": "", "no_log": False},
            "minisign_password": {"type": "str", "no_log": True},
            "ssh_key": {"type": "path", "no_log": False},
            "provenance_builder": {"type": "str", "default": ""},
            "provenance_repository": {"type": "str", "default": ""},
            "ssh_namespace": {"type": "str", "default": "file"},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
