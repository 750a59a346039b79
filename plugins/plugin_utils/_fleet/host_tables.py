# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a look at many hosts has found, as their tables say it. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.slipway.go.plugins.module_utils._core.errors import sentence

SHOWN = 5


def by_host(results: Any, key: str, unanswered: Mapping[str, Any], name: str) -> dict[str, list[dict[str, Any]]]:
    """What each host has answered under this key. name: of the filter that was given the results.

    One that has not answered has one finding: `unanswered`, and why.
    """
    if not isinstance(results, Mapping):
        raise AnsibleFilterError(f"{name} takes a dictionary of hosts, not {type(results).__name__}")
    return {str(host): _of_host(told, key, unanswered) for host, told in results.items()}


def _of_host(told: Mapping[str, Any], key: str, unanswered: Mapping[str, Any]) -> list[dict[str, Any]]:
    if isinstance(told.get(key), list) and not told.get("failed"):
        found: list[dict[str, Any]] = told[key]
        return found
    return [{**unanswered, "expected": "an answer", "found": " ".join(str(told.get("msg") or "nothing").split())}]


def reason(what: str, said: Sequence[str]) -> str:
    """How many there are, and the first of them, in one sentence; empty where there are none."""
    if not said:
        return ""
    more = f"; and {len(said) - SHOWN} more" if len(said) > SHOWN else ""
    return sentence(f"{len(said)} {what}{'' if len(said) == 1 else 's'}: {'; '.join(said[:SHOWN])}{more}")
