# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an operator, the watch or a playbook asks about a service that has been released. PRIVATE to the collection.

What only some of the answers need is imported with them: a command on the host is over before all of it is read.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Callable, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..._host import processes
from ..._host.systemd import Systemd, UnitState
from .. import background_drain, integrity, pause
from ..phases import Phase
from ..state.journal import run_of
from ..state.layout import Layout
from ..state.lease import Leases
from ..state.model import Settings
from ..state.service import Service
from ..state.store import Store, Transaction, load_settings
from . import watch as watching

if TYPE_CHECKING:
    from ..._health.result import CheckResult
    from ..engine import Engine
    from ..strategies.base import Strategy

BOOT_ID = "/proc/sys/kernel/random/boot_id"
STATUS_ANSWERS = 5
WATCH = "watch.json"
# In these, and in a DRAIN of what serves, users may meet either release or none.
CHANGING = (Phase.OVERLAP, Phase.START, Phase.FLIP)


@dataclass(frozen=True)
class WatchOptions:
    """How the watch behaves. metrics is the folder of node_exporter's textfile collector; empty for none."""

    policy: watching.Policy
    metrics: str = ""


@dataclass(frozen=True)
class Seen:
    """What the watch has seen of the unit. up: it runs. stopped: by somebody. restarts: by systemd."""

    up: bool = False
    stopped: bool = False
    restarts: Optional[int] = None


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
        damaged: list[str] = []
        in_flight = _whole(self._in_flight, None, damaged)
        at_work = in_flight is not None and not self.store.is_free()
        outcomes = _whole(self.store.journal.outcomes, [], damaged)
        if damaged and not outcomes:
            return unreadable(self.settings.name, damaged, self.layout.current_id())
        current = self.layout.current_id()
        unit = self._systemd.show(self.unit(current)) if current else None
        committed = [e for e in outcomes if e.get("event") == "committed"]
        described = unit.describe() if unit else "no release serves" if committed else "never released"
        since = committed[-1]["time"] if committed and current else None
        if in_flight and in_flight.to == current:
            since = in_flight.started
        look = self._look(current, answers) if current and unit and unit.running and answers else None
        differences = integrity.differences(self.layout, current) if current else []
        running = self._systemd.active_instances(self.settings.name)
        judged = _health(
            bool(unit and unit.running), f"systemd says {described}" if unit else described, look, answers > 0
        )
        if differences and judged["health"] == "pass":  # it serves, and could not be started again
            judged.update(health="warn", message=f"{judged['message']}; on disk, {', '.join(differences)}")
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
            "running": running,
            "draining": self._draining(running),
            "in_flight": asdict(in_flight) if in_flight else None,
            "at_work": at_work,
            "unsettled": _unsettled(in_flight, self.settings.name, at_work) if in_flight else None,
            "releases": self.layout.staged(),
            "good": [i for i in self.store.journal.good() if i in self.layout.staged()],
            "run": run_of(current, outcomes),
            "by": committed[-1].get("by") or {} if committed and current else {},
            "bad": sorted(self.store.journal.bad()),
            "lease": Leases(self.layout, self.store.journal).told(),
            "watched": _changed(os.path.join(self.layout.state, WATCH)),
            "damaged": damaged + self._damaged_releases(current),
            "differences": differences,
            "skipped_lines": self.store.journal.unreadable_lines(),
            **judged,
        }

    def _in_flight(self) -> Optional[Transaction]:
        """The transaction in flight; one whose run was killed waits for nobody, whatever it has left."""
        swap = self.store.load()
        if swap is None or not swap.paused or not self.store.is_free():
            return swap
        left = self.store.load()  # the run may have ended between the two looks
        return replace(left, paused={}) if left is not None else None

    def _draining(self, running: list[str]) -> list[str]:
        """The releases that run, and whose users the host waits for."""
        armed = background_drain.armed(self.settings.name)
        return [release for release in armed if self.layout.instance(release) in running]

    def _damaged_releases(self, current: Optional[str]) -> list[str]:
        """What is to be done about releases of which nothing is known."""
        actions = []
        for release_id in self.layout.staged():
            if not self.layout.manifest(release_id):
                first = "release another one, then " if release_id == current else ""
                fix = f"{first}sudo slipway purge {self.settings.name} {release_id}"
                actions.append(f"{self.layout.release(release_id)}/release.json is not readable. Fix: {fix}")
        return actions

    def _look(self, release_id: str, answers: int) -> Optional[CheckResult]:
        strategy = self.strategy(release_id)
        return strategy.gate.look(strategy.subject(release_id), answers)

    def unit(self, release_id: str) -> str:
        """The unit that runs the release while it serves."""
        return self.strategy(release_id).unit(release_id)

    def strategy(self, release_id: str) -> Strategy:
        """How the release was swapped in."""
        from ..strategies.registry import strategy_of

        return strategy_of(release_id, self._service)

    def watch(self, options: WatchOptions, acts: bool = True) -> watching.Decision:
        """One look of the service's own watch: ask, decide, act, tell. Keeps out while a release is under way.

        One that does not act leaves no trace of a look after which something is to be done: the run that does it looks
        again, and counts.
        """
        try:
            with self.store.locked(0):
                current = self.layout.current_id()
                decision = self._watch(options, current, acts)
        except SlipwayError as error:
            if error.code != "locked":
                raise
            self._export_beside_a_run(options.metrics)
            return watching.Decision(watching.NOTHING, "a release is under way", {})
        if decision.action == watching.ROLLBACK and acts:
            outcome = self._engine.roll_back_automatically(str(current), decision.message)
            served = f"{outcome.current} serves" if outcome else "another run was faster"
            decision = replace(decision, message=f"{current} was taken back, {served}: {decision.message}")
        return decision

    def _export_beside_a_run(self, folder: str) -> None:
        """A run may hold the lock for long, and nothing else looks at what serves meanwhile.

        While its swap changes what serves, a look may meet either release or none: what the last look has told stays.
        """
        if not folder or self.store.is_free():
            return
        swap, current = _whole(self.store.load, None, []), self.layout.current_id()
        at_work = swap is None or swap.phase != Phase.PROBATION
        self._export_swap(folder, swap if at_work else None)
        if current is not None and not _is_changing(swap, current):
            with contextlib.suppress(SlipwayError):  # what the swap is about to write may be missing
                self._export_look(folder, current, at_work)

    def _export_look(self, folder: str, current: str, at_work: bool) -> None:
        """Nothing is told of a unit that does not run: the run may be ending it, or somebody has stopped it before."""
        unit = self._systemd.show(self.unit(current))
        if not unit.running:
            return
        look = self._look_twice(current, unit, "")[0]
        if look is not None and look.state == "fail" and not self._systemd.show(self.unit(current)).running:
            return
        state = _json(os.path.join(self.layout.state, WATCH))
        decision = watching.Decision(watching.NOTHING, "", state if isinstance(state, dict) else {})
        self._export(folder, current, look, decision, Seen(True, restarts=unit.restarts), at_work)

    def _export_swap(self, folder: str, swap: Optional[Transaction]) -> None:
        """Tell of the swap that a run is at work on; what else was exported stays."""
        from . import metrics as textfile

        name = self.settings.name
        target = textfile.path(folder, name)
        exported = files.own_text(target)  # the collector's folder may be somebody else's to write
        if exported:
            families = [
                *textfile.at_work(name, swap is not None, time.time()),
                *textfile.paused(name, swap.paused.get("until") if swap is not None else None),
            ]
            textfile.write(target, textfile.replaced(exported, families))

    def _unasked(self, up: bool) -> list[dict[str, Any]]:
        """The health check of a service that does not run, which has failed without being asked."""
        if up or not self.settings.health:
            return []
        name = str(self.settings.health.get("name") or "release")
        return [{"name": name, "state": "fail", "latency": {}}]

    @property
    def _engine(self) -> Engine:
        from ..engine import Engine

        return Engine(self.settings, self.layout, self._systemd)

    def _watch(self, options: WatchOptions, current: Optional[str], acts: bool) -> watching.Decision:
        instance = [self.unit(current)] if current else []
        umbrella, *units = self._systemd.show_each(f"{self.settings.name}.service", *instance)
        damage = self._damage(current) if current else ""
        # One that has failed because of that has not been stopped by anybody.
        if current is None or not (umbrella.up or (damage and umbrella.active == "failed")):
            decision = watching.Decision(watching.NOTHING, "the service is stopped", {})
            self._export(options.metrics, current, None, decision, Seen(stopped=umbrella.active != "failed"))
            return decision
        (unit,) = units
        look, keep = self._look_twice(current, unit, damage) if unit.running else (None, damage)
        judged = _health(unit.running, f"systemd says {unit.describe()}", look)
        epoch = f"{files.text(BOOT_ID).strip()} {current}"
        path = os.path.join(self.layout.state, WATCH)
        state, healthy, now = _json(path), judged["health"] != "fail", time.time()

        # Another program in its place does not end because of another release.
        policy = options.policy if damage or not keep else replace(options.policy, rollback=0)

        def decide(policy: watching.Policy, keep: str = keep) -> watching.Decision:
            why = str(judged["message"])
            return watching.step(state, healthy, now, policy, epoch, why, unit.restarts, unit.busy, keep)

        decision = decide(policy)
        if decision.action == watching.RESTART:  # what is started is read, whatever a look at it has said
            decision = decide(policy, self._damage(current, read=True))
        if decision.action == watching.ROLLBACK and not self._engine.can_roll_back(current):
            decision = decide(replace(policy, rollback=0))
        if decision.action != watching.NOTHING and not acts:
            return decision
        # Before the act, so that one that fails or is killed is not taken for the first one next time.
        if decision.state == state:
            os.utime(path)
        else:
            files.write_atomic(path, json.dumps(decision.state) + "\n", 0o644)
        if decision.action == watching.RESTART:
            self.store.journal.record("watch_restart", release=current, reason=judged["message"])
            self._systemd.restart(self.unit(current))
        if decision.action == watching.ALERT and keep:
            self.store.journal.record("kept", release=current, reason=keep)
        self._export(options.metrics, current, look, decision, Seen(unit.running, restarts=unit.restarts))
        return decision

    def _damage(self, release_id: str, read: bool = False) -> str:
        """What to say of a release that is not as it was staged, else nothing; it is read when it looks changed."""
        path = os.path.join(self.layout.state, "verified.json")
        try:
            seen = f"{release_id} {integrity.fingerprint(self.layout, release_id)}"
        except OSError as error:
            return f"{release_id} cannot be looked at: {error}"
        last = _json(path)
        if read or not isinstance(last, dict) or last.get("seen") != seen:
            integrity.renew(self.layout, release_id)
            last = {"seen": seen, "differences": integrity.differences(self.layout, release_id)}
            files.write_atomic(path, json.dumps(last) + "\n", 0o600)
        changes = last["differences"]
        return str(integrity.damaged_release(self.layout, self.store, release_id, changes)) if changes else ""

    def _look_twice(self, release_id: str, unit: UnitState, damage: str) -> tuple[Optional[CheckResult], str]:
        """Ask what serves, and once more whatever file it executes where that is no proof; and why to keep it."""
        strategy = self.strategy(release_id)
        subject = strategy.subject(release_id)
        other = strategy.gate.by_unit(subject)
        if damage:
            return strategy.gate.look(other or subject), damage
        look = strategy.gate.look(subject)
        if look is None or other is None or look.state != "fail" or look.reason != "identity":
            return look, ""
        again = strategy.gate.look(other)
        if again is None or again.state == "fail":
            return look, f"something else answers in the place of {release_id}: {look.message}"
        wanted = integrity.program_digest(self.layout, release_id)
        if wanted is not None and running_digest(unit.main_pid) == wanted:
            return again, ""  # the file was replaced and has been put back since
        return again, f"what serves as {release_id} executes a file that is not that release's: {look.message}"

    def stopped(self, metrics: str) -> None:
        """Take back what the last look has exported: nobody serves from now on."""
        stopped = watching.Decision(watching.NOTHING, "", {})
        self._export(metrics, self.layout.current_id(), None, stopped, Seen(stopped=True))

    def _export(
        self,
        folder: str,
        current: Optional[str],
        look: Optional[CheckResult],
        decision: watching.Decision,
        seen: Seen,
        at_work: bool = False,
    ) -> None:
        """Write the metrics, if there is a place for them; what does not run is not healthy.

        at_work: whether a run is at work on what is in flight; else it was cut short or waits to be confirmed.
        """
        if not folder or not os.path.isdir(folder):
            return
        from . import exported
        from . import metrics as textfile

        name = self.settings.name
        manifest = self.layout.manifest(current) if current else {}
        info = {"release": current, "version": manifest.get("version"), "commit": manifest.get("commit")}
        damaged: list[str] = []
        swap = _whole(self.store.load, None, damaged)
        running, left = (swap, None) if at_work else (None, swap)
        known = exported.Known(
            release=info if current else {},
            up=seen.up,
            stopped=seen.stopped,
            restarts=seen.restarts,
            checks=[look.as_dict()] if look else self._unasked(seen.up),
            watch=decision.state,
            history=self.store.journal.history(),
            bad=len(self.store.journal.bad()),
            unfinished=None if damaged else left is not None,
            deadline=left.deadline if left else None,
            running=running is not None,
            paused_until=running.paused.get("until") if running is not None else None,
        )
        textfile.write(textfile.path(folder, name), textfile.render(exported.families(name, known, time.time())))


