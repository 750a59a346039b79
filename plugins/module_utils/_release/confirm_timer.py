# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dead-man revert of a release: the host takes back what nobody confirms. PRIVATE to the collection.

The timer only starts the tool on the host, in a unit of its own: who takes the service's lock first, that or a
confirmation, finds the transaction in flight, and the other one does not. After a reboot it is slipway-recover.service
that settles, so that the timer's own boot unit has nothing to run.
"""

from __future__ import annotations

import contextlib
import os
from typing import Optional

from .._core import files
from .._core.errors import SlipwayError
from .._core.paths import TOOL
from .._deadman import change as deadman
from .._deadman import ending
from .._deadman.model import RevertPlan


def _name(service: str) -> str:
    return f"release-{service}"


def is_tool_there() -> bool:
    """Whether the host has a tool at all."""
    return os.access(TOOL, os.X_OK)


def require_tool() -> None:
    """Raise unless the host could take a release back by itself."""
    if not is_tool_there():
        raise SlipwayError(
            "no_tool",
            f"{TOOL} is not on this host, and without it nothing could take back a release that nobody confirms.",
            "apply the role slipway.go.service, or set release_confirm to 0",
        )


def has_tool(digest: str) -> bool:
    """Whether the tool on this host is the one with that SHA-256."""
    return os.path.isfile(TOOL) and files.sha256_file(TOOL) == digest


def arm(service: str, txn: str, seconds: float) -> None:
    """Have the host take this transaction back after so many seconds; the caller holds the service's lock."""
    ending.disarm(_name(service))  # left by a run that has ended, for it does not hold the lock any more
    argv = ["systemd-run", "--quiet", "--collect", "--no-block", f"--description=Take back {service}, unconfirmed"]
    deadman.arm(_name(service), seconds, RevertPlan(run=[[*argv, TOOL, "recover", service, "--txn", txn]]), token=txn)


def shorten(service: str, txn: str, seconds: float) -> None:
    """Have the host take it back in that time from now, which is earlier than it was armed for."""
    with deadman.hold(_name(service), txn):
        deadman.shorten(_name(service), txn, seconds)


def disarm(service: str, txn: str) -> None:
    """The transaction has ended. A timer that cannot be stopped finds nothing to take back."""
    with contextlib.suppress(OSError):
        ending.disarm(_name(service), txn)


def deadline(service: str, txn: str) -> Optional[float]:
    """When the host will take this transaction back, in seconds since the epoch; None if it will not by itself."""
    return deadman.pending(_name(service), txn)
