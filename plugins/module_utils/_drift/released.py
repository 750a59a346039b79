# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a service is not as it was released. Reads only. PRIVATE to the collection."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping, Optional

from .._core import files
from .._core.errors import SlipwayError
from .._host.systemd import Systemd
from .._release import stage
from .._release.operator.operator import Operator, operator
from .._release.state.layout import Layout
from .._release.state.store import services
from .item import MISSING, NONE, Finding

DISK, RECORD, STATE, UNITS = "release", "record", "state", "units"


@dataclass(frozen=True)
class Compared:
    """services: those that were compared. in_flight: those that a release is under way for, which were not."""

    findings: list[Finding]
    in_flight: list[str]
    services: list[str] = field(default_factory=list)


def compare_services(only: str = "", systemd: Optional[Systemd] = None) -> Compared:
    """One service, or all that have been released on this host; each for itself."""
    found = Compared([], [])
    for name in [only] if only else services():
        of_one = _of(name, systemd or Systemd())
        if of_one is None:
            found.in_flight.append(name)
        else:
            found.services.append(name)
            found.findings.extend(of_one)
    return found


def _of(name: str, systemd: Systemd) -> Optional[list[Finding]]:
    try:
        one = operator(name)
        told = one.status(0)
        return None if told["in_flight"] else list(_compare(one, told, systemd))
    except SlipwayError as error:
        if error.code == "unknown_service":
            raise
        return [Finding(name, RECORD, name, "readable", error.message)]
    except OSError as error:
        return [Finding(name, RECORD, name, "readable", f"{error.strerror or error} {error.filename or ''}".rstrip())]


def _compare(one: Operator, told: Mapping[str, Any], systemd: Systemd) -> Iterator[Finding]:
    name, layout = one.settings.name, one.layout
    yield from (Finding(name, RECORD, name, "readable", str(damage)) for damage in told["damaged"])
    current = layout.current_id()
    if current is None:
        if told["state"] == "no release serves":
            yield Finding(name, DISK, layout.current, "a link to a release", NONE)
        return
    for difference in told["differences"]:
        yield Finding(name, DISK, current, "as it was released", difference)
    yield from _units(name, layout, current)
    sockets = [f"{name}.socket"] if layout.socket_unit in stage.unit_copies(layout, current) else []
    yield from _states(name, str(told["state"]), [f"{name}.service", *sockets], systemd)


def _units(name: str, layout: Layout, current: str) -> Iterator[Finding]:
    released = stage.unit_copies(layout, current)
    for path in layout.own_units:
        wanted, found = released.get(path), files.text(path) if os.path.exists(path) else None
        if wanted == found or (wanted is None and not released):
            continue
        since = os.lstat(path).st_ctime if found is not None else None
        expected = NONE if wanted is None else f"as {current} brought it"
        yield Finding(name, UNITS, path, expected, _unit(wanted, found), since)


def _unit(wanted: Optional[str], found: Optional[str]) -> str:
    if found is None:
        return MISSING
    return "a unit" if wanted is None else "another content"


def _states(name: str, state: str, at_boot: list[str], systemd: Systemd) -> Iterator[Finding]:
    if not state.startswith(("active", "reloading", "activating")):
        yield Finding(name, STATE, f"{name}.service", "active", state)
    for unit in at_boot:
        if not systemd.is_enabled(unit):
            yield Finding(name, STATE, unit, "started at boot", "not started at boot")
