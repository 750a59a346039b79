# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The release engine: takes one service from one release to another, or back. This file is PRIVATE to the collection.

A strategy is a sequence of phases. The engine saves each phase before it acts, so that a later run, or a recovery at
boot, knows how far the one before it came. Everything from INTENT to SOAK is undone when a phase fails.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Optional

from .. import _files
from .._errors import SlipwayError
from .._systemd import Systemd, UnitState
from . import preflight, stage
from .gate import Gate, shares_socket, verify_shared_socket
from .model import Settings, Spec, validate_release_id
from .store import Layout, Store, Transaction

STAGE = "STAGE"
REHEARSE = "REHEARSE"
INTENT = "INTENT"
OVERLAP = "OVERLAP"
START = "START"
FLIP = "FLIP"
DRAIN = "DRAIN"
SOAK = "SOAK"
COMMIT = "COMMIT"
PRUNE = "PRUNE"

# The order is the strategy: `socket` starts the new before it stops the old, `restart` cannot.
SWAP: dict[str, tuple[str, ...]] = {
    "socket": (INTENT, OVERLAP, FLIP, DRAIN, SOAK, COMMIT),
    "restart": (INTENT, DRAIN, FLIP, START, SOAK, COMMIT),
}
STOP_MARGIN = 15.0
NOT_STARTED = UnitState("", "", "", 0, 0, "", 0)


@dataclass
class Outcome:
    """What a run did. Durations are in seconds; downtime is None where the strategy has none by design."""

    changed: bool
    current: Optional[str]
    previous: Optional[str]
    action: str
    phases: dict[str, float] = field(default_factory=dict)
    swap_seconds: float = 0.0
    downtime_seconds: Optional[float] = None
    pruned: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return {
            "changed": self.changed,
            "current": self.current,
            "previous": self.previous,
            "action": self.action,
            "phases": {name: round(seconds, 3) for name, seconds in self.phases.items()},
            "swap_seconds": round(self.swap_seconds, 3),
            "downtime_seconds": None if self.downtime_seconds is None else round(self.downtime_seconds, 3),
            "pruned": self.pruned,
        }

    def needs_judgement(self, predicted: bool) -> bool:
        """Whether the controller still has to judge the artefact against this host."""
        return self.action == "upload" or (predicted and self.changed)

    def diff(self) -> dict[str, str]:
        """What Ansible's diff mode shows."""
        before = self.previous if self.changed else self.current
        return {"before": f"{before or 'none'}\n", "after": f"{self.current or 'none'}\n"}


