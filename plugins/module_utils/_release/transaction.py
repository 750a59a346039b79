# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One transaction: from one release to another, or back. This file is PRIVATE to the collection.

The phase is saved before it begins, so that a later run, or a recovery at boot, knows how far the one before it came.
Everything from INTENT to SOAK is undone when a phase fails.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from .._core.errors import SlipwayError, sentence
from .._core.problems import Problem
from .._host.systemd import UnitState
from . import confirm_time, confirm_timer, periods
from . import probe as probing
from . import progress as progressing
from .context import Context
from .diagnostics import Diagnostics, Failure, diagnose
from .gate import Early
from .outcome import Outcome, timed
from .pause import GOES_BACK, SENT_BACK, Pause, forget
from .phases import IN_TURN, Phase
from .prune import prune
from .recovery import commit, restore
from .state.journal import RELEASE_FAULTS, WITHDRAWN
from .state.service import Service, as_released
from .state.store import Transaction
from .strategies.base import STOP_MARGIN, Drained, cause
from .strategies.registry import may_return, strategy, strategy_of
from .strategies.traffic import WHOLE, TooSlow, Totals, Traffic
from .strategies.verdict import FAIL
from .takeover import Takeover

NOT_STARTED = UnitState("", "", "", 0, 0, "", 0)


