# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: texts
short_description: Read a list of texts that a survey may have given as one text
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Returns the list. A text such as C(a, b) or C([a, b]) is read as one; an empty text is an empty list.
extends_documentation_fragment:
  - slipway.go.variable
options:
  _input:
    description: The list, or its text.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Purge releases
  slipway.go.purge:
    name: shop
    releases: "{{ release_purge | slipway.go.texts('release_purge') }}"
"""

RETURN = r"""
_value:
  description: The texts.
  type: list
  elements: str
  sample: [1.9.4]
"""

from typing import Any, Callable

from ansible_collections.slipway.go.plugins.plugin_utils._input import survey
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def texts(given: Any, variable: str) -> list[str]:
    if survey.is_empty(given):
        return []
    with refusal():
        found: list[str] = survey.list_of(survey.text)(given, variable)
        return found


class FilterModule:
    def filters(self) -> dict[str, Callable[..., list[str]]]:
        return {"texts": texts}