class Swap:
    """One transaction: from `source` (None on a first release) to `to`."""

    def __init__(
        self, settings: Settings, layout: Layout, store: Store, systemd: Systemd, transaction: Transaction
    ) -> None:
        self._settings = settings
        self._layout = layout
        self._store = store
        self._systemd = systemd
        self._txn = transaction
        self._gate = Gate(layout, systemd, settings.health, transaction.strategy)
        self._started = NOT_STARTED
        self._down_since: Optional[float] = None
        self.phases: dict[str, float] = {}
        self.downtime: Optional[float] = None
        self._plan = plan(transaction.strategy, source_strategy(layout, transaction))
        self._steps: dict[str, Callable[[], None]] = {
            INTENT: self._intent,
            OVERLAP: self._overlap,
            START: self._start,
            FLIP: self._flip,
            DRAIN: self._drain,
            SOAK: self._soak,
            COMMIT: self._commit,
        }

    def run(self) -> None:
        """Walk the strategy's phases; when one fails, restore `source` and raise what happened."""
        for phase in self._plan:
            begun = time.monotonic()
            try:
                self._enter(phase)
                self._steps[phase]()
            except Exception as error:  # whatever it is, the release before has to come back
                raise self._undo(phase, error) from error
            self.phases[phase] = time.monotonic() - begun

    def _enter(self, phase: str) -> None:
        self._txn.phase = phase
        self._store.save(self._txn)
        self._store.record("phase", txn=self._txn.txn, phase=phase, to=self._txn.to)

    def _intent(self) -> None:
        """A first release has nothing to fall back to: the guard of its socket may start only the release itself."""
        if self._txn.source is None:
            point_boot(self._layout, self._txn.to)

    def _overlap(self) -> None:
        self._start_candidate()
        self._gate.wait_healthy(self._gate.serving(self._txn.to), self._started)

    def _start(self) -> None:
        self._overlap()
        if self._down_since is not None:
            self.downtime = time.monotonic() - self._down_since

    def _start_candidate(self) -> None:
        unit = self._layout.instance(self._txn.to)
        install_units(self._layout, self._systemd, stage.unit_copies(self._layout, self._txn.to))
        if self._txn.strategy == "socket":
            open_socket(self._layout, self._systemd, self._txn.source, self._txn.to)
        self._systemd.call("reset-failed", unit, check=False)
        self._systemd.start(unit)
        self._started = self._systemd.wait_active(unit, self._settings.start_timeout)
        if self._txn.strategy == "socket":
            verify_shared_socket(unit, self._started.main_pid)

    def _flip(self) -> None:
        _files.flip_symlink(self._layout.current, f"releases/{self._txn.to}")

    def _drain(self) -> None:
        """Stop every instance but the new one; also one that an earlier run has left behind."""
        self._down_since = time.monotonic() if START in self._plan and self._txn.source else None
        for unit in self._systemd.active_instances(self._layout.name):
            if unit != self._layout.instance(self._txn.to):
                # One that does not end is killed: that must not undo the one that serves.
                self._systemd.end(unit, self._settings.drain_timeout + STOP_MARGIN, STOP_MARGIN)

    def _soak(self) -> None:
        self._gate.soak(self._gate.serving(self._txn.to), self._started, self._settings.soak_time)

    def _commit(self) -> None:
        self._store.save_settings(self._settings)
        commit(self._layout, self._store, self._systemd, self._txn, swap_seconds=round(swap_seconds(self.phases), 3))

    def _undo(self, phase: str, error: Exception) -> SlipwayError:
        reason, fix = cause(error)
        if phase == COMMIT:
            return SlipwayError(
                "not_committed",
                f"{self._txn.to} serves, but the last step failed: {reason}",
                "run the same release again",
            )
        with contextlib.suppress(OSError):  # a full disk must not keep the old release from coming back
            self._store.record("rolling_back", txn=self._txn.txn, phase=phase, release=self._txn.to, reason=reason)
        try:
            unhealthy = restore(self._settings, self._layout, self._store, self._systemd, self._txn, error)
            if unhealthy:
                raise unhealthy
        except Exception as failure:
            return SlipwayError(
                "rollback_failed",
                f"{self._txn.to} failed in {phase} ({reason}), and going back to {self._txn.source} failed: "
                f"{cause(failure)[0]}",
                f"look at systemctl status '{self._layout.name}@*'",
                rolled_back=False,
                failed_phase=phase,
                failed_release=self._txn.to,
            )
        serving = self._txn.source
        if serving is None and self._layout.last_good_id() == self._txn.to:
            return SlipwayError(
                "not_proven",
                f"{self._txn.to} failed in {phase}: {reason} It is the only good release here and was left as it is.",
                fix,
                rolled_back=False,
                failed_phase=phase,
                failed_release=self._txn.to,
                current=self._txn.to,
            )
        fate = f"{serving} serves again" if serving else "it was the first release, so nothing serves"
        return SlipwayError(
            "rolled_back",
            f"{self._txn.to} was rolled back in {phase}: {reason} Now {fate}.",
            fix,
            rolled_back=True,
            failed_phase=phase,
            failed_release=self._txn.to,
            current=serving,
        )


def plan(strategy: str, before: Optional[str]) -> tuple[str, ...]:
    """The phases of a swap. A release that holds the port itself must end before PID 1 can listen in its place."""
    return SWAP["restart"] if strategy == "socket" and before == "restart" else SWAP[strategy]