class Swap:
    """One transaction: from `source` (None on a first release, which may have a former service to end) to `to`."""

    def __init__(
        self,
        service: Service,
        transaction: Transaction,
        probe: probing.Probe,
        takeover: Takeover,
        totals: Optional[Mapping[tuple[int, str], Totals]] = None,
        hold: float = 0.0,
        progress: Optional[progressing.Progress] = None,
    ) -> None:
        self._hold = hold
        self._progress = progress or progressing.Progress(service.layout, "")
        self._service = service
        self._totals = totals  # of users' requests when the run began
        self._probe = probe
        self._txn = transaction
        self._strategy = strategy(transaction.strategy, service)
        self._front = self._strategy.front()
        source, to = transaction.source, transaction.to
        self._takeover = takeover
        self._takes_over = source is None and self._takeover.in_force
        # Not what a removal has left on the host: it serves again only if this swap fails.
        self._served = source is not None and service.layout.current_id() == source
        before = strategy_of(source, service, transaction.strategy) if source else None
        self._plan = IN_TURN if self._takes_over else self._strategy.plan(before, source, to)
        self.in_turn_because = self._strategy.in_turn_because(before, source, to)
        if transaction.kind == "rollback" or before is None:
            # Going back is for when something is wrong: it does not wait for a share of the requests to tell.
            self._plan = tuple(phase for phase in self._plan if phase != Phase.CANARY)
        self._started = NOT_STARTED
        self._traffic: Optional[Traffic] = None
        self._down_since: Optional[float] = None
        self.phases: dict[Phase, float] = {}
        self._zero, self._began = time.monotonic(), time.time()
        self._spans: list[tuple[str, float, float]] = []  # of each phase, its name, begin and end
        self._restored: Optional[float] = None
        self._phase_begun = self._zero
        self._pause: Optional[Pause] = None
        self.downtime: Optional[float] = None
        self.drained = Drained()
        self._steps: dict[Phase, Callable[[], None]] = {
            Phase.INTENT: self._intent,
            Phase.OVERLAP: self._overlap,
            Phase.CANARY: self._canary,
            Phase.START: self._start,
            Phase.FLIP: self._flip,
            Phase.DRAIN: self._drain,
            Phase.SOAK: self._soak,
            Phase.PROBATION: self._await_confirmation,
            Phase.COMMIT: self._commit,
        }

    def run(self) -> None:
        """Walk the strategy's phases; when one fails, restore `source` and raise what happened."""
        if self._has_users:
            self._probe.start(periods.DURING)
        for phase in self._plan:
            if phase == Phase.COMMIT and self.unconfirmed:
                phase = Phase.PROBATION
            self._phase_begun = time.monotonic()
            try:
                self._enter(phase)
                self._steps[phase]()
                self._judge(phase)
            except Exception as error:  # whatever it is, the release before has to come back
                self._end_span(phase)
                raise self._dated(self._undo(phase, self._blame(error))) from error
            self._end_span(phase)
            self.phases[phase] = sum(end - begin for name, begin, end in self._spans if name == phase)

    def _end_span(self, name: str) -> None:
        """What has gone on until now ends, and something else begins."""
        now = time.monotonic()
        self._spans.append((name, self._phase_begun, now))
        self._phase_begun = now

    def timeline(self) -> dict[str, Any]:
        """What happened when, in seconds from the beginning of the swap; that by the clock of this host."""
        return {
            "began": round(self._began, 3),
            "phases": [[str(name), round(b - self._zero, 3), round(e - b, 3)] for name, b, e in self._spans],
            "probe": self._probe.series(self._zero),
            "evidence": self._traffic.series(self._zero) if self._traffic is not None else None,
        }

    def _dated(self, failure: SlipwayError) -> SlipwayError:
        """The failure of a release, with what happened when until the release before was back."""
        if self._txn.kind == "release":
            if self._restored is not None:
                self._spans.append((progressing.GOING_BACK, self._spans[-1][2], self._restored))
            failure.details["timeline"] = self.timeline()
        return failure

    def _blame(self, error: Exception) -> Exception:
        """Hold nothing against a release that may be due to an end of what stands before it."""
        front = self._front
        with contextlib.suppress(SlipwayError, OSError):
            front = self._strategy.front()
        if front == self._front or not isinstance(error, SlipwayError) or error.code not in RELEASE_FAULTS:
            return error
        if error.code == SENT_BACK:  # a person has decided
            return error
        return SlipwayError(
            "front_failed",
            f"{sentence(error.message)} HAProxy ended in the meantime, so this is not held against the release.",
            "see journalctl -u haproxy, then release again",
        )

    def _enter(self, phase: Phase) -> None:
        if phase == Phase.PROBATION:
            self._end_time_to_pause()
        self._show(phase)
        self._txn.phase = phase
        self._service.store.save(self._txn)
        begun: dict[str, Any] = {"source": self._txn.source, "kind": self._txn.kind, "strategy": self._txn.strategy}
        begun.update({"by": self._txn.by} if self._txn.by else {})
        self._service.store.record_phase(self._txn, **(begun if phase == Phase.INTENT else {}))

    def _show(self, phase: Phase) -> None:
        """Tell who waits what begins, and for how long the swap goes on from here on purpose."""
        settings = self._service.settings
        starts = settings.start_timeout + self._strategy.gate.pace.deadline
        limits = {Phase.OVERLAP: starts, Phase.START: starts, Phase.DRAIN: settings.drain_timeout}
        least = self._strategy.min_time()
        soak = settings.soak_time if least is None else min(least, settings.soak_time)
        lengths = {Phase.CANARY: self._strategy.least_canary_time(), Phase.SOAK: soak}
        after = self._plan[self._plan.index(phase) + 1 :] if phase in self._plan else ()
        later = sum(lengths.get(one, 0.0) for one in after)
        self._progress.enter(phase, limits.get(phase, 0.0), lengths.get(phase, 0.0), later)

    def _so_far(self) -> dict[str, Any]:
        """What requests say of the release by now."""
        asked = self._probe.counted(*periods.SINCE_THE_SWAP_BEGAN)
        traffic = progressing.of_traffic(self.traffic)
        paused = {"paused": dict(self._txn.paused)} if self._txn.paused else {}
        traffic.update({"verdict": FAIL} if traffic and paused else {})  # by all that has a say until a person decides
        return {**({"traffic": traffic} if traffic else {}), **({"probe": asked} if asked[0] else {}), **paused}

    def _intent(self) -> None:
        """A first release has nothing to fall back to: the guard of its socket may start only the release itself.

        No socket starts on a host that does not know what to boot; a first release behind HAProxy that failed has left
        it like that, also where another one was good before.
        """
        store, source, settings = self._service.store, self._txn.source, self._service.settings
        store.save_health(self._txn.to, settings.health)
        forget(self._service.layout)  # a word about a transaction that is over
        if self._takes_over:
            store.save_settings(settings)  # by them a boot knows the service, and settles what is in flight
        if self._takes_over or self.unconfirmed:
            seconds = confirm_time.seconds(self._strategy, settings, self._hold, self._takes_over)
            self._txn.deadline = time.time() + seconds
            confirm_timer.arm(self._service.layout.name, self._txn.txn, seconds)
        if source is None:
            store.point_boot(self._strategy.instance(self._txn.to))
        elif store.boot_instance() is None:
            store.point_boot(strategy_of(source, self._service, self._txn.strategy).instance(source))

    def _overlap(self) -> None:
        self._started = self._strategy.start(self._txn.source, self._txn.to)
        if self._txn.kind == "release":
            self._traffic = self._strategy.traffic(self._txn.to, self._totals)
        self._strategy.gate.wait_healthy(self._strategy.subject(self._txn.to), self._started)

    def _start(self) -> None:
        self._overlap()
        self._end_downtime()

    def _end_downtime(self) -> None:
        if self._down_since is not None:
            self.downtime = (self.downtime or 0.0) + time.monotonic() - self._down_since
            self._down_since = None

    def _canary(self) -> None:
        traffic = self._traffic
        if traffic is None:
            return

        def hold(seconds: float, look: Callable[[], None]) -> None:
            def also() -> None:
                look()
                self._judge(Phase.CANARY)
                self._progress.look(self._so_far)

            self._stay(Phase.CANARY, seconds, also, traffic.end, self._early(lambda: True))

        self._strategy.canary(self._txn.to, traffic, hold)
        self._service.store.journal.record(
            "canary", txn=self._txn.txn, release=self._txn.to, steps=traffic.figures()["steps"]
        )

    def _stay(
        self, phase: Phase, seconds: float, also: Callable[[], None], end: Callable[[], None], early: Optional[Early]
    ) -> None:
        """Raise unless it stays well for that long, and until the end; one that is only too slow may wait for a person.

        That wait is not part of the time.
        """
        left = seconds
        while True:
            begun = time.monotonic()
            try:
                self._soak_with(left, also, early)
                return end()
            except TooSlow as slow:
                left = max(left - (time.monotonic() - begun), 0.0)
                self._wait_for_a_person(phase, slow, also)

    def _soak_with(self, seconds: float, also: Callable[[], None], early: Optional[Early]) -> None:
        self._strategy.gate.soak(self._strategy.subject(self._txn.to), self._started, seconds, also, early)

    @property
    def _may_pause(self) -> bool:
        return self._txn.kind == "release" and self._pause is None and self._strategy.pause_time() > 0

    def _wait_for_a_person(self, phase: Phase, slow: TooSlow, also: Callable[[], None]) -> None:
        """Leave users where they are until somebody has decided; whatever else goes wrong decides at once."""
        traffic = self._traffic
        if traffic is None or not self._may_pause:
            raise slow
        seconds = self._strategy.pause_time()
        self._pause = Pause(self._service.store, self._txn, seconds, slow.reason)
        self._end_span(phase)
        self._progress.enter(progressing.PAUSED, seconds)
        traffic.tolerate()
        former = self._probe.mark(periods.PAUSED)

        def meanwhile() -> None:
            also()
            self._raise(self._probe.objection(periods.PAUSED))

        try:
            self._pause.hold(lambda most, over: self._soak_with(most, meanwhile, Early(0.0, over)))
        except SlipwayError as error:
            if error.code in GOES_BACK:
                traffic.insist()
            raise
        finally:
            self._probe.mark(former)
            self._end_span(progressing.PAUSED)
        self._show(phase)

    def _paused_since(self, begun: float) -> float:
        """Seconds that the swap has waited for a person since then."""
        return sum(end - b for name, b, end in self._spans if name == progressing.PAUSED and b >= begun)

    def _flip(self) -> None:
        if self._traffic is not None:
            self._traffic.begin(WHOLE)
        self._strategy.flip(self._txn.to)

    def _drain(self) -> None:
        self._down_since = time.monotonic() if self._goes_down and self._has_users else None
        self.drained = self._strategy.drain(self._txn.to, self._look_in_drain, beside=Phase.OVERLAP in self._plan)
        if self._takes_over:
            self._takeover.step_aside(self._service.settings.drain_timeout + STOP_MARGIN)

    def _look_in_drain(self) -> None:
        """The new release has all users already, and the old one can still take them back."""
        if self._traffic is not None:
            with contextlib.suppress(*[TooSlow] if self._may_pause else []):  # there is more time to ask in the soak
                self._traffic.look()
        self._judge(Phase.DRAIN)
        self._progress.look(self._so_far)

    def _soak(self) -> None:
        seconds, begun = self._service.settings.soak_time, time.monotonic()

        def lasts() -> float:
            return min(time.monotonic() - begun - self._paused_since(begun), seconds)

        def end() -> None:
            self._judge_soak(lasts())
            if self._traffic is not None:
                self._traffic.end()

        early = self._early(lambda: self._probe.objection(periods.AFTER, lasts()) is None)
        self._probe.start(periods.AFTER)
        self._stay(Phase.SOAK, seconds, lambda: self._judge_soak(seconds), end, early)
        self._probe.finish()
        self._raise(self._probe.objection(periods.AFTER, lasts()))
        if self._traffic is not None:
            self._traffic.decide()
        self._strategy.remember(self._txn.to)
        swapped = round(swap_seconds(self.phases), 3)
        self._txn.measured = {**self._txn.measured, "swap_seconds": swapped, **self._measured()}
        if self.unconfirmed:
            self._service.store.propose_settings(self._service.settings)

    def _early(self, also: Callable[[], bool]) -> Optional[Early]:
        """What may end a share of the requests, or the soak, before its time."""
        traffic, least = self._traffic, self._strategy.min_time()
        if traffic is None or least is None:
            return None
        return Early(least, lambda: also() and traffic.proven())

    def _judge_soak(self, seconds: float) -> None:
        if self._traffic is not None:
            self._traffic.look()
        self._raise(self._probe.objection(periods.AFTER, seconds))
        self._progress.look(self._so_far)

    def _judge(self, phase: Phase) -> None:
        """What is lost while nothing serves is no surprise, and is only told."""
        if not self._goes_down and phase in (Phase.OVERLAP, Phase.CANARY, Phase.START, Phase.FLIP, Phase.DRAIN):
            self._raise(self._probe.objection(periods.DURING))

    @property
    def _has_users(self) -> bool:
        """Whether something served when the swap began."""
        return self._served or self._takes_over

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
        returns = self._txn.source is not None or self._takes_over
        wanted = self._service.settings.confirm and returns and self._txn.kind == "release"
        return self._txn.txn if wanted else None

    def _end_time_to_pause(self) -> None:
        """Nothing pauses any more: the host need not wait so long for a controller that may be dead.

        With a fleet, others may still be paused. A timer that stays as it is takes it back later, but does so.
        """
        unused = self._strategy.pause_time() - float((self.paused or {}).get("seconds", 0.0))
        if self._hold or unused <= 0 or self._txn.deadline is None:
            return
        now, service = time.time(), self._service
        left = max(self._txn.deadline - unused - now, service.settings.confirm)
        with contextlib.suppress(SlipwayError, OSError):
            confirm_timer.shorten(service.layout.name, self._txn.txn, left)
            self._txn.deadline = now + left

    def _await_confirmation(self) -> None:
        """Its word comes from outside: the verb confirm, or the timer."""

    def _commit(self) -> None:
        commit(self._service, self._txn, self._takeover)

    def _undo(self, phase: Phase, error: Exception) -> SlipwayError:
        reason, fix = cause(error)
        failed_at = time.time()
        if phase == Phase.COMMIT:
            return SlipwayError(
                "not_committed",
                f"{self._txn.to} serves, but the last step failed: {reason}",
                "run the same release again",
            )
        self._probe.mark(periods.ROLLBACK)
        self._progress.enter(progressing.GOING_BACK)
        if self.downtime is not None:  # the new release has served meanwhile, and ends before the old one is back
            self._down_since = time.monotonic()
        with contextlib.suppress(OSError):  # a full disk must not keep the old release from coming back
            self._service.store.journal.record(
                "rolling_back", txn=self._txn.txn, phase=phase, release=self._txn.to, reason=reason
            )
        try:
            unhealthy = restore(self._service, self._txn, error, self._takeover, measured=self._measured_back)
            self._restored = time.monotonic()
            if unhealthy:
                raise unhealthy
        except Exception as failure:
            said = self._diagnose(phase, failed_at, error)
            return SlipwayError(
                "rollback_failed",
                f"{self._txn.to} failed in {phase} ({reason}), and going back to {self._came_from} failed: "
                f"{sentence(cause(failure)[0])}{said.sentences()}",
                self._remedy(failure),
                rolled_back=False,
                failed_phase=phase,
                failed_release=self._txn.to,
                problems=[_problem(one)._asdict() for one in (error, failure)],
                **self._measured(),
                **said.as_dict(),
            )
        said = self._diagnose(phase, failed_at, error)
        serving = self._txn.source  # not always what it was when the swap began
        if serving is None and self._service.layout.last_good_id() == self._txn.to:
            return SlipwayError(
                "not_proven",
                f"{self._txn.to} failed in {phase}: {sentence(reason)} It is the only good release here and was left "
                f"as it is.{said.sentences()}",
                fix,
                rolled_back=False,
                failed_phase=phase,
                failed_release=self._txn.to,
                current=self._txn.to,
                **self._measured(),
                **said.as_dict(),
            )
        code = _problem(error).code
        return SlipwayError(
            code if code in GOES_BACK else "rolled_back",
            f"{self._txn.to} was rolled back in {phase}: {sentence(reason)} Now {self._fate(serving)}."
            f"{said.sentences()}",
            fix,
            rolled_back=True,
            failed_phase=phase,
            failed_release=self._txn.to,
            current=serving,
            **self._measured(),
            **said.as_dict(),
        )

    @property
    def _came_from(self) -> str:
        return f"the former {self._takeover.service}" if self._takes_over else str(self._txn.source)

    def _remedy(self, failure: Exception) -> str:
        """What keeps the release before away goes first, unless that release itself is to blame."""
        problem = _problem(failure)
        if problem.fix and problem.code not in RELEASE_FAULTS:
            return problem.fix
        if self._takes_over:
            return f"look at systemctl status {self._takeover.service} and start it, then run slipway.go.adopt again"
        return f"look at systemctl status '{self._service.layout.name}@*', then release a version that works"

    def _fate(self, serving: Optional[str]) -> str:
        last_good = self._service.layout.last_good_id()
        if serving:
            return f"{serving} serves again"
        if self._takes_over:
            return f"{self._takeover.service} runs again as it did before slipway"
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

    def _diagnose(self, phase: Phase, failed_at: float, error: Exception) -> Diagnostics:
        """What the new release has said, if it has come to be started; kept for the history.

        Asked once the release before serves again and that is written down, for neither must wait for a log.
        """
        if self._started is NOT_STARTED and phase not in (Phase.OVERLAP, Phase.START):
            return Diagnostics()
        to, source, settings = self._txn.to, self._txn.source, self._service.settings
        unit = self._strategy.unit(to)
        alone = source is None or unit != strategy_of(source, self._service, self._txn.strategy).unit(source)
        asked = (settings.health, settings.probe)
        said = diagnose(
            self._service.layout, Failure(to, unit, self._txn.started, failed_at, error, asked, has_log=alone)
        )
        if said.as_dict():
            with contextlib.suppress(OSError):
                self._service.store.journal.record("diagnosed", txn=self._txn.txn, release=to, **said.as_dict())
        return said

    def _measured_back(self) -> Mapping[str, Any]:
        """What is known once the release before serves again."""
        self._end_downtime()
        return self._measured()

    def _measured(self) -> Mapping[str, Any]:
        cut, left = self.drained.cut, list(self.drained.left)
        return {
            "probe": self._probe.figures(),
            "traffic": self.traffic,
            **({"cut": cut} if cut else {}),
            **({"draining": left} if left else {}),
            **({} if self.downtime is None else {"downtime_seconds": round(self.downtime, 3)}),
            **({"paused": self.paused} if self.paused else {}),
        }

    @property
    def paused(self) -> Optional[dict[str, Any]]:
        """How it has waited for a person, and how that ended; None where it has not."""
        return dict(self._pause.told) if self._pause is not None else None

    @property
    def traffic(self) -> Optional[dict[str, Any]]:
        """What the users' requests say of the release; None where nothing in front of it counts them."""
        return self._traffic.figures() if self._traffic is not None else None


