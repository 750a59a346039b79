# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One transaction of the release engine: from one release to another, or back. This file is PRIVATE to the collection.

The phase is saved before it begins, so that a later run, or a recovery at boot, knows how far the one before it came.
Everything from INTENT to SOAK is undone when a phase fails.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Mapping, Optional

from .._core import files
from .._core.errors import SlipwayError
from .._host.systemd import UnitState
from . import confirm_timer, integrity, stage
from . import probe as probing
from .phases import Phase
from .state.service import Service, as_released
from .state.store import RELEASE_FAULTS, Layout, Transaction
from .strategies.base import STOP_MARGIN, cause, install_units
from .strategies.registry import may_replace, strategy, strategy_of
from .strategies.traffic import WHOLE, Totals, Traffic

NOT_STARTED = UnitState("", "", "", 0, 0, "", 0)


class Swap:
    """One transaction: from `source` (None on a first release) to `to`."""

    def __init__(
        self,
        service: Service,
        transaction: Transaction,
        probe: probing.Probe,
        totals: Optional[Mapping[tuple[int, str], Totals]] = None,
    ) -> None:
        self._service = service
        self._totals = totals  # of users' requests when the run began
        self._probe = probe
        self._txn = transaction
        self._strategy = strategy(transaction.strategy, service)
        self._front = self._strategy.front()
        source, to = transaction.source, transaction.to
        before = strategy_of(source, service, transaction.strategy) if source else None
        self._plan = self._strategy.plan(before, source, to)
        self.in_turn_because = self._strategy.in_turn_because(before, source, to)
        if transaction.kind == "rollback" or before is None:
            # Going back is for when something is wrong: it does not wait for a share of the requests to tell.
            self._plan = tuple(phase for phase in self._plan if phase != Phase.CANARY)
        self._started = NOT_STARTED
        self._traffic: Optional[Traffic] = None
        self._down_since: Optional[float] = None
        self.phases: dict[Phase, float] = {}
        self.downtime: Optional[float] = None
        self._steps: dict[Phase, Callable[[], None]] = {
            Phase.INTENT: self._intent,
            Phase.OVERLAP: self._overlap,
            Phase.CANARY: self._canary,
            Phase.START: self._start,
            Phase.FLIP: self._flip,
            Phase.DRAIN: self._drain,
            Phase.SOAK: self._soak,
            Phase.PROBATION: self._wait,
            Phase.COMMIT: self._commit,
        }

    def run(self) -> None:
        """Walk the strategy's phases; when one fails, restore `source` and raise what happened."""
        if self._txn.source is not None:
            self._probe.start(probing.DURING)
        for phase in self._plan:
            if phase == Phase.COMMIT and self.unconfirmed:
                phase = Phase.PROBATION
            begun = time.monotonic()
            try:
                self._enter(phase)
                self._steps[phase]()
                self._judge(phase)
            except Exception as error:  # whatever it is, the release before has to come back
                raise self._undo(phase, self._blame(error)) from error
            self.phases[phase] = time.monotonic() - begun

    def _blame(self, error: Exception) -> Exception:
        """Hold nothing against a release that may be due to an end of what stands before it."""
        front = self._front
        with contextlib.suppress(SlipwayError, OSError):
            front = self._strategy.front()
        if front == self._front or not isinstance(error, SlipwayError) or error.code not in RELEASE_FAULTS:
            return error
        return SlipwayError(
            "front_failed",
            f"{error.message} HAProxy ended in the meantime, so this is not held against the release.",
            "see journalctl -u haproxy, then release again",
        )

    def _enter(self, phase: Phase) -> None:
        self._txn.phase = phase
        self._service.store.save(self._txn)
        begun = {"source": self._txn.source, "kind": self._txn.kind, "strategy": self._txn.strategy}
        self._service.store.record_phase(self._txn, **(begun if phase == Phase.INTENT else {}))

    def _intent(self) -> None:
        """A first release has nothing to fall back to: the guard of its socket may start only the release itself."""
        self._service.store.save_health(self._txn.to, self._service.settings.health)
        if self._txn.source is None:
            point_boot(self._service.layout, self._strategy.instance(self._txn.to))
        if self.unconfirmed:
            seconds = self._strategy.time_limit() + self._service.settings.soak_time + self._service.settings.confirm
            self._txn.deadline = time.time() + seconds
            confirm_timer.arm(self._service.layout.name, self._txn.txn, seconds)

    def _overlap(self) -> None:
        self._started = self._strategy.start(self._txn.source, self._txn.to)
        if self._txn.kind == "release":
            self._traffic = self._strategy.traffic(self._txn.to, self._totals)
        self._strategy.gate.wait_healthy(self._strategy.subject(self._txn.to), self._started)

    def _start(self) -> None:
        self._overlap()
        if self._down_since is not None:
            self.downtime = time.monotonic() - self._down_since

    def _canary(self) -> None:
        subject = self._strategy.subject(self._txn.to)

        def hold(seconds: float, look: Callable[[], None]) -> None:
            def also() -> None:
                look()
                self._judge(Phase.CANARY)

            self._strategy.gate.soak(subject, self._started, seconds, also)

        if self._traffic is not None:
            self._strategy.canary(self._txn.to, self._traffic, hold)
            self._service.store.record(
                "canary", txn=self._txn.txn, release=self._txn.to, steps=self._traffic.figures()["steps"]
            )

    def _flip(self) -> None:
        if self._traffic is not None:
            self._traffic.begin(WHOLE)
        self._strategy.flip(self._txn.to)

    def _drain(self) -> None:
        self._down_since = time.monotonic() if Phase.START in self._plan and self._txn.source else None
        self._strategy.drain(self._txn.to, self._look_in_drain)

    def _look_in_drain(self) -> None:
        """The new release has all users already, and the old one can still take them back."""
        if self._traffic is not None:
            self._traffic.look()
        self._judge(Phase.DRAIN)

    def _soak(self) -> None:
        subject, seconds = self._strategy.subject(self._txn.to), self._service.settings.soak_time
        self._probe.start(probing.AFTER)
        self._strategy.gate.soak(subject, self._started, seconds, lambda: self._judge_soak(seconds))
        self._probe.finish()
        self._judge_soak(seconds)
        if self._traffic is not None:
            self._traffic.end()
            self._traffic.decide()
        self._strategy.remember(self._txn.to)
        self._txn.measured = {"swap_seconds": round(swap_seconds(self.phases), 3), **self._measured()}
        if self.unconfirmed:
            self._service.store.propose_settings(self._service.settings)

    def _judge_soak(self, seconds: float) -> None:
        if self._traffic is not None:
            self._traffic.look()
        self._raise(self._probe.objection(probing.AFTER, seconds))

    def _judge(self, phase: Phase) -> None:
        """What is lost while nothing serves is no surprise, and is only told."""
        if not self._goes_down and phase in (Phase.OVERLAP, Phase.CANARY, Phase.START, Phase.FLIP, Phase.DRAIN):
            self._raise(self._probe.objection(probing.DURING))

    @property
    def _goes_down(self) -> bool:
        """Whether nothing serves between the end of the old release and the beginning of the new one."""
        return Phase.START in self._plan and self._plan.index(Phase.DRAIN) < self._plan.index(Phase.START)

    def _raise(self, objection: Optional[SlipwayError]) -> None:
        """Where somebody has asked for the older release, the probe has no say."""
        if objection is not None and self._txn.kind != "rollback":
            raise objection

    @property
    def unconfirmed(self) -> Optional[str]:
        """The transaction, where it counts only once somebody has confirmed it.

        Without a release before, there would be nothing to go back to; who asks for a rollback wants it.
        """
        wanted = self._service.settings.confirm and self._txn.source is not None and self._txn.kind == "release"
        return self._txn.txn if wanted else None

    def _wait(self) -> None:
        """Its word comes from outside: Engine.confirm(), or the timer's."""

    def _commit(self) -> None:
        commit(self._service, self._txn)

    def _undo(self, phase: Phase, error: Exception) -> SlipwayError:
        reason, fix = cause(error)
        if phase == Phase.COMMIT:
            return SlipwayError(
                "not_committed",
                f"{self._txn.to} serves, but the last step failed: {reason}",
                "run the same release again",
            )
        self._probe.mark(probing.ROLLBACK)
        with contextlib.suppress(OSError):  # a full disk must not keep the old release from coming back
            self._service.store.record(
                "rolling_back", txn=self._txn.txn, phase=phase, release=self._txn.to, reason=reason
            )
        try:
            unhealthy = restore(self._service, self._txn, error, measured=self._measured)
            if unhealthy:
                raise unhealthy
        except Exception as failure:
            return SlipwayError(
                "rollback_failed",
                f"{self._txn.to} failed in {phase} ({reason}), and going back to {self._txn.source} failed: "
                f"{cause(failure)[0]}",
                f"look at systemctl status '{self._service.layout.name}@*'",
                rolled_back=False,
                failed_phase=phase,
                failed_release=self._txn.to,
                **self._measured(),
            )
        serving = self._txn.source  # not always what it was when the swap began
        if serving is None and self._service.layout.last_good_id() == self._txn.to:
            return SlipwayError(
                "not_proven",
                f"{self._txn.to} failed in {phase}: {reason} It is the only good release here and was left as it is.",
                fix,
                rolled_back=False,
                failed_phase=phase,
                failed_release=self._txn.to,
                current=self._txn.to,
                **self._measured(),
            )
        return SlipwayError(
            "rolled_back",
            f"{self._txn.to} was rolled back in {phase}: {reason} Now {self._fate(serving)}.",
            fix,
            rolled_back=True,
            failed_phase=phase,
            failed_release=self._txn.to,
            current=serving,
            **self._measured(),
        )

    def _fate(self, serving: Optional[str]) -> str:
        last_good = self._service.layout.last_good_id()
        if serving:
            return f"{serving} serves again"
        if last_good is None:
            return "it was the first release, so nothing serves"
        was = strategy_of(last_good, self._service).name
        if was == self._strategy.name:
            return "nothing serves"
        return (
            f"nothing serves: {last_good} was released with the strategy {was}, and what users ask is not led to it "
            f"any more. Release a version that works with {self._strategy.name}, or go back to {was}: see "
            "'From another strategy' on the page of the role slipway.go.proxy"
        )

    def _measured(self) -> Mapping[str, Any]:
        return {"probe": self._probe.figures(), "traffic": self.traffic}

    @property
    def traffic(self) -> Optional[dict[str, Any]]:
        """What the users' requests say of the release; None where nothing in front of it counts them."""
        return self._traffic.figures() if self._traffic is not None else None


