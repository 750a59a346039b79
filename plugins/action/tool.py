# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The controller's half of slipway.go.tool: builds the tool and has ansible.builtin.copy put it on the host."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.slipway.go.plugins.module_utils._core.paths import TOOL
from ansible_collections.slipway.go.plugins.module_utils._tool import zipapp
from ansible_collections.slipway.go.plugins.plugin_utils._action.delegation import delegate


class ActionModule(ActionBase):
    """One round trip where the host has the tool already."""

    TRANSFERS_FILES = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validated, arguments = self.validate_argument_spec({"path": {"type": "path", "default": TOOL}})
        descriptor, built = tempfile.mkstemp(prefix="slipway-")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(zipapp.own())
            copied = self._copy(built, arguments["path"], task_vars)
        finally:
            os.unlink(built)
        copied.pop("diff", None)
        return {**result, **copied}

    def _copy(self, source: str, target: str, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        arguments = {"src": source, "dest": target, "owner": "root", "group": "root", "mode": "0755"}
        return delegate(self, "ansible.legacy.copy", arguments, task_vars)
