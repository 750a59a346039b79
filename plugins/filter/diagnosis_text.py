# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: diagnosis_text
short_description: Render the diagnosis of a service on all hosts
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes what M(slipway.go.diagnosis_info) has returned for each host, and gives one list of findings a host.
  - A host that did not answer has that as its finding.
options:
  _input:
    description:
      - A dictionary of host names and the registered results of M(slipway.go.diagnosis_info).
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show the diagnosis
  slipway.go.show:
    text: "{{ (results | slipway.go.diagnosis_text).text }}"
"""

RETURN = r"""
_value:
  description: The lists, and why each host with a failure, or without an answer, is to fail.
  type: dict
  contains:
    text:
      description: The lists, their lines separated by line breaks.
      type: str
    reasons:
      description: The first finding of each host that fails, in one sentence.
      type: dict
  sample:
    text: "web1  shop: 2.0.0-3b1d8f00aa, active (running), health pass"
    reasons: {web2: "shop was stopped, and nothing has failed. Fix: run systemctl start shop"}
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence
from ansible_collections.slipway.go.plugins.module_utils._diagnosis.text import failing, render, sentence_of


def _answered(told: Mapping[str, Any]) -> bool:
    return isinstance(told.get("findings"), list) and not told.get("failed")


def _refusal(told: Mapping[str, Any]) -> str:
    return sentence(" ".join(str(told.get("msg") or "the host did not answer").split()))


def _text(host: str, told: Mapping[str, Any]) -> str:
    if not _answered(told):
        return f"{host}  {_refusal(told)}"
    return "\n".join([f"{host}  {render(told)}", *(f"     note: {note}" for note in told.get("notes") or [])])


def _reason(told: Mapping[str, Any]) -> str:
    """Empty where nothing is wrong."""
    if not _answered(told):
        return _refusal(told)
    return next(map(sentence_of, failing(told)), "")


def diagnosis_text(results: Any) -> dict[str, Any]:
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"diagnosis_text takes a dictionary of hosts, not {type(results).__name__}")
    reasons = {str(host): _reason(told) for host, told in results.items()}
    return {
        "text": "\n".join(_text(str(host), told) for host, told in results.items()),
        "reasons": {host: reason for host, reason in reasons.items() if reason},
    }


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"diagnosis_text": diagnosis_text}
