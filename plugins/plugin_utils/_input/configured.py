# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the inventory says of a service now, for a host that compares it with what the role has written there.

Values leave the controller only as digests. This file is PRIVATE to the collection.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Callable

from ansible.errors import AnsibleError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.preflight import digests
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import render_environment
from ansible_collections.slipway.go.plugins.module_utils._units.parser import parse_environment_file

VARIABLES = ("service_environment", "service_arguments", "service_credentials")


def expected(service: str, variables: Mapping[str, Any], template: Callable[[Any], Any]) -> dict[str, Any]:
    """By variable; one that is not defined for this host, or cannot be read, is left to the role service."""
    found: dict[str, Any] = {}
    try:
        if "service_name" not in variables or str(template(variables["service_name"])) != service:
            return {}
        given = {name: template(variables[name]) for name in VARIABLES if name in variables}
        if isinstance(given.get("service_environment"), Mapping):
            rendered = render_environment(given["service_environment"])
            found["service_environment"] = digests(parse_environment_file(rendered))
        if isinstance(given.get("service_credentials"), Mapping):
            found["service_credentials"] = digests({str(k): str(v) for k, v in given["service_credentials"].items()})
        if isinstance(given.get("service_arguments"), list):
            found["service_arguments"] = digests({"": "".join(map(_quoted, given["service_arguments"]))})
    except (AnsibleError, SlipwayError):
        return {}
    return found


def _quoted(argument: Any) -> str:
    """As the role's unit has it."""
    escaped = str(argument).replace("\\", "\\\\").replace('"', '\\"')
    return f' "{escaped}"'
