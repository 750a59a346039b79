# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that every module that drives the engine has. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping

from .state.model import Settings


def argument_spec() -> dict[str, dict[str, Any]]:
    """Documented in the fragment slipway.go.attributes.engine."""
    return {
        "name": {"type": "str", "required": True},
        "root": {"type": "path"},
        "health": {"type": "dict", "default": {}},
        "probe": {"type": "dict", "default": {}},
        "start_timeout": {"type": "float", "default": 60},
        "drain_timeout": {"type": "float", "default": 30},
        "soak_time": {"type": "float", "default": 5},
        "lock_timeout": {"type": "float", "default": 30},
        "keep": {"type": "int", "default": 5},
        "confirm": {"type": "float", "default": 60},
        "proxy": {
            "type": "dict",
            "default": {},
            "options": {
                "ports": {"type": "list", "elements": "int", "default": [18080, 18081]},
                "weights": {"type": "list", "elements": "int", "default": []},
                "step_time": {"type": "float", "default": 30},
                "max_errors": {"type": "float", "default": 1},
                "max_latency_ratio": {"type": "float", "default": 2},
                "min_requests": {"type": "int", "default": 50},
                "inconclusive": {"type": "str", "choices": ["accept", "refuse"], "default": "accept"},
            },
        },
    }


def settings(values: Mapping[str, Any]) -> Settings:
    """What the engine is told by these options."""
    given = {key: values[key] for key in argument_spec() if key != "root"}
    return Settings(root=values["root"] or f"/opt/{values['name']}", **given)
