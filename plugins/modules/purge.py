#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: purge
short_description: Delete releases of a service with their configuration and secrets
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Deletes releases that the host keeps to go back to, for example because a secret in them has been revoked.
  - Nothing is purged where one of them serves, is the last good release, still runs, or is part of a swap in flight.
  - The history of the service keeps that they were there, and that they were purged.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  name:
    description:
      - The service's name.
    type: str
    required: true
  releases:
    description:
      - Ids, as listed by M(slipway.go.release_info), or versions, which stand for all their releases.
      - V(others) stands for all releases but the one that serves.
      - What is not on the host is no failure.
    type: list
    elements: str
    required: true
seealso:
  - module: slipway.go.release
  - module: slipway.go.release_info
"""

EXAMPLES = r"""
- name: Purge what still has the revoked key
  slipway.go.purge:
    name: shop
    releases: [1.9.4-77c0aa12de, 1.9.3]

- name: Purge all but what serves
  slipway.go.purge:
    name: shop
    releases: [others]
"""

RETURN = r"""
purged:
  description: The ids of the releases that were deleted, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: [1.9.4-77c0aa12de]
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: release_needed
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: release or confirm another one first, or name the ids of those that are to go
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import load_settings


def work(module: AnsibleModule) -> dict[str, Any]:
    try:
        settings = load_settings(module.params["name"])
    except SlipwayError as error:
        if error.code != "unknown_service":
            raise
        return {"changed": False, "purged": []}
    purged = Engine(settings).purge(module.params["releases"], predict=module.check_mode)
    return {"changed": bool(purged), "purged": purged}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "releases": {"type": "list", "elements": "str", "required": True},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
