# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verb confirm: a release that was swapped in, and waits for that, counts. PRIVATE to the collection."""

from __future__ import annotations

import time
from typing import Optional

from ..._core.errors import SlipwayError, sentence
from .. import integrity, stage
from ..context import Context
from ..outcome import Outcome, timed, unchanged
from ..phases import Phase
from ..prune import prune
from ..recovery import commit, is_awaiting_confirmation, settle_in_flight
from ..state.model import Spec
from ..state.store import Transaction


def confirm(context: Context, txn: Optional[str] = None) -> Outcome:
    """Let a release count that has been swapped in and was healthy; the transaction says which one is meant."""
    with context.locked():
        in_flight = context.store.load()
        if in_flight is None or in_flight.phase != Phase.PROBATION or txn not in (None, in_flight.txn):
            return _too_late(context, txn, in_flight)
        return _confirm(context, in_flight)


def resume_awaiting(context: Context, spec: Spec) -> Optional[Outcome]:
    """Go on with what a run before has swapped in and what waits to be confirmed; None where it is not this release."""
    in_flight = context.store.load()
    if in_flight is None or not is_awaiting_confirmation(context, in_flight):
        return None
    if stage.content(spec, context.layout).release_id() != in_flight.to:
        return None
    if spec.run and in_flight.run != spec.run:
        in_flight.run = spec.run
        context.store.save(in_flight)
        context.store.record_phase(in_flight)
    if not context.settings.confirm:
        return _confirm(context, in_flight)
    return Outcome(True, in_flight.to, in_flight.source, "confirm", unconfirmed=in_flight.txn)


def _confirm(context: Context, in_flight: Transaction) -> Outcome:
    phases: dict[Phase, float] = {}
    with timed(phases, Phase.COMMIT):
        _require_up(context, in_flight)
        _require_intact(context, in_flight)
        strategy = context.strategy(in_flight.strategy)
        if context.current_id() != in_flight.to:  # systemctl restart has turned it back to what was last good
            strategy.flip(in_flight.to)
        cut = strategy.drain(in_flight.to, beside=True).cut  # the guard may have started the one before
        if cut:
            in_flight.measured["cut"] = in_flight.measured.get("cut", 0) + cut
        in_flight.phase = Phase.COMMIT
        context.store.save(in_flight)
        commit(context.service, in_flight, context.takeover)
    with timed(phases, Phase.PRUNE):
        keep = context.store.kept(context.settings.keep)
        pruned = prune(context, in_flight.to, in_flight.source, keep=keep)
    return Outcome(True, in_flight.to, in_flight.source, "confirm", phases, pruned=pruned)


def _require_up(context: Context, in_flight: Transaction) -> None:
    strategy = context.strategy(in_flight.strategy)
    if strategy.serves(in_flight.to):
        return
    settle_in_flight(context, SlipwayError("crashed", "it did not stay up until it was confirmed."))
    message = f"{in_flight.to} did not stay up until it was confirmed, and was rolled back."
    raise _rolled_back(context, in_flight.to, message, f"see journalctl -u '{strategy.unit(in_flight.to)}'")


def _require_intact(context: Context, in_flight: Transaction) -> None:
    damage = integrity.damage(context.layout, context.store, in_flight.to)
    if damage is None:
        return
    if integrity.remedy(context.layout):
        raise damage  # nothing here would be started, the one before neither
    settle_in_flight(context, damage)
    message = f"{sentence(damage.message)} So it was not confirmed, and was rolled back."
    raise _rolled_back(context, in_flight.to, message, "see who changed it, then release it again")


def _rolled_back(context: Context, release_id: str, message: str, fix: str) -> SlipwayError:
    return _not_confirmed(context, "rolled_back", release_id, message, fix)


def _not_confirmed(context: Context, code: str, release_id: Optional[str], message: str, fix: str) -> SlipwayError:
    current, takeover = context.current_id(), context.takeover
    serves = current or (f"the former {takeover.service}" if takeover.in_force else "nothing")
    return SlipwayError(
        code,
        f"{sentence(message)} Now {serves} serves.",
        fix,
        rolled_back=True,
        failed_phase=Phase.PROBATION,
        failed_release=release_id,
        current=current,
    )


def _too_late(context: Context, txn: Optional[str], in_flight: Optional[Transaction]) -> Outcome:
    """What became of the transaction; raise where it did not come to stay."""
    ended = context.journal.outcome_of(txn)
    if in_flight is not None and txn in (None, in_flight.txn):
        raise SlipwayError(
            "interrupted",
            f"the swap to {in_flight.to} was cut short in {in_flight.phase} and cannot be confirmed.",
            f"run sudo slipway recover {context.layout.name} on the host, or release again",
        )
    if ended.get("event") == "committed" or (txn is None and ended.get("code") != "unconfirmed"):
        return unchanged(context.current_id())
    if not ended:
        raise SlipwayError("not_waiting", "no release of that transaction waits to be confirmed.", "release again")
    when = time.strftime("%H:%M:%S UTC", time.gmtime(float(ended.get("time", 0))))
    raise _not_confirmed(
        context,
        "too_late",
        ended.get("release"),
        f"{ended.get('release')} was taken back at {when}, before this confirmation came: {ended.get('reason')}",
        "see what kept the confirmation from coming in time, then release it again",
    )
