# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Why a service fails, or what is about to make it fail. Reads only. PRIVATE to the collection."""

from __future__ import annotations

from typing import Any

from .._host.systemd import Systemd
from .._release.operator.operator import Operator
from .causes import judge
from .look import Look

SECONDS = 8.0  # for one question to systemd
_OF_STATUS = ("current", "last_good", "state", "health", "message")


def diagnose(operator: Operator) -> dict[str, Any]:
    """One service. findings: the likely cause first. notes: what could not be looked at."""
    notes: list[str] = []
    systemd = Systemd(SECONDS)
    evidence = Look(Operator(operator.settings, operator.layout, systemd), systemd, notes).collect()
    found = [one.as_dict() for one in judge(evidence)]
    return {
        "service": evidence.service,
        **{key: evidence.status[key] for key in _OF_STATUS},
        "findings": found,
        "notes": notes,
    }
