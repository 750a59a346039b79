# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb rollback: back to a release that was good, asked for or by the watch. PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from ..._core.errors import SlipwayError
from .. import integrity, stage
from ..context import Context
from ..meant import Meant
from ..outcome import Outcome, unchanged
from ..phases import Phase
from ..recovery import TAKEN_BACK, WITHDRAWN, rollback_of_recovery, settle_in_flight
from ..state.journal import run_of
from ..state.model import validate_release_id
from ..state.store import Transaction
from ..strategies.base import Strategy
from ..strategies.registry import check_return
from ..transaction import SwapRequest, swap


def predict(context: Context, wanted: Optional[str] = None, meant: Optional[Meant] = None) -> Outcome:
    """Say where a rollback would go, or what speaks against it; change nothing."""
    in_flight, current = context.store.load(), context.current_id()
    if not _is_meant(context, meant):
        return unchanged(current)
    _check_lease(context)
    if in_flight is not None:
        current = _serves_after_recovery(in_flight)
        done = _settled_by_recovery(in_flight, wanted, meant)
        if done is not None and (wanted or in_flight.kind == "rollback" or not _has_brought(context, meant, current)):
            return _with_earlier_credentials(context, done, in_flight.to)
    target = _target(context, wanted, meant, current)
    if target is None:
        return unchanged(current)
    checked_strategy(context, target)
    return _with_earlier_credentials(context, Outcome(True, target, current, "rollback"), current)


def rollback(
    context: Context, wanted: Optional[str] = None, meant: Optional[Meant] = None, mark_bad: bool = True
) -> Outcome:
    """Go back to the named release, or to the last good one before the current one.

    Where it was said what is to be taken back, only if that serves or is in flight.
    mark_bad: whether it speaks against the release that is left; not where it was good here and failed elsewhere.
    """
    with context.locked(), context.probed() as probe, context.progress.shown():
        _end_lease(context, meant)
        in_flight = context.store.load()
        if not _is_meant(context, meant):
            return unchanged(context.current_id())
        _check_lease(context)
        left = in_flight.to if in_flight is not None else context.current_id()
        settle_in_flight(context, TAKEN_BACK if mark_bad else WITHDRAWN, context.by)
        done = _done_by_recovery(context, in_flight, wanted, meant)
        if done is not None:
            return _with_earlier_credentials(context, done, left)
        target = _target(context, wanted, meant, context.current_id())
        if target is None:
            return unchanged(context.current_id())
        strategy = checked_strategy(context, target)
        left = context.current_id()
        done = swap(context, SwapRequest(target, strategy.name, "rollback", mark_bad=mark_bad), probe)
        return _with_earlier_credentials(context, done, left)


def _check_lease(context: Context) -> None:
    """Refuse the way back of a run that has lost its lease: what it has released may be what another one left here.

    A rollback that somebody asks for makes no claim, and no lease keeps it from going on.
    """
    if context.claim is not None:
        context.leases.check(context.claim)


def _end_lease(context: Context, meant: Optional[Meant]) -> None:
    """A run that somebody takes back releases nothing more here, and keeps no other one waiting."""
    holder = context.leases.holder()
    if context.claim is None and holder is not None and meant is not None and meant.run == holder.name.strip():
        context.leases.end(context.by)


def _with_earlier_credentials(context: Context, done: Outcome, left: Optional[str]) -> Outcome:
    """The outcome with the credentials that come back, and that have had another value in `left`, or are gone there."""
    if not done.changed or done.current is None or left in (None, done.current):
        return done
    now, then = (stage.credentials(context.layout, str(one)) for one in (left, done.current))
    return replace(done, earlier_credentials=sorted(name for name in then if now.get(name) != then[name]))


def automatic_target(context: Context, bad: str) -> Optional[str]:
    """Where a service goes from this release without being asked.

    Only from one that somebody has released, and only once: what brings every release down is not their fault.
    """
    if context.journal.rolled_back_since_release():
        return None
    return integrity.usable(context.layout, context.store, bad)


def can_roll_back(context: Context, bad: str) -> bool:
    """Whether there is a release to which this host could go back from this one by itself."""
    target = automatic_target(context, bad)
    if target is None:
        return False
    try:
        checked_strategy(context, target)
    except SlipwayError:
        return False
    return True


