#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollback
short_description: Take a service back to its last good release
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Swaps the service back, by the same strategy, with the same proof of health and with as little lost as in a release.
  - It works when the current release is dead. A release that waits to be confirmed is taken back, too.
  - Health check, timeouts and directories are those of the last release on that host.
  - Without O(release), it goes to the release that was committed most recently before the current one and that was not
    rolled back from. A second run finds that done and changes nothing, so that a retried job does not go back twice.
  - The same holds after a release that was refused, or that failed in its swap and was taken back then. A job that
    takes back what has just failed never leaves the release that has served all along. Name a release to go further.
  - In check mode, everything that can be checked without changing the host is checked, and the outcome predicted.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.by
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  name:
    description:
      - The service's name.
    type: str
    required: true
  release:
    description:
      - The id of the release to go back to, as listed by M(slipway.go.release_info).
    type: str
  of:
    description:
      - What is to be taken back, a version or an id. Where that neither serves nor is in flight, nothing is changed.
      - A version means each of its releases, so that none of them is where it goes, unless O(release) says so.
      - A rollback that was cut short is finished when it is run again.
      - An empty text is an error, for nobody can tell what it was to name.
    type: str
  run:
    description:
      - The name of the run whose release is to be taken back, see O(slipway.go.release#module:run). Where that run has
        brought nothing that serves or is in flight, nothing is changed. This is what the step after a failed release
        needs. Nothing else that the run has brought is where it goes, either. An empty text is an error, and so is one
        with C({{), which nobody has filled in.
    type: str
  mark_bad:
    description:
      - Whether the release that is left counts as bad on this host, so that it is released again only with
        O(slipway.go.release#module:force). V(false) where it was good here and is taken back for what happened on other
        hosts.
    type: bool
    default: true
  claim:
    description:
      - Not for playbooks. What M(slipway.go.conclude) tells the host of its run. Where another run has taken the lease
        of the service since, or somebody has ended it, nothing is taken back.
    type: dict
    suboptions:
      run:
        description:
          - The id of the run.
        type: str
        required: true
      held:
        description:
          - Whether it has taken the lease.
        type: bool
        default: false
seealso:
  - module: slipway.go.release
  - module: slipway.go.release_info
"""

EXAMPLES = r"""
- name: Back to the last good release
  slipway.go.rollback:
    name: shop

- name: Back from what this pipeline has released, if it has
  slipway.go.rollback:
    name: shop
    run: "{{ pipeline_number }}"

- name: Back to a named release
  slipway.go.rollback:
    name: shop
    release: 1.9.4-77c0aa12de
"""

RETURN = r"""
current:
  description: The id of the release that serves now; in check mode, that would.
  returned: success
  type: str
  sample: 1.9.4-77c0aa12de
previous:
  description: The id of the release that was left; V(null) when nothing was done.
  returned: success
  type: str
  sample: 2.0.0-3b1d8f00aa
action:
  description: What was done, V(rollback), or V(none) where the service is back already.
  returned: success
  type: str
  sample: rollback
phases:
  description: Seconds each phase took.
  returned: success
  type: dict
  sample: {"INTENT": 0.01, "OVERLAP": 0.4, "FLIP": 0.01, "DRAIN": 1.3, "SOAK": 5.0, "COMMIT": 0.06}
swap_seconds:
  description: Seconds from the first act to the end of the drain.
  returned: success
  type: float
  sample: 1.71
downtime_seconds:
  description:
    - Seconds nothing served, measured; V(null) for a strategy that has no downtime. If the swap was rolled back, it
      includes going back.
  returned: success, or when a swap that had a downtime was rolled back
  type: float
  sample: 0.3
restarted_because:
  description: Why the one release had to end before the other began, where the strategy lets them overlap.
  returned: success
  type: str
  sample: the environment differs, and a process that is handed over to keeps that of the one before
pruned:
  description: The ids of releases that were deleted because too many were there.
  returned: success
  type: list
  elements: str
  sample: []
cut:
  description: How many connections to the release before were still open when its drain ended, and were cut.
  returned: success
  type: int
  sample: 0
draining:
  description: The releases that go on draining beside the one that serves, because they still have users.
  returned: success
  type: list
  elements: str
  sample: []
earlier_credentials:
  description:
    - The credentials of the release that it goes to which have had another value since, or are gone. There is a
      warning, too.
  returned: success
  type: list
  elements: str
  sample: [database_password]
unconfirmed:
  description: Always V(null), because a rollback needs no confirmation.
  returned: success
  type: str
  sample: null
traffic:
  description: Always V(null), for users' requests have no say in a rollback.
  returned: success
  type: dict
  sample: null
probe:
  description:
    - What the probe saw before, during and after the swap, and where it was undone, while going back (C(rollback)).
    - V(null) where there was no probe.
    - C(blind) says in a sentence that every request failed, before the swap as after it, so that the figures say
      nothing of the release; V(null) otherwise.
  returned: success, and failure during the swap
  type: dict
  sample:
    target: http://127.0.0.1:8080/
    rate: 20.0
    blind: null
    before: {"sent": 12, "failed": 0, "reasons": {}, "p50_ms": 1.1, "p99_ms": 1.9, "max_ms": 1.9}
    during: {"sent": 31, "failed": 0, "reasons": {}, "p50_ms": 1.2, "p99_ms": 2.4, "max_ms": 2.4}
    after: {"sent": 100, "failed": 0, "reasons": {}, "p50_ms": 1.1, "p99_ms": 2.0, "max_ms": 2.2}
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: no_last_good
fix:
  description: What to do about the failure.
  returned: failure
  type: str
  sample: name an id that slipway.go.release_info lists under releases, or release another version
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence
from ansible_collections.slipway.go.plugins.module_utils._release import options
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.meant import parse_meant
from ansible_collections.slipway.go.plugins.module_utils._release.state.lease import parse_claim
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import load_settings


def work(module: AnsibleModule) -> dict[str, Any]:
    claim = parse_claim(module.params["claim"])
    engine = Engine(load_settings(module.params["name"]), by=module.params["by"], claim=claim)
    lease = engine.lease_objection() if claim is None else None
    if lease is not None:  # a rollback is for when something is wrong
        module.warn(f"{sentence(lease.message)} The rollback goes on.")
    wanted, meant = module.params["release"], parse_meant(module.params["of"], module.params["run"])
    if module.check_mode:
        outcome = engine.predict_rollback(wanted, meant)
    else:
        outcome = engine.rollback(wanted, meant, module.params["mark_bad"])
    for text in outcome.warnings:
        module.warn(text)
    return {**outcome.as_dict(), "earlier_credentials": outcome.earlier_credentials, "diff": outcome.diff()}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str"},
            "of": {"type": "str"},
            "run": {"type": "str"},
            "mark_bad": {"type": "bool", "default": True},
            "claim": {
                "type": "dict",
                "options": {"run": {"type": "str", "required": True}, "held": {"type": "bool", "default": False}},
            },
            "by": options.BY,
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
