# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How one release takes over from another. This file is PRIVATE to the collection.

A strategy knows how its releases listen, start, and hand over; transaction.py knows in which order, and what is
undone when something fails. A strategy holds no state between calls: another process may finish what this one began.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Callable, Iterable, Mapping, NamedTuple, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..._host import connections, sockets
from ..._host.connections import LastCount
from ..._host.systemd import Systemd, UnitState
from .. import background_drain, integrity
from ..gate import Gate, Subject, has_slot, shares_socket
from ..phases import IN_TURN, Phase
from ..state.layout import Layout
from ..state.model import Spec
from ..state.service import Service

if TYPE_CHECKING:
    from .traffic import Totals, Traffic

STOP_MARGIN = 15.0
FRONT = "haproxy"  # the program between the users and the releases, strategy `proxy`
CURRENT = "current"  # the one instance of a service that hands over; below releases/, a link to what is current


@dataclass(frozen=True)
class Drained:
    """What became of the releases that served before. cut: open connections. left: releases that go on draining."""

    cut: int = 0
    left: tuple[str, ...] = ()


class Wait(NamedTuple):
    """Seconds that a swap may take because this variable says so, and how often it does."""

    variable: str
    seconds: float
    times: int = 1

    @property
    def total(self) -> float:
        return self.seconds * self.times

    def __str__(self) -> str:
        return f"{self.variable} is {self.seconds:.0f} s{f' in each of {self.times} steps' if self.times > 1 else ''}"


