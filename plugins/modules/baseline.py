#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: baseline
short_description: Write down what hardening has left a host like
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Writes down files, accounts, firewall rules, kernel settings and whatever else M(slipway.go.drift_info) compares.
  - A run looks with O(state=begun) before it changes anything, and writes down with O(state=recorded) at its end. Only
    what has changed in between is taken over, so that a change that somebody else has made before stays a difference.
    The first time, all is.
  - A run that is interrupted in between leaves its first look, which counts for the next one.
  - Of two runs at once, the one that ends first takes over what both have changed by then. What the other changes later
    stays a difference.
  - The record is C(/var/lib/slipway/baseline.json), which only root can read. It has digests of files, not contents.
extends_documentation_fragment:
  - slipway.go.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  state:
    description:
      - V(begun) looks at the host, and writes down nothing that counts yet.
      - V(recorded) takes over what has changed since.
      - V(accepted) takes over all that there is, also what others have changed.
    type: str
    choices: [begun, recorded, accepted]
    default: recorded
seealso:
  - module: slipway.go.drift_info
"""

EXAMPLES = r"""
- name: Look at the host before its roles change it
  slipway.go.baseline:
    state: begun

- name: Write down what they have changed
  slipway.go.baseline:

- name: Take what was changed by hand as right from now on
  slipway.go.baseline:
    state: accepted
"""

RETURN = r"""
known:
  description: Whether the host had been written down before.
  returned: success
  type: bool
  sample: true
accepted:
  description: With O(state=accepted), what was different, in the form of M(slipway.go.drift_info).
  returned: success
  type: list
  elements: dict
  sample: []
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: damaged_record
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: remove /var/lib/slipway/baseline.json, and run site.yml or harden.yml again
"""

from typing import Any, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._drift import baseline
from ansible_collections.slipway.go.plugins.module_utils._drift.item import compare
from ansible_collections.slipway.go.plugins.module_utils._drift.survey import survey


def accept(old: Optional[baseline.Baseline], predict: bool) -> dict[str, Any]:
    found = survey()
    accepted = [one.as_dict() for one in compare(old.record, found)] if old else []
    changed = old is None or bool(accepted) if predict else baseline.finish(found, everything=True)
    return {"changed": changed, "accepted": accepted}


def work(module: AnsibleModule) -> dict[str, Any]:
    state, old = module.params["state"], baseline.load()
    result: dict[str, Any] = {"changed": False, "accepted": [], "known": old is not None}
    if state == "accepted":
        return {**result, **accept(old, module.check_mode)}
    if module.check_mode:
        return {**result, "changed": state == "recorded" and old is None}
    if state == "begun":
        if old is not None:  # the first record takes all
            baseline.begin(survey())
        return result
    return {**result, "changed": baseline.finish(survey())}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["begun", "recorded", "accepted"], "default": "recorded"},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
