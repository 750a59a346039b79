# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two servers of one service in HAProxy, in every worker. This file is PRIVATE to the collection.

A service with several public ports has two servers for each of them. Users who are chosen to meet a new release first
have two servers of their own, at each port.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, Mapping, Optional, TypeVar

from ..._core.errors import SlipwayError
from ..._host.systemd import POLL
from .haproxy import DRAIN, MAINT, READY, Haproxy, Server, Worker
from .slots import CHOSEN, FIRST, SLOTS, Record
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


# How the servers of each public port are to be, by the port's name and by the slot; those of its chosen users are
# below that name and CHOSEN.
Routes = Dict[str, Dict[str, ServerState]]


def routes(record: Record, otherwise: str) -> Routes:
    """How the servers are to be: users at the live one, and the other in this state."""
    wanted: Routes = {}
    for port, addresses in _ports(record):
        for key in (port, port + CHOSEN):
            wanted[key] = _servers(addresses, {s: (READY if s == record.live else otherwise, WHOLE) for s in SLOTS})
    return wanted


def shares(record: Record, weights: Mapping[str, int]) -> Routes:
    """How the servers are to be: users at both, by weights, and those who are chosen at the release that is not live.

    A port that this release does not have keeps its chosen users where they are.
    """
    wanted: Routes = {}
    for port, addresses in _ports(record):
        wanted[port] = _servers(addresses, {s: (READY, w) if w else (MAINT, WHOLE) for s, w in weights.items()})
        new = [slot for slot in SLOTS if slot in addresses and slot != record.live] or [str(record.live)]
        wanted[port + CHOSEN] = _servers(addresses, {s: (READY if s in new else DRAIN, WHOLE) for s in SLOTS})
    return wanted


def _ports(record: Record) -> Iterable[tuple[str, Mapping[str, str]]]:
    """Each public port with its addresses by slot."""
    return [(FIRST, record.addresses), *record.more.items()]


def _servers(addresses: Mapping[str, str], states: Mapping[str, tuple[str, int]]) -> dict[str, ServerState]:
    return {
        slot: ServerState(state, addresses[slot], weight) if slot in addresses else ServerState(MAINT, None)
        for slot, (state, weight) in states.items()
    }


class Backend:
    """Asks and tells all workers of HAProxy about the servers of one service.

    more: the names of its public ports beside the first. HAProxy may not know one that only a release of before has.
    chosen: whether there are users who are chosen to meet a new release first; the role may change that meanwhile.
    """

    def __init__(
        self, service: str, haproxy: Haproxy, more: Iterable[str] = (), chosen: Callable[[], bool] = lambda: False
    ) -> None:
        self._haproxy = haproxy
        self._chosen = chosen
        self._name = f"slipway-{service}"
        self._ports = (FIRST, *more)

    def _of_port(self, port: str) -> str:
        return f"{self._name}:{port}" if port else self._name

    def _names(self, key: str) -> tuple[str, ...]:
        """The backends of a key of Routes: that of users, and that of the engine's own requests; or of chosen users."""
        port, chosen, _end = key.partition(CHOSEN)
        return (f"{self._of_port(port)}{CHOSEN}",) if chosen else (self._of_port(port), f"{self._of_port(port)}.own")

    def apply(self, wanted: Routes) -> None:
        """Have the servers be so; a former worker takes no orders any more, and a drain waits for it."""
        _patiently(lambda: self.apply_now(wanted))

    def apply_now(self, wanted: Routes) -> None:
        """The same, and raise at once while HAProxy is away."""
        has_chosen = self._chosen()
        for worker in self._haproxy.workers():
            if not worker.former:
                for key, states in wanted.items():
                    if has_chosen or not key.endswith(CHOSEN):
                        self._apply_to(worker, key, states)

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
        told_apart, totals = True, {}  # those of chosen users are below the slot and CHOSEN
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
            totals.update(self._totals_of_chosen(worker) if self._chosen() else {})
        return told_apart, totals

    def _totals_of_chosen(self, worker: Worker) -> dict[tuple[int, str], Totals]:
        """Nobody has led them by chance, so that how long they took says nothing."""
        found = [self._servers(worker, self._of_port(port) + CHOSEN) for port in self._ports]
        there = [servers for servers in found if servers]
        return {
            (worker.pid, slot + CHOSEN): Totals(
                sum(servers[slot].requests for servers in there), sum(servers[slot].failures for servers in there), {}
            )
            for slot in (SLOTS if there else ())
        }

    def _apply_to(self, worker: Worker, key: str, states: Mapping[str, ServerState]) -> None:
        for name in self._names(key):
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
            keys = [port + kind for port in self._ports for kind in ("", CHOSEN)]
            asked = [key for key in keys if worker.former or self._chosen() or not key.endswith(CHOSEN)]
            backends = [backend for key in asked for backend in self._names(key)]
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