def point_boot(layout: Layout, instance: str) -> None:
    """What PID 1 starts at boot and when the service's socket has nobody to answer."""
    files.write_atomic(layout.boot_file, f"SLIPWAY_RELEASE={instance}\n", 0o644)


def booted(layout: Layout) -> Optional[str]:
    """What point_boot has written."""
    try:
        with open(layout.boot_file, encoding="utf-8") as stream:
            return stream.read().strip().partition("=")[2] or None
    except (FileNotFoundError, ValueError):
        return None


def swap_seconds(phases: dict[Phase, float]) -> float:
    """From the first act to the end of the drain: what the users of the service might notice."""
    return sum(phases.get(name, 0.0) for name in (Phase.INTENT, Phase.OVERLAP, Phase.START, Phase.FLIP, Phase.DRAIN))


def commit(service: Service, transaction: Transaction) -> None:
    """Make the transaction's `to` the last good release, and what systemctl(1) means by the service. Safe to repeat."""
    layout = service.layout
    if not service.store.accept_settings():
        service.store.save_settings(as_released(service, transaction.to).settings)
    point_boot(layout, strategy(transaction.strategy, service).instance(transaction.to))
    files.flip_symlink(layout.last_good, f"releases/{transaction.to}")
    service.systemd.start_and_wait(f"{layout.name}.service")
    service.store.record(
        "committed",
        txn=transaction.txn,
        kind=transaction.kind,
        release=transaction.to,
        previous=transaction.source,
        strategy=transaction.strategy,
        started=round(transaction.started, 3),
        **({"reason": transaction.reason} if transaction.reason else {}),
        **({"run": transaction.run} if transaction.run else {}),
        **transaction.measured,
    )
    _close(service, transaction)