def _is_changing(swap: Optional[Transaction], current: str) -> bool:
    """Whether it is about to change which release serves."""
    if swap is None:
        return False
    return swap.phase in CHANGING or (swap.phase == Phase.DRAIN and swap.to != current)


def _whole(ask: Callable[[], Any], otherwise: Any, damaged: list[str]) -> Any:
    """The answer; `otherwise` where what it is read from is damaged, which is then noted."""
    try:
        return ask()
    except SlipwayError as error:
        damaged.append(str(error))
        return otherwise


def _changed(path: str) -> Optional[float]:
    """When the file was written; None where there is none."""
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def unreadable(name: str, damaged: list[str], current: Optional[str] = None) -> dict[str, Any]:
    """The status of a service of which the host does not know enough to judge it."""
    nothing = dict.fromkeys(("last_good", "version", "commit", "since", "restarts", "p99", "watched"))
    nothing.update(dict.fromkeys(("in_flight", "unsettled", "run", "lease")))
    lists: dict[str, Any] = {
        "at_work": False,
        "running": [],
        "draining": [],
        "releases": [],
        "good": [],
        "bad": [],
        "differences": [],
        "origin": {},
        "by": {},
        "skipped_lines": 0,
    }
    status = {"service": name, "current": current, "state": "damaged", "health": "unknown", "message": damaged[0]}
    return {**nothing, **lists, **status, "damaged": damaged}


