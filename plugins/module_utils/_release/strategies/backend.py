# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two servers of one service in HAProxy, in every worker. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Callable, Mapping, TypeVar

from ..._core.errors import SlipwayError
from ..._host.systemd import POLL
from .haproxy import READY, Haproxy, Server, Worker
from .slots import SLOTS, Record
from .traffic import WHOLE, Reading, Totals

PATIENCE = 15.0  # seconds for HAProxy to come back; systemd starts it again at once
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class ServerState:
    """How one server is to be."""

    state: str
    address: str
    weight: int = WHOLE

    def matches(self, server: Server) -> bool:
        return (server.state, server.address, server.weight) == (self.state, self.address, self.weight)


def routes(record: Record, otherwise: str) -> dict[str, ServerState]:
    """How the servers are to be: users at the live one, and the other in this state."""
    return {
        slot: ServerState(READY if slot == record.live else otherwise, address)
        for slot, address in record.addresses.items()
    }


class Backend:
    """Asks and tells all workers of HAProxy about the servers of one service."""

    def __init__(self, service: str, haproxy: Haproxy) -> None:
        self._haproxy = haproxy
        self._name = f"slipway-{service}"
        self._names = (self._name, f"{self._name}.own")  # of users, and of the engine's own requests

    def apply(self, states: Mapping[str, ServerState]) -> None:
        """Have the servers be so; a former worker takes no orders any more, and a drain waits for it."""
        _patiently(lambda: self.apply_now(states))

    def apply_now(self, states: Mapping[str, ServerState]) -> None:
        """The same, and raise at once while HAProxy is away."""
        for worker in self._haproxy.workers():
            if not worker.former:
                self._apply_to(worker, states)

    def check_known(self) -> None:
        """Raise unless HAProxy answers, and each worker knows the service."""
        _patiently(lambda: [self._servers(worker, self._name) for worker in self._haproxy.workers()])

    def sessions(self, slot: str) -> int:
        """Requests that are there or may still come: a former worker leads its open connections where it always did."""
        return _patiently(lambda: self._sessions(slot))

    def totals(self) -> Reading:
        """What was counted so far; raise at once while HAProxy is away."""
        told_apart, totals = True, {}
        for worker in self._haproxy.workers():
            servers = self._servers(worker, self._name)
            told_apart = told_apart and bool(worker.former or self._servers(worker, self._names[1]))
            times = self._haproxy.times(worker, f"{self._name}.times")
            for slot, server in servers.items():
                totals[worker.pid, slot] = Totals(
                    server.requests, server.failures, times.get(slot, {}), server.sessions
                )
        return told_apart, totals

    def _apply_to(self, worker: Worker, states: Mapping[str, ServerState]) -> None:
        for name in self._names:
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
        if now.address != wanted.address:
            self._haproxy.set_address(worker, server, wanted.address)
        if now.weight != wanted.weight:
            self._haproxy.set_weight(worker, server, wanted.weight)
        if now.state != wanted.state:
            self._haproxy.set_state(worker, server, wanted.state)

    def _servers(self, worker: Worker, backend: str) -> dict[str, Server]:
        """Empty for a worker from the time before this service, or before the engine's requests were told apart."""
        servers = self._haproxy.servers(worker, backend)
        if not set(SLOTS) <= set(servers):
            if worker.former or backend != self._name:
                return {}
            raise SlipwayError(
                "not_proxied",
                f"HAProxy knows no backend {self._name} with the servers {' and '.join(SLOTS)}.",
                "apply the role slipway.go.proxy to this host",
            )
        return servers

    def _sessions(self, slot: str) -> int:
        sessions = 0
        for worker in self._haproxy.workers():
            for servers in (self._servers(worker, backend) for backend in self._names):
                if servers:
                    sessions += servers[slot].sessions + (worker.former and servers[slot].state == READY)
        return sessions


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
