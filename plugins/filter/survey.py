# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: survey
short_description: Make the survey of an AWX job template from the argument specification of a role
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Takes the options of an entry point of a role, as C(meta/argument_specs.yml) has them, and the names of those to ask
    for. Returns what the option O(awx.awx.job_template#module:survey_spec) takes.
  - An answer is an extra variable, which wins over the inventory. A question has no default, therefore, and where it is
    not answered, the roles of this collection use the variable's own default. Ask for nothing that the inventory sets.
options:
  _input:
    description: The options of the entry point.
    type: dict
    required: true
  ask:
    description: The variables to ask for, in this order.
    type: list
    elements: str
    required: true
  required:
    description: Those of them that must be answered.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Ask for the version to release
  awx.awx.job_template:
    name: release
    survey_enabled: true
    survey_spec: "{{ options | slipway.go.survey(['release_version', 'release_force'], required=['release_version']) }}"
"""

RETURN = r"""
_value:
  description: The survey, with C(name), C(description) and C(spec), the questions.
  type: dict
  sample:
    name: ""
    description: ""
    spec:
      - question_name: release_version
        question_description: The version to release. Required.
        required: true
        type: text
        variable: release_version
        default: ""
        choices: ""
        min: 0
        max: 1024
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Callable

from ansible.errors import AnsibleFilterError

_MARKUP = re.compile(r"\b[A-Z]+\(([^)]*)\)")
_LENGTH = 1024


def survey(options: Any, ask: Sequence[str], required: Sequence[str] = ()) -> dict[str, Any]:
    if not isinstance(options, Mapping):
        raise AnsibleFilterError(f"survey takes the options of an entry point, not {type(options).__name__}")
    _known(ask, options, "the role has no variable")
    _known(required, dict.fromkeys(ask), "no question asks for the required")
    return {"name": "", "description": "", "spec": [_question(name, options[name], name in required) for name in ask]}


def _known(names: Sequence[str], known: Mapping[str, Any], says: str) -> None:
    for name in names:
        if name not in known:
            near = get_close_matches(name, list(known), 1)
            raise AnsibleFilterError(f"survey: {says} {name}{f'; did you mean {near[0]}?' if near else ''}")


def _question(name: str, option: Mapping[str, Any], required: bool) -> dict[str, Any]:
    kind, choices = _kind(option)
    return {
        "question_name": name,
        "question_description": _described(option),
        "required": required,
        "type": kind,
        "variable": name,
        "default": "",
        "choices": choices,
        "min": 0,
        "max": _LENGTH,
    }


def _kind(option: Mapping[str, Any]) -> tuple[str, list[str] | str]:
    """AWX's type of the question. The roles take every variable as text and say what is wrong with it."""
    default = option.get("default")
    if option.get("choices"):
        return "multiplechoice", [str(choice) for choice in option["choices"]]
    if option.get("type") == "bool" or isinstance(default, bool):
        return "multiplechoice", ["false", "true"]
    if isinstance(default, int):
        return "integer", ""
    return "text", ""


def _described(option: Mapping[str, Any]) -> str:
    text = option.get("description", "")
    first = str(text[0] if isinstance(text, (list, tuple)) and text else text)
    return _MARKUP.sub(r"\1", " ".join(first.split()))


class FilterModule:
    def filters(self) -> dict[str, Callable[..., dict[str, Any]]]:
        return {"survey": survey}