def source_strategy(layout: Layout, transaction: Transaction) -> Optional[str]:
    """How the release to come back to was swapped in; None where there is none."""
    if transaction.source is None:
        return None
    return str(layout.manifest(transaction.source).get("strategy", transaction.strategy))


def install_units(layout: Layout, systemd: Systemd, units: dict[str, str]) -> None:
    """Have these units in place and no others: the sandbox of a release comes back with it.

    In an order in which a reboot at any moment meets units that work together.
    """
    surplus = [unit for unit in layout.own_units if units and unit not in units and os.path.exists(unit)]
    if surplus:  # a socket that is still enabled would have the port at the next boot
        systemd.call("disable", "--quiet", "--now", *map(os.path.basename, surplus), check=False)
    came_back = layout.socket_unit in units and not os.path.exists(layout.socket_unit)
    changed = [unit for unit, content in units.items() if _files.replace_if_different(unit, content)]
    for unit in surplus:
        os.unlink(unit)
    if surplus or changed:
        systemd.call("daemon-reload")
    if came_back:
        systemd.call("enable", "--quiet", os.path.basename(layout.socket_unit))


def open_socket(layout: Layout, systemd: Systemd, before: Optional[str], after: str) -> None:
    """Have PID 1 listen as `after` wants it, anew where `before` wanted it otherwise."""
    socket = f"{layout.name}.socket"
    wanted = [layout.manifest(i).get("units", {}).get(socket) for i in (before, after) if i]
    if len(wanted) == 2 and wanted[0] != wanted[1]:
        systemd.restart(socket)
    else:
        systemd.start_and_wait(socket)


def cause(error: Exception) -> tuple[str, str]:
    """What went wrong and what to do about it."""
    return (error.message, error.fix) if isinstance(error, SlipwayError) else (f"{error}.", "")


def point_boot(layout: Layout, release_id: str) -> None:
    """What PID 1 starts at boot and when the service's socket has nobody to answer."""
    _files.write_atomic(layout.boot_file, f"SLIPWAY_RELEASE={release_id}\n", 0o644)


def booted(layout: Layout) -> Optional[str]:
    """What point_boot has written."""
    try:
        with open(layout.boot_file, encoding="utf-8") as stream:
            return stream.read().strip().partition("=")[2] or None
    except (FileNotFoundError, ValueError):
        return None


def swap_seconds(phases: dict[str, float]) -> float:
    """From the first act to the end of the drain: what the users of the service might notice."""
    return sum(phases.get(name, 0.0) for name in (INTENT, OVERLAP, START, FLIP, DRAIN))


def commit(layout: Layout, store: Store, systemd: Systemd, transaction: Transaction, **measured: Any) -> None:
    """Make the transaction's `to` the last good release, and what systemctl(1) means by the service. Safe to repeat."""
    point_boot(layout, transaction.to)
    _files.flip_symlink(layout.last_good, f"releases/{transaction.to}")
    systemd.start_and_wait(f"{layout.name}.service")
    store.record(
        "committed",
        txn=transaction.txn,
        kind=transaction.kind,
        release=transaction.to,
        previous=transaction.source,
        strategy=transaction.strategy,
        started=round(transaction.started, 3),
        **measured,
    )
    store.clear()


def restore(
    settings: Settings,
    layout: Layout,
    store: Store,
    systemd: Systemd,
    transaction: Transaction,
    error: Exception,
    interrupted: bool = False,
) -> Optional[SlipwayError]:
    """Make the transaction's `source` the one that serves and stop the rest. Safe to repeat.

    Return what speaks against the health of `source`: it is back all the same, for nothing else was ever good.
    """
    source = transaction.source
    unhealthy = None
    if source is not None:
        unhealthy = _return_to(settings, layout, systemd, transaction, source)
    elif layout.last_good_id() != transaction.to:
        _forget_first(settings, layout, systemd, transaction)
    store.record(
        "rolled_back" if source or layout.last_good_id() != transaction.to else "left_as_is",
        txn=transaction.txn,
        kind=transaction.kind,
        release=transaction.to,
        serving=source,
        strategy=transaction.strategy,
        started=round(transaction.started, 3),
        interrupted=interrupted,
        code=getattr(error, "code", "error"),
        reason=cause(error)[0],
    )
    store.clear()
    return unhealthy


