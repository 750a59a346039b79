# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at one service and at what surrounds it. Reads only, and each look is bounded in time. PRIVATE."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Optional, Sequence, TypeVar

from .._core import command, files
from .._core.errors import SlipwayError, sentence
from .._core.paths import SERVICES_ROOT, STATE_ROOT, WATCH_ROOT, WATCHER
from .._core.problems import Problem
from .._drift import released
from .._drift.item import Finding as Difference
from .._hardening.firewall import service_rules
from .._hardening.firewall.survey import backend_of, in_force, remembered
from .._health.outcome import printable
from .._host import journald
from .._host.kernel import read_host
from .._host.systemd import Systemd, UnitState
from .._linkage.checker import Checker
from .._release import integrity, preflight, stage
from .._release.diagnostics import masked
from .._release.operator.operator import Operator, unreadable
from .._release.strategies.proxy import ProxyStrategy
from .._units.context import unit_context
from . import dependencies, host
from .evidence import Clock, Evidence, Usage

RECENT = 300.0  # seconds of the log that count as now
LINES = 10
LONGEST = 10.0  # seconds for one look
HIDDEN = "(not shown: it is not known what of it is secret)"
HAPROXY = "haproxy.service"
Found = TypeVar("Found")


@dataclass(frozen=True)
class Declared:
    """What the role service has written down: where the service listens, and what it needs of others."""

    listen: list[str] = field(default_factory=list)
    dependencies: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Unit:
    """The unit of the release, and SERVICE.service above it. since, until: the span of its log that counts."""

    name: str
    umbrella: str
    umbrella_told: dict[str, str]
    state: UnitState
    since: float
    until: float
    proxied: bool