def _close(service: Service, transaction: Transaction) -> None:
    service.store.clear()
    confirm_timer.disarm(service.layout.name, transaction.txn)


def restore(
    service: Service,
    transaction: Transaction,
    error: Exception,
    interrupted: bool = False,
    measured: Callable[[], Mapping[str, Any]] = dict,
) -> Optional[SlipwayError]:
    """Make the transaction's `source` the one that serves and stop the rest. Safe to repeat.

    Where that would start what is not as it was released, another good release takes its place.
    Return what speaks against the health of `source`: it is back all the same, for nothing else was ever good.
    """
    source = _intact_source(service, transaction)
    unhealthy = None
    if source is not None:
        unhealthy = _return_to(as_released(service, source), transaction, source)
    elif service.layout.last_good_id() != transaction.to:
        _forget_first(service, transaction)
    service.store.drop_settings()
    service.store.record(
        "rolled_back" if source or service.layout.last_good_id() != transaction.to else "left_as_is",
        txn=transaction.txn,
        kind=transaction.kind,
        release=transaction.to,
        serving=source,
        strategy=transaction.strategy,
        started=round(transaction.started, 3),
        interrupted=interrupted,
        code=getattr(error, "code", "error"),
        reason=cause(error)[0],
        **{**transaction.measured, **measured()},
    )
    _close(service, transaction)
    return unhealthy


