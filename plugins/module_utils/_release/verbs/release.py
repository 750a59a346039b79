# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb release: one version of a service, proven and then committed. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Container, Iterator

from ..._core.errors import SlipwayError, sentence
from ..._core.paths import TOOL
from ..._core.problems import Problem, ProblemsError
from .. import confirm_time, confirm_timer, integrity, once, preflight, stage
from ..conditions import compares_host, conditions, is_new_try
from ..context import Context
from ..outcome import Outcome, timed, unchanged
from ..phases import Phase
from ..prune import prune, surplus
from ..recovery import settle_in_flight
from ..rehearsal import rehearse
from ..state.model import Content, Spec
from ..strategies.registry import PROXY
from ..transaction import SwapRequest, swap
from .confirm import resume_awaiting


def predict(context: Context, spec: Spec) -> Outcome:
    """Check everything a release needs and say what it would do; change nothing."""
    once.refuse_unknown(context, spec)
    outcome = _foresee(context, spec)
    if spec.once.only:
        outcome.action = "once" if once.is_due(context, spec) else "none"
        outcome.changed, outcome.current, outcome.previous = outcome.action == "once", context.current_id(), None
    outcome.once = once.known(context, spec)
    return outcome


def _foresee(context: Context, spec: Spec) -> Outcome:
    release_id, current = stage.content(spec, context.layout).release_id(), context.current_id()
    if context.is_committed(release_id):
        _require_whole(context, release_id)
        if context.store.differs(release_id, context.settings):
            return Outcome(True, current, None, "settings")
        doomed = surplus(context, release_id, *context.journal.last_tried())
        return Outcome(bool(doomed), current, None, "prune" if doomed else "none", pruned=doomed)
    if spec.configured:
        _refuse_known_bad(context, spec, release_id)
    if not spec.tool:  # else the release brings it
        _require_tool(context, spec)
    _preflight(context, spec)
    return Outcome(True, release_id, current, "release")


def release(context: Context, spec: Spec) -> Outcome:
    """Make the specified release the committed one; when it is, take over only how it is treated from now on.

    The action is "upload" or "tool", and nothing has happened, when the host needs that and has not got it.
    """
    context.leases.check(context.claim)  # before it waits for the lock of a run that has the lease
    with context.locked(), context.probed() as probe, context.progress.shown():
        context.leases.admit(context.claim, context.by)
        context.takeover.renew()
        if spec.once.only and not once.is_due(context, spec):
            return replace(unchanged(context.current_id()), once=once.known(context, spec))
        if not spec.judged:
            return _ask_for_artefact(context, spec)
        resumed = resume_awaiting(context, spec)
        if resumed is not None:
            return resumed
        settle_in_flight(context)
        content = stage.content(spec, context.layout)
        release_id = content.release_id()
        if context.is_committed(release_id) and not once.is_due(context, spec):
            return replace(_take_over_settings(context, release_id), once=once.known(context, spec))
        phases: dict[Phase, float] = {}
        takes_over = context.takeover.is_open
        missing = _check(context, spec, release_id) or _stage(context, spec, content, phases)
        if missing:
            return unchanged(context.current_id(), missing)
        context.leases.begin(context.claim, context.by)
        ran = bool(spec.once.command) and once.settle(context, spec, release_id)
        known = once.known(context, spec)
        if spec.once.only:
            return replace(unchanged(context.current_id(), "once"), changed=ran, once=known)
        if context.is_committed(release_id):
            outcome = _take_over_settings(context, release_id)
            return replace(outcome, changed=outcome.changed or ran, once=known)
        requests = context.strategy(spec.strategy).totals()
        if context.current_id() or takes_over:
            probe.start()
        context.check_linkage(release_id)
        if spec.rehearsal:
            context.progress.enter(Phase.REHEARSE, within=_rehearsal_limit(context, spec))
            with timed(phases, Phase.REHEARSE):
                rehearse(context, spec, release_id)
        probe.sample()
        request = SwapRequest(
            release_id,
            spec.strategy,
            "release",
            listen=spec.listen,
            run=spec.run,
            totals=requests,
            hold=spec.hold,
            takes_over=takes_over,
        )
        return replace(swap(context, request, probe, phases), once=known)


def _rehearsal_limit(context: Context, spec: Spec) -> float:
    """The most seconds it takes until a release has passed its rehearsal."""
    deadline = context.strategy(spec.strategy).gate.pace.deadline
    return context.settings.start_timeout + 2 * deadline + len(spec.smoke) * spec.smoke_timeout


def _ask_for_artefact(context: Context, spec: Spec) -> Outcome:
    """Have an artefact brought that has to be judged, unless it would be in vain. A refusal has changed nothing."""
    release_id, missing = stage.content(spec, context.layout).release_id(), ""
    if context.is_committed(release_id):
        _require_whole(context, release_id)
    elif context.store.load() is None:  # else what becomes of that comes first, and once this has been judged
        missing = _check(context, spec, release_id)
    return unchanged(context.current_id(), missing or "upload")


def _check(context: Context, spec: Spec, release_id: str) -> str:
    """Raise where the release would be in vain; return "tool" where that has to be brought to the host first, else "".

    Room is made only for what has been judged, and before that nothing can be said of the space.
    """
    _refuse_known_bad(context, spec, release_id)
    if spec.tool and context.current_id() and not confirm_timer.has_tool(spec.tool):
        return "tool"
    _require_tool(context, spec)
    _check_takeover(context, spec)
    if spec.judged:
        _make_room(context, spec, release_id)
    _preflight(context, spec, but=() if spec.judged else ("disk_full",))
    stage.require_units(context.layout)
    context.strategy(spec.strategy).check_ready(spec)
    return ""