@dataclass
class Look:
    """One service; notes says what could not be looked at, and why."""

    operator: Operator
    systemd: Systemd
    notes: list[str]

    def collect(self) -> Evidence:
        name, layout = self.operator.settings.name, self.operator.layout
        unknown = unreadable(name, ["its state cannot be looked at: see the notes."], layout.current_id())
        status = self._try("its state", lambda: self.operator.status(1), unknown)
        current = status["current"]
        secrets = self._try("its secrets", lambda: stage.secrets(layout, current), None) if current else []
        record = self._try("what is declared of it", lambda: declared(name), Declared())
        around = Evidence(
            name,
            {**status, "message": _masked(str(status["message"]), secrets)},
            running=False,
            volumes=host.volumes(self._places()),
            dependencies=dependencies.ask(record.dependencies),
            closed=self._try("the firewall", lambda: closed_ports(name), []),
            clock=self._try("the clock", host.clock, Clock()),
        )
        unit = self._try("its unit", lambda: self._unit(current), None) if current else None
        return around if unit is None else self._with_unit(around, record, secrets, unit)

    def _unit(self, current: str) -> Unit:
        name, umbrella = self.operator.unit(current), f"{self.operator.settings.name}.service"
        told = self.systemd.properties(umbrella, "ActiveState", "UnitFileState", "LoadState")
        state = self.systemd.show(name)
        until = time.time()
        since = min(until, self._since(name, state.running)) - RECENT
        proxied = self.operator.strategy(current).name == ProxyStrategy.name
        return Unit(name, umbrella, told, state, since, until, proxied)

    def _with_unit(self, around: Evidence, record: Declared, secrets: Optional[Sequence[str]], unit: Unit) -> Evidence:
        name, layout, current = around.service, self.operator.layout, str(around.status["current"])
        told, since, until = unit.umbrella_told, unit.since, unit.until
        kernel = host.kernel_log(since, until)
        return replace(
            around,
            umbrella=told["ActiveState"],
            enabled="masked" if told["LoadState"] == "masked" else told["UnitFileState"],
            running=unit.state.running,
            damage=self._try("its files", lambda: self._damage(current, around.status["differences"]), None),
            unit_problems=self._try("its unit", lambda: unit_problems(unit.name, layout.binary(current)), []),
            usage=self._try("its limits", lambda: host.usage(self.systemd, unit.name, unit.state.main_pid), Usage()),
            port=None if unit.proxied else self._try("its ports", lambda: self._port(name, record.listen), None),
            front=self._try("HAProxy", self._front, None) if unit.proxied else None,
            denials=host.denials(name, kernel),
            differences=self._try("its units", lambda: changed_units(name, self.systemd), []),
            endings=self._try("its log", lambda: host.endings(name, unit.name, since, until, kernel), []),
            log=self._try("its log", lambda: self._log(secrets, unit.name, since, until), []),
            said=self._try("its log", lambda: journald.said_by_systemd(unit.umbrella, since, until, LINES), []),
            watched=self._try("the watch", lambda: self._watched(name), True),
        )

    def _damage(self, current: str, changes: list[str]) -> Optional[Problem]:
        one = self.operator
        return Problem.of(integrity.damaged_release(one.layout, one.store, current, changes)) if changes else None

    def _port(self, name: str, listen: list[str]) -> Optional[Problem]:
        """Who else listens on a port of the service, as preflight would see it."""
        try:
            preflight.check_ports(name, listen, self.systemd.socket_ports(f"{name}.socket"))
        except SlipwayError as error:
            if error.code != "port_in_use":
                raise
            return Problem.of(error)
        return None

    def _watched(self, name: str) -> bool:
        return not os.path.exists(f"{WATCH_ROOT}/{name}.json") or self.systemd.is_active(WATCHER)

    def _places(self) -> list[str]:
        name, layout = self.operator.settings.name, self.operator.layout
        data = [f"{folder}/{name}" for folder in ("/var/lib", "/var/cache", "/var/log")]
        return [layout.root, STATE_ROOT, *data, "/tmp", "/run", "/"]  # noqa: S108 - looked at, not written

    def _since(self, unit: str, running: bool) -> float:
        """Now, or when a unit that does not run came to its present state; of the wall clock."""
        stamp = "" if running else self.systemd.properties(unit, "StateChangeTimestampMonotonic").popitem()[1]
        ago = time.monotonic() - int(stamp) / 1e6 if stamp.isdigit() and int(stamp) else 0.0
        return time.time() - max(ago, 0.0)

    def _front(self) -> Optional[str]:
        """What haproxy.service is, where it does not run."""
        shown = self.systemd.show(HAPROXY)
        return None if shown.running else shown.describe()

    def _log(self, secrets: Optional[Sequence[str]], unit: str, since: float, until: float) -> list[str]:
        return [_masked(line, secrets) for line in journald.last_lines(unit, since, until, LINES)]

    def _try(self, what: str, look: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return host.within(LONGEST, look)
        except (SlipwayError, OSError, ValueError) as error:
            note = sentence(f"{what} cannot be looked at: {error}")
            if note not in self.notes:
                self.notes.append(note)
            return otherwise


def _masked(text: str, secrets: Optional[Sequence[str]]) -> str:
    """Nothing of it where it is not known what is secret."""
    return HIDDEN if secrets is None else printable(masked(text, secrets))


def declared(name: str) -> Declared:
    """What the role service has written down of it."""
    text = files.text(f"{SERVICES_ROOT}/{name}.json")
    found = json.loads(text) if text else {}
    listen, needed = (found.get(key, []) for key in ("listen", "dependencies")) if isinstance(found, dict) else (0, 0)
    if not isinstance(listen, list) or not isinstance(needed, list) or not all(isinstance(one, dict) for one in needed):
        raise ValueError(f"{SERVICES_ROOT}/{name}.json is not as the role service writes it")
    return Declared([str(one) for one in listen], needed)


def unit_problems(unit: str, binary: str) -> list[Problem]:
    """What keeps systemd, the kernel or the loader from starting the program in its unit."""
    context = unit_context(unit)
    return [*context.missing, *Checker(read_host(), context._replace(missing=())).check(binary).problems]


def changed_units(name: str, systemd: Systemd) -> list[Difference]:
    """Those that are not as the release brought them; the rest of its drift the status tells as well."""
    return [one for one in released.compare_services(name, systemd).findings if one.area == released.UNITS]


def closed_ports(name: str) -> list[str]:
    """Of what the service asked the firewall for, what the one in force does not let in."""
    run = remembered(_run)
    active, asked = in_force(run), service_rules.recorded(name)
    if not active or not asked:
        return []
    backend = backend_of(active, run)
    zone = backend.default_zone()
    wanted = [replace(rule, zone=rule.zone or zone) for rule in asked if rule.port]
    return [f"{rule.port}/{rule.proto}" for rule in backend.missing(wanted)]


def _run(argv: Sequence[str]) -> tuple[int, str]:
    try:
        done = command.run(argv, host.SECONDS, merged=True)
    except command.MissingProgram:
        return 127, ""
    return done.code, done.complaint
