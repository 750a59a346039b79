# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb remove: a service leaves the host, and no other one notices. This file is PRIVATE to the collection.

In an order in which nothing starts again what has been stopped, not even a reboot, and which can be begun anew at any
step: each looks at what is there. What says that the host knows the service goes last.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import Iterable, Optional, Sequence

from ..._core import files
from ..._core.errors import SlipwayError
from ..._deadman.model import System
from ..._units import foreign
from .. import background_drain
from ..context import Context
from ..phases import Phase
from ..removal import account, archive, front
from ..removal.parts import Parts, Wish
from ..state.store import remove as remove_path
from ..strategies.base import STOP_MARGIN


@dataclass(frozen=True)
class Removed:
    """known: whether slipway has, or had, the service on this host. archive: the file that was written."""

    removed: Sequence[str]
    kept: Sequence[str]
    archive: str = ""
    known: bool = True


def predict(context: Context, wish: Wish, top: str = "/") -> Removed:
    """What would go and what would stay; raise where the service cannot be removed now."""
    parts = Parts(context.layout, wish, top)
    gone = [*parts.doomed(), *account.doomed(parts)]
    if gone:
        _refuse(context, parts)
    written = wish.archive if gone and wish.archive and not os.path.lexists(wish.archive) else ""
    return Removed(gone, parts.kept(), written, parts.is_known)


def remove(context: Context, wish: Wish, top: str = "/", system: Optional[System] = None) -> Removed:
    """Stop the service for good and remove what it has here, but for its journal and, unless asked, its data."""
    parts = Parts(context.layout, wish, top)
    if not [*parts.doomed(), *account.doomed(parts)]:
        return Removed([], parts.kept(), known=parts.is_known)
    with context.locked():
        planned, managed = predict(context, wish, top), parts.is_managed
        if managed:  # else what has the service's names by now is somebody else's
            _forget_at_boot(context, parts)
            _stop(context)
        written = archive.write(parts)
        if managed:
            front.close(parts, system)
            _remove_units(context, parts)
            _delete([*parts.configuration, *parts.links])
        _delete([*parts.state, *parts.record])
        if wish.data:
            _delete(parts.data)
            account.remove(parts)
        _remove_empty(parts.emptied())
        context.journal.record("removed", data=wish.data, archive=wish.archive)
        _delete(parts.proof)
    return Removed(planned.removed, parts.kept(), wish.archive if written else "")


def _refuse(context: Context, parts: Parts) -> None:
    """Raise where units are somebody else's, where a release is under way, or where the archive cannot be written."""
    if parts.wish.data and _of_others(context):
        raise SlipwayError(
            "former_needs_data",
            f"the service that {context.layout.name} was before slipway runs again, and its data would be deleted.",
            "run again without remove_data",
        )
    foreign.check(parts.place, context.systemd, former=_of_others(context))
    name, in_flight = context.layout.name, context.store.load()
    if in_flight is not None and in_flight.phase == Phase.PROBATION:
        raise SlipwayError(
            "release_in_flight",
            f"{in_flight.to} of {name} waits to be confirmed. Nothing was changed.",
            f"run sudo slipway confirm {name} or sudo slipway rollback {name} on the host, then run again",
            phase=in_flight.phase,
        )
    if in_flight is not None:
        raise SlipwayError(
            "release_in_flight",
            f"a release of {name} to {in_flight.to} is under way, or was cut short ({in_flight.phase}). Nothing was "
            "changed.",
            f"wait for it to end, or run sudo slipway recover {name} on the host, then run again",
            phase=in_flight.phase,
        )
    archive.check(parts)


def _of_others(context: Context) -> list[str]:
    """What a service has of these names that was there before slipway, and runs again."""
    takeover = context.takeover
    return takeover.paths() if takeover.in_force else []


def _forget_at_boot(context: Context, parts: Parts) -> None:
    """Nothing looks after the service any more, and no boot starts it."""
    name, systemd = context.layout.name, context.systemd
    _delete(parts.watch)
    for unit in parts.units:
        if "@" not in unit:
            systemd.call("disable", "--quiet", unit, check=False)
    for unit in (f"{name}-watch.timer", f"{name}-watch.service"):
        if unit in parts.units:
            systemd.call("stop", unit, check=False)


def _stop(context: Context) -> None:
    """The address closes, as its strategy does that, and every instance ends its requests."""
    name, systemd, settings = context.layout.name, context.systemd, context.settings
    strategy = context.strategy_of(context.current_id() or "")
    others = set(map(os.path.basename, _of_others(context)))
    for unit in (f"{name}.socket", f"{name}-guard.service", f"{name}-rehearsal.socket"):
        if unit not in others:
            systemd.call("stop", unit, check=False)
    background_drain.stop_all(systemd, name)
    running = systemd.active_instances(name)
    if running:
        strategy.close()
    for unit in running:
        strategy.end(unit)
    for unit in [*systemd.active_instances(name), *systemd.active_instances(f"{name}-rehearsal")]:
        systemd.end(unit, settings.drain_timeout + STOP_MARGIN, STOP_MARGIN)
    if f"{name}.service" not in others:
        systemd.call("stop", f"{name}.service", timeout=settings.drain_timeout + 2 * STOP_MARGIN, check=False)
    left = systemd.active_instances(name)
    if left:
        raise SlipwayError(
            "still_running",
            f"{', '.join(left)} {'was' if len(left) == 1 else 'were'} stopped and runs again.",
            f"find out what starts it (systemctl status '{left[0]}'), then run again",
        )


def _remove_units(context: Context, parts: Parts) -> None:
    systemd, names = context.systemd, parts.units
    drop_ins = parts.drop_ins
    _delete([*parts.sockets, *parts.extras, *drop_ins])
    _remove_empty(map(os.path.dirname, drop_ins))
    for unit in names:
        if "@" not in unit:
            systemd.call("reset-failed", unit, check=False)
    _delete(parts.unit_files)
    if names or systemd.stale(*foreign.names_of(context.layout.name)):
        systemd.call("daemon-reload")


def _remove_empty(folders: Iterable[str]) -> None:
    """What is not the collection's stays, with its folder."""
    for folder in folders:
        with contextlib.suppress(OSError):
            os.rmdir(folder)


def _delete(paths: Sequence[str]) -> None:
    """Remove files and folders; raise where one cannot be removed as a whole."""
    for path in paths:
        remove_path(path)
        if os.path.lexists(path):
            raise SlipwayError(
                "not_removed",
                f"{path} could not be removed as a whole.",
                "find out what keeps it (lsattr, findmnt), then run again",
            )
    for folder in dict.fromkeys(map(os.path.dirname, paths)):
        if os.path.isdir(folder):
            files.fsync_directory(folder)
