# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The strategy `proxy`: HAProxy leads users to one of two local ports. This file is PRIVATE to the collection.

A port with its server in HAProxy's backend is a slot, `a` or `b`. A new release starts in the slot that users are not
led to. What HAProxy does when it starts stands in a file of its configuration, the record, which is durable before
HAProxy is told the same: whenever it is killed, it comes back with the right server.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, Optional, TypeVar

from ..._core import files
from ..._core.errors import SlipwayError
from ..._host import sockets
from ..._host.systemd import POLL
from ..._units.parser import parse_environment_file
from ..gate import Gate, Subject, has_slot
from ..phases import OVERLAPPING, PROVEN_BEFORE_FLIP, Phase
from ..state.model import ACCEPT, Spec, parse_proxy
from ..state.service import Service
from .base import FRONT, Strategy
from .haproxy import DRAIN, MAINT, READY, Haproxy, Server, Worker
from .traffic import LOOK, WHOLE, Reading, Totals, Traffic, between
from .verdict import Counts, Rule, Verdict

SLOTS = ("a", "b")
UNIT = "haproxy.service"
PATIENCE = 15.0  # seconds for HAProxy to come back; systemd starts it again at once
CALM = 2  # looks in a row that find no session
_RECORD = re.compile(r"^\s*setenv\s+SLIPWAY_\w+?_(a|b)(_state)?\s+(\S+)\s*$", re.MULTILINE)
_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Record:
    """The address of each slot, and the slot that users are led to; None for neither."""

    addresses: Mapping[str, str]
    live: Optional[str]

    def render(self, name: str) -> str:
        # No service's name has capital letters, so that no two services have the same variables.
        prefix = f"SLIPWAY_{name.replace('-', 'X')}"
        lines = [f"# Which release of {name} serves. Written by slipway at every swap.", "global"]
        for slot in SLOTS:
            lines.append(f"    setenv {prefix}_{slot} {self.addresses[slot]}")
            lines.append(f"    setenv {prefix}_{slot}_state {'enabled' if slot == self.live else 'disabled'}")
        return "".join(f"{line}\n" for line in lines)


def parse_record(text: str) -> Record:
    """Raise ValueError unless it is whole."""
    found = {slot + (state or ""): value for slot, state, value in _RECORD.findall(text)}
    live = [slot for slot in SLOTS if found.get(f"{slot}_state") == "enabled"]
    if not all(slot in found for slot in SLOTS) or len(live) > 1:
        raise ValueError("not a record of slots")
    return Record({slot: found[slot] for slot in SLOTS}, live[0] if live else None)


@dataclass(frozen=True)
class Wanted:
    """How one server is to be."""

    state: str
    address: str
    weight: int = WHOLE

    def is_so(self, server: Server) -> bool:
        return (server.state, server.address, server.weight) == (self.state, self.address, self.weight)


