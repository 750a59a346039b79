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

from typing import Any, Callable

from ansible_collections.slipway.go.plugins.module_utils._compliance.checks import DEVIATIONS, Verdict
from ansible_collections.slipway.go.plugins.module_utils._compliance.table import render_compliance_table, summary
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import host_tables

DEVIATING = tuple(verdict.value for verdict in DEVIATIONS)
LISTED = (*DEVIATING, Verdict.OFF.value)
UNANSWERED = {"control": "-", "verdict": Verdict.UNKNOWN.value}


def reason(found: list[dict[str, Any]]) -> str:
    """What deviates; empty where nothing does."""
    wrong = [one for one in found if one["verdict"] in DEVIATING]
    said = [f"{one['control']}, expected {one['expected']}, found {one['found']}" for one in wrong]
    return host_tables.reason("deviation", said)


def compliance_table(results: Any) -> dict[str, Any]:
    by_host = host_tables.by_host(results, "controls", UNANSWERED, "compliance_table")
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