def _unsettled(swap: Transaction, service: str, at_work: bool) -> str:
    """What is going to happen by itself to a swap that is in flight. at_work: whether a run goes on with it."""
    if swap.paused:
        return f"{swap.to} {pause.describe_now(swap.paused, service)}"
    if swap.deadline is None:
        return f"a swap to {swap.to} {'is under way' if at_work else 'was cut short'} in {swap.phase}"
    until = time.strftime("%H:%M:%S UTC", time.gmtime(swap.deadline))
    return f"{swap.to} is unconfirmed until {until}, and is taken back then ({swap.phase})"


def _health(up: bool, down: str, look: Optional[CheckResult], asked: bool = True) -> dict[str, Any]:
    """health, message and p99 (seconds) of a status, from systemd where there is no health check; down: why not up."""
    if not up:
        return {"health": "fail", "message": down, "p99": None}
    if look is None:
        why = "no health check" if asked else "the health check was not asked"
        return {"health": "pass", "message": f"{why}: systemd calls it active", "p99": None}
    return {"health": look.state, "message": look.message, "p99": look.latency.get("p99")}


def running_digest(pid: int) -> Optional[str]:
    """The SHA-256 of what a process executes, also where its file is gone."""
    try:
        return files.sha256_file(processes.executable(pid))
    except OSError:
        return None


def _json(path: str) -> Any:
    try:
        return json.loads(files.text(path))
    except ValueError:
        return None


def operator(name: str) -> Operator:
    return Operator(load_settings(name))
