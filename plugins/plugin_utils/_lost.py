# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts that become unreachable or fail in their batch. This file is PRIVATE to the collection.

Ansible counts an unreachable host of a play with any_errors_fatal twice, and so begins the next batch. One that has
failed ends the run.
"""

from __future__ import annotations

from typing import Any, Mapping


def unreachable(reason: object) -> dict[str, Any]:
    """The failed result of a release whose host cannot be reached any more."""
    fix = "see that it can be reached again, then slipway status there"
    why = " ".join(str(reason).split())
    return {
        "failed": True,
        "changed": False,
        "code": "unreachable",
        "fix": fix,
        "msg": f"the host became unreachable: {why} What it had begun and nobody confirms, it takes back by itself at "
        f"its deadline. Fix: {fix}",
    }


def not_touched(variables: Mapping[str, Any]) -> list[str]:
    """The hosts of the play that come after this batch, which is a slice of them."""
    everyone: list[str] = list(variables.get("ansible_play_hosts_all") or [])
    batch = set(variables.get("ansible_play_batch") or [])
    last = max((place for place, host in enumerate(everyone) if host in batch), default=len(everyone))
    return everyone[last + 1 :]


def stop(result: dict[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The failed result, with what it means for the run that ends with it."""
    left = not_touched(variables)
    tail = f" {variables.get('inventory_hostname')} stops the run; not touched: {', '.join(left)}." if left else ""
    return {**result, "msg": f"{result.get('msg', '')}{tail}"}
