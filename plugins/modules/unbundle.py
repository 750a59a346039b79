#!/usr/bin/python

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: unbundle
short_description: Verify a bundle against its signed manifest and unpack it
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Reads a bundle that M(slipway.go.bundle) has made as untrusted input. Nothing of it is believed before the signature
    of its manifest holds. A file that is missing, extra, changed, cut short, there twice or a link is named, and so is
    a byte that belongs to no file.
  - Unpacks it to C(NAME) in O(dest), all of it or nothing. A run that is killed leaves nothing that looks like a
    bundle, and the next one removes what it has left.
  - A bundle that is unpacked already is verified and changes nothing. If files of it were changed or lost since, the
    folder is replaced. A folder that is another bundle, or that has other files, is refused.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.building.bundle
attributes:
  check_mode:
    support: full
    details:
      - Verifies all of the bundle and writes nothing.
  diff_mode:
    support: none
options:
  src:
    description:
      - The bundle.
    type: path
    required: true
  dest:
    description:
      - The folder in which it gets a folder of its own.
    type: path
    required: true
  allowed_signers:
    description:
      - A file of allowed signers, see C(ssh-keygen(1\)), for signatures by C(ssh-keygen -Y sign).
    type: path
  signer:
    description:
      - The identity in O(allowed_signers) that must have signed it. By default any.
    type: str
    default: ''
  namespace:
    description:
      - The namespace of signatures by C(ssh-keygen).
    type: str
    default: file
  minisign_keys:
    description:
      - The public keys of minisign whose signature counts.
    type: list
    elements: str
    default: []
  base:
    description:
      - The earlier bundle that this one needs, or the folder that it was unpacked to. By default the folder of its name
        in O(dest).
    type: path
seealso:
  - module: slipway.go.bundle
"""

EXAMPLES = r"""
- name: Unpack what has arrived
  slipway.go.unbundle:
    src: /media/usb/shop-2.0.0.tar
    dest: /srv/bundles
    allowed_signers: /etc/slipway/allowed_signers
"""

RETURN = r"""
path:
  description: The folder of the bundle.
  returned: success
  type: str
  sample: /srv/bundles/shop-2.0.0
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
  description: The time in its manifest; empty where it has none.
  returned: success
  type: str
  sample: "2026-01-31T12:00:00Z"
base:
  description: The name of the earlier bundle that it needed; empty where it needed none.
  returned: success
  type: str
  sample: ""
signer:
  description: Who has signed it.
  returned: success
  type: str
  sample: ssh ci@example.com SHA256:Vv4hcs1aFlCb1wzTbPJSGe7hAEUIeyEaEXOx1qG6kXs
files:
  description: How many files it has.
  returned: success
  type: int
  sample: 24
size:
  description: Their bytes.
  returned: success
  type: int
  sample: 41216000
kinds:
  description: How many files of each kind it has.
  returned: success
  type: dict
  sample: {artefact: 2, checksums: 1, collection: 3, readme: 1, sbom: 2, wheel: 15}
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._bundle import receive
from ansible_collections.slipway.go.plugins.module_utils._core.text import printable
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    signers = receive.read_signers(values["allowed_signers"] or "")
    trust = Trust(tuple(values["minisign_keys"]), signers, values["signer"], values["namespace"])
    wanted = receive.Request(
        values["src"], values["dest"], trust, values["base"] or "", max(values["max_size"], 0) << 20
    )
    told: dict[str, Any] = printable(receive.unbundle(wanted, module.check_mode))
    return told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "allowed_signers": {"type": "path"},
            "signer": {"type": "str", "default": ""},
            "namespace": {"type": "str", "default": "file"},
            "minisign_keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
            "base": {"type": "path"},
            "max_size": {"type": "int", "default": 4096},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