def roll_back_automatically(context: Context, bad: str, reason: str) -> Optional[Outcome]:
    """Go back from a release that does not stay up; None where there is no way, or somebody has acted already."""
    with context.locked(), context.probed() as probe:
        in_flight = context.store.load()
        settle_in_flight(context, SlipwayError("crashed", reason), {})
        done = rollback_of_recovery(context, in_flight)
        if done is not None and done.previous == bad:
            return done
        target = automatic_target(context, bad)
        if context.current_id() != bad or target is None:
            return None
        strategy = checked_strategy(context, target)
        context.journal.record("watch_rollback", release=bad, to=target, reason=reason)
        return swap(context, SwapRequest(target, strategy.name, "rollback", reason), probe)


def checked_strategy(context: Context, target: str) -> Strategy:
    """How to go back to this release; raise where its units, this host or the users' address would not have it."""
    integrity.require(context.layout, context.store, target)
    strategy = context.strategy_of(target)
    strategy.check_units(target)
    check_return(strategy, context.strategy_of(str(context.current_id()), strategy.name))
    context.check_linkage(target)
    return strategy


def _is_meant(context: Context, meant: Optional[Meant]) -> bool:
    """Whether what is to be taken back serves here, or is in flight."""
    if meant is None:
        return True
    in_flight, current, outcomes = context.store.load(), context.current_id(), context.journal.outcomes()
    if in_flight is not None and in_flight.kind == "release":
        return meant.matches(in_flight.to, in_flight.run)
    if in_flight is not None:  # a rollback that was cut short: what it leaves may come back
        current, outcomes = in_flight.source, [event for event in outcomes if event.get("txn") != in_flight.txn]
    return current is not None and meant.matches(current, run_of(current, outcomes))


def _has_brought(context: Context, meant: Optional[Meant], release_id: Optional[str]) -> bool:
    """Whether this release, which serves or is going to, is to be taken back as well."""
    if meant is None or release_id is None:
        return False
    return meant.matches(release_id, run_of(release_id, context.journal.outcomes()))


def _target(context: Context, wanted: Optional[str], meant: Optional[Meant], current: Optional[str]) -> Optional[str]:
    """The release a rollback from `current` would go to; None when it has been done already."""
    if current is None and context.takeover.in_force:
        raise SlipwayError(
            "no_last_good",
            f"{context.layout.name} runs as it did before slipway, and no release of it serves.",
            "run slipway.go.adopt with adopt_switch, so that a release takes it over",
        )
    if wanted is not None:
        return _named_target(context, validate_release_id(wanted))
    if meant is None and context.journal.has_gone_back() and context.is_committed(str(current)):
        return None
    target = context.earlier_good(current, meant)
    if target is None:
        former = ", or run slipway.go.adopt with adopt_undo" if context.takeover.exists else ""
        raise SlipwayError(
            "no_last_good",
            f"{context.layout.name} has no earlier good release on this host to go back to.",
            f"name an id that slipway.go.release_info lists under releases, or release another version{former}",
        )
    return target


def _named_target(context: Context, wanted: str) -> Optional[str]:
    staged = context.layout.staged()
    if wanted not in staged:
        raise SlipwayError(
            "unknown_release",
            f"release {wanted} of {context.layout.name} is not on this host.",
            f"choose one of: {', '.join(staged) or 'none are staged'}",
        )
    return None if context.is_committed(wanted) else wanted


def _done_by_recovery(
    context: Context, in_flight: Optional[Transaction], wanted: Optional[str], meant: Optional[Meant]
) -> Optional[Outcome]:
    """The rollback that settling what was in flight has been; None where there is more to do."""
    done, current = rollback_of_recovery(context, in_flight), context.current_id()
    if done is not None and (wanted == current or (wanted is None and not _has_brought(context, meant, current))):
        return done
    if in_flight is not None and wanted in (None, current) and not _is_meant(context, meant):
        return Outcome(True, current, _gone_from(in_flight), "rollback")
    return None


def _gone_from(in_flight: Transaction) -> Optional[str]:
    return in_flight.source if in_flight.kind == "rollback" else in_flight.to


def _serves_after_recovery(in_flight: Transaction) -> Optional[str]:
    """What serves once what is in flight is settled."""
    return in_flight.to if in_flight.phase == Phase.COMMIT else in_flight.source


def _settled_by_recovery(in_flight: Transaction, wanted: Optional[str], meant: Optional[Meant]) -> Optional[Outcome]:
    """What a rollback finds done once it has settled what is in flight; None where there is more to do."""
    serves = _serves_after_recovery(in_flight)
    if wanted not in (None, serves):
        return None
    if (in_flight.kind == "rollback") == (in_flight.phase == Phase.COMMIT):  # settling it means to go back
        if meant is not None or (in_flight.source and in_flight.phase == Phase.PROBATION):
            return Outcome(True, serves, _gone_from(in_flight), "rollback")
        if in_flight.source:
            return unchanged(serves)
    return unchanged(serves) if wanted else None
