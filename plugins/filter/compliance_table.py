# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: compliance_table
short_description: Render the compliance of hosts as one table
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.compliance_info) has returned for each host, and gives one line for each control that the
    host does not comply with, or that is off. How many comply stands below it.
  - A host that did not answer is a line as well.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of M(slipway.go.compliance_info).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the table
  slipway.go.show:
    text: "{{ (results | slipway.go.compliance_table).table }}"
"""

RETURN = r"""
_value:
  description: The table, and why each host that deviates, or has not answered, is to fail.
  type: dict
  contains:
    table:
      description: The table, its lines separated by line breaks.
      type: str
    rows:
      description: Every control of every host, for programs.
      type: list
      elements: dict
    reasons:
      description: What is wrong on each of these hosts, in one sentence.
      type: dict
  sample:
    table: "HOST  CONTROL  VERDICT"
    rows: []
    reasons: {web2: "1 deviation: ssh_root, expected permitrootlogin no, found permitrootlogin yes."}
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._compliance.checks import DEVIATIONS, Verdict
from ansible_collections.slipway.go.plugins.module_utils._compliance.table import render_compliance_table, summary
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence

SHOWN = 5
DEVIATING = tuple(verdict.value for verdict in DEVIATIONS)
LISTED = (*DEVIATING, Verdict.OFF.value)


def rows(told: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those of one host; one that did not answer has one."""
    if isinstance(told.get("controls"), list) and not told.get("failed"):
        return told["controls"]
    found = " ".join(str(told.get("msg") or "nothing").split())
    return [{"control": "-", "verdict": Verdict.UNKNOWN.value, "expected": "an answer", "found": found}]


def reason(found: list[dict[str, Any]]) -> str:
    """What deviates; empty where nothing does."""
    wrong = [one for one in found if one["verdict"] in DEVIATING]
    if not wrong:
        return ""
    shown = "; ".join(f"{one['control']}, expected {one['expected']}, found {one['found']}" for one in wrong[:SHOWN])
    more = f"; and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
    return sentence(f"{len(wrong)} deviation{'' if len(wrong) == 1 else 's'}: {shown}{more}")


def compliance_table(results: Any) -> dict[str, Any]:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"compliance_table takes a dictionary of hosts, not {type(results).__name__}")
    by_host = {str(host): rows(told) for host, told in results.items()}
    every = [{"host": host, **one} for host, found in by_host.items() for one in found]
    listed = [one for one in every if one["verdict"] in LISTED]
    summaries = [summary(str(host), told["counts"]) for host, told in results.items() if told.get("counts")]
    return {
        "table": "\n".join([*([render_compliance_table(listed)] if listed else []), *summaries]),
        "rows": every,
        "reasons": {host: text for host, found in by_host.items() if (text := reason(found))},
    }


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"compliance_table": compliance_table}
