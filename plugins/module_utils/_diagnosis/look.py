# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at one service and at what surrounds it. Reads only, and each look is bounded in time. PRIVATE."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from typing import Any, Callable, Iterable, Mapping, Optional, Sequence, TypeVar

from .._core import command, files
from .._core.errors import SlipwayError, sentence
from .._core.paths import SERVICES_ROOT, STATE_ROOT, WATCH_ROOT, WATCHER
from .._core.problems import Problem
from .._drift import released
from .._drift.item import Finding as Difference
from .._hardening.firewall import service_rules
from .._hardening.firewall.rule import Rule
from .._hardening.firewall.survey import backend_of, in_force, remembered
from .._hardening.services import public_ports
from .._health.outcome import printable
from .._host import journald, processes, sockets
from .._host.kernel import read_host
from .._host.systemd import Systemd
from .._linkage.checker import Checker
from .._release import stage
from .._release.diagnostics import masked
from .._release.operator.operator import Operator
from .._release.strategies.proxy import ProxyStrategy
from .._units.context import unit_context
from . import dependencies, host
from .evidence import Clock, Evidence, Usage

RECENT = 300.0  # seconds of the log that count as now
LINES = 10
HAPROXY = "haproxy.service"
Found = TypeVar("Found")


@dataclass
class Look:
    """One service; notes says what could not be looked at, and why."""

    operator: Operator
    systemd: Systemd
    notes: list[str]

    def collect(self) -> Evidence:
        name, status = self.operator.settings.name, self.operator.status()
        current = status["current"]
        record: Mapping[str, Any] = self._try("what is declared of it", lambda: declared(name), {})
        listen = [str(one) for one in record.get("listen") or ()]
        around = Evidence(
            name,
            status,
            running=False,
            volumes=host.volumes(self._places()),
            dependencies=dependencies.ask(record.get("dependencies") or ()),
            closed=self._try("the firewall", lambda: closed_ports(name, listen), []),
            clock=self._try("the clock", host.clock, Clock()),
        )
        return self._with_release(around, str(current), listen) if current else around

    def _with_release(self, around: Evidence, current: str, listen: Sequence[str]) -> Evidence:
        name, layout = around.service, self.operator.layout
        unit = self.operator.unit(current)
        umbrella = self.systemd.properties(f"{name}.service", "ActiveState", "UnitFileState", "LoadState")
        shown = self.systemd.show(unit)
        until = time.time()
        since = min(until, self._since(unit, shown.running)) - RECENT
        return replace(
            around,
            started=umbrella["ActiveState"] in ("active", "reloading", "activating"),
            enabled="masked" if umbrella["LoadState"] == "masked" else umbrella["UnitFileState"],
            running=shown.running,
            unit_problems=self._try("its unit", lambda: unit_problems(unit, layout.binary(current)), []),
            usage=self._try("its limits", lambda: host.usage(self.systemd, unit, shown.main_pid), Usage()),
            holders=self._try("its ports", lambda: holders(name, listen), {}),
            front=self._front(current),
            denials=host.denials(name, since, until),
            differences=self._try("its units", lambda: changed_units(name), []),
            endings=self._try("its log", lambda: host.endings(unit, since, until), []),
            log=self._try("its log", lambda: self._log(current, unit, since, until), []),
            watched=not os.path.exists(f"{WATCH_ROOT}/{name}.json") or self.systemd.is_active(WATCHER),
        )

    def _places(self) -> list[str]:
        name, layout = self.operator.settings.name, self.operator.layout
        data = [f"{folder}/{name}" for folder in ("/var/lib", "/var/cache", "/var/log")]
        return [layout.root, STATE_ROOT, *data, "/tmp", "/run", "/"]  # noqa: S108 - looked at, not written

    def _since(self, unit: str, running: bool) -> float:
        """Now, or when a unit that does not run came to its present state; of the wall clock."""
        stamp = "" if running else self.systemd.properties(unit, "StateChangeTimestampMonotonic").popitem()[1]
        ago = time.monotonic() - int(stamp) / 1e6 if stamp.isdigit() and int(stamp) else 0.0
        return time.time() - max(ago, 0.0)

    def _front(self, current: str) -> Optional[str]:
        """What haproxy.service is, where users reach the release through it and it does not run."""
        if self.operator.strategy(current).name != ProxyStrategy.name:
            return None
        shown = self.systemd.show(HAPROXY)
        return None if shown.running else shown.describe()

    def _log(self, current: str, unit: str, since: float, until: float) -> list[str]:
        secrets = stage.secrets(self.operator.layout, current)
        return [printable(masked(line, secrets)) for line in journald.last_lines(unit, since, until, LINES)]

    def _try(self, what: str, look: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return look()
        except (SlipwayError, OSError, ValueError) as error:
            note = sentence(f"{what} cannot be looked at: {error}")
            if note not in self.notes:
                self.notes.append(note)
            return otherwise


def declared(name: str) -> Mapping[str, Any]:
    """What the role service has written down of it."""
    text = files.text(f"{SERVICES_ROOT}/{name}.json")
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def unit_problems(unit: str, binary: str) -> list[Problem]:
    """What keeps systemd, the kernel or the loader from starting the program in its unit."""
    context = unit_context(unit)
    return [*context.missing, *Checker(read_host(), context._replace(missing=())).check(binary).problems]


def changed_units(name: str) -> list[Difference]:
    """Those that are not as the release brought them; the rest of its drift the status tells as well."""
    return [one for one in released.compare_services(name).findings if one.area == released.UNITS]


def holders(name: str, listen: Iterable[str]) -> dict[int, str]:
    """Who listens on the service's ports, beside itself, PID 1 and the proxy in front of it."""
    listeners = sockets.tcp_listeners()
    ports = {port for port in map(sockets.tcp_port, listen) if port is not None}
    found = {}
    for port in sorted(ports):
        pids = sockets.holders({inode for inode, used in listeners.items() if used == port})
        strangers = [pid for pid in pids if not _belongs(pid, name)]
        if strangers:
            found[port] = f"{processes.name(strangers[0])} (pid {strangers[0]})"
    return found


def _belongs(pid: int, name: str) -> bool:
    return pid == 1 or processes.in_unit(pid, f"{name}@") or processes.in_unit(pid, HAPROXY)


def closed_ports(name: str, listen: Sequence[str]) -> list[str]:
    """Of what the service asked the firewall for, what the one in force does not let in; never asked, its ports."""
    run = remembered(_run)
    backend = in_force(run)
    if not backend:
        return []
    asked = service_rules.recorded(name)
    wanted = asked if asked is not None else [Rule(port) for port in public_ports(listen)]
    return [f"{rule.port or rule.service}/{rule.proto}" for rule in backend_of(backend, run).missing(wanted)]


def _run(argv: Sequence[str]) -> tuple[int, str]:
    try:
        done = command.run(argv, host.SECONDS, merged=True)
    except command.MissingProgram:
        return 127, ""
    return done.code, done.text
