# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: environment_file
short_description: Render variables as a systemd environment file
version_added: 0.1.0
author:
  - Slipway maintainers (@slipway)
description:
  - Renders a dictionary in the format that C(EnvironmentFile=) reads, sorted by name and with every value quoted.
  - Booleans become V(true) or V(false). A name that is not an identifier and a value with a line break are errors.
options:
  _input:
    description: The variables.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Environment of the shop
  ansible.builtin.copy:
    dest: /etc/shop/environment
    content: "{{ {'GREETING': 'say \"hi\"', 'DEBUG': false} | slipway.go.environment_file }}"
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The file's content.
  type: str
  sample: "DEBUG=\"false\"\n"
"""

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import render_environment
from ansible_collections.slipway.go.plugins.plugin_utils._input.refusal import refusal


def environment_file(variables: Any) -> str:
    if not isinstance(variables, Mapping):
        raise AnsibleFilterError(f"environment variables must be a dictionary, not {type(variables).__name__}")
    with refusal():
        return render_environment(variables)


class FilterModule:
    def filters(self) -> dict[str, Callable[[Any], str]]:
        return {"environment_file": environment_file}
