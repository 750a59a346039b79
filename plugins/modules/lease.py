#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: lease
short_description: Give the lease of a service back, or judge whether a run may begin
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - M(slipway.go.release) takes the lease of a service on each host of a run, by its option
    O(slipway.go.release#module:lease), so that no other run releases that service there in the meantime. This module
    gives it back.
  - Without O(answer), it gives back what this run of Ansible has taken on this host, of every service. Where it has
    taken nothing, the host is not asked. A host that does not answer is a warning, because the lease ends by itself.
  - With O(answer), it judges whether the run may begin. It fails on each host in O(refused), and the other hosts give
    the lease back. Where no host refuses, it goes on. A host that refuses only because of the lease of a run in
    O(ended) ends that lease.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.by
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  name:
    description:
      - The service's name. Required with O(answer).
    type: str
    default: ""
  answer:
    description:
      - What M(slipway.go.release) has returned for this host in check mode.
    type: dict
  refused:
    description:
      - The hosts of the play that refuse the release, from the filter P(slipway.go.release_plan#filter).
    type: list
    elements: str
    default: []
  ended:
    description:
      - The ids of runs that are over, from the same filter.
    type: list
    elements: str
    default: []
  sealed:
    description:
      - Not for playbooks. What the controller's half of this module tells the host, as JSON.
    type: str
seealso:
  - module: slipway.go.release
"""

EXAMPLES = r"""
- name: Give back what this run has taken
  slipway.go.lease:
"""

RETURN = r"""
lease:
  description: The last lease of the service on this host, where it was asked.
  returned: success
  type: dict
  sample: {"run": "90f1c2aa34bb56dd", "state": "given back", "left": 0.0}
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: leased
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: wait for that run to end
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._release.by import LIMITS
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import parse_claim
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import Store
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import lease

LOCK_TIMEOUT = 30.0


def work(module: AnsibleModule) -> dict[str, Any]:
    told = json.loads(module.params["sealed"] or "{}")
    name, claim = validate_name(module.params["name"]), parse_claim(told.get("claim"))
    store = Store(Layout(name, f"/opt/{name}"))
    if claim is not None and not module.check_mode:
        if told.get("take"):
            lease.take(store, claim, told.get("by") or {}, LOCK_TIMEOUT)
        else:
            lease.give_back(store, claim.run, LOCK_TIMEOUT)
    return {"changed": False, "lease": lease.leases_of(store).told()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": ""},
            "answer": {"type": "dict"},
            "refused": {"type": "list", "elements": "str", "default": []},
            "ended": {"type": "list", "elements": "str", "default": []},
            "sealed": {"type": "str", "no_log": True},
            "by": {"type": "dict", "default": {}, "options": {name: {"type": "str"} for name in LIMITS}},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
