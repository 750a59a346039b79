# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: drift_table
short_description: Render the drift of hosts as one table
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.drift_info) has returned for each host, and gives one line a difference.
  - A host that did not answer is a line as well.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of M(slipway.go.drift_info).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the table
  slipway.go.show:
    text: "{{ (results | slipway.go.drift_table).table }}"
"""

RETURN = r"""
_value:
  description: The table, and why each host that has drifted, or has not answered, is to fail.
  type: dict
  contains:
    table:
      description: The table, its lines separated by line breaks.
      type: str
    rows:
      description: Its rows, for programs.
      type: list
      elements: dict
    reasons:
      description: What is wrong on each of these hosts, in one sentence.
      type: dict
  sample:
    table: "HOST  SERVICE  WHAT"
    rows: []
    reasons: {web2: "1 difference: files /etc/ssh/sshd_config: expected as recorded, found another content."}
"""

from typing import Any, Callable

from ansible_collections.slipway.go.plugins.module_utils._drift.report import sentence_of
from ansible_collections.slipway.go.plugins.module_utils._drift.table import render_drift_table
from ansible_collections.slipway.go.plugins.plugin_utils._fleet import host_tables

_KEYS = ("service", "area", "what", "expected", "found", "since")
UNANSWERED = {**dict.fromkeys(_KEYS), "service": "", "area": "host", "what": "answer"}


def drift_table(results: Any) -> dict[str, Any]:
    by_host = host_tables.by_host(results, "findings", UNANSWERED, "drift_table")
    rows = [{"host": host, **one} for host, found in by_host.items() for one in found]
    notes = [f"{host}: {note}" for host, told in results.items() for note in told.get("notes") or []]
    table = render_drift_table(rows) if rows else f"no drift on {len(by_host)} host{'' if len(by_host) == 1 else 's'}"
    reasons = {host: host_tables.reason("difference", [*map(sentence_of, found)]) for host, found in by_host.items()}
    return {
        "table": "\n".join([table, *notes]),
        "rows": rows,
        "reasons": {host: text for host, text in reasons.items() if text},
    }


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"drift_table": drift_table}
