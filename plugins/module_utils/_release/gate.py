# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proof that the release in question is the one that answers, and keeps answering. PRIVATE to the collection."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Callable, Mapping, Optional, Sequence

from .._core.errors import SlipwayError
from .._health.kinds.registry import has_address
from .._health.outcome import FAIL, Attempt
from .._health.parsing import parse_check
from .._health.result import CheckResult
from .._health.runner import attempt_all as attempt
from .._health.runner import run as judge
from .._health.spec.check import Check
from .._host import processes, sockets
from .._host.systemd import Systemd, UnitState
from .state.layout import Layout

# The gate's own pace; everything else in release_health is an option of slipway.go.health_check.
LOOK = 1.0
PACE: dict[str, float] = {"interval": 0.2, "rise": 2, "fall": 3, "deadline": 30.0}
_NOT_ASKED = Attempt(FAIL, "timeout", "no answer yet")


@dataclass(frozen=True)
class Pace:
    """How often to ask, how many answers in a row decide, and when to give up. Times are in seconds."""

    interval: float
    rise: int
    fall: int
    deadline: float


@dataclass(frozen=True)
class Subject:
    """What is being proven: one release in one unit, reached as its health check says, or by nothing but systemd.

    ports are what has to accept besides, by the variable that tells the release that port: PORT where the check itself
    is sent to no address, and those of further public ports. own says that no user asks there.
    """

    release_id: str
    unit: str
    check: Optional[Check]
    ports: tuple[tuple[str, Check], ...] = ()
    own: bool = False


def parse_pace(health: Mapping[str, Any]) -> Pace:
    """The four keys of release_health that are not the check's own; an unset one has its default."""
    values: dict[str, float] = {}
    for key, default in PACE.items():
        given = health.get(key)
        try:
            value = default if given is None else float(given)
        except (TypeError, ValueError):
            value = math.nan
        whole = key in ("rise", "fall")
        if not (1 if whole else 0) <= value < math.inf or (whole and value != int(value)):
            least = "a whole number, 1 or more" if whole else "seconds, 0 or more"
            raise SlipwayError("invalid_health", f"release_health.{key} is {given!r}.", f"give {least}")
        values[key] = value
    return Pace(values["interval"], int(values["rise"]), int(values["fall"]), values["deadline"])


@dataclass(frozen=True)
class Early:
    """What may end a soak before its time, and the seconds that it lasts at least."""

    least: float
    enough: Callable[[], bool]


class Unhealthy(SlipwayError):
    """A release is not healthy. answer: the body of its last answer, which may hold what no message may show."""

    def __init__(self, code: str, message: str, fix: str, answer: bytes) -> None:
        super().__init__(code, message, fix)
        self.answer = answer


