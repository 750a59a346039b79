# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the modules that build artefacts and bundles have in common."""

from __future__ import annotations


class ModuleDocFragment:
    # How go is run.
    TOOLCHAIN = r"""
options:
  go:
    description:
      - The path of the program C(go). By default the one on C(PATH), else that of C(/usr/local/go).
    type: path
  cache:
    description:
      - The folder for C(go)'s caches, which stay for the next run.
    type: path
    default: ~/.cache/slipway-build
  offline:
    description:
      - Whether to fetch no module (C(GOPROXY=off)). They must be in C(vendor/) or in O(cache) then.
    type: bool
    default: false
  proxy:
    description:
      - C(GOPROXY). By default that of C(go). Put no password into it; C(go) reads C(~/.netrc).
    type: str
    default: ''
  private:
    description:
      - Patterns of modules that no public server is asked for (C(GOPRIVATE)).
    type: list
    elements: str
    default: []
  as_root:
    description:
      - Whether to build although the user is root.
    type: bool
    default: false
"""

    # The keys that what is made is signed with.
    SIGNING = r"""
options:
  minisign_key:
    description:
      - The file with the secret key of minisign to sign with, on the host that signs.
    type: path
  minisign_public_key:
    description:
      - The public half of O(minisign_key), the line that starts with C(RW). Each signature is verified with it.
    type: str
    default: ''
  minisign_password:
    description:
      - The password of O(minisign_key). It is written to the program's standard input.
    type: str
  ssh_key:
    description:
      - The file with the key to sign with by C(ssh-keygen -Y sign). For a key that an agent holds, its public half.
    type: path
  ssh_namespace:
    description:
      - The namespace of signatures by C(ssh-keygen).
    type: str
    default: file
"""

    # How large a bundle may be.
    BUNDLE = r"""
options:
  max_size:
    description:
      - How many MiB all files may have.
    type: int
    default: 4096
"""
