# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""All of slipway.go.show: writes a text to the output of the run."""

from __future__ import annotations

from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slipway.go.plugins.module_utils._core.table import plain


def printable(text: str) -> str:
    """The text with its line breaks; whatever a host put into it, nothing commands the operator's terminal."""
    return "\n".join(plain(line).rstrip() for line in text.splitlines())


class ActionModule(ActionBase):
    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({"text": {"type": "str", "required": True}})
        text = printable(arguments["text"])
        Display().display(text)
        return {**result, "changed": False, "text": text}
