# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases that share one listening socket: the strategy `socket`. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import time
from typing import Callable, Optional

from ..._core.errors import SlipwayError
from ..._host import connections
from ..._host.systemd import POLL, UnitState
from ..._units.parser import parse
from .. import background_drain
from ..gate import shares_socket, verify_shared_socket
from ..phases import OVERLAPPING
from .base import STOP_MARGIN, Strategy, fronted


class SocketStrategy(Strategy):
    """Releases overlap on one listening socket that PID 1 holds (Sockets= in systemd.service(5))."""

    name = "socket"
    phases = OVERLAPPING
    shared = True
    ends_by_draining = True

    @property
    def _socket(self) -> str:
        return f"{self.layout.name}.socket"

    def check_units(self, release_id: str) -> None:
        from .. import stage  # a look at what serves needs none of what it imports

        units = stage.unit_copies(self.layout, release_id)
        missing = [u for u in (self.layout.socket_unit, self.layout.guard_unit) if u not in units]
        if not all(map(os.path.exists, missing)):
            raise SlipwayError(
                "units_missing",
                f"{release_id} was released with the strategy socket, whose units are no longer on this host.",
                "set service_swap back to socket and release that version",
            )
        settings = parse(units.get(self.layout.socket_unit, ""))
        listen = [value for _section, key, value in settings if key == "ListenStream" and value]
        taken = fronted(listen)
        if taken:  # PID 1 would share it (ReusePort=), and HAProxy answer some of the users with 503
            raise SlipwayError(
                "other_front",
                f"HAProxy has port {', '.join(taken)}, which is that of {release_id}'s own socket.",
                "take the service out of the proxy (proxy_state: absent), set service_swap back to socket, apply the "
                "role service, and release that version",
            )

    def open_rehearsal(self, _release_id: str) -> None:
        self.systemd.start_and_wait(self.layout.rehearsal_socket)

    def prepare(self, before: Optional[str], release_id: str) -> None:
        """Have PID 1 listen as this release wants it, anew where the one before wanted it otherwise."""
        wanted = [self.layout.manifest(i).get("units", {}).get(self._socket) for i in (before, release_id) if i]
        if len(wanted) == 2 and wanted[0] != wanted[1]:
            self._end_drains()
            self.systemd.restart_and_wait(self._socket)
        elif not self.systemd.show(self._socket).up:
            self._end_drains()
            self.systemd.start_and_wait(self._socket)

    def _end_drains(self) -> None:
        """PID 1 starts no socket, not even one that is there, before the instances have stopped that it is stopping."""
        for unit in self.systemd.active_instances(self.layout.name):
            self.hasten(self.release_of(unit))

    def verify(self, release_id: str, started: UnitState) -> None:
        verify_shared_socket(self.unit(release_id), started.main_pid)

    def close(self) -> None:
        self.systemd.call("stop", self._socket, check=False)

    def _outlasts_drain(self, unit: str, _look: Callable[[], None]) -> bool:
        drain, beside = self.settings.drain_timeout, self.settings.drain_background
        try:
            background_drain.allow(self.systemd, unit, drain + beside)
        except (OSError, SlipwayError):  # then it ends now, as without this setting
            return False
        self.systemd.call("stop", "--no-block", unit)
        deadline = time.monotonic() + drain
        while not self.systemd.show(unit).settled_down:
            if time.monotonic() >= deadline:
                return True
            time.sleep(POLL)
        background_drain.forbid(self.systemd, unit)
        return False

    def is_left(self, unit: str) -> bool:
        return super().is_left(unit) and self.systemd.show(unit).active == "deactivating"

    def users(self, release_id: str) -> Optional[int]:
        state = self.systemd.show(self.unit(release_id))
        return connections.accepted(state.main_pid, connections.listening_ports()) if state.main_pid else None

    def hasten(self, release_id: str) -> None:
        unit = self.unit(release_id)
        if background_drain.is_allowed(unit) and self.systemd.show(unit).active == "deactivating":
            self.systemd.call("kill", "--signal=KILL", unit, check=False)
            self.systemd.stop(unit, STOP_MARGIN)
            background_drain.forbid(self.systemd, unit)

    def _start_unit(self, release_id: str) -> UnitState:
        self.hasten(release_id)  # PID 1 starts nothing that it is still stopping
        return super()._start_unit(release_id)

    def _in_own_units(self, main_pid: int) -> bool:
        return shares_socket(main_pid)

    def _before_return(self, release_id: str) -> None:
        """The socket stays open, so that connections wait for whoever answers next."""

    def _reopen(self, candidate: str, release_id: str) -> None:
        state = self.systemd.show(self.unit(release_id))
        try:
            self.prepare(candidate, release_id)
        except SlipwayError:
            if not (state.up and shares_socket(state.main_pid)):
                self.end(self.unit(release_id))  # or it was started in the units of one that has the port itself
                self.prepare(candidate, release_id)

    def _runs_reachable(self, release_id: str) -> bool:
        state = self.systemd.show(self.unit(release_id))
        if state.up and self._cut_off(state):
            self.end(self.unit(release_id))
            return False
        return state.up

    def _cut_off(self, state: UnitState) -> bool:
        """Whether users reach a socket that this process has not got, because it was opened anew for a candidate."""
        return self.systemd.show(self._socket).up and not shares_socket(state.main_pid)
