# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two servers of one service in HAProxy, in every worker. This file is PRIVATE to the collection.

A service with several public ports has two servers for each of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Mapping, Optional, TypeVar

from ..._core.errors import SlipwayError
from ..._host.systemd import POLL
from .haproxy import MAINT, READY, Haproxy, Server, Worker
from .slots import FIRST, SLOTS, Record
from .traffic import WHOLE, Reading, Totals

PATIENCE = 15.0  # seconds for HAProxy to come back; systemd starts it again at once
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ServerState:
    """How one server is to be; without an address, there is no release to lead to."""

    state: str
    address: Optional[str]
    weight: int = WHOLE

    def matches(self, server: Server) -> bool:
        same_place = self.address in (None, server.address)
        return same_place and (server.state, server.weight) == (self.state, self.weight)


# How the servers of each public port are to be, by the port's name and by the slot.
Routes = Dict[str, Dict[str, ServerState]]


def routes(record: Record, otherwise: str) -> Routes:
    """How the servers are to be: users at the live one, and the other in this state."""
    return _routes(record, lambda slot, address: ServerState(READY if slot == record.live else otherwise, address))


def shares(record: Record, weights: Mapping[str, int]) -> Routes:
    """How the servers are to be: users at both."""
    return _routes(record, lambda slot, address: ServerState(READY, address, weights[slot]))


def _routes(record: Record, state: Callable[[str, str], ServerState]) -> Routes:
    return {
        port: {s: state(s, addresses[s]) if s in addresses else ServerState(MAINT, None) for s in SLOTS}
        for port, addresses in {FIRST: record.addresses, **record.more}.items()
    }


class Backend:
    """Asks and tells all workers of HAProxy about the servers of one service.

    more: the names of its public ports beside the first. HAProxy may not know one that only a release of before has.
    """

    def __init__(self, service: str, haproxy: Haproxy, more: Iterable[str] = ()) -> None:
        self._haproxy = haproxy
        self._name = f"slipway-{service}"
        self._ports = (FIRST, *more)

    def _of_port(self, port: str) -> str:
        return f"{self._name}:{port}" if port else self._name

    def _names(self, port: str) -> tuple[str, str]:
        """The backend of users, and that of the engine's own requests."""
        return self._of_port(port), f"{self._of_port(port)}.own"

    def apply(self, wanted: Routes) -> None:
        """Have the servers be so; a former worker takes no orders any more, and a drain waits for it."""
        _patiently(lambda: self.apply_now(wanted))

    def apply_now(self, wanted: Routes) -> None:
        """The same, and raise at once while HAProxy is away."""
        for worker in self._haproxy.workers():
            if not worker.former:
                for port, states in wanted.items():
                    self._apply_to(worker, port, states)

    def check_known(self, more: Iterable[str] = ()) -> None:
        """Raise unless HAProxy answers, and each worker knows the service, with these ports beside the first."""

        def check() -> None:
            for worker in self._haproxy.workers():
                self._servers(worker, self._name)
                for name in () if worker.former else map(self._of_port, more):
                    if not self._servers(worker, name):
                        raise _unknown(name)

        _patiently(check)

    def sessions(self, slot: str) -> int:
        """Requests that are there or may still come: a former worker leads its open connections where it always did."""
        return _patiently(lambda: self._sessions(slot))

    def totals(self) -> Reading:
        """What was counted so far; raise at once while HAProxy is away."""
        told_apart, totals = True, {}
        for worker in self._haproxy.workers():
            at_ports = [
                servers for servers in (self._servers(worker, self._of_port(p)) for p in self._ports) if servers
            ]
            own = self._names(FIRST)[1]
            told_apart = told_apart and bool(worker.former or self._servers(worker, own))
            times = self._haproxy.times(worker, f"{self._name}.times")  # one table for all ports
            for slot in SLOTS if at_ports else ():
                found = [servers[slot] for servers in at_ports]
                totals[worker.pid, slot] = Totals(
                    sum(server.requests for server in found),
                    sum(server.failures for server in found),
                    times.get(slot, {}),
                    sum(server.sessions for server in found),
                )
        return told_apart, totals

    def _apply_to(self, worker: Worker, port: str, states: Mapping[str, ServerState]) -> None:
        for name in self._names(port):
            servers = self._servers(worker, name)
            if not servers:
                continue
            # Who is to serve comes first, so that there is no moment without a server.
            for slot in sorted(SLOTS, key=lambda slot: states[slot].state != READY):
                self._change(worker, f"{name}/{slot}", servers[slot], states[slot])
            servers = self._servers(worker, name)
            if servers and not all(states[slot].matches(servers[slot]) for slot in SLOTS):
                raise SlipwayError(
                    "proxy_unreachable", f"HAProxy did not do what it was told: {servers}.", "see journalctl -u haproxy"
                )

    def _change(self, worker: Worker, server: str, now: Server, wanted: ServerState) -> None:
        if wanted.address is not None and now.address != wanted.address:
            self._haproxy.set_address(worker, server, wanted.address)
        if now.weight != wanted.weight:
            self._haproxy.set_weight(worker, server, wanted.weight)
        if now.state != wanted.state:
            self._haproxy.set_state(worker, server, wanted.state)

    def _servers(self, worker: Worker, backend: str) -> dict[str, Server]:
        """Empty for a worker from the time before this service, or before the engine's requests were told apart.

        Empty, too, for a further port that the role proxy has taken away.
        """
        servers = self._haproxy.servers(worker, backend)
        if not set(SLOTS) <= set(servers):
            if worker.former or backend != self._name:
                return {}
            raise _unknown(backend)
        return servers

    def _sessions(self, slot: str) -> int:
        sessions = 0
        for worker in self._haproxy.workers():
            backends = [backend for port in self._ports for backend in self._names(port)]
            for servers in (self._servers(worker, backend) for backend in backends):
                if servers:
                    sessions += servers[slot].sessions + (worker.former and servers[slot].state == READY)
        return sessions


def _unknown(backend: str) -> SlipwayError:
    return SlipwayError(
        "not_proxied",
        f"HAProxy knows no backend {backend} with the servers {' and '.join(SLOTS)}.",
        "apply the role slipway.go.proxy to this host",
    )


def _patiently(ask: Callable[[], _Result]) -> _Result:
    """HAProxy may be restarting, or reloading with a worker that ends in this moment."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except SlipwayError as error:
            if error.code != "proxy_unreachable" or time.monotonic() >= deadline:
                raise
        time.sleep(POLL)
