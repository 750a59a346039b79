# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The systemd kind: a unit's state, restarts and watchdog. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Optional

from ..._core import command
from ..._host.systemd import Systemd
from ..deadline import Deadline
from ..identity.identity import unit_name
from ..identity.process import describe
from ..outcome import Attempt, CheckFailed
from ..session import RunningAttempt, healthy
from ..spec.check import Target
from ..spec.options import Options
from .kind import Kind

_PROPERTIES = (
    "LoadState",
    "ActiveState",
    "SubState",
    "Result",
    "NRestarts",
    "MainPID",
    "WatchdogUSec",
    "WatchdogTimestampMonotonic",
)
_UP = ("active", "reloading", "refreshing")  # a unit serves on while it reads its configuration again
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


@dataclass(frozen=True)
class SystemdTarget(Target):
    unit: str
    max_restarts: Optional[int] = None

    def __str__(self) -> str:
        return self.unit

    @property
    def watched_unit(self) -> Optional[str]:
        return self.unit


def _parse(options: Options) -> SystemdTarget:
    unit = options.text("unit")
    if not unit or unit.startswith("-") or any(ord(c) <= 32 for c in unit):
        raise options.error("unit", f"is {unit!r}", "name the unit, for example shop.service")
    return SystemdTarget(unit, options.whole("max_restarts", None, 0))


def show(unit: str, deadline: Deadline) -> dict[str, str]:
    """The unit's properties as systemctl prints them, empty where it has none."""
    seconds = deadline.require("starting systemctl")
    try:
        return Systemd(seconds).properties(unit_name(unit), *_PROPERTIES)
    except command.MissingProgram as error:
        raise CheckFailed("exec", error.message) from error
    except command.TimeLimitPassed as error:
        raise CheckFailed("timeout", f"systemctl did not end within {deadline.seconds:g} s") from error
    except command.CommandFailed as error:
        last = (error.finished.complaint.splitlines() or ["no output"])[-1]
        raise CheckFailed("unit", f"systemctl cannot tell about {unit}: {last[:200]}") from error
    except OSError as error:
        raise CheckFailed("exec", f"systemctl cannot be run: {error.strerror or error}") from error


def restarts(properties: dict[str, str]) -> Optional[int]:
    text = properties.get("NRestarts", "")
    return int(text) if text.isdigit() else None


def _attempt(running: RunningAttempt, target: SystemdTarget) -> Attempt:
    unit = target.unit
    properties = show(unit, running.deadline)
    running.details.update(
        active=properties.get("ActiveState"),
        sub=properties.get("SubState"),
        result=properties.get("Result"),
        restarts=restarts(properties),
    )
    pid = properties.get("MainPID", "0")
    if pid.isdigit() and pid != "0":
        running.process = describe(int(pid))
    _require_active(unit, properties)
    _require_few_restarts(unit, restarts(properties), target.max_restarts)
    _require_watchdog(unit, properties)
    return healthy(running, f"{unit} is {properties.get('ActiveState')} ({properties.get('SubState')})")


def _require_active(unit: str, properties: dict[str, str]) -> None:
    if properties.get("LoadState") == "not-found":
        raise CheckFailed("unit", f"{unit} does not exist on this host")
    if properties.get("ActiveState") not in _UP:
        result = properties.get("Result", "")
        because = f", result {result}" if result not in ("", "success") else ""
        raise CheckFailed("unit", f"{unit} is {properties.get('ActiveState')} ({properties.get('SubState')}{because})")


def _require_few_restarts(unit: str, count: Optional[int], most: Optional[int]) -> None:
    if most is not None and count is not None and count > most:
        raise CheckFailed("unit", f"{unit} was restarted {count} times by systemd, wanted {most} or fewer")


def _require_watchdog(unit: str, properties: dict[str, str]) -> None:
    """A watchdog that is late is not waited for: systemd is about to kill the service."""
    limit = span(properties.get("WatchdogUSec", "0"))
    last = properties.get("WatchdogTimestampMonotonic", "0")
    if not limit or not last.isdigit() or last == "0":
        return
    age = time.clock_gettime(time.CLOCK_MONOTONIC) - int(last) / 1e6
    if age > limit:
        raise CheckFailed("unit", f"{unit} last fed its watchdog {age:.1f} s ago, it has to every {limit:g} s")


def span(text: str) -> float:
    """Seconds of a time as systemctl prints it: 30s, 1min 30s, 500ms, infinity."""
    total = 0.0
    for part in text.split():
        number = part.rstrip("abcdefghijklmnopqrstuvwxyz")
        try:
            total += float(number) * _UNITS.get(part[len(number) :] or "us", 0.0)
        except ValueError:
            return 0.0
    return total


KIND = Kind(frozenset({"unit", "max_restarts"}), _parse, _attempt)
