# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A new port of SSH, let in by the very change that moves sshd to it. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Optional, Sequence

from ..._deadman.managed_files import Guard
from ..connection import Connection
from .backend import Argv, Run
from .rule import ssh_rules
from .survey import backend_of, in_force


@dataclass(frozen=True)
class Opening:
    """What lets the ports in, and how the firewall is brought back when the change of sshd is taken back."""

    commands: Sequence[Argv] = ()
    paths: Sequence[str] = ()
    undo: Sequence[Argv] = ()
    undo_at_boot: Sequence[Argv] = ()

    def guarded(self, guard: Guard) -> Guard:
        return replace(
            guard,
            paths=[*guard.paths, *self.paths],
            run=[*guard.run, *self.undo],
            run_at_boot=[*guard.run_at_boot, *self.undo_at_boot],
        )


def opening(
    ports: Sequence[int], sources: Sequence[str], limit: bool, connected: Optional[Connection], run: Run
) -> Opening:
    """As narrow as the role firewall lets SSH in, which a wider rule would undo; nothing where none is in force."""
    name = in_force(run)
    if not name:
        return Opening()
    backend = backend_of(name, run)
    zones = backend.ssh_zones(connected, backend.default_zone(), ())
    missing = backend.missing([rule for zone in sorted(zones) for rule in ssh_rules(ports, sources, limit, zone, None)])
    if not missing:
        return Opening()
    return Opening(backend.let_in(missing, True), backend.paths, backend.undo(True), backend.undo_at_boot(True))