class Strategy(ABC):
    """What all strategies have in common: a release has units of its own, which start and stop it."""

    name: str
    # Of a swap between two releases of this strategy.
    phases: tuple[Phase, ...]
    # Whether two releases may answer at the users' address at the same time.
    shared = False
    # Seconds of a swap that no variable says.
    margin = 2 * STOP_MARGIN
    # Whether a release that drains beside the next one has been told to end, and does so when its users have left.
    ends_by_draining = False

    def __init__(self, service: Service) -> None:
        self.settings = service.settings
        self.layout = service.layout
        self.store = service.store
        self.systemd = service.systemd

    @property
    def gate(self) -> Gate:
        return Gate(self.layout, self.systemd, self.settings.health, self.shared)

    def in_turn_because(self, before: Optional[Strategy], source: Optional[str], to: str) -> Optional[str]:
        """Why `source`, a release of `before`, has to end before `to` begins although neither strategy asks for it."""
        if before is None or before.name == self.name:
            return None
        return f"{source} was released with the strategy {before.name} and {to} is with {self.name}"

    def plan(self, before: Optional[Strategy], source: Optional[str], to: str) -> tuple[Phase, ...]:
        """The phases of a swap from `source`, a release of `before`, to one of this strategy; None for no release."""
        return IN_TURN if self.in_turn_because(before, source, to) else self.phases

    def waits(self) -> list[Wait]:
        """What a swap waits for, without its soak."""
        return [
            Wait("release_start_timeout", self.settings.start_timeout),
            Wait("release_health.deadline", self.gate.pace.deadline),
            Wait("release_drain_timeout", self.settings.drain_timeout),
        ]

    def time_limit(self) -> float:
        """The most seconds a swap takes, without its soak."""
        return self.margin + sum(one.total for one in self.waits())

    def least_canary_time(self) -> float:
        """The seconds for which only a share of the requests reaches the new release at least."""
        return 0.0

    def min_time(self) -> Optional[float]:
        """The seconds that a share of the requests and the soak last at least; None for all of their time."""
        return None

    def pause_time(self) -> float:
        """The seconds that a release waits for a person where it is slow and nothing else is wrong; 0 for none."""
        return 0.0

    def instance(self, release_id: str) -> str:
        """The instance of the service's template unit that this release runs in."""
        return release_id

    def unit(self, release_id: str) -> str:
        return self.layout.instance(self.instance(release_id))

    def release_of(self, unit: str) -> str:
        """The opposite of unit()."""
        return unit[len(self.layout.name) + 1 : -len(".service")]

    def subject(self, release_id: str) -> Subject:
        """What is to be proven of this release while it serves."""
        return self.gate.serving(release_id, self.unit(release_id))

    def serves(self, release_id: str) -> bool:
        return self.systemd.show(self.unit(release_id)).up

    def runs(self, release_id: str) -> bool:
        """Whether it runs, with users or without."""
        return self.systemd.show(self.unit(release_id)).up

    def is_reached(self, release_id: str) -> bool:
        """Whether it runs as it was released, with the users' address its own."""
        state = self.systemd.show(self.unit(release_id))
        return state.up and self._in_own_units(state.main_pid)

    def front(self) -> Optional[int]:
        """The process between the users and the releases; None where there is none but PID 1."""
        return None

    def check_units(self, release_id: str) -> None:
        """Raise unless the units that this release needs came with it or are in place."""

    @property
    def own_listen(self) -> list[str]:
        """What the releases listen on, in the notation of systemd.socket(5), where that is not the users' address."""
        return []

    def check_front(self, spec: Spec) -> None:
        """Raise when another program has what users ask, in front of the release."""

    def check_ready(self, spec: Spec) -> None:
        """Raise unless the host has been prepared for this strategy."""

    def rehearsal_address(self, _release_id: str, given: str) -> str:
        """Where the release answers in its rehearsal, in the notation of systemd.socket(5)."""
        return given

    def rehearsal_ports(self, _release_id: str) -> dict[str, str]:
        """Where it answers beside that, each by the variable that tells it the port."""
        return {}

    def open_rehearsal(self, release_id: str) -> None:
        """Have what a rehearsal needs beside its unit."""

    def prepare(self, _before: Optional[str], release_id: str) -> None:
        """Have what this release needs to start: the one before serves until now, or none does.

        One that has the port for itself needs that nothing else runs: the guard of a socket, which is closed by now,
        has started a release again if somebody connected meanwhile.
        """
        for unit in self.systemd.active_instances(self.layout.name):
            if unit != self.unit(release_id):
                self.end(unit)

    def start(self, before: Optional[str], release_id: str) -> UnitState:
        """Start the release in its own units and return its state once it is active; not yet proven healthy."""
        integrity.verify(self.layout, self.store, release_id)
        self._drain_no_more(release_id)
        self._install_units(release_id)
        self.prepare(before, release_id)
        started = self._start_unit(release_id)
        self.verify(release_id, started)
        return started

    def verify(self, release_id: str, started: UnitState) -> None:
        """Raise when the release runs in a way in which it cannot serve."""

    def totals(self) -> Optional[Mapping[tuple[int, str], Totals]]:
        """The requests of users that were ever counted in front of the releases; None where that is not known."""
        return None

    def traffic(self, _release_id: str, _begun: Optional[Mapping[tuple[int, str], Totals]]) -> Optional[Traffic]:
        """The requests of users, where something in front of the releases counts them; _begun are totals()."""
        return None

    def remember(self, _release_id: str) -> None:
        """Note what has been counted by now, when the release has proven itself."""

    def canary(self, _release_id: str, _traffic: Traffic, _hold: Callable[[float, Callable[[], None]], None]) -> None:
        """Give it a share of the requests first, and raise when it does not do well.

        _hold raises unless the release stays healthy for that many seconds, and when the function raises that it calls,
        or the traffic in the end speaks against it.
        """

    def flip(self, release_id: str) -> None:
        """Make it the current release, and the one that users reach where that is the strategy's to say."""
        files.flip_symlink(self.layout.current, f"releases/{release_id}")

    def drain(self, release_id: str, look: Callable[[], None] = lambda: None, beside: bool = False) -> Drained:
        """Stop every instance but this one, also one that an earlier run has left behind.

        Where they may run beside this one, those whose users stay go on draining, for as long as the settings say. What
        waits for users to leave calls `look` meanwhile, and ends when that raises.
        """
        cut, left = 0, []
        for unit in self.systemd.active_instances(self.layout.name):
            if unit == self.unit(release_id) or (beside and self.is_left(unit)):
                continue
            if beside and self._leave(unit, look):
                left.append(self.release_of(unit))
            else:  # One that does not end is killed: that must not undo the one that serves.
                cut += self.end(unit, look)
        return Drained(cut, tuple(left))

    def _leave(self, unit: str, look: Callable[[], None]) -> bool:
        """Have a release that still has users after its drain go on draining; return whether it does."""
        name, seconds, release_id = self.layout.name, self.settings.drain_background, self.release_of(unit)
        if not seconds or not self._outlasts_drain(unit, look):
            return False
        try:
            background_drain.arm(name, release_id, seconds, self.settings.drain_timeout + 2 * STOP_MARGIN)
        except (OSError, SlipwayError):  # then it ends now, as without this setting
            return False
        return True

    def is_left(self, unit: str) -> bool:
        """Whether an earlier swap has left it to drain, and the host waits for its users."""
        return background_drain.is_armed(self.layout.name, self.release_of(unit))

    def _drain_no_more(self, release_id: str) -> None:
        """Nobody waits any more for the users of a release that is to serve again, nor is it to be stopped so late."""
        background_drain.disarm(self.systemd, self.layout.name, release_id)
        unit = self.unit(release_id)
        if background_drain.is_allowed(unit) and self.systemd.show(unit).up:
            background_drain.forbid(self.systemd, unit)

    def _outlasts_drain(self, _unit: str, _look: Callable[[], None]) -> bool:
        """Have its users leave; return whether some have not when that takes too long. False where it cannot wait."""
        return False

    def users(self, _release_id: str) -> Optional[int]:
        """The open connections of a release that drains beside the next one; None once it is gone."""
        return None

    def dismiss(self, release_id: str) -> None:
        """Have a release end that drains beside the next one; do not wait for it."""

    def hasten(self, release_id: str) -> None:
        """Have a release end at once that drains beside the next one and has been told to end."""

    def _install_units(self, release_id: str) -> None:
        from .. import stage  # a look at what serves needs none of what it imports

        install_units(self.layout, self.systemd, stage.unit_copies(self.layout, release_id))

    def close(self) -> None:
        """Nothing of the service may listen any more."""

    def bring_back(self, candidate: str, release_id: str) -> Optional[SlipwayError]:
        """Have the release serve again after `candidate` has failed; return what speaks against its health.

        One that is not as it was released goes on running, and is not started.
        """
        damage = integrity.damage(self.layout, self.store, release_id)
        if damage is not None and not self.runs(release_id):
            raise damage
        integrity.renew(self.layout, release_id)
        self._drain_no_more(release_id)
        self._before_return(release_id)
        other_units = None
        try:
            if damage is None:
                self._install_units(release_id)
        except (OSError, SlipwayError) as error:  # better in the units of another release than not at all
            other_units = SlipwayError(
                "units_not_restored",
                f"{release_id} is back, but not its units: {cause(error)[0]}",
                "remove that cause, then release a version, which brings units of its own",
            )
        self._reopen(candidate, release_id)
        if self._runs_reachable(release_id):
            self._return_users(release_id)
            return other_units
        if damage is not None:
            raise damage
        started = self._start_unit(release_id)
        unhealthy = None
        try:
            self.gate.wait_healthy(self.subject(release_id), started)
        except SlipwayError as error:
            unhealthy = error
        self._return_users(release_id)
        return unhealthy or other_units

    def _before_return(self, release_id: str) -> None:
        unit = self.unit(release_id)
        state = self.systemd.show(unit)
        if state.up and not self._in_own_units(state.main_pid):
            self.end(unit)
        self.systemd.call("stop", f"{self.layout.name}.socket", check=False)

    @abstractmethod
    def _in_own_units(self, main_pid: int) -> bool:
        """Whether it runs as it should: a reboot may have started it in the units of another strategy."""

    def _reopen(self, candidate: str, release_id: str) -> None:
        """Have the users' address open for the release that comes back."""

    def _runs_reachable(self, release_id: str) -> bool:
        """Whether it runs, and users can reach it; one that runs and cannot be reached is ended."""
        return self.systemd.show(self.unit(release_id)).up

    def _return_users(self, release_id: str) -> None:
        """Lead users to it."""

    def _start_unit(self, release_id: str) -> UnitState:
        unit = self.unit(release_id)
        self.systemd.call("reset-failed", unit, check=False)
        self.systemd.start(unit)
        return self.systemd.wait_active(unit, self.settings.start_timeout)

    def end(self, unit: str, _look: Callable[[], None] = lambda: None) -> int:
        """Stop a unit, and kill it when it does not drain in time; return how many open connections that has cut."""
        main_pid, ports = self.systemd.show(unit).main_pid, connections.listening_ports()
        first = connections.accepted(main_pid, ports) or 0
        with LastCount(lambda: connections.accepted(main_pid, ports), first) as still_open:
            by_itself = self.systemd.end(unit, self.settings.drain_timeout + STOP_MARGIN, STOP_MARGIN)
        background_drain.forbid(self.systemd, unit)
        return 0 if by_itself else still_open.value