def _return_to(
    settings: Settings, layout: Layout, systemd: Systemd, transaction: Transaction, source: str
) -> Optional[SlipwayError]:
    candidate = layout.instance(transaction.to)
    stop_timeout = settings.drain_timeout + STOP_MARGIN
    before = source_strategy(layout, transaction)
    if "restart" in (before, transaction.strategy) or transaction.phase in (INTENT, OVERLAP):
        with contextlib.suppress(SlipwayError):  # a candidate that does not end must not keep `source` from coming
            systemd.end(candidate, stop_timeout, STOP_MARGIN)
    unhealthy = _bring_back(settings, layout, systemd, transaction, source)
    for unit in (candidate, *systemd.active_instances(layout.name)):
        if unit != layout.instance(source):
            systemd.end(unit, stop_timeout, STOP_MARGIN)
    _point_back(layout, source)
    return unhealthy


def _forget_first(settings: Settings, layout: Layout, systemd: Systemd, transaction: Transaction) -> None:
    """Leave the host as if nothing had been."""
    systemd.end(layout.instance(transaction.to), settings.drain_timeout + STOP_MARGIN, STOP_MARGIN)
    if transaction.strategy == "socket":
        systemd.call("stop", f"{layout.name}.socket", check=False)
    for path in (layout.current, layout.boot_file):
        _files.remove_link(path)


def _bring_back(
    settings: Settings, layout: Layout, systemd: Systemd, transaction: Transaction, source: str
) -> Optional[SlipwayError]:
    """Have `source` run in its own units, on the socket that is open now; return what speaks against its health."""
    unit = layout.instance(source)
    strategy = str(source_strategy(layout, transaction))
    drain = (settings.drain_timeout + STOP_MARGIN, STOP_MARGIN)
    state = systemd.show(unit)
    if strategy != "socket":
        if state.up and shares_socket(state.main_pid):
            systemd.end(unit, *drain)  # a reboot has started it in the units of a release that takes the socket
        systemd.call("stop", f"{layout.name}.socket", check=False)
    other_units = None
    try:
        install_units(layout, systemd, stage.unit_copies(layout, source))
    except (OSError, SlipwayError) as error:  # better in the units of another release than not at all
        other_units = SlipwayError("units_not_restored", f"{source} is back, but not its units: {cause(error)[0]}")
    if strategy == "socket":
        try:
            open_socket(layout, systemd, transaction.to, source)
        except SlipwayError:
            if not (state.up and shares_socket(state.main_pid)):
                systemd.end(unit, *drain)  # or it was started in the units of one that has the port itself
                open_socket(layout, systemd, transaction.to, source)
    state = systemd.show(unit)
    if state.up:
        if strategy != "socket" or not _cut_off(layout, systemd, state):
            return other_units
        systemd.end(unit, *drain)
    systemd.call("reset-failed", unit, check=False)
    systemd.start(unit)
    started = systemd.wait_active(unit, settings.start_timeout)
    gate = Gate(layout, systemd, settings.health, strategy)
    try:
        gate.wait_healthy(gate.serving(source), started)
    except SlipwayError as error:
        return error
    return other_units


def _cut_off(layout: Layout, systemd: Systemd, state: UnitState) -> bool:
    """Whether users reach a socket that this process has not got, because it was opened anew for a candidate."""
    return systemd.show(f"{layout.name}.socket").up and not shares_socket(state.main_pid)


def _point_back(layout: Layout, source: str) -> None:
    """Undo what a commit had begun, and what stood there of a release that died after it had been good."""
    for link in (layout.current, layout.last_good):
        if _files.link_name(link) != source:
            _files.flip_symlink(link, f"releases/{source}")
    if booted(layout) != source:
        point_boot(layout, source)


