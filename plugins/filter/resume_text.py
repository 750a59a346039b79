# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: resume_text
short_description: Render what hosts do that were told to resume a service
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what C(slipway resume --json) has written on each host, and gives one line for each.
  - A host on which nothing is paused, or that never had the service, is no failure as long as something was paused on
    another one.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of the command.
    type: dict
    required: true
  service:
    description: The service's name.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what each host does
  slipway.go.show:
    text: "{{ (results | slipway.go.resume_text('shop')).text }}"
"""

RETURN = r"""
_value:
  description: The lines, and which hosts did not do it.
  type: dict
  contains:
    text:
      description: The lines, separated by line breaks.
      type: str
    reasons:
      description: Why a host could not be told, in one sentence.
      type: dict
    idle:
      description: What is there instead, of each host that has nothing to resume.
      type: dict
    paused:
      description: On how many hosts the release goes on or back now.
      type: int
  sample:
    text: "web1  shop: 2.0.0-3b1d8f00aa goes on"
    reasons: {}
    idle: {web2: "no release of shop is paused: 1.9.4-77c0aa12de serves."}
    paused: 1
"""

import errno
import json
from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence
from ansible_collections.slipway.go.plugins.module_utils._core.table import plain

BACK = "sent_back"
NOT_PAUSED = "not_paused"
NO_TOOL = "unknown_service"  # each release brings it
# A host that never had the service has nothing to resume either.
IDLE = (NOT_PAUSED, NO_TOOL)


def _told(result: Mapping[str, Any], service: str) -> dict[str, Any]:
    """What the tool has written; of one that wrote nothing, why."""
    try:
        loaded = json.loads(str(result.get("stdout")))
    except ValueError:
        loaded = None
    if isinstance(loaded, dict):
        return loaded
    if result.get("skipped"):
        return {"failed": True, "code": NOT_PAUSED, "msg": "in check mode, nothing is said to the host."}
    if result.get("rc") == errno.ENOENT and not result.get("stderr") and "module_stderr" not in result:
        return {"failed": True, "code": NO_TOOL, "msg": f"{service} has never been released on this host."}
    return {"failed": True, "msg": result.get("stderr") or result.get("msg") or "the host did not answer"}


def _line(service: str, told: Mapping[str, Any]) -> str:
    if told.get("failed"):
        return sentence(" ".join(str(told.get("msg")).split()))
    does = f"goes back to {told.get('previous')}" if told.get("word") == BACK else "goes on"
    once = "" if told.get("heard", True) else " as soon as its run looks again"
    return f"{service}: {told.get('release')} {does}{once}"


def resume_text(results: Any, service: str) -> dict[str, Any]:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"resume_text takes a dictionary of hosts, not {type(results).__name__}")
    answers = {str(host): _told(result, service) for host, result in results.items()}
    lines = {host: plain(_line(service, told)) for host, told in answers.items()}
    idle = [host for host, told in answers.items() if told.get("code") in IDLE]
    failed = [host for host, told in answers.items() if told.get("failed") and host not in idle]
    return {
        "text": "\n".join(f"{host}  {line}" for host, line in lines.items()),
        "reasons": {host: lines[host] for host in failed},
        "idle": {host: lines[host] for host in idle},
        "paused": len(answers) - len(idle) - len(failed),
    }


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"resume_text": resume_text}