def install_units(layout: Layout, systemd: Systemd, units: dict[str, str]) -> None:
    """Have these units in place and no others: the sandbox of a release comes back with it.

    In an order in which a reboot at any moment meets units that work together.
    """
    surplus = [unit for unit in layout.own_units if units and unit not in units and os.path.exists(unit)]
    if surplus:  # a socket that is still enabled would have the port at the next boot
        systemd.call("disable", "--quiet", "--now", *map(os.path.basename, surplus), check=False)
    came_back = layout.socket_unit in units and not os.path.exists(layout.socket_unit)
    changed = [unit for unit, content in units.items() if files.replace_if_different(unit, content)]
    for unit in surplus:
        os.unlink(unit)
    # A run before this one may have written them without its daemon-reload.
    if surplus or changed or systemd.stale(*map(os.path.basename, units)):
        systemd.call("daemon-reload")
    if came_back:
        systemd.call("enable", "--quiet", os.path.basename(layout.socket_unit))


def has_own_port(main_pid: int) -> bool:
    """Whether a process has neither the service's socket from PID 1 nor a local port behind HAProxy."""
    return not shares_socket(main_pid) and not has_slot(main_pid)


def fronted(listen: Iterable[str]) -> list[str]:
    """Those of these ports that HAProxy has."""
    return [str(port) for port, names in sockets.programs(listen).items() if FRONT in names]


def cause(error: Exception) -> tuple[str, str]:
    """What went wrong and what to do about it."""
    return (error.message, error.fix) if isinstance(error, SlipwayError) else (f"{error}.", "")