def _problem(error: Exception) -> Problem:
    unnamed = "os_error" if isinstance(error, OSError) else "defect"
    return Problem(getattr(error, "code", unnamed), *cause(error))


@dataclass(frozen=True)
class SwapRequest:
    """What is to serve, and how it gets there.

    kind is "release" or "rollback", reason that of a rollback nobody has asked for. listen is where users ask, run the
    name of the run that asks for it, and totals the requests of users that had been counted when that run began.
    mark_bad is whether a rollback speaks against the release that it leaves. hold is added to the time to confirm it.
    takes_over is whether it ends a former service.
    """

    target: str
    strategy: str
    kind: str
    reason: str = ""
    listen: Sequence[str] = ()
    run: str = ""
    totals: Optional[Mapping[tuple[int, str], Totals]] = None
    mark_bad: bool = True
    hold: float = 0.0
    takes_over: bool = False


def swap(
    context: Context, request: SwapRequest, probe: probing.Probe, before: Optional[Mapping[Phase, float]] = None
) -> Outcome:
    """Carry out the transaction; before are the seconds of the phases that came before it."""
    if not request.takes_over:
        context.takeover.settle()  # one that was given back, and of which nothing is left here
    source = _source(context, request)
    is_rollback = request.kind == "rollback"
    service = as_released(context.service, request.target) if is_rollback else context.service
    transaction = context.store.begin(
        request.target, source, request.strategy, request.kind, request.reason, request.run, context.by
    )
    if not request.mark_bad:
        transaction.measured[WITHDRAWN] = True
    running = Swap(service, transaction, probe, context.takeover, request.totals, request.hold, context.progress)
    try:
        running.run()
    except SlipwayError as error:
        if error.details.get("rolled_back"):
            prune(context, request.target, source)
        raise
    phases, pruned = {**(before or {}), **running.phases}, []
    if not running.unconfirmed:
        with timed(phases, Phase.PRUNE):
            pruned = prune(context, request.target, source)
    return Outcome(
        changed=True,
        current=request.target,
        previous=source,
        action=request.kind,
        phases=phases,
        swap_seconds=swap_seconds(phases),
        downtime_seconds=running.downtime,
        restarted_because=running.in_turn_because,
        pruned=pruned,
        probe=probe.figures(),
        traffic=running.traffic,
        paused=running.paused,
        timeline=running.timeline(),
        cut=running.drained.cut,
        draining=list(running.drained.left),
        unconfirmed=running.unconfirmed,
    )


def _source(context: Context, request: SwapRequest) -> Optional[str]:
    """What serves until then, and again when the swap fails."""
    if request.takes_over:
        return None
    source = context.current_id()
    if source == request.target or source not in context.layout.staged():
        source = context.earlier_good(request.target)
    if source is None:
        return None
    before, after = context.strategy_of(source, request.strategy), context.strategy(request.strategy)
    return source if may_return(source, before, after, request.listen) else None


def swap_seconds(phases: dict[Phase, float]) -> float:
    """From the first act to the end of the drain: what the users of the service might notice."""
    return sum(phases.get(name, 0.0) for name in (Phase.INTENT, Phase.OVERLAP, Phase.START, Phase.FLIP, Phase.DRAIN))
