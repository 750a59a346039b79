# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The strategy `proxy`: HAProxy leads users to one of two local ports. This file is PRIVATE to the collection.

A new release starts in the slot that users are not led to.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from typing import Callable, Iterator, Mapping, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..._host import processes, sockets
from ..._host.connections import LastCount
from ..._host.systemd import POLL
from ..gate import Gate, Subject, has_slot
from ..phases import OVERLAPPING, PROVEN_BEFORE_FLIP, Phase
from ..state.model import ACCEPT, PROXY_PORTS, Spec, parse_proxy
from ..state.service import Service
from . import reserved_ports
from .backend import Backend, Routes, routes, shares
from .base import FRONT, Strategy, Wait
from .haproxy import DRAIN, MAINT, Haproxy
from .slots import CHOSEN, SLOTS, LocalPorts, Slots, port_variable
from .traffic import LOOK, WHOLE, Totals, Traffic, since_counted
from .verdict import Counts, Rule, Verdict

UNIT = "haproxy.service"
CALM = 2  # looks in a row that find no session


class ProxyStrategy(Strategy):
    """Two releases run side by side at two local ports, and HAProxy decides whom users reach."""

    name = "proxy"
    phases = OVERLAPPING

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._options = parse_proxy(self.settings.proxy)
        reserved = reserved_ports.of_service(self.layout)
        ports = LocalPorts(self._options.ports or reserved.first or PROXY_PORTS, reserved.more)
        self._slots = Slots(self.layout, ports)
        self._backend = Backend(self.layout.name, Haproxy(), self._slots.names, self._has_chosen)

    def _has_chosen(self) -> bool:
        """Whether HAProxy has servers for users who meet a new release first, as the role has left it."""
        return f"\nbackend slipway-{self.layout.name}{CHOSEN} " in files.text(self.layout.proxy_config)

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

    def waits(self) -> list[Wait]:
        return [*super().waits(), Wait("release_step_time", self._options.step_time, len(self._steps()))]

    def least_canary_time(self) -> float:
        """A share of 0 shows nothing of most users, and lasts its whole time."""
        longest, least = self._options.step_time, self._options.min_time
        return sum(longest if least is None or not weight else min(least, longest) for weight in self._steps())

    def min_time(self) -> Optional[float]:
        return self._options.min_time

    def pause_time(self) -> float:
        return self._options.longest_pause

    def front(self) -> Optional[int]:
        return self.systemd.show(UNIT).main_pid

    # Where a release is.

    def subject(self, release_id: str) -> Subject:
        address, more = self._slots.address(release_id), self._slots.more_addresses(release_id)
        return self.gate.at(release_id, self.unit(release_id), address, _by_variable(more))

    def serves(self, release_id: str) -> bool:
        slot = self._slots.slot(release_id)
        record = self._slots.written()
        return record is not None and slot is not None and slot == record.live and super().serves(release_id)

    def rehearsal_address(self, release_id: str, _given: str) -> str:
        return self._slots.address(release_id, rehearsal=True)

    def rehearsal_ports(self, release_id: str) -> dict[str, str]:
        return _by_variable(self._slots.more_addresses(release_id, rehearsal=True))

    def open_rehearsal(self, release_id: str) -> None:
        """The slot that users are not led to is free until the release itself needs it."""
        self.systemd.start_and_wait(UNIT)
        self._end_strays("")
        self._take_slot(release_id, rehearsal=True)

    # What must hold before anything changes.

    @property
    def own_listen(self) -> list[str]:
        return [f"127.0.0.1:{port}" for port in self._slots.local_ports(self._slots.names_of_next())]

    def check_front(self, spec: Spec) -> None:
        for variable, port, names in _found(spec):
            others = ", ".join(sorted(names - {FRONT, "?"}))
            if others:
                raise SlipwayError(
                    "port_in_use",
                    f"port {port} of {variable} is in use by {others}; with service_swap proxy it is HAProxy's.",
                    f"stop {others} (of this service: systemctl disable --now {self.layout.name}.socket "
                    f"{self.layout.name}.service) and apply the role slipway.go.proxy, or choose another port",
                )

    def check_ready(self, spec: Spec) -> None:
        for variable in spec.public:
            closed = [str(port) for one, port, names in _found(spec) if one == variable and FRONT not in names]
            if not closed:
                continue
            raise SlipwayError(
                "not_proxied",
                f"HAProxy does not listen on port {', '.join(closed)} of {variable}.",
                "apply the role slipway.go.proxy to this host, then systemctl status haproxy",
            )
        if self._slots.names_of_next():
            self._backend.check_known(self._slots.names_of_next())
        if 0 in self._steps() and not self._has_chosen():
            raise SlipwayError(
                "nobody_chosen",
                "release_weights begins with 0, which is for chosen users alone, and HAProxy here knows none of them.",
                "set proxy_canary_for and apply the role slipway.go.proxy, or leave 0 out of release_weights",
            )

    # How a release starts.

    def is_reached(self, release_id: str) -> bool:
        if not self.serves(release_id):
            return False
        try:
            self._backend.check_known()
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
        live = self._slots.record().live
        for other in self._running():
            if other != release_id and self._slots.slot(other) != live:
                was_left = self.is_left(self.unit(other))
                cut = self.end(self.unit(other))
                if was_left:
                    self.store.journal.record("drained", release=other, cut=cut, because="its local port is needed")

    def _running(self) -> list[str]:
        """The releases that run behind HAProxy, or try to."""
        releases = [self.release_of(unit) for unit in self.systemd.active_instances(self.layout.name)]
        return [i for i in releases if self.layout.manifest(i).get("strategy", self.name) == self.name]

    def _take_slot(self, release_id: str, rehearsal: bool = False) -> None:
        """Give the release the slot that nobody runs in, durably, and have HAProxy lead nobody there yet."""
        running, record = self._running(), self._slots.record()
        if not rehearsal and release_id in running and self._slots.slot(release_id):
            return
        taken = {record.live, *(self._slots.slot(other) for other in running)}
        self._backend.apply(routes(self._slots.assign(release_id, taken, rehearsal), MAINT))

    # Whom users reach.

    def _go_live(self, slot: Optional[str]) -> None:
        """First so that it holds after any power cut, then in fact; requests that have begun end where they are."""
        record = replace(self._slots.record(), live=slot)
        self._slots.save(record)
        self._backend.apply(routes(record, DRAIN))

    def flip(self, release_id: str) -> None:
        self._slots.address(release_id)
        self._go_live(self._slots.slot(release_id))
        super().flip(release_id)

    def totals(self) -> Optional[Mapping[tuple[int, str], Totals]]:
        try:
            return self._backend.totals()[1]
        except SlipwayError:
            return None

    def remember(self, release_id: str) -> None:
        totals = self.totals()
        with contextlib.suppress(OSError):  # then the next release has less to be compared with
            self.store.journal.record(
                "counted",
                release=release_id,
                slot=self._slots.slot(release_id),
                totals=[[*key, one.requests, one.failed] for key, one in (totals or {}).items()],
            )

    def _since_committed(
        self, slot: str, until: Optional[Mapping[tuple[int, str], Totals]], whose: str = ""
    ) -> Optional[Counts]:
        """What the release in this slot did since it proved itself; others may have been there before it."""
        current, now = self.layout.current_id(), until if until is not None else self.totals()
        counted = self.store.journal.last_count_of(current)
        if counted is None or now is None or not slot == self._slots.slot(current) == counted.get("slot"):
            return None
        return since_counted(counted, now, slot + whose)

    def traffic(self, release_id: str, begun: Optional[Mapping[tuple[int, str], Totals]] = None) -> Optional[Traffic]:
        record, options = self._slots.record(), self._options
        new = self._slots.slot(release_id)
        if new is None:
            return None
        old = next(slot for slot in SLOTS if slot != new)
        rule = Rule(options.max_errors, options.max_latency_ratio, options.min_requests, options.min_time)
        inconclusive = options.inconclusive if record.live == old else ACCEPT
        earlier = self._since_committed(old, begun) if record.live == old else None
        chosen = None
        if self._has_chosen():
            chosen = (self._since_committed(old, begun, CHOSEN) if record.live == old else None) or Counts()
        verdict = Verdict(rule, earlier, chosen)
        return Traffic(verdict, self._backend.totals, (new, old), release_id, inconclusive, begun)

    def canary(self, release_id: str, traffic: Traffic, hold: Callable[[float, Callable[[], None]], None]) -> None:
        record, slot = self._slots.record(), str(self._slots.slot(release_id))
        if record.live in (None, slot):
            return
        old = str(record.live)
        for percent in self._steps():
            weights = {slot: percent, old: WHOLE - percent}
            wanted = shares(record, weights)
            self._backend.apply(wanted)
            traffic.begin(percent)
            hold(self._options.step_time, self._holding(wanted, traffic))
        if self._steps():
            traffic.decide()

    def _holding(self, wanted: Routes, traffic: Traffic) -> Callable[[], None]:
        """A look at the traffic, and at whether HAProxy still is so: after a reload it does as the record says."""
        due = time.monotonic() + LOOK

        def look() -> None:
            nonlocal due
            traffic.look()
            if time.monotonic() >= due:
                due = time.monotonic() + LOOK
                try:
                    self._backend.apply_now(wanted)
                except SlipwayError as error:
                    if error.code != "proxy_unreachable":  # or the next look finds it back
                        raise

        return look

    def _steps(self) -> list[int]:
        return [weight for weight in self._options.weights if weight < WHOLE]

    # How a release ends.

    def end(self, unit: str, look: Callable[[], None] = lambda: None) -> int:
        release_id = self.release_of(unit)
        left = self._left_in_drain(release_id, look)
        if not left:
            return super().end(unit, look)
        slot, main_pid = str(self._slots.slot(release_id)), self.systemd.show(unit).main_pid
        # Sessions may still end by themselves while the release does, so they are counted often.
        with LastCount(lambda: self._sessions(slot, main_pid), left, POLL) as still_open:
            super().end(unit, look)
        return still_open.value

    def _left_in_drain(self, release_id: str, look: Callable[[], None]) -> int:
        """The sessions that are still there when the drain is over; all users are at the other release by then."""
        slot, left = self._slots.slot(release_id), 0
        if slot is not None and slot != self._slots.record().live:
            for left in self._emptying(slot):  # noqa: B007 - the last one counts
                look()
        return left

    def _outlasts_drain(self, unit: str, look: Callable[[], None]) -> bool:
        return self._left_in_drain(self.release_of(unit), look) > 0

    def users(self, release_id: str) -> Optional[int]:
        slot, main_pid = self._slots.slot(release_id), self.systemd.show(self.unit(release_id)).main_pid
        if slot is None or not processes.alive(main_pid):
            return None
        try:
            return self._sessions(slot, main_pid)
        except SlipwayError:  # without HAProxy, nobody has a request there
            return 0 if processes.alive(main_pid) else None

    def _sessions(self, slot: str, main_pid: int) -> Optional[int]:
        """The sessions in a slot; None once the process there has ended."""
        counted = self._backend.sessions(slot)
        return counted if processes.alive(main_pid) else None

    def dismiss(self, release_id: str) -> None:
        self.systemd.call("stop", "--no-block", self.unit(release_id))

    def _emptying(self, slot: str) -> Iterator[int]:
        """The sessions in a slot that gets no new ones, moment by moment until none is left, or no time."""
        deadline, calm = time.monotonic() + self.settings.drain_timeout, 0
        try:
            record = self._slots.record()
            self._backend.apply(routes(record, DRAIN))
            while calm < CALM and time.monotonic() < deadline:
                time.sleep(POLL)
                sessions = self._backend.sessions(slot)
                calm = 0 if sessions else calm + 1
                yield sessions
            self._backend.apply(routes(record, MAINT))
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
        self._go_live(self._slots.slot(release_id))


def _found(spec: Spec) -> Iterator[tuple[str, int, set[str]]]:
    """Each public port, with the variable that it is from and the programs that listen there."""
    for variable, listen in spec.public.items():
        for port, names in sockets.programs(listen).items():
            yield variable, port, names


def _by_variable(addresses: Mapping[str, str]) -> dict[str, str]:
    """The same by the variable in which a release finds the port."""
    return {port_variable(name): address for name, address in addresses.items()}
