#!/usr/bin/python
# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: release_info
short_description: Tell what runs, what is there to go back to, and what has happened
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Reads what the release engine has recorded on the host, and what systemd says of the service's instances.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  name:
    description:
      - The service's name.
    type: str
    required: true
  root:
    description:
      - The directory that holds the releases. Defaults to C(/opt/NAME).
    type: path
  history:
    description:
      - How many finished transactions to return, the newest first.
    type: int
    default: 10
  answers:
    description:
      - How often to ask the release's health check, the one it was released with, in a row; V(0) for not at all.
    type: int
    default: 0
seealso:
  - module: slipway.go.release
  - module: slipway.go.rollback
"""

EXAMPLES = r"""
- name: What does this host run?
  slipway.go.release_info:
    name: shop
  register: shop
"""

RETURN = r"""
current:
  description: The id of the release that C(current) points at; V(null) before the first release.
  returned: success
  type: str
  sample: 2.0.0-3b1d8f00aa
last_good:
  description: The id of the release that was committed last.
  returned: success
  type: str
  sample: 2.0.0-3b1d8f00aa
version:
  description: The version of the current release.
  returned: success
  type: str
  sample: 2.0.0
state:
  description:
    - What systemd says of the current release's instance; V(no release serves) where a release served once and none is
      current now, and V(never released).
  returned: success
  type: str
  sample: active (running)
service:
  description: The service's name.
  returned: success
  type: str
  sample: shop
commit:
  description: The commit the current release was built from, where Go has written it into the binary.
  returned: success
  type: str
  sample: 1f3c9b0a
origin:
  description:
    - Where the current release comes from. C(source) is its artefact without anything secret, C(sha256) its digest,
      C(binary) the file of an archive that runs, C(checksum) where that digest is from, C(signer) who has signed it,
      C(proof) stands for the signature that was verified, C(claims) are where which version was named, and
      C(provenance) has C(builder), C(repository), C(ref), C(commit), C(version) and C(signer) of the provenance that
      was verified when it was staged. What does not apply is left out.
  returned: success
  type: dict
  sample:
    source: https://downloads.example.com/shop/2.0.0/shop_2.0.0_linux_amd64.tar.gz
    sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
    binary: shop
    checksum: https://downloads.example.com/shop/2.0.0/SHA256SUMS
    signer: minisign 9A90C55F72903870
since:
  description: When the current release was committed, in seconds since the epoch.
  returned: success
  type: float
  sample: 1789000000.123
restarts:
  description: How often systemd has restarted the current release by itself.
  returned: success
  type: int
  sample: 0
health:
  description:
    - V(pass), V(warn) or V(fail), by the health check where O(answers) asks it, else by systemd.
    - V(unknown) where the host's own record is damaged so that the service cannot be judged.
  returned: success
  type: str
  sample: pass
message:
  description: What the health is based on.
  returned: success
  type: str
  sample: http://127.0.0.1:8080/readyz answers 200
p99:
  description: The 99th percentile of the answers' time in seconds; V(null) where none was asked for.
  returned: success
  type: float
  sample: 0.0021
watched:
  description: When the watch on the host last looked, in seconds since the epoch; V(null) where it never has.
  returned: success
  type: float
  sample: 1789000010.5
damaged:
  description: What of the host's record of the service is damaged, each with its fix.
  returned: success
  type: list
  elements: str
  sample: []
skipped_lines:
  description: How many lines of the journal cannot be read and are left out.
  returned: success
  type: int
  sample: 0
bad:
  description: The ids of releases on the host that failed, or that somebody rolled back from.
  returned: success
  type: list
  elements: str
  sample: [2.0.1-aa00bb11cc]
differences:
  description:
    - What of the current release is not on the disk as it was released, such as a binary that somebody has replaced.
      Nothing is started from it any more; what serves is kept.
  returned: success
  type: list
  elements: str
  sample: []
running:
  description: The units of all instances that run; two only while a swap is on.
  returned: success
  type: list
  elements: str
  sample: [shop@2.0.0-3b1d8f00aa.service]
in_flight:
  description: The transaction that a run has begun and not finished; V(null) if there is none.
  returned: success
  type: dict
  sample: null
at_work:
  description: Whether a run goes on with the transaction in flight, so that it was not cut short.
  returned: success
  type: bool
  sample: false
unsettled:
  description: What becomes of the transaction in flight by itself, and when; V(null) if there is none.
  returned: success
  type: str
  sample: 2.0.0-3b1d8f00aa is unconfirmed until 14:03:20 UTC, and is taken back then (PROBATION)
lease:
  description:
    - The last lease of the service, by which one run keeps others from releasing it. C(left) is for how many seconds
      yet, C(0) where it is over; C(run) is the id of the run of Ansible, and C(name) its name. V(null) if there was
      none.
  returned: success
  type: dict
  sample: {"run": "90f1c2aa34bb56dd", "state": "held", "left": 512.3, "by": {"person": "alice", "controller": "ctl1"}}
run:
  description: The name of the run that has released what serves, see O(slipway.go.release#module:run); else empty.
  returned: success
  type: str
  sample: "4711"
by:
  description: Who has brought what serves, from where, in which job, and why. What is not known is missing.
  returned: success
  type: dict
  sample: {"person": "alice", "controller": "ctl1", "job": "AWX job 42", "reason": "repairs the checkout"}
draining:
  description: The releases that go on draining beside what serves, because they still have users.
  returned: success
  type: list
  elements: str
  sample: []
once:
  description:
    - What the host knows of commands that are run once for a version, see O(slipway.go.release#module:once), each by
      the version and a digest of its words.
  returned: success
  type: dict
  sample: {"2.0.0-1c5f2e7a90": {"state": "done", "attempt": "3f2a1b2c", "began": 1789000000.123, "took": 2.41}}
good:
  description: The ids of the releases on the host that were good and not rolled back from, the most recent last.
  returned: success
  type: list
  elements: str
  sample: [1.9.4-77c0aa12de, 2.0.0-3b1d8f00aa]
releases:
  description: The ids of all releases on the host, the oldest first.
  returned: success
  type: list
  elements: str
  sample: [1.9.4-77c0aa12de, 2.0.0-3b1d8f00aa]
history:
  description: What has happened, the newest first.
  returned: success
  type: list
  elements: dict
  sample:
    - time: 1789000000.123
      event: committed
      kind: release
      release: 2.0.0-3b1d8f00aa
      previous: 1.9.4-77c0aa12de
      strategy: socket
      started: 1788999994.511
      swap_seconds: 0.446
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._host.systemd import Systemd
from ansible_collections.slipway.go.plugins.module_utils._release import once
from ansible_collections.slipway.go.plugins.module_utils._release.operator.operator import Operator
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Settings, validate_name
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import load_settings


def settings(name: str, root: str) -> Settings:
    """How the last release was treated; before a first one, only where it would be."""
    try:
        return load_settings(name)
    except SlipwayError as error:
        if error.code != "unknown_service":
            raise
        return Settings(validate_name(name), root)


def work(module: AnsibleModule) -> dict[str, Any]:
    name = module.params["name"]
    operator = Operator(settings(name, module.params["root"] or f"/opt/{name}"))
    told = operator.status(module.params["answers"])
    readable, journal = told["health"] != "unknown", operator.store.journal
    history = journal.history()[::-1][: module.params["history"]] if readable else []
    known = once.every(Systemd(), operator.layout, journal) if readable else {}
    return {"changed": False, **told, "history": history, "once": known}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "root": {"type": "path"},
            "history": {"type": "int", "default": 10},
            "answers": {"type": "int", "default": 0},
        },
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
