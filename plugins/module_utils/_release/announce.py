# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has become of a service, in the host's log with structured fields. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
from typing import Any, Mapping

from .._host import journald
from .by import LIMITS, describe_by

# Priorities of syslog(3).
_NOTICE, _ERROR = 5, 3
_SAYS = {
    "committed": "{release} is the release",
    "rolled_back": "{release} was rolled back",
    "refused": "{release} was refused in its rehearsal",
    "given_up": "{release} was given up, like what served before it",
    "left_as_is": "{release} failed and was left, for there is no other",
}


def announce(service: str, event: Mapping[str, Any]) -> None:
    """Send the outcome of a transaction to journald. A host without it has its own history all the same."""
    by = event.get("by") or {}
    said = _SAYS[str(event["event"])].format(release=event.get("release"))
    reason = f": {event['reason']}" if event.get("reason") else ""
    told = describe_by(by)
    fields = {
        "MESSAGE": f"{service}: {said}{reason}{f' (by {told})' if told else ''}",
        "PRIORITY": _NOTICE if event["event"] == "committed" else _ERROR,
        "SYSLOG_IDENTIFIER": "slipway",
        "SLIPWAY_SERVICE": service,
        "SLIPWAY_EVENT": event["event"],
        "SLIPWAY_KIND": event.get("kind"),
        "SLIPWAY_RELEASE": event.get("release"),
        "SLIPWAY_PREVIOUS": event.get("previous") or event.get("serving"),
        "SLIPWAY_RUN": event.get("run"),
        **{f"SLIPWAY_{name.upper()}": by.get(name) for name in LIMITS},
    }
    with contextlib.suppress(OSError):
        journald.send({name: str(value) for name, value in fields.items() if value not in (None, "")})
