#!/usr/bin/python

# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vulnerabilities
short_description: Say which known vulnerabilities are in a Go program, without a network
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Reads what the Go toolchain recorded in a program on the host, and compares it with a vulnerability database that
    the controller has as a folder or zip. Nothing is executed, fetched or changed.
  - What counts are the versions of the modules that are in the program, of replacements where there are any, and the Go
    version for the standard library.
  - Where the program has its symbol table, a vulnerability counts only if a package or symbol that its entry names is
    linked in. A stripped program is judged by versions alone. Each finding says in C(basis) what it rests on.
  - A vulnerability is a result and no failure; RV(refused) says whether the rules would refuse the program.
extends_documentation_fragment:
  - slipway.go.attributes
  - slipway.go.attributes.info_module
options:
  path:
    description:
      - The program on the host. Give this or O(name).
    type: path
  name:
    description:
      - A service whose current release is judged.
    type: str
  root:
    description:
      - The directory that holds the releases of O(name). Defaults to C(/opt/NAME).
    type: path
  database:
    description:
      - A folder or zip on the controller with entries in OSV's format, each a file C(ID.json), such as
        U(https://vuln.go.dev/vulndb.zip). The folder C(index/) of the Go database is read for its time alone.
      - An entry that cannot be read makes the whole database unfit, as does a database without entries about Go.
    type: path
  severity:
    description:
      - The lowest severity that counts against the program, from CVSS 3 or from what the database says in words. Go's
        own entries name none; that of an entry of the database that is one of its aliases is taken then.
      - A vulnerability whose severity is unknown always counts.
    type: str
    choices: [low, medium, high, critical]
  grace:
    description:
      - Days since a vulnerability was published in which it does not count.
    type: float
    default: 0
  max_age:
    description:
      - Days since the latest change of the database after which it is refused; V(0) accepts any age.
    type: float
    default: 30
  ignore:
    description:
      - Vulnerabilities that do not count.
    type: list
    elements: dict
    default: []
    suboptions:
      id:
        description: The id of the entry, or one of its aliases.
        type: str
        required: true
      reason:
        description: Why it is ignored.
        type: str
        required: true
      until:
        description: The last day on which it is ignored, as C(YYYY-MM-DD).
        type: str
        required: true
  inconclusive:
    description:
      - Whether a module whose version is unknown, and a program that does not name its modules, count against it.
    type: str
    choices: [accept, refuse]
    default: refuse
  toolchain:
    description:
      - Whether vulnerabilities of Go's own commands count. They are about the machine that built the program.
    type: bool
    default: false
  denylist:
    description:
      - A file on the controller that names modules that must not be in the program, as
        O(slipway.go.release#module:policy) takes it.
    type: path
  sbom:
    description:
      - A CycloneDX document on the controller. Its licences are compared with O(denied_licences), if it names any.
    type: path
  denied_licences:
    description:
      - Licences that must not be in the program, by their SPDX identifiers.
    type: list
    elements: str
    default: []
  sealed:
    description:
      - Not for playbooks. What the controller's half of this module tells the host, as JSON.
    type: str
seealso:
  - module: slipway.go.binary_info
  - module: slipway.go.release
"""

EXAMPLES = r"""
- name: Ask what is known of the current release
  slipway.go.vulnerabilities:
    name: shop
    database: vulndb.zip
  register: shop_known

- name: Judge a program, except for what does not concern it
  slipway.go.vulnerabilities:
    path: /usr/bin/prometheus
    database: vulndb.zip
    severity: high
    ignore:
      - id: CVE-2023-45288
        reason: the port is reachable from the monitoring network alone
        until: "2027-01-31"
  register: prometheus_known
"""

RETURN = r"""
path:
  description: The program; V(null) where the service has no release.
  returned: success
  type: str
  sample: /opt/shop/releases/2.0.0-3b1d8f00aa/bin/shop
release:
  description: The id of the release with O(name), else V(null).
  returned: success
  type: str
  sample: 2.0.0-3b1d8f00aa
sha256:
  description: SHA-256 of the program.
  returned: success
  type: str
  sample: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
go_version:
  description: The Go version that built it, or V(null).
  returned: success
  type: str
  sample: go1.22.3
refused:
  description: Whether anything counts against the program.
  returned: success
  type: bool
  sample: true
problems:
  description: What counts against it, with C(code), C(message) and C(fix).
  returned: success
  type: list
  elements: dict
  sample: []
findings:
  description: Every vulnerability, also what does not count.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: The id of the entry.
      type: str
    aliases:
      description: Its other names.
      type: list
      elements: str
    module:
      description: The module; V(stdlib) is Go itself.
      type: str
    version:
      description: Its version; empty where it is unknown.
      type: str
    fixed:
      description: The lowest later version that is not affected; empty where none is known.
      type: str
    severity:
      description: V(low), V(medium), V(high), V(critical), or empty where it is unknown.
      type: str
    published:
      description: The day on which it was published.
      type: str
    summary:
      description: What the database says of it.
      type: str
    state:
      description:
        - V(open) counts. V(inconclusive) counts unless O(inconclusive=accept). V(ignored), V(recent) and V(minor) do
          not.
      type: str
    basis:
      description: What it rests on, V(symbols), V(packages) or the V(module)'s version alone.
      type: str
    not_narrowed:
      description: Why it rests on the version alone; empty where it does not.
      type: str
    packages:
      description: The packages of the entry that are linked in.
      type: list
      elements: str
    symbols:
      description: The symbols of the entry that are linked in.
      type: list
      elements: str
    reason:
      description: Why it is ignored, or was.
      type: str
    until:
      description: The last day on which it is ignored, or was.
      type: str
  sample: []
not_linked:
  description: Entries that affect a module's version in packages or symbols that are not linked in.
  returned: success
  type: list
  elements: str
  sample: [GO-2023-1840]
unjudged:
  description: What could not be judged, one sentence each.
  returned: success
  type: list
  elements: str
  sample: []
unused:
  description: Ignored ids that are not in the program.
  returned: success
  type: list
  elements: str
  sample: []
licences:
  description:
    - Whether licences were C(judged), else C(why_not), and the C(unnamed) components whose licence is unknown.
  returned: success
  type: dict
  sample:
    judged: false
    why_not: no SBOM is given
    unnamed: []
"""

import json
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.slipway.go.plugins.module_utils import _module
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._binary.policy import check_policy, parse_denylist
from ansible_collections.slipway.go.plugins.module_utils._core.text import printable
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import validate_name
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.gate import unpack
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.judge import ACCEPT, REFUSE, Judgement
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.policy import judge_program, problems
from ansible_collections.slipway.go.plugins.module_utils._vulnerabilities.severity import LEVELS

IGNORE = {name: {"type": "str", "required": True} for name in ("id", "reason", "until")}
NOTHING = {"path": None, "release": None, "sha256": None, "go_version": None}


def place(name: str, root: str) -> tuple[str, str]:
    """The program of the service's current release, and the release's id; both empty before the first one."""
    validate_name(name)
    layout = Layout(name, root or f"/opt/{name}")
    release = layout.current_id()
    return (layout.binary(release), release) if release else ("", "")


def work(module: AnsibleModule) -> dict[str, Any]:
    values = module.params
    sealed = json.loads(values["sealed"] or "{}")
    path, release = values["path"] or "", ""
    if values["name"]:
        path, release = place(values["name"], values["root"] or "")
    judgement, against = Judgement(()), []
    about: dict[str, Any] = dict(NOTHING)
    if path:
        facts = read_binary(path).facts
        about = {"path": path, "release": release or None, "sha256": facts["sha256"]}
        about["go_version"] = (facts["go"] or {}).get("version")
        if sealed.get("gate"):
            gate = unpack(sealed["gate"])
            judgement = judge_program(path, facts, gate)
            against += problems(path, judgement, gate)
        denied = parse_denylist(sealed.get("denylist") or "", values["denylist"] or "")
        against += check_policy(facts, {"denied_modules": denied})
    result = {**about, **judgement._asdict(), "findings": [one._asdict() for one in judgement.findings]}
    result.update(changed=False, refused=bool(against), problems=[one._asdict() for one in against])
    told: dict[str, Any] = printable(result)
    return told


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path"},
            "name": {"type": "str"},
            "root": {"type": "path"},
            "database": {"type": "path"},
            "severity": {"type": "str", "choices": list(LEVELS)},
            "grace": {"type": "float", "default": 0},
            "max_age": {"type": "float", "default": 30},
            "ignore": {"type": "list", "elements": "dict", "default": [], "options": IGNORE},
            "inconclusive": {"type": "str", "choices": [ACCEPT, REFUSE], "default": REFUSE},
            "toolchain": {"type": "bool", "default": False},
            "denylist": {"type": "path"},
            "sbom": {"type": "path"},
            "denied_licences": {"type": "list", "elements": "str", "default": []},
            "sealed": {"type": "str", "no_log": True},
        },
        mutually_exclusive=[("path", "name")],
        required_one_of=[("path", "name"), ("database", "denylist", "sbom")],
        supports_check_mode=True,
    )
    _module.run(module, work)


if __name__ == "__main__":
    main()
