# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""slipway.go.firewall: runs the module, and waits for its answer no longer than rules are written and stay armed."""

from __future__ import annotations

from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._hardening.firewall.change import WRITING_S
from ansible_collections.slipway.go.plugins.plugin_utils._action.bounded import BoundedAction, run_armed

# A command of ufw takes a second or two on a slow host, and up to three are about one rule.
PER_RULE = 5.0


def rules(arguments: dict[str, Any]) -> int:
    """How many rules, ports of SSH and bindings are asked for; what is no list is for the module to refuse."""
    lists = [arguments.get(key) for key in ("rules", "ssh_ports", "ssh_sources")]
    services = arguments.get("services")
    lists += [one.get("rules") for one in services if isinstance(one, dict)] if isinstance(services, list) else []
    zones = arguments.get("zones")
    for zone in zones if isinstance(zones, list) else []:
        lists += [zone.get(key) for key in ("interfaces", "sources")] if isinstance(zone, dict) else []
    return sum(len(one) for one in lists if isinstance(one, list))


class ActionModule(BoundedAction):
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result: dict[str, Any] = super().run(tmp, task_vars)
        arguments = self._task.args
        # The module puts its revert off while it writes, by so much at a time.
        more = PER_RULE * rules(arguments)
        return {**result, **run_armed(self, arguments.get("seconds"), task_vars, WRITING_S, more)}