class Gate:
    """Watches one instance through systemd and through its health check."""

    def __init__(self, layout: Layout, systemd: Systemd, health: Mapping[str, Any], shared: bool) -> None:
        self._layout = layout
        self._systemd = systemd
        self._shared = shared
        self.pace = parse_pace(health)
        self._health = {key: value for key, value in health.items() if key not in PACE}
        self.serving("0-0000000000", "")

    def serving(self, release_id: str, unit: str) -> Subject:
        """The release in its unit, as its users reach it."""
        return Subject(release_id, unit, self._check(release_id, unit, {}, self._shared))

    def by_unit(self, subject: Subject) -> Optional[Subject]:
        """The same, whatever file it executes; None where nothing asks for the file."""
        check = None if subject.check is None else _by_unit(subject.check, subject.unit)
        ports = tuple((variable, _by_unit(port, subject.unit)) for variable, port in subject.ports)
        same = (check, ports) == (subject.check, subject.ports)
        return None if same else replace(subject, check=check, ports=ports)

    def rehearsing(self, release_id: str, address: str, more: Mapping[str, str] = MappingProxyType({})) -> Subject:
        """The release in its rehearsal, at an address of systemd.socket(5) that no user knows."""
        return self.at(release_id, self._layout.rehearsal(release_id), address, more)

    def at(self, release_id: str, unit: str, address: str, more: Mapping[str, str] = MappingProxyType({})) -> Subject:
        """The release in that unit, asked at an address of its own; more are its other ports, by their variables."""
        address = f"127.0.0.1:{address}" if address.isdigit() else address
        check, ports = self._check(release_id, unit, {"address": address}, False), dict(more)
        if check is not None and not has_address(check.kind):
            check = replace(check, target=check.target.with_variables([("SLIPWAY_ADDRESS", address)]))
            if not _is_path(address):  # PID 1 has that one open, whatever the release does
                ports = {"PORT": address, **ports}
        identity = {"executable": self._layout.binary(release_id)}
        accepts = {
            variable: parse_check({"name": "release", "kind": "tcp", "address": where, "identity": identity})
            for variable, where in ports.items()
        }
        return Subject(release_id, unit, check, tuple(accepts.items()), own=True)

    def _check(self, release_id: str, unit: str, where: Mapping[str, str], shared: bool) -> Optional[Check]:
        if not self._health:
            return None
        url = str(self._health.get("url", ""))
        spec = {"name": "release", "kind": "https" if url.startswith("https:") else "http", **self._health}
        if spec["kind"] == "systemd" and unit and self._is_own(str(spec.get("unit", ""))):
            spec["unit"] = unit
        if has_address(spec["kind"]):
            if where:
                spec.pop("unix_socket", None)
                if spec["kind"] == "unix" and not _is_path(where["address"]):
                    spec["kind"] = ("https" if url.startswith("https:") else "http") if url else "tcp"
            spec.update(where)
            spec["identity"] = {"executable": self._layout.binary(release_id), "shared": shared}
        return parse_check(spec)

    def _is_own(self, unit: str) -> bool:
        """Whether it means the service, which the release before may run, too."""
        stem = unit[: -len(".service")] if unit.endswith(".service") else unit
        return stem == self._layout.name or stem.startswith(f"{self._layout.name}@")

    def look(self, subject: Subject, answers: int = 1) -> Optional[CheckResult]:
        """Ask that many times in a row and judge; None where there is no health check."""
        if subject.check is None:
            return None
        check = replace(subject.check, rise=answers, fall=1, interval=0.0, deadline=answers * subject.check.timeout)
        if not subject.ports:
            return judge(check)
        return judge(check, lambda session, end: _ask(session.check, subject.ports, end))

    def wait_healthy(self, subject: Subject, started: UnitState) -> None:
        """Return once the instance has passed `rise` checks in a row; raise when it dies or the deadline passes."""
        if subject.check is None:
            return
        deadline = time.monotonic() + self.pace.deadline
        passes, last = 0, _NOT_ASKED
        while passes < self.pace.rise:
            self._stable(subject, started)
            answer = _ask(subject.check, subject.ports, deadline)
            # Where no user asks, counters say nothing yet; the page is there, and the soak judges what it says.
            if answer.counts or (subject.own and subject.check.kind == "metrics"):
                passes = passes + 1 if answer.state != "fail" else 0
            if answer.state == FAIL and (last is _NOT_ASKED or last.clipped or not answer.clipped):
                last = answer  # what the deadline cut short says nothing of the release; what was answered before does
            if passes < self.pace.rise:
                if time.monotonic() + self.pace.interval >= deadline:
                    raise self._out_of_time(subject, last)
                time.sleep(self.pace.interval)

    def _out_of_time(self, subject: Subject, last: Attempt) -> SlipwayError:
        what = f"{subject.release_id} did not become healthy within {self.pace.deadline:g} s"
        if last.clipped:
            return SlipwayError(
                "not_answered",
                f"{what}, and the last check did not have its own {_timeout(subject):g} s to be answered "
                f"({last.reason}: {last.message}). This is not held against the release.",
                "raise release_health.deadline above release_health.timeout",
            )
        return Unhealthy(
            "unhealthy",
            f"{what} ({last.reason}: {last.message}).",
            f"see journalctl -u '{subject.unit}', or raise release_health.deadline",
            last.answer,
        )

    def soak(
        self,
        subject: Subject,
        started: UnitState,
        seconds: float,
        also: Callable[[], None] = lambda: None,
        early: Optional[Early] = None,
    ) -> None:
        """Raise unless the instance stays up and healthy for that long, and is so in the end; or when `also` raises."""
        begun = time.monotonic()
        deadline = begun + seconds
        failures, due, is_enough = 0, 0.0, False
        while True:
            self._stable(subject, started)
            now = time.monotonic()
            if subject.check is not None and (now >= due or now >= deadline):
                due = now + self.pace.interval
                answer = _ask(subject.check, subject.ports)
                failures = failures + 1 if answer.state == "fail" and answer.counts else 0
                if failures >= self.pace.fall:
                    raise Unhealthy(
                        "unhealthy_in_soak",
                        f"{subject.release_id} was healthy and then failed {failures} checks in a row "
                        f"({answer.reason}: {answer.message}).",
                        f"see journalctl -u '{subject.unit}'",
                        answer.answer,
                    )
            also()
            if failures == 0 and (is_enough or time.monotonic() >= deadline):
                return
            is_enough = early is not None and failures == 0 and now >= begun + early.least and early.enough()
            if is_enough:
                due = 0.0  # the last check is of now
                continue
            # `also` looks more often than a health check is wanted.
            time.sleep(min(self.pace.interval, LOOK, max(deadline - time.monotonic(), 0.01)))

    def _stable(self, subject: Subject, started: UnitState) -> None:
        now = self._systemd.show(subject.unit)
        if not now.running or now.restarts != started.restarts or now.main_pid != started.main_pid:
            raise SlipwayError(
                "crashed", f"{subject.unit} did not stay up: {now.describe()}.", f"see journalctl -u '{subject.unit}'"
            )


def _ask(check: Check, ports: Sequence[tuple[str, Check]], deadline: Optional[float] = None) -> Attempt:
    for variable, port in ports:
        answer = attempt(port, deadline)
        if answer.state == "fail":
            return answer if variable == "PORT" else replace(answer, message=f"{variable}: {answer.message}")
    return attempt(check, deadline)


def _timeout(subject: Subject) -> float:
    return subject.check.timeout if subject.check is not None else 0.0


def _is_path(address: str) -> bool:
    return address.startswith(("/", "@"))


def _by_unit(check: Check, unit: str) -> Check:
    if check.identity is None or check.identity.executable is None:
        return check
    return check.with_identity(replace(check.identity, executable=None, unit=unit))


def shares_socket(main_pid: int) -> bool:
    """Whether the process holds a listening socket that PID 1 holds too."""
    return bool(processes.socket_inodes(main_pid) & processes.socket_inodes(1) & sockets.listening_inodes())


def has_slot(main_pid: int) -> bool:
    """Whether the process was told to listen behind HAProxy."""
    return "SLIPWAY_ADDRESS" in processes.environment(main_pid)


def verify_shared_socket(unit: str, main_pid: int) -> None:
    """Raise unless it does.

    An instance can be active without the descriptors it was to inherit; draining the other one would then be an outage.
    """
    if not shares_socket(main_pid):
        raise SlipwayError(
            "socket_not_inherited",
            f"{unit} runs but does not listen on the service's socket.",
            "accept on the descriptors of LISTEN_FDS in the service, or set service_swap to restart",
        )