def adopt(settings: Settings, layout: Layout, store: Store, systemd: Systemd, transaction: Transaction) -> None:
    """Keep the transaction's `to` where `source` could not be brought back; it must prove itself like any other."""
    unit = layout.instance(transaction.to)
    for other in systemd.active_instances(layout.name):
        if other != unit:  # one that is tried again and again would be in the way for ever
            systemd.end(other, settings.drain_timeout + STOP_MARGIN, STOP_MARGIN)
    install_units(layout, systemd, stage.unit_copies(layout, transaction.to))
    if transaction.strategy == "socket":
        systemd.start_and_wait(f"{layout.name}.socket")
    systemd.call("reset-failed", unit, check=False)
    systemd.start(unit)
    started = systemd.wait_active(unit, settings.start_timeout)
    gate = Gate(layout, systemd, settings.health, transaction.strategy)
    gate.wait_healthy(gate.serving(transaction.to), started)
    _files.flip_symlink(layout.current, f"releases/{transaction.to}")
    commit(layout, store, systemd, transaction)


class Engine:
    """The doors of the engine for one service."""

    def __init__(self, settings: Settings, layout: Optional[Layout] = None, systemd: Optional[Systemd] = None) -> None:
        self._settings = settings
        self._layout = layout or Layout(settings.name, settings.root)
        self._store = Store(self._layout)
        self._systemd = systemd or Systemd()
        Gate(self._layout, self._systemd, settings.health, "socket")  # refuses bad options before anything happens

    def predict(self, spec: Spec) -> Outcome:
        """Check everything a release needs and say what it would do; change nothing."""
        self._preflight(spec)
        wanted = stage.content(spec, self._layout).release_id()
        current = self._layout.current_id()
        if self._serves(wanted):
            return Outcome(False, current, None, "none")
        return Outcome(True, wanted, current, "release")

    def release(self, spec: Spec) -> Outcome:
        """Make the specified release the committed one; return at once when it is.

        The action is "upload", and nothing has happened, when the host needs the artefact and has not got it.
        """
        with self._store.locked(self._settings.lock_timeout):
            fresh = stage.installed_units(self._layout)
            self._recover()
            install_units(self._layout, self._systemd, fresh)  # a recovery may have brought back others
            content = stage.content(spec, self._layout)
            wanted = content.release_id()
            if self._serves(wanted):
                return Outcome(False, wanted, None, "none")
            self._refuse_known_bad(wanted, spec.force)
            self._preflight(spec)
            phases: dict[str, float] = {}
            if not stage.is_staged(self._layout, wanted, content):
                if spec.artefact.path is None:
                    return Outcome(False, self._layout.current_id(), None, "upload")
                begun = time.monotonic()
                stage.stage(spec, self._layout, wanted, content)
                self._store.record("staged", release=wanted, origin=dict(spec.artefact.origin))
                phases[STAGE] = time.monotonic() - begun
            self._check_linkage(wanted)
            if spec.rehearsal:
                begun = time.monotonic()
                self._rehearse(wanted, spec)
                phases[REHEARSE] = time.monotonic() - begun
            return self._swap(wanted, spec.strategy, "release", phases)

    def predict_rollback(self, wanted: Optional[str] = None) -> Outcome:
        """Say where a rollback would go; change nothing."""
        target = self._rollback_target(wanted)
        current = self._layout.current_id()
        return Outcome(False, current, None, "none") if target is None else Outcome(True, target, current, "rollback")

    def rollback(self, wanted: Optional[str] = None) -> Outcome:
        """Go back to the named release, or to the last good one before the current one."""
        with self._store.locked(self._settings.lock_timeout):
            self._recover()
            target = self._rollback_target(wanted)
            if target is None:
                return Outcome(False, self._layout.current_id(), None, "none")
            strategy = str(self._layout.manifest(target).get("strategy", "restart"))
            units = stage.unit_copies(self._layout, target)
            missing = [u for u in (self._layout.socket_unit, self._layout.guard_unit) if u not in units]
            if strategy == "socket" and not all(map(os.path.exists, missing)):
                raise SlipwayError(
                    "units_missing",
                    f"{target} was released with the strategy socket, whose units are no longer on this host.",
                    "set service_swap back to socket and release that version",
                )
            return self._swap(target, strategy, "rollback", {})

    def recover(self) -> Optional[str]:
        """Finish or undo what a run that was cut short has left; return the release it was about, if any."""
        with self._store.locked(self._settings.lock_timeout):
            left = self._store.load()
            self._recover()
            return left.to if left else None

    def _rollback_target(self, wanted: Optional[str]) -> Optional[str]:
        """The release a rollback would go to; None when it has been done already."""
        if wanted is not None:
            return self._named_target(validate_release_id(wanted))
        current = self._layout.current_id()
        outcomes = self._store.outcomes()
        last = outcomes[-1] if outcomes else {}
        back = (last.get("event") == "committed") == (last.get("kind") == "rollback")
        if back and self._serves(str(current)):
            return None
        target = self._earlier_good(current)
        if target is None:
            raise SlipwayError(
                "no_last_good",
                f"{self._layout.name} has no earlier good release on this host to go back to.",
                "name an id that slipway.go.release_info lists under releases, or release another version",
            )
        return target

    def _earlier_good(self, other_than: Optional[str]) -> Optional[str]:
        """The release that was committed most recently, is still here, and that nobody has rolled back from."""
        good: list[str] = []
        for entry in self._store.outcomes():
            if entry.get("event") != "committed":
                continue
            left = entry.get("previous") if entry.get("kind") == "rollback" else None
            good = [i for i in good if i not in (left, entry.get("release"))] + [str(entry.get("release"))]
        staged = set(self._layout.staged())
        return next((i for i in reversed(good) if i in staged and i != other_than), None)

    def _named_target(self, wanted: str) -> Optional[str]:
        if wanted not in self._layout.staged():
            raise SlipwayError(
                "unknown_release",
                f"release {wanted} of {self._layout.name} is not on this host.",
                f"choose one of: {', '.join(self._layout.staged()) or 'none are staged'}",
            )
        return None if self._serves(wanted) else wanted

    def _serves(self, release_id: str) -> bool:
        layout = self._layout
        return (
            layout.current_id() == release_id
            and layout.last_good_id() == release_id
            and self._store.load() is None
            and self._systemd.show(layout.instance(release_id)).up
        )

    def _refuse_known_bad(self, wanted: str, force: bool) -> None:
        """What has failed here before fails again, unless somebody says that the cause is gone."""
        event = self._store.bad().get(wanted)
        if event is None or force:
            return
        when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(event.get("time", 0))))
        reason = event.get("reason") or "somebody rolled back from it"
        raise SlipwayError(
            "known_bad",
            f"{wanted} is marked bad on this host since {when}: {reason}",
            "release another version or configuration, or set release_force: true when the cause is gone",
            current=self._layout.current_id(),
        )

    def _check_linkage(self, wanted: str) -> None:
        """Raise unless the kernel and the loader of this host would start the release in its own unit."""
        unit = self._layout.instance(wanted)
        problems = preflight.linkage_problems(unit, self._layout.binary(wanted))
        if problems:
            raise SlipwayError(
                problems[0].code,
                " ".join(f"{p.message} Fix: {p.fix}" for p in problems),
                "",
                problems=[p._asdict() for p in problems],
                current=self._layout.current_id(),
            )

    def _rehearse(self, wanted: str, spec: Spec) -> None:
        """Prove the release in its own sandbox at an address no user knows; nothing is exposed, nothing to undo."""
        layout, systemd = self._layout, self._systemd
        unit, begun = layout.rehearsal(wanted), time.time()
        gate = Gate(layout, systemd, self._settings.health, spec.strategy)
        try:
            self._end_rehearsal(unit)
            if spec.strategy == "socket":
                systemd.start_and_wait(layout.rehearsal_socket)
            systemd.start(unit)
            started = systemd.wait_active(unit, self._settings.start_timeout)
            gate.wait_healthy(gate.rehearsing(wanted, spec.rehearsal), started)
        except SlipwayError as error:
            reason, fix = cause(error)
            self._store.record(
                "refused",
                kind="release",
                release=wanted,
                started=round(begun, 3),
                phase=REHEARSE,
                code=error.code,
                reason=reason,
            )
            stage.prune(self._layout, self._settings.keep, self._protected(wanted))
            current = layout.current_id()
            raise SlipwayError(
                "refused",
                f"{wanted} was refused in {REHEARSE}, before any request could reach it: {reason} "
                f"{current or 'Nothing'} serves as before.",
                fix,
                rolled_back=False,
                failed_phase=REHEARSE,
                failed_release=wanted,
                current=current,
            ) from error
        finally:
            self._end_rehearsal(unit)

    def _end_rehearsal(self, unit: str) -> None:
        """Stop the rehearsal, also one that a run before this has left; the sockets first, so that nothing restarts."""
        strays = self._systemd.active_instances(f"{self._layout.name}-rehearsal")
        for left in (self._layout.rehearsal_socket, unit, *strays):
            self._systemd.call("stop", left, check=False)
            self._systemd.call("reset-failed", left, check=False)

    def _preflight(self, spec: Spec) -> None:
        own_ports = self._systemd.socket_ports(f"{self._layout.name}.socket")
        found = preflight.problems(spec, self._layout, own_ports)
        if found:
            raise SlipwayError(
                found[0].code,
                " ".join(str(problem) for problem in found),
                "",
                problems=[{"code": p.code, "message": p.message, "fix": p.fix} for p in found],
            )

    def _protected(self, *more: Optional[str]) -> set[str]:
        """What prune must not touch."""
        return {name for name in (*more, self._layout.current_id(), self._layout.last_good_id()) if name}

    def _recover(self) -> None:
        """Finish or undo what a run that was cut short has left in flight."""
        stage.collect_leftovers(self._layout)
        left = self._store.load()
        if left is None:
            return
        if left.phase == COMMIT and self._systemd.show(self._layout.instance(left.to)).up:
            commit(self._layout, self._store, self._systemd, left)
            return
        cut_short = SlipwayError("interrupted", "the run was cut short")
        try:
            restore(self._settings, self._layout, self._store, self._systemd, left, cut_short, interrupted=True)
        except Exception as error:
            if left.source is None or self._systemd.show(self._layout.instance(left.source)).up:
                raise
            self._adopt_or_give_up(left, left.source, error)

    def _adopt_or_give_up(self, left: Transaction, source: str, error: Exception) -> None:
        """What was good does not run any more. A service like that must not lock out the release that may mend it."""
        try:
            adopt(self._settings, self._layout, self._store, self._systemd, left)
        except Exception as failure:
            with contextlib.suppress(SlipwayError, OSError):  # what ails it may pass, and systemd goes on trying
                self._systemd.end(self._layout.instance(left.to), self._settings.drain_timeout, STOP_MARGIN)
                install_units(self._layout, self._systemd, stage.unit_copies(self._layout, source))
                self._systemd.start(self._layout.instance(source))
            _point_back(self._layout, source)
            self._store.record(
                "given_up",
                txn=left.txn,
                kind=left.kind,
                release=left.to,
                serving=None,
                interrupted=True,
                reason=f"{cause(error)[0]} {cause(failure)[0]}",
            )
            self._store.clear()

    def _swap(self, target: str, strategy: str, kind: str, phases: dict[str, float]) -> Outcome:
        source = self._layout.current_id()
        if source == target or source not in self._layout.staged():
            source = self._earlier_good(target)
        transaction = self._store.begin(target, source, strategy, kind)
        swap = Swap(self._settings, self._layout, self._store, self._systemd, transaction)
        swap.run()
        phases = {**phases, **swap.phases}
        begun = time.monotonic()
        pruned = stage.prune(self._layout, self._settings.keep, self._protected(target, source))
        phases[PRUNE] = time.monotonic() - begun
        return Outcome(
            changed=True,
            current=target,
            previous=source,
            action=kind,
            phases=phases,
            swap_seconds=swap_seconds(phases),
            downtime_seconds=swap.downtime,
            pruned=pruned,
        )
