#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release
short_description: Release a version of a Go service with nothing lost
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Stages the artefact on the host, swaps it in by the service's strategy, and commits it once it has proven healthy.
  - A release that does not become healthy, or does not stay so while it soaks, is rolled back, and the task fails with
    RV(rolled_back) set and with what was wrong. The former release keeps serving, or serves again.
  - In the end the controller confirms the release over a new connection. If it cannot, the host takes the release back.
  - A release is identified by its content, the binary with its environment, configuration and unit files. The same
    content is never swapped in twice, so a second run changes nothing.
  - In check mode, everything that can be checked without changing the host is checked, and the outcome predicted.
  - The units, the user and the directories come from the role P(slipway.go.service#role).
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.engine
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  version:
    description:
      - The version of the artefact. The release's id is this and ten hexadecimal digits of the content's digest.
      - Letters, digits and V(.), V(_), V(+), V(~), V(-) are allowed, at most 100 characters.
    type: str
    required: true
  src:
    description:
      - Path of the binary on the controller. It is uploaded only if the host does not have this content yet.
    type: path
    required: true
  checksum:
    description:
      - The expected SHA-256 of O(src), as C(sha256:HEX) or C(HEX). Checked on the controller before any host is asked.
    type: str
  strategy:
    description:
      - How the new release takes over.
      - V(socket) starts it beside the old one on the same listening socket, proves it healthy, then drains the old one.
        The service must accept on the descriptors systemd passes (C(LISTEN_FDS)).
      - V(restart) stops the old one first; the downtime is measured and returned.
    type: str
    choices: [socket, restart]
    default: socket
  group:
    description:
      - The group that may read the release's files. Defaults to O(name).
    type: str
  environment:
    description:
      - Environment variables of this release, added to what the role P(slipway.go.service#role) has set for the host.
      - Booleans become V(true) or V(false); all other values are taken as text.
    type: dict
    default: {}
  listen:
    description:
      - What the service listens on, in the notation of C(ListenStream=). Used to find out who else holds a port.
    type: list
    elements: str
    default: []
  rehearsal:
    description:
      - The address, in the notation of C(ListenStream=), at which the release is proven before any request can reach
        it; the one that the role P(slipway.go.service#role) has given the rehearsal's units.
      - When empty, there is no rehearsal.
    type: str
    default: ""
  policy:
    description:
      - Your own rules for artefacts, checked on the controller before any host is asked.
    type: dict
    default: {}
    suboptions:
      require_static:
        description:
          - Refuse a binary that needs a dynamic loader.
        type: bool
        default: false
      require_vcs_clean:
        description:
          - Refuse a binary that was built outside a repository, or from a modified one.
        type: bool
        default: false
      min_go_version:
        description:
          - The oldest Go version, for example V(1.25) or V(1.25.3).
        type: str
      main_module:
        description:
          - The path of the main module that the binary must have been built from.
        type: str
      denylist:
        description:
          - A file on the controller that names modules that must not be in the binary, one a line, each optionally
            followed by version bounds such as V(<v1.2.3) and by a reason after V(#).
          - A module that ends in V(/...) covers what is below it; V(stdlib) is Go itself.
        type: path
  force:
    description:
      - Whether to release also what has failed on this host before, or what somebody has rolled back from.
    type: bool
    default: false
  sealed:
    description:
      - O(environment) and O(health) as JSON. Set by the controller's half of this module, which takes those two away.
    type: str
  digest:
    description:
      - SHA-256 of the artefact. Set by the controller's half of this module.
    type: str
  size:
    description:
      - Size of the artefact in bytes. Set by the controller's half of this module.
    type: int
  goarch:
    description:
      - The architecture the artefact is built for, as C(GOARCH). Set by the controller's half of this module.
    type: str
  uploaded:
    description:
      - Path of the artefact on the host. Set by the controller's half of this module once it has uploaded it.
    type: path
seealso:
  - module: slipway.go.rollback
  - module: slipway.go.release_info
  - module: slipway.go.health_check
"""

EXAMPLES = r"""
- name: Release version 2.0.0 of the shop
  slipway.go.release:
    name: shop
    version: 2.0.0
    src: build/shop-linux-amd64
    checksum: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    listen: ["8080"]
    health:
      url: http://127.0.0.1:8080/readyz
      deadline: 20
    probe:
      url: http://127.0.0.1:8080/
      max_failed: 0
      max_p99: 0.5

- name: Would this release be accepted here?
  slipway.go.release:
    name: shop
    version: 2.0.0
    src: build/shop-linux-amd64
  check_mode: true
"""

RETURN = r"""
current:
  description: The id of the release that serves now; in check mode, that would.
  returned: always
  type: str
  sample: 2.0.0-3b1d8f00aa
previous:
  description: The id of the release that served before; V(null) on a first release.
  returned: success
  type: str
  sample: 1.9.4-77c0aa12de
action:
  description: >-
    What was done, V(release), V(none) where this release is the committed one already, or V(confirm) where a run before
    had swapped it in and it only waited to be confirmed.
  returned: success
  type: str
  sample: release
phases:
  description: Seconds each phase took.
  returned: success
  type: dict
  sample: {"STAGE": 0.05, "REHEARSE": 0.5, "OVERLAP": 0.42, "FLIP": 0.01, "DRAIN": 1.31, "SOAK": 5.0, "COMMIT": 0.06}
swap_seconds:
  description: Seconds from the first act to the end of the drain, without staging and soaking.
  returned: success
  type: float
  sample: 1.75
downtime_seconds:
  description: Seconds nothing served, measured; V(null) for a strategy that has no downtime.
  returned: success
  type: float
  sample: 0.31
pruned:
  description: The ids of releases that were deleted because more than O(keep) were there.
  returned: success
  type: list
  elements: str
  sample: [1.9.0-0f0e0d0c0b]
unconfirmed:
  description: The transaction that still waits to be confirmed; V(null) where none does.
  returned: success
  type: str
  sample: null
probe:
  description:
    - What the probe saw before, during and after the swap, and where it was undone, while going back (C(rollback)).
    - V(null) where there was no probe.
  returned: success, and failure during the swap
  type: dict
  sample:
    target: http://127.0.0.1:8080/
    rate: 20.0
    before: {"sent": 12, "failed": 0, "reasons": {}, "p50_ms": 1.1, "p99_ms": 1.9, "max_ms": 1.9}
    during: {"sent": 31, "failed": 0, "reasons": {}, "p50_ms": 1.2, "p99_ms": 2.4, "max_ms": 2.4}
    after: {"sent": 100, "failed": 0, "reasons": {}, "p50_ms": 1.1, "p99_ms": 2.0, "max_ms": 2.2}
rolled_back:
  description: Whether the former state was restored after this release failed.
  returned: failure during the swap
  type: bool
  sample: true
failed_phase:
  description: The phase in which the release failed.
  returned: failure during the swap
  type: str
  sample: OVERLAP
failed_release:
  description: The id of the release that failed. Its files stay on the host as evidence.
  returned: failure during the swap
  type: str
  sample: 2.0.1-aa00bb11cc
problems:
  description: Everything that speaks against this release on this host.
  returned: failure before the swap
  type: list
  elements: dict
  contains:
    code:
      description: A stable name of the problem.
      type: str
      sample: port_in_use
    message:
      description: What is wrong.
      type: str
      sample: port 8080 of service_listen is in use by nginx (pid 812).
    fix:
      description: What to do about it.
      type: str
      sample: stop that process, or choose another port in service_listen
  sample:
    - code: port_in_use
      message: port 8080 of service_listen is in use by nginx (pid 812).
      fix: stop that process, or choose another port in service_listen
host_profile:
  description: What this host offers to programs, for the controller's half of this module, which takes it away.
  returned: never to a playbook
  type: dict
  sample: {"machine": "x86_64", "goarch": "amd64"}
code:
  description: A stable name of the failure.
  returned: failure
  type: str
  sample: rolled_back
fix:
  description: What to do about the failure; empty where nothing is to be done.
  returned: failure
  type: str
  sample: build it with GOOS=linux GOARCH=amd64
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _door, _engine_options
from ansible_collections.slipway.go.plugins.module_utils._profile import collect_host_profile
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.model import Artefact, Spec

POLICY = {
    "require_static": {"type": "bool", "default": False},
    "require_vcs_clean": {"type": "bool", "default": False},
    "min_go_version": {"type": "str"},
    "main_module": {"type": "str"},
    "denylist": {"type": "path"},
}


def work(module: AnsibleModule) -> dict[str, Any]:
    sealed = json.loads(module.params["sealed"] or "{}")
    values = {**module.params, **sealed}
    artefact = Artefact(sha256=values["digest"], size=values["size"], goarch=values["goarch"], path=values["uploaded"])
    spec = Spec(
        version=values["version"],
        strategy=values["strategy"],
        artefact=artefact,
        group=values["group"] or values["name"],
        environment=values["environment"],
        listen=values["listen"],
        rehearsal=values["rehearsal"],
        force=values["force"],
    )
    engine = Engine(_engine_options.settings(values))
    outcome = engine.predict(spec) if module.check_mode else engine.release(spec)
    result = {**outcome.as_dict(), "diff": outcome.diff()}
    if outcome.needs_judgement(module.check_mode):
        result["host_profile"] = collect_host_profile().as_dict()
    return result


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "version": {"type": "str", "required": True},
            "src": {"type": "path", "required": True},
            "checksum": {"type": "str"},
            "strategy": {"type": "str", "choices": ["socket", "restart"], "default": "socket"},
            "group": {"type": "str"},
            "environment": {"type": "dict", "default": {}},
            "sealed": {"type": "str", "no_log": True},
            "listen": {"type": "list", "elements": "str", "default": []},
            "rehearsal": {"type": "str", "default": ""},
            "policy": {"type": "dict", "default": {}, "options": POLICY},
            "force": {"type": "bool", "default": False},
            "digest": {"type": "str"},
            "size": {"type": "int"},
            "goarch": {"type": "str"},
            "uploaded": {"type": "path"},
            **_engine_options.argument_spec(),
        },
        supports_check_mode=True,
    )
    _door.run(module, work)


if __name__ == "__main__":
    main()
