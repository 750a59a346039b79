#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: tool
short_description: Put the release engine on the host as a command
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Builds C(slipway) from this collection's own code, one file that the host's Python runs, and copies it there when it
    differs. With it, an operator on the host looks at releases and takes them back without Ansible and without network,
    the service's watch runs, and a boot settles what an interrupted run has left.
  - C(slipway --help) says the rest.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  path:
    description:
      - Where to put it.
    type: path
    default: /usr/local/sbin/slipway
seealso:
  - module: slipway.go.release_info
"""

EXAMPLES = r"""
- name: The release engine on the host
  slipway.go.tool:
"""

RETURN = r"""
dest:
  description: Where the tool is.
  returned: success
  type: str
  sample: /usr/local/sbin/slipway
checksum:
  description: SHA-1 of the tool.
  returned: success
  type: str
  sample: 6e642bb8dd5c2e027bf21dd923337cbb4214f827
"""