def _stage(context: Context, spec: Spec, content: Content, phases: dict[Phase, float]) -> str:
    """Have the release on the host; return "upload" where its artefact has to be brought first, else ""."""
    release_id = content.release_id()
    if stage.is_staged(context.layout, release_id, content):
        return ""
    if spec.artefact.path is None:
        return "upload"
    context.progress.enter(Phase.STAGE)
    with timed(phases, Phase.STAGE):
        stage.stage(spec, context.layout, release_id, content)
        context.journal.record("staged", release=release_id, origin=dict(spec.artefact.origin))
        integrity.require(context.layout, context.store, release_id)  # before anything that serves ends for it
    return ""


def _take_over_settings(context: Context, serving: str) -> Outcome:
    """Have the watch and the tool of the host treat the release as it is specified now, if it passes that check."""
    _require_whole(context, serving)
    integrity.renew(context.layout, serving)
    if not context.store.differs(serving, context.settings):
        pruned = prune(context, serving, *context.journal.last_tried())
        return Outcome(bool(pruned), serving, None, "prune" if pruned else "none", pruned=pruned)
    strategy = context.strategy_of(serving)
    try:
        strategy.gate.wait_healthy(strategy.subject(serving), context.systemd.show(strategy.unit(serving)))
    except SlipwayError as error:
        raise SlipwayError(
            error.code,
            f"{serving} serves, and does not pass the release_health that is specified now: {sentence(error.message)} "
            "Nothing was changed, and the watch goes on with the one before.",
            "correct release_health, or release a version that passes it",
            current=serving,
        ) from error
    context.store.save_health(serving, context.settings.health)
    context.store.save_settings(context.settings)
    context.journal.record("settings", release=serving)
    return Outcome(True, serving, None, "settings", pruned=prune(context, serving))


def _require_whole(context: Context, serving: str) -> None:
    """Raise where what serves could not be started again. It is left alone: nobody knows who did that, and why."""
    damage = integrity.damage(context.layout, context.store, serving)
    if damage is None:
        return
    usable = damage.details["usable"]
    first = f"run sudo slipway rollback {context.layout.name} {usable}" if usable else ""
    other = "release another version or configuration"
    raise SlipwayError(
        damage.code,
        f"{serving} serves, and {sentence(damage.message[len(serving) + 1 :])} Nothing was changed.",
        f"{first}, then release this one again with release_force: true, or release another version"
        if first
        else integrity.remedy(context.layout) or other,
        **damage.details,
        current=serving,
    )


def _refuse_known_bad(context: Context, spec: Spec, release_id: str) -> None:
    """What has failed here before fails again, unless it is judged by something else now, or somebody insists."""
    event = context.journal.bad().get(release_id)
    if event is None or spec.force:
        return
    # Another address of the rehearsal is another option; to leave the rehearsal out is no reason to try it on users.
    rehearsal = spec.rehearsal or str(event["rehearsal"]) if "rehearsal" in event else ""
    if is_new_try(event, conditions(context.settings, context.layout, release_id, rehearsal)):
        return
    when = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(float(event.get("time", 0))))
    reason = sentence(event.get("reason") or "somebody rolled back from it")
    same = " It would be judged by the same options on the same host again." if compares_host(event) else ""
    raise SlipwayError(
        "known_bad",
        f"{release_id} is marked bad on this host since {when}: {reason}{same}",
        "release another version or configuration, or set release_force: true when the cause is gone",
        current=context.current_id(),
    )


def _require_tool(context: Context, spec: Spec) -> None:
    """Raise where a release would wait for a word that could not be said on this host, or not be waited for."""
    if not context.current_id():
        return
    if context.settings.confirm:
        confirm_timer.require_tool()
    if preflight.may_pause(spec, context.settings) and not confirm_timer.is_tool_there():
        raise SlipwayError(
            "no_tool",
            f"{TOOL} is not on this host, and without it nobody could resume a release that is paused.",
            "apply the role slipway.go.service, or set release_slow to rollback",
        )


def _check_takeover(context: Context, spec: Spec) -> None:
    """Raise where a former service could not step aside for this release, or not be brought back by the host."""
    takeover = context.takeover
    if not takeover.is_open:
        return
    if spec.strategy == PROXY:
        raise SlipwayError(
            "not_adoptable",
            f"service_swap is proxy, and {takeover.service} has the port that HAProxy would need.",
            "take the service over with service_swap: restart, and change to proxy with the next release",
        )
    confirm_timer.require_tool()
    takeover.require_ready()


def _make_room(context: Context, spec: Spec, release_id: str) -> None:
    """Delete what is beyond `keep` before a full disk is a reason not to release."""
    try:
        preflight.check_space(spec.artefact, context.layout.root)
    except SlipwayError:
        prune(context, release_id, context.earlier_good(release_id))


def _preflight(context: Context, spec: Spec, but: Container[str] = ()) -> None:
    own_ports = context.systemd.socket_ports(f"{context.layout.name}.socket")
    strategy = context.strategy(spec.strategy)
    listen = strategy.own_listen or spec.listen
    problems = preflight.problems(spec, context.layout, listen, own_ports, strategy.check_front, context.takeover)
    problems += [*integrity.foreign(context.layout), *_time_to_confirm(context, spec)]
    problems = [problem for problem in problems if problem.code not in but]
    if problems:
        raise ProblemsError(problems)


def _time_to_confirm(context: Context, spec: Spec) -> Iterator[Problem]:
    """A time for which no timer could be armed; of a first release too, as the next one would have it."""
    takes_over = context.takeover.is_open
    if context.settings.confirm or takes_over:
        strategy = context.strategy(spec.strategy)
        against = confirm_time.objection(strategy, context.settings, spec.hold, takes_over)
        yield from [Problem.of(against)] if against is not None else []
