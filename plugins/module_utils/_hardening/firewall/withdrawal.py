# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service had let in and nothing else needs is closed when the service is removed. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, replace
from typing import Iterable, Optional, Sequence

from ..._core import command
from ..._core.errors import SlipwayError
from ..._deadman import change as deadman
from ..._deadman import managed_files, model
from ..._deadman.model import RevertPlan, System
from ..connection import Connection, connection
from ..services import NAME as SERVICE_NAME
from . import overlap, service_rules
from .backend import Backend, Words
from .change import NAME, WAIT_FOR, WRITING_S, Clock, RunWithin
from .rule import Rule
from .survey import Options, backend_of, choose, in_force, remembered


@dataclass(frozen=True)
class Withdrawal:
    """record: the file that says what the service has let in; empty where there is none."""

    backend: Backend
    installed: bool
    active: bool
    removals: Sequence[Words]
    record: str
    connection: Optional[Connection] = None

    @property
    def changed(self) -> bool:
        return bool(self.removals or self.record)


def closable(
    own: Iterable[Rule], ports: Iterable[str], ssh_ports: Iterable[int], services: Iterable[str]
) -> list[Rule]:
    """Of the service's rules, those by which nobody administers the host, and that no other service may depend on.

    ports: of services that have not said how they are let in. services: names that firewalld keeps open in any case.
    """
    needed = {*map(int, ports), *ssh_ports}

    def is_needed(rule: Rule) -> bool:
        tcp = [(low, high) for proto, low, high in overlap.spans(rule) if proto in ("tcp", "any")]
        return any(low <= port <= high for low, high in tcp for port in needed)

    kept = {*services, "ssh"}
    return [rule for rule in own if rule.service not in kept and not is_needed(rule)]


def look(options: Options, run: model.Run, system: System, root: str = "/") -> Withdrawal:
    """What would be closed; reads only."""
    if not SERVICE_NAME.match(options.service):
        raise SlipwayError(
            "invalid_service",
            f"{options.service!r} is no name of a service. Nothing was changed.",
            "set firewall_service to a name such as shop",
        )
    ask = remembered(run)
    file, connected = service_rules.path(options.service, root), connection(system)
    asked = service_rules.recorded(options.service, root)
    # Where nothing was let in, it is no matter what else filters packets.
    backend = choose(options.backend, ask) if asked else backend_of(in_force(ask), ask)
    own = [replace(rule, zone=rule.zone or options.zone) for rule in asked or []]
    others, ports = service_rules.by_others({options.service}, options.zone, root)
    ssh = {*map(int, options.ssh_ports), *([connected.port] if connected else [])}
    closing = closable(own, ports, ssh, options.keep_services)
    installed = backend.is_installed()
    removals = backend.made(closing, others) if installed and closing else []
    active = installed and backend.is_active()
    return Withdrawal(backend, installed, active, removals, file if os.path.lexists(file) else "", connected)


def withdraw(
    options: Options,
    seconds: float,
    check: bool,
    system: Optional[System] = None,
    run: RunWithin = model.run,
    root: str = "/",
) -> tuple[Withdrawal, Optional[str]]:
    """Close it, armed on return, with the token that confirms; None where nothing is armed."""
    system = system or System()
    return managed_files.from_the_start(lambda: _withdraw(options, seconds, check, system, run, root))


def _withdraw(
    options: Options, seconds: float, check: bool, system: System, run: RunWithin, root: str
) -> tuple[Withdrawal, Optional[str]]:
    deadman.wait_for_changes(WAIT_FOR, system, not check)
    current = look(options, system.run, system, root)
    if check or not current.changed:
        return current, None
    if not current.removals:
        os.unlink(current.record)
        return current, None
    backend, writing = current.backend, max(WRITING_S, seconds)
    plan = RevertPlan(
        [*backend.paths, current.record], backend.undo(current.active), backend.undo_at_boot(current.active)
    )
    with deadman.transaction(NAME, writing, plan, system) as token:
        if deadman.armed("ssh", system) or look(options, system.run, system, root).removals != current.removals:
            raise deadman.changed_meanwhile("somebody else has changed the firewall or sshd")
        clock = Clock(token, writing, system, run)
        fix = "see what the firewall complains of, then run again"
        command.run_each(clock.run, backend.take_away(current.removals, current.active), fix)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(current.record)
        deadman.shorten(NAME, token, seconds, system)
    return current, token
