# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator, a timer or a playbook asks about a service that has been released. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Optional

from .. import _files
from .._errors import SlipwayError
from .._health import textfile
from .._health import watch as watching
from .._health.result import CheckResult
from .._systemd import Systemd
from .engine import Engine
from .known import strategy_of
from .model import Settings
from .service import Service
from .store import OUTCOMES, Layout, Store, load_settings

BOOT_ID = "/proc/sys/kernel/random/boot_id"
STATUS_ANSWERS = 5


@dataclass(frozen=True)
class WatchOptions:
    """How the watch behaves. metrics is the folder of node_exporter's textfile collector; empty for none."""

    policy: watching.Policy
    metrics: str = ""


class Operator:
    """One service, looked at and looked after."""

    def __init__(self, settings: Settings, layout: Optional[Layout] = None, systemd: Optional[Systemd] = None) -> None:
        self.settings = settings
        self.layout = layout or Layout(settings.name, settings.root)
        self.store = Store(self.layout)
        self._systemd = systemd or Systemd()
        self._service = Service(settings, self.layout, self.store, self._systemd)

    def status(self, answers: int = STATUS_ANSWERS) -> dict[str, Any]:
        """What runs, since when, how healthy; answers is how often its health check is asked, 0 for not at all."""
        current = self.layout.current_id()
        unit = self._systemd.show(self._unit(current)) if current else None
        outcomes = self.store.outcomes()
        in_flight = self.store.load()
        committed = [e for e in outcomes if e.get("event") == "committed"]
        described = unit.describe() if unit else "no release serves" if committed else "never released"
        since = committed[-1]["time"] if committed and current else None
        if in_flight and in_flight.to == current:
            since = in_flight.started
        look = self._look(current, answers) if current and unit and unit.up and answers else None
        return {
            "service": self.settings.name,
            "current": current,
            "last_good": self.layout.last_good_id(),
            "version": self.layout.manifest(current).get("version") if current else None,
            "commit": self.layout.manifest(current).get("commit") if current else None,
            "origin": self.layout.manifest(current).get("origin", {}) if current else {},
            "since": since,
            "state": described,
            "restarts": unit.restarts if unit else None,
            "running": self._systemd.active_instances(self.settings.name),
            "in_flight": asdict(in_flight) if in_flight else None,
            "releases": self.layout.staged(),
            "bad": sorted(self.store.bad()),
            **_health(bool(unit and unit.up), f"systemd says {described}" if unit else described, look),
        }

    def _look(self, release_id: str, answers: int) -> Optional[CheckResult]:
        way = strategy_of(release_id, self._service)
        return way.gate.look(way.subject(release_id), answers)

    def _unit(self, release_id: str) -> str:
        return strategy_of(release_id, self._service).unit(release_id)

    def watch(self, options: WatchOptions) -> watching.Decision:
        """One run of the service's own watch: ask, decide, act, tell. Keeps out while a release is under way."""
        try:
            with self.store.locked(0):
                current = self.layout.current_id()
                decision = self._watch(options, current)
        except SlipwayError as error:
            if error.code != "locked":
                raise
            return watching.Decision(watching.NOTHING, "a release is under way", {})
        if decision.action == watching.ROLLBACK:
            outcome = self._engine.fall_back(str(current), decision.message)
            served = f"{outcome.current} serves" if outcome else "another run was faster"
            decision = replace(decision, message=f"{current} was taken back, {served}: {decision.message}")
        return decision

    @property
    def _engine(self) -> Engine:
        return Engine(self.settings, self.layout, self._systemd)

    def _watch(self, options: WatchOptions, current: Optional[str]) -> watching.Decision:
        umbrella = self._systemd.show(f"{self.settings.name}.service")
        if current is None or not umbrella.up:
            return watching.Decision(watching.NOTHING, "the service is stopped", {})
        unit = self._systemd.show(self._unit(current))
        look = self._look(current, 1) if unit.up else None
        found = _health(unit.up, f"systemd says {unit.describe()}", look)
        epoch = f"{_files.text(BOOT_ID).strip()} {current}"
        path = os.path.join(self.layout.state, "watch.json")
        known, healthy, now = _json(path), found["health"] != "fail", time.time()

        def decide(policy: watching.Policy) -> watching.Decision:
            why = str(found["message"])
            return watching.step(known, healthy, now, policy, epoch, why, unit.restarts, unit.busy)

        decision = decide(options.policy)
        if decision.action == watching.ROLLBACK and not self._engine.can_fall_back(current):
            decision = decide(replace(options.policy, rollback=0))
        # Before the act, so that one that fails or is killed is not taken for the first one next time.
        _files.write_atomic(path, json.dumps(decision.state) + "\n", 0o644)
        if decision.action == watching.RESTART:
            self.store.record("watch_restart", release=current, reason=found["message"])
            self._systemd.restart(self._unit(current))
        if options.metrics and os.path.isdir(options.metrics):
            self._write_metrics(options.metrics, current, look, decision)
        return decision

    def _write_metrics(
        self, folder: str, current: str, look: Optional[CheckResult], decision: watching.Decision
    ) -> None:
        name, now = self.settings.name, time.time()
        outcomes = self.store.outcomes()
        counts = dict.fromkeys(OUTCOMES, 0)
        for event in outcomes:
            counts[str(event["event"])] += 1
        committed = [e for e in outcomes if e["event"] == "committed"]
        last = committed[-1] if committed else {}
        manifest = self.layout.manifest(current)
        info = {"release": current, "version": manifest.get("version"), "commit": manifest.get("commit")}
        families = [
            *textfile.release(name, info, last.get("time")),
            *textfile.health(name, [look.as_dict()] if look else [], now),
            *textfile.watch(name, decision.state),
            *textfile.swaps(name, counts, {"seconds": last.get("swap_seconds"), "at": last.get("time")}),
        ]
        textfile.write(os.path.join(folder, f"slipway-{name}.prom"), textfile.render(families))


def _health(up: bool, down: str, look: Optional[CheckResult]) -> dict[str, Any]:
    """health, message and p99 (seconds) of a status, from systemd where there is no health check; down: why not up."""
    if not up:
        return {"health": "fail", "message": down, "p99": None}
    if look is None:
        return {"health": "pass", "message": "no health check: systemd calls it active", "p99": None}
    return {"health": look.state, "message": look.message, "p99": look.latency.get("p99")}


def _json(path: str) -> Any:
    try:
        return json.loads(_files.text(path))
    except ValueError:
        return None


def operator(name: str) -> Operator:
    return Operator(load_settings(name))