def _intact_source(service: Service, transaction: Transaction) -> Optional[str]:
    """What to go back to, and raise while nothing has been stopped where there is nothing that may be started."""
    source, layout, store = transaction.source, service.layout, service.store
    if source is None:
        return None
    damage = integrity.damage(layout, store, source)
    if damage is None or strategy_of(source, service, transaction.strategy).runs(source):
        return source
    other = integrity.usable(layout, store, source, transaction.to)
    if other is None or not may_replace(other, source, service, transaction.strategy):
        raise damage
    transaction.source = other
    store.save(transaction)
    store.record("damaged", txn=transaction.txn, release=source, reason=damage.message, instead=other)
    return other


def _return_to(service: Service, transaction: Transaction, source: str) -> Optional[SlipwayError]:
    after = strategy(transaction.strategy, service)
    before = strategy_of(source, service, transaction.strategy)
    unit, candidate = before.unit(source), after.unit(transaction.to)
    overlapping = Phase.OVERLAP in after.plan(before, source, transaction.to)
    if candidate != unit and (not overlapping or transaction.phase in (Phase.INTENT, Phase.OVERLAP)):
        with contextlib.suppress(SlipwayError):  # a candidate that does not end must not keep `source` from coming
            after.end(candidate)
    unhealthy = before.bring_back(transaction.to, source)
    for other in (candidate, *service.systemd.active_instances(service.layout.name)):
        if other != unit:
            before.end(other)
    _point_back(service.layout, source, before.instance(source))
    return unhealthy


def _forget_first(service: Service, transaction: Transaction) -> None:
    """Leave the host as if nothing had been."""
    after = strategy(transaction.strategy, service)
    after.end(after.unit(transaction.to))
    after.close()
    for path in (service.layout.current, service.layout.boot_file):
        files.remove_link(path)


def _point_back(layout: Layout, source: str, instance: str) -> None:
    """Undo what a commit had begun, and what stood there of a release that died after it had been good."""
    for link in (layout.current, layout.last_good):
        if files.link_name(link) != source:
            files.flip_symlink(link, f"releases/{source}")
    if booted(layout) != instance:
        point_boot(layout, instance)


def adopt_or_give_up(service: Service, left: Transaction, source: str, error: Exception) -> None:
    """What was good does not run any more. A service like that must not lock out the release that may mend it."""
    try:
        _adopt(as_released(service, left.to), left)
    except Exception as failure:
        after, before = strategy(left.strategy, service), strategy_of(source, service, left.strategy)
        with contextlib.suppress(SlipwayError, OSError):  # what ails it may pass, and systemd goes on trying
            integrity.verify(service.layout, service.store, source)
            service.systemd.end(after.unit(left.to), service.settings.drain_timeout, STOP_MARGIN)
            install_units(service.layout, service.systemd, stage.unit_copies(service.layout, source))
            with contextlib.suppress(SlipwayError, OSError):
                before.flip(source)
            service.systemd.start(before.unit(source))
        _point_back(service.layout, source, before.instance(source))
        service.store.drop_settings()
        service.store.record(
            "given_up",
            txn=left.txn,
            kind=left.kind,
            release=left.to,
            serving=None,
            interrupted=True,
            reason=f"{cause(error)[0]} {cause(failure)[0]}",
        )
        _close(service, left)


def _adopt(service: Service, left: Transaction) -> None:
    """Keep the transaction's `to` where `source` could not be brought back; it must prove itself like any other."""
    after = strategy(left.strategy, service)
    after.drain(left.to)  # one that is tried again and again would be in the way for ever
    started = after.start(None, left.to)
    after.gate.wait_healthy(after.subject(left.to), started)
    after.flip(left.to)
    commit(service, left)
