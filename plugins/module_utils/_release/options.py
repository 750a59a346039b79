# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that every module that drives the engine has. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping

from .by import LIMITS
from .state.model import ACCEPT, PAUSE, REFUSE, ROLLBACK, Proxy, Settings

BY: dict[str, Any] = {"type": "dict", "default": {}, "options": {name: {"type": "str"} for name in LIMITS}}


def argument_spec() -> dict[str, dict[str, Any]]:
    """Documented in the fragment slipway.go.attributes.engine."""
    return {
        "name": {"type": "str", "required": True},
        "root": {"type": "path"},
        "health": {"type": "dict", "default": {}},
        "probe": {"type": "dict", "default": {}},
        "start_timeout": {"type": "float", "default": Settings.start_timeout},
        "drain_timeout": {"type": "float", "default": Settings.drain_timeout},
        "drain_background": {"type": "float", "default": Settings.drain_background},
        "soak_time": {"type": "float", "default": Settings.soak_time},
        "lock_timeout": {"type": "float", "default": Settings.lock_timeout},
        "keep": {"type": "int", "default": Settings.keep},
        "confirm": {"type": "float", "default": 60},
        "proxy": {
            "type": "dict",
            "default": {},
            "options": {
                "ports": {"type": "list", "elements": "int", "default": list(Proxy.ports)},
                "weights": {"type": "list", "elements": "int", "default": list(Proxy.weights)},
                "step_time": {"type": "float", "default": Proxy.step_time},
                "min_time": {"type": "float"},
                "max_errors": {"type": "float", "default": Proxy.max_errors},
                "max_latency_ratio": {"type": "float", "default": Proxy.max_latency_ratio},
                "min_requests": {"type": "int", "default": Proxy.min_requests},
                "inconclusive": {"type": "str", "choices": [ACCEPT, REFUSE], "default": Proxy.inconclusive},
                "slow": {"type": "str", "choices": [ROLLBACK, PAUSE], "default": Proxy.slow},
                "pause_time": {"type": "float", "default": Proxy.pause_time},
            },
        },
    }


def settings(values: Mapping[str, Any]) -> Settings:
    """What the engine is told by these options."""
    given = {key: values[key] for key in argument_spec() if key != "root"}
    return Settings(root=values["root"] or f"/opt/{values['name']}", **given)