class ProxyStrategy(Strategy):
    """Two releases run side by side at two local ports, and HAProxy decides whom users reach."""

    name = "proxy"
    phases = OVERLAPPING

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._options = parse_proxy(self.settings.proxy)
        self._haproxy = Haproxy()
        self._backend = f"slipway-{self.layout.name}"
        self._backends = (self._backend, f"{self._backend}.own")  # of users, and of the engine's own requests

    @property
    def gate(self) -> Gate:
        """Users are led to a port, so something has to accept there, whatever else is asked."""
        return Gate(self.layout, self.systemd, self.settings.health or {"kind": "tcp", "address": "127.0.0.1:1"}, False)

    def plan(self, before: Optional[Strategy], source: Optional[str], to: str) -> tuple[Phase, ...]:
        plan = super().plan(before, source, to)
        if Phase.OVERLAP not in plan:
            return PROVEN_BEFORE_FLIP
        if not self._steps():
            return plan
        return tuple(step for phase in plan for step in ([Phase.CANARY, phase] if phase == Phase.FLIP else [phase]))

    def time_limit(self) -> float:
        return super().time_limit() + len(self._steps()) * self._options.step_time

    def front(self) -> Optional[int]:
        return self.systemd.show(UNIT).main_pid

    # Where a release is.

    def _file(self, release_id: str, rehearsal: bool = False) -> str:
        return os.path.join(self.layout.slots, f"{release_id}{'.rehearsal' if rehearsal else ''}.env")

    def _seat(self, release_id: str, rehearsal: bool = False) -> dict[str, str]:
        """What the units of this release read; empty where it has no slot."""
        try:
            with open(self._file(release_id, rehearsal), encoding="utf-8", errors="replace") as stream:
                found = parse_environment_file(stream.read())
        except OSError:
            return {}
        return found if found.get("SLIPWAY_SLOT") in SLOTS and "SLIPWAY_ADDRESS" in found else {}

    def slot(self, release_id: Optional[str]) -> Optional[str]:
        return self._seat(release_id).get("SLIPWAY_SLOT") if release_id else None

    def _address(self, release_id: str, rehearsal: bool = False) -> str:
        try:
            return self._seat(release_id, rehearsal)["SLIPWAY_ADDRESS"]
        except KeyError:
            raise SlipwayError(
                "no_slot",
                f"{release_id} has no local port: {self._file(release_id, rehearsal)} is missing or damaged.",
                "release it again",
            ) from None

    def subject(self, release_id: str) -> Subject:
        return self.gate.at(release_id, self.unit(release_id), self._address(release_id))

    def serves(self, release_id: str) -> bool:
        slot = self.slot(release_id)
        record = self._written()
        return record is not None and slot is not None and slot == record.live and super().serves(release_id)

    def rehearsal_address(self, release_id: str, _given: str) -> str:
        return self._address(release_id, rehearsal=True)

    def open_rehearsal(self, release_id: str) -> None:
        """The slot that users are not led to is free until the release itself needs it."""
        self.systemd.start_and_wait(UNIT)
        self._end_strays("")
        self._take_slot(release_id, rehearsal=True)

    # What must hold before anything changes.

    @property
    def own_listen(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self._options.ports]

    def check_front(self, spec: Spec) -> None:
        for port, names in sockets.programs(spec.listen).items():
            others = ", ".join(sorted(names - {FRONT, "?"}))
            if others:
                raise SlipwayError(
                    "port_in_use",
                    f"port {port} of service_listen is in use by {others}; with service_swap proxy it is HAProxy's.",
                    f"stop {others} (of this service: systemctl disable --now {self.layout.name}.socket "
                    f"{self.layout.name}.service) and apply the role slipway.go.proxy, or choose another port",
                )

    def check_ready(self, spec: Spec) -> None:
        closed = [str(port) for port, names in sockets.programs(spec.listen).items() if FRONT not in names]
        if closed:
            raise SlipwayError(
                "not_proxied",
                f"HAProxy does not listen on port {', '.join(closed)} of service_listen.",
                "apply the role slipway.go.proxy to this host, then systemctl status haproxy",
            )

    # How a release starts.

    def is_reached(self, release_id: str) -> bool:
        if not self.serves(release_id):
            return False
        try:
            self._patiently(self._everywhere)
        except SlipwayError as error:
            if error.code not in ("not_proxied", "proxy_unreachable"):
                raise
            return False
        return True

    def prepare(self, before: Optional[str], release_id: str) -> None:
        self.systemd.start_and_wait(UNIT)
        if before is None:
            self._end_others(release_id)
        self._end_strays(release_id)
        self._take_slot(release_id)

    def _end_others(self, release_id: str) -> None:
        """End what another strategy has left: a reboot may have started it at a local port."""
        proxied = {self.unit(i) for i in (release_id, *self._running())}
        for unit in self.systemd.active_instances(self.layout.name):
            if unit not in proxied:
                self.end(unit)

    def _end_strays(self, release_id: str) -> None:
        """End what runs where no user is led to, but for this release: an earlier run has left it behind."""
        live = self._record().live
        for other in self._running():
            if other != release_id and self.slot(other) != live:
                self.end(self.unit(other))

    def _running(self) -> list[str]:
        """The releases that run behind HAProxy, or try to."""
        found = [self._release_of(unit) for unit in self.systemd.active_instances(self.layout.name)]
        return [i for i in found if self.layout.manifest(i).get("strategy", self.name) == self.name]

    def _take_slot(self, release_id: str, rehearsal: bool = False) -> None:
        """Give the release the slot that nobody runs in, durably, and have HAProxy lead nobody there yet."""
        running, record = self._running(), self._record()
        if not rehearsal and release_id in running and self.slot(release_id):
            return
        taken = {record.live, *(self.slot(other) for other in running)}
        # A release from the time before the proxy would be in the first, see the role's unit.
        order = SLOTS[::-1] if rehearsal else SLOTS
        free = next((slot for slot in order if slot not in taken), SLOTS[0])
        port = self._options.ports[SLOTS.index(free)]
        address = f"127.0.0.1:{port}"
        self._forget_seats()
        files.make_directory(self.layout.slots, 0o700)
        files.write_atomic(
            self._file(release_id, rehearsal),
            f"# The local port of this release.\nSLIPWAY_SLOT={free}\nSLIPWAY_ADDRESS={address}\nPORT={port}\n",
            0o644,
        )
        record = Record({**record.addresses, free: address}, record.live)
        self._save(record)
        self._tell(self._routes(record, MAINT))

    def _forget_seats(self) -> None:
        """Remove the slots of releases that are gone, and what a run that was cut short has left."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self.layout.slots):
                stem = re.sub(r"(\.rehearsal)?\.env\Z", "", name)
                if stem == name or stem not in self.layout.staged():
                    os.unlink(os.path.join(self.layout.slots, name))

    def _release_of(self, unit: str) -> str:
        return unit[len(self.layout.name) + 1 : -len(".service")]

    # Whom users reach.

    def _written(self) -> Optional[Record]:
        try:
            with open(self.layout.proxy_record, encoding="utf-8", errors="replace") as stream:
                return parse_record(stream.read())
        except (FileNotFoundError, ValueError):
            return None

    def _record(self) -> Record:
        """What the record says; where there is none, users are led to the current release, or to nobody yet."""
        written = self._written()
        if written is not None:
            return written
        addresses = {slot: f"127.0.0.1:{port}" for slot, port in zip(SLOTS, self._options.ports)}
        current = self.layout.current_id()
        live = self.slot(current)
        if current and live:
            addresses[live] = self._address(current)
        return Record(addresses, live)

    def _save(self, record: Record) -> None:
        files.make_directory(os.path.dirname(self.layout.proxy_record), 0o755)
        files.replace_if_different(self.layout.proxy_record, record.render(self.layout.name))

    def _routes(self, record: Record, otherwise: str) -> dict[str, Wanted]:
        """How the servers are to be: users at the live one, and the other in this state."""
        return {
            slot: Wanted(READY if slot == record.live else otherwise, address)
            for slot, address in record.addresses.items()
        }

    def _go_live(self, slot: Optional[str]) -> None:
        """First so that it holds after any power cut, then in fact; requests that have begun end where they are."""
        record = Record(self._record().addresses, slot)
        self._save(record)
        self._tell(self._routes(record, DRAIN))

    def flip(self, release_id: str) -> None:
        self._address(release_id)
        self._go_live(self.slot(release_id))
        super().flip(release_id)

    def totals(self) -> Optional[Mapping[tuple[int, str], Totals]]:
        try:
            return self._totals()[1]
        except SlipwayError:
            return None

    def remember(self, release_id: str) -> None:
        totals = self.totals()
        with contextlib.suppress(OSError):  # then the next release has less to be compared with
            self.store.journal.record(
                "counted",
                release=release_id,
                slot=self.slot(release_id),
                totals=[[*key, one.requests, one.failed] for key, one in (totals or {}).items()],
            )

    def _since_committed(self, slot: str, until: Optional[Mapping[tuple[int, str], Totals]]) -> Optional[Counts]:
        """What the release in this slot did since it proved itself; others may have been there before it."""
        current, now = self.layout.current_id(), until if until is not None else self.totals()
        counted = self.store.journal.last_count_of(current)
        if counted is None or now is None or not slot == self.slot(current) == counted.get("slot"):
            return None
        try:
            then = {(int(p), str(s)): Totals(int(r), int(f), {}) for p, s, r, f in counted["totals"]}
        except (KeyError, TypeError, ValueError):
            return None
        if not then or any(now[key].requests < then[key].requests for key in then if key in now):
            return None  # HAProxy has begun anew, with the number of another process
        return between(then, now, slot)

    def traffic(self, release_id: str, begun: Optional[Mapping[tuple[int, str], Totals]] = None) -> Optional[Traffic]:
        record, options = self._record(), self._options
        new = self.slot(release_id)
        if new is None:
            return None
        old = next(slot for slot in SLOTS if slot != new)
        rule = Rule(options.max_errors, options.max_latency_ratio, options.min_requests)
        inconclusive = options.inconclusive if record.live == old else ACCEPT
        known = self._since_committed(old, begun) if record.live == old else None
        return Traffic(Verdict(rule, known), self._totals, (new, old), release_id, inconclusive, begun)

    def canary(self, release_id: str, traffic: Traffic, hold: Callable[[float, Callable[[], None]], None]) -> None:
        record, slot = self._record(), str(self.slot(release_id))
        if record.live in (None, slot):
            return
        old = str(record.live)
        for percent in self._steps():
            weights = {slot: percent, old: WHOLE - percent}
            wanted = {s: Wanted(READY, a, weights[s]) for s, a in record.addresses.items()}
            self._tell(wanted)
            traffic.begin(percent)
            hold(self._options.step_time, self._holding(wanted, traffic))
            traffic.end()
        if self._steps():
            traffic.decide()

    def _holding(self, wanted: Mapping[str, Wanted], traffic: Traffic) -> Callable[[], None]:
        """A look at the traffic, and at whether HAProxy still is so: after a reload it does as the record says."""
        due = time.monotonic() + LOOK

        def look() -> None:
            nonlocal due
            traffic.look()
            if time.monotonic() >= due:
                due = time.monotonic() + LOOK
                try:
                    self._tell_workers(wanted)
                except SlipwayError as error:
                    if error.code != "proxy_unreachable":  # or the next look finds it back
                        raise

        return look

    def _steps(self) -> list[int]:
        return [weight for weight in self._options.weights if weight < WHOLE]

    # How a release ends.

    def end(self, unit: str, look: Callable[[], None] = lambda: None) -> None:
        slot = self.slot(self._release_of(unit))
        if slot is not None and slot != self._record().live:
            for _moment in self._emptying(slot):
                look()  # all users are at the other release by now
        super().end(unit, look)

    def _emptying(self, slot: str) -> Iterator[None]:
        """One moment after the other until no request is left in a slot that gets no new ones, or no time."""
        deadline, calm = time.monotonic() + self.settings.drain_timeout, 0
        try:
            record = self._record()
            self._tell(self._routes(record, DRAIN))
            while calm < CALM and time.monotonic() < deadline:
                time.sleep(POLL)
                calm = 0 if self._patiently(lambda: self._sessions(slot)) else calm + 1
                yield
            self._tell(self._routes(record, MAINT))
        except SlipwayError:  # without HAProxy, nobody has a request there
            return

    def close(self) -> None:
        with contextlib.suppress(SlipwayError):  # the record holds as soon as HAProxy is there again
            self._go_live(None)

    # The way back.

    def _in_own_units(self, main_pid: int) -> bool:
        return has_slot(main_pid)

    def _reopen(self, candidate: str, release_id: str) -> None:
        self.prepare(candidate, release_id)

    def _return_users(self, release_id: str) -> None:
        self._go_live(self.slot(release_id))

    # HAProxy.

    def _patiently(self, ask: Callable[[], _Result]) -> _Result:
        """HAProxy may be restarting, or reloading with a worker that ends in this moment."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return ask()
            except SlipwayError as error:
                if error.code != "proxy_unreachable" or time.monotonic() >= deadline:
                    raise
            time.sleep(POLL)

    def _tell(self, wanted: Mapping[str, Wanted]) -> None:
        """Have HAProxy be so; a former worker takes no orders any more, and a drain waits for it."""
        self._patiently(lambda: self._tell_workers(wanted))

    def _tell_workers(self, wanted: Mapping[str, Wanted]) -> None:
        for worker in self._haproxy.workers():
            if not worker.former:
                self._tell_worker(worker, wanted)

    def _tell_worker(self, worker: Worker, wanted: Mapping[str, Wanted]) -> None:
        for backend in self._backends:
            seen = self._servers(worker, backend)
            if not seen:
                continue
            # Who is to serve comes first, so that there is no moment without a server.
            for slot in sorted(SLOTS, key=lambda slot: wanted[slot].state != READY):
                self._change(worker, f"{backend}/{slot}", seen[slot], wanted[slot])
            seen = self._servers(worker, backend)
            if seen and not all(wanted[slot].is_so(seen[slot]) for slot in SLOTS):
                raise SlipwayError(
                    "proxy_unreachable", f"HAProxy did not do what it was told: {seen}.", "see journalctl -u haproxy"
                )

    def _change(self, worker: Worker, server: str, now: Server, wanted: Wanted) -> None:
        if now.address != wanted.address:
            self._haproxy.set_address(worker, server, wanted.address)
        if now.weight != wanted.weight:
            self._haproxy.set_weight(worker, server, wanted.weight)
        if now.state != wanted.state:
            self._haproxy.set_state(worker, server, wanted.state)

    def _servers(self, worker: Worker, backend: str) -> dict[str, Server]:
        """Empty for a worker from the time before this service, or before the engine's requests were told apart."""
        seen = self._haproxy.servers(worker, backend)
        if not set(SLOTS) <= set(seen):
            if worker.former or backend != self._backend:
                return {}
            raise SlipwayError(
                "not_proxied",
                f"HAProxy knows no backend {self._backend} with the servers {' and '.join(SLOTS)}.",
                "apply the role slipway.go.proxy to this host",
            )
        return seen

    def _everywhere(self) -> dict[int, dict[str, Server]]:
        return {worker.pid: self._servers(worker, self._backend) for worker in self._haproxy.workers()}

    def _sessions(self, slot: str) -> int:
        """Requests that are there or may still come: a former worker leads its open connections where it always did."""
        found = 0
        for worker in self._haproxy.workers():
            for seen in (self._servers(worker, backend) for backend in self._backends):
                if seen:
                    found += seen[slot].sessions + (worker.former and seen[slot].state == READY)
        return found

    def _totals(self) -> Reading:
        told_apart, found = True, {}
        for worker in self._haproxy.workers():
            seen = self._servers(worker, self._backend)
            told_apart = told_apart and bool(worker.former or self._servers(worker, self._backends[1]))
            times = self._haproxy.times(worker, f"{self._backend}.times")
            for slot, server in seen.items():
                found[worker.pid, slot] = Totals(server.requests, server.failures, times.get(slot, {}), server.sessions)
        return told_apart, found
