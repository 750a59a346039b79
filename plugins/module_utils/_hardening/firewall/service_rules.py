# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the runs of a host's services have asked the firewall for, kept on the host. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from typing import Any, Container, Iterable, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..services import public_ports, services
from .rule import Rule, parse_rule

_FOLDER = "etc/slipway/firewall"
_KEYS = ("port", "proto", "source", "interface", "zone", "service", "limit")
_DEFAULTS = {field.name: field.default for field in fields(Rule)}


def path(service: str, root: str = "/") -> str:
    return os.path.join(root, _FOLDER, f"{service}.json")


def text(service: str, root: str = "/") -> str:
    return files.text(path(service, root))


def render(rules: Iterable[Rule]) -> str:
    records = [{key: getattr(rule, key) for key in _KEYS} for rule in rules]
    records = [{key: value for key, value in one.items() if value != _DEFAULTS[key]} for one in records]
    return json.dumps({"rules": records}) + "\n"


def by_others(own: Container[str], zone: str, root: str = "/") -> tuple[list[Rule], set[str]]:
    """What the host's other services have asked for, and the ports of those that have not asked yet.

    A service that was set up without this role, or by an earlier version of it, has not.
    """
    rules: list[Rule] = []
    ports: set[str] = set()
    for service in services(root):
        if service.name in own:
            continue
        asked = recorded(service.name, root)
        if asked is None:
            ports.update(public_ports(service.listen))
        else:
            rules += [replace(rule, zone=rule.zone or zone) for rule in asked]
    return rules, ports - {rule.port for rule in rules}


def recorded(service: str, root: str = "/") -> Optional[list[Rule]]:
    """What the runs of this service have asked for; None where they have not asked."""
    content = text(service, root)
    if not content:
        return None
    try:
        records: Any = json.loads(content)["rules"]
        return [parse_rule(one) for one in records]
    except (ValueError, TypeError, KeyError, AttributeError, SlipwayError):
        raise SlipwayError(
            "damaged_record",
            f"{path(service, root)} does not say what its service lets in. Nothing was changed.",
            "remove that file and run the role firewall for that service again",
        ) from None
