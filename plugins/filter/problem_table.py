# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: problem_table
short_description: Render what speaks against a release as one table, host by host
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.release) has returned in check mode for each host.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of M(slipway.go.release).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what speaks against the release
  slipway.go.show:
    text: "{{ results | slipway.go.problem_table }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: One line for each problem and warning of each host under a heading; empty when there is none.
  type: str
  sample: |-
    HOST  PROBLEM      WHAT AND HOW TO FIX IT
    web1  port_in_use  port 8080 of service_listen is in use by nginx (pid 812). Fix: stop that process
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import with_fix

HEADING = ("HOST", "PROBLEM", "WHAT AND HOW TO FIX IT")


def rows(host: str, told: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The problems of one host, or its notices; a result that is neither a success nor such a list is a problem."""
    if told.get("problems"):
        return [(host, str(p["code"]), with_fix(p["message"], p["fix"])) for p in told["problems"]]
    if "action" in told:
        return [(host, f"warning: {n['code']}", with_fix(n["message"], n["fix"])) for n in told.get("notices") or []]
    code = "unreachable" if told.get("unreachable") else str(told.get("code") or "error")
    return [(host, code, str(told.get("msg") or "did not answer"))]


def problem_table(results: Any) -> str:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"problem_table takes a dictionary of hosts, not {type(results).__name__}")
    found = [line for host, told in results.items() for line in rows(str(host), told)]
    if not found:
        return ""
    widths = [max(len(line[column]) for line in [HEADING, *found]) for column in (0, 1)]
    lines = [f"{host:<{widths[0]}}  {code:<{widths[1]}}  {text}" for host, code, text in [HEADING, *found]]
    return "\n".join(" ".join(line.splitlines()) for line in lines)


class FilterModule:
    def filters(self) -> dict[str, Callable[[Any], str]]:
        return {"problem_table": problem_table}
