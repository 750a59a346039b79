# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a transaction ends: committed, or undone; also one that a run before has left. PRIVATE to the collection.

Each step is safe to repeat, for whoever does this may be killed, too.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Mapping, Optional

from .._core import files
from .._core.errors import SlipwayError
from . import background_drain, confirm_timer, integrity, stage
from .announce import announce
from .conditions import conditions
from .context import Context
from .outcome import Outcome
from .pause import forget
from .phases import Phase
from .state.journal import RELEASE_FAULTS, is_number
from .state.service import Service, as_released
from .state.store import Transaction
from .strategies.base import STOP_MARGIN, cause, install_units
from .strategies.registry import may_replace, strategy, strategy_of
from .takeover import Takeover

UNCONFIRMED = SlipwayError("unconfirmed", "nobody confirmed it in time.")
TAKEN_BACK = SlipwayError("taken_back", "somebody took it back before it was confirmed.")
WITHDRAWN = SlipwayError("withdrawn", "the whole fleet went back before it was confirmed.")


def settle_in_flight(
    context: Context, unconfirmed: SlipwayError = UNCONFIRMED, by: Optional[Mapping[str, str]] = None
) -> None:
    """Finish or undo what a run that was cut short, or that nobody has confirmed, has left in flight.

    by: who takes back what waits to be confirmed, where that is not only its time.
    """
    stage.collect_leftovers(context.layout)
    in_flight = context.store.load()
    if in_flight is None:
        return
    after = context.strategy(in_flight.strategy)
    if in_flight.phase == Phase.COMMIT and after.serves(in_flight.to):
        after.flip(in_flight.to)  # a boot has turned `current` back to what was last good then
        commit(context.service, in_flight, context.takeover)
        return
    awaited = in_flight.phase == Phase.PROBATION
    if awaited and by is not None:
        in_flight.by = dict(by)
    reason = unconfirmed if awaited else SlipwayError("interrupted", "the run was cut short.")
    begun = time.monotonic()
    try:
        restore(
            context.service,
            in_flight,
            reason,
            context.takeover,
            interrupted=not awaited,
            measured=lambda: _downtime(in_flight, begun),
        )
    except Exception as error:
        source = in_flight.source
        if source is None or context.strategy_of(source, in_flight.strategy).serves(source):
            raise
        _adopt_or_give_up(context.service, in_flight, source, error, context.takeover)


def _downtime(in_flight: Transaction, begun: float) -> dict[str, float]:
    """Where the swap had a downtime, going back has one, too: in all, the seconds that nothing served."""
    swap: Any = in_flight.measured.get("downtime_seconds")
    return {"downtime_seconds": round(swap + time.monotonic() - begun, 3)} if is_number(swap) else {}


def is_awaiting_confirmation(context: Context, in_flight: Transaction) -> bool:
    """Whether it waits to be confirmed, and the host will settle it by itself when it is not."""
    return (
        in_flight.phase == Phase.PROBATION
        and confirm_timer.deadline(context.layout.name, in_flight.txn) is not None
        and context.strategy(in_flight.strategy).serves(in_flight.to)
    )


def rollback_of_recovery(context: Context, in_flight: Optional[Transaction]) -> Optional[Outcome]:
    """The rollback that a recovery has been, where the release it was about waited to be confirmed."""
    if in_flight is None or in_flight.phase != Phase.PROBATION:
        return None
    came_back = in_flight.source is None and context.takeover.in_force
    if not came_back and not context.is_committed(str(in_flight.source)):
        return None
    return Outcome(True, in_flight.source, in_flight.to, "rollback")


def commit(service: Service, transaction: Transaction, takeover: Takeover) -> None:
    """Make the transaction's `to` the last good release, and what systemctl(1) means by the service. Safe to repeat."""
    layout = service.layout
    if not service.store.accept_settings():
        service.store.save_settings(as_released(service, transaction.to).settings)
    service.store.point_boot(strategy(transaction.strategy, service).instance(transaction.to))
    files.flip_symlink(layout.last_good, f"releases/{transaction.to}")
    service.systemd.start_and_wait(f"{layout.name}.service")
    takeover.settle()
    _conclude(
        service,
        transaction,
        "committed",
        previous=transaction.source,
        strategy=transaction.strategy,
        started=round(transaction.started, 3),
        **({"reason": transaction.reason} if transaction.reason else {}),
        **({"run": transaction.run} if transaction.run else {}),
        **transaction.measured,
    )


def _conclude(service: Service, transaction: Transaction, event: str, **details: Any) -> None:
    """Write down how the transaction has ended, which it has then."""
    by = {"by": transaction.by} if transaction.by else {}
    told = {"txn": transaction.txn, "kind": transaction.kind, "release": transaction.to, **details, **by}
    service.store.journal.record(event, **told)
    _end(service, transaction)
    announce(service.layout.name, {"event": event, **told})


def _end(service: Service, transaction: Transaction) -> None:
    service.store.clear()
    forget(service.layout)
    confirm_timer.disarm(service.layout.name, transaction.txn)


def restore(
    service: Service,
    transaction: Transaction,
    error: Exception,
    takeover: Takeover,
    interrupted: bool = False,
    measured: Callable[[], Mapping[str, Any]] = dict,
) -> Optional[SlipwayError]:
    """Make the transaction's `source` the one that serves and stop the rest. Safe to repeat.

    Where that would start what is not as it was released, another good release takes its place.
    Return what speaks against the health of `source`: it is back all the same, for nothing else was ever good.
    """
    source = _intact_source(service, transaction)
    unhealthy = None
    former = source is None and takeover.in_force
    if source is not None:
        unhealthy = _return_to(as_released(service, source), transaction, source)
        _make_known(service, source)
    elif former:
        unhealthy = _return_to_former(service, transaction, takeover)
    elif service.layout.last_good_id() != transaction.to:
        _forget_first(service, transaction)
    service.store.drop_settings()
    _conclude(
        service,
        transaction,
        "rolled_back" if source or former or service.layout.last_good_id() != transaction.to else "left_as_is",
        serving=source,
        strategy=transaction.strategy,
        started=round(transaction.started, 3),
        interrupted=interrupted,
        code=getattr(error, "code", "error"),
        reason=cause(error)[0],
        **_judged_by(service, transaction, error),
        **{**transaction.measured, **measured()},
    )
    if former:
        service.store.forget_settings()
    return unhealthy


def _judged_by(service: Service, transaction: Transaction, error: Exception) -> dict[str, Any]:
    """For a mark that holds only as long as this is what a release is judged by."""
    if transaction.kind != "release" or getattr(error, "code", "") not in RELEASE_FAULTS:
        return {}
    return {"judged_by": conditions(service.settings, service.layout, transaction.to)}


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
    store.journal.record("damaged", txn=transaction.txn, release=source, reason=damage.message, instead=other)
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
        if other != unit and not before.is_left(other):
            before.end(other)
    _point_back(service, source, before.instance(source))
    return unhealthy


def _return_to_former(service: Service, transaction: Transaction, takeover: Takeover) -> Optional[SlipwayError]:
    """Make the service that was there before slipway the one that serves. No boot starts a release meanwhile."""
    settings, systemd = service.settings, service.systemd
    files.remove_link(service.layout.boot_file)
    _forget_first(service, transaction)
    files.remove_link(service.layout.last_good)
    background_drain.stop_all(systemd, service.layout.name)
    for unit in systemd.active_instances(service.layout.name):
        systemd.end(unit, settings.drain_timeout + STOP_MARGIN, STOP_MARGIN)
    return takeover.come_back(settings.drain_timeout + 2 * STOP_MARGIN, settings.start_timeout)


def _forget_first(service: Service, transaction: Transaction) -> None:
    """Leave the host as if nothing had been."""
    after = strategy(transaction.strategy, service)
    after.end(after.unit(transaction.to))
    after.close()
    for path in (service.layout.current, service.layout.boot_file):
        files.remove_link(path)


def _make_known(service: Service, source: str) -> None:
    """Have systemctl(1), the tool and a boot know what serves again, also where a removal had made them forget it."""
    with contextlib.suppress(SlipwayError, OSError):  # it is back, and that must not fail for this
        if not service.store.has_settings():
            service.store.save_settings(as_released(service, source).settings)
        service.systemd.start(f"{service.layout.name}.service")


def _point_back(service: Service, source: str, instance: str) -> None:
    """Undo what a commit had begun, and what stood there of a release that died after it had been good."""
    for link in (service.layout.current, service.layout.last_good):
        if files.link_name(link) != source:
            files.flip_symlink(link, f"releases/{source}")
    if service.store.boot_instance() != instance:
        service.store.point_boot(instance)


def _adopt_or_give_up(
    service: Service, in_flight: Transaction, source: str, error: Exception, takeover: Takeover
) -> None:
    """What was good does not run any more. A service like that must not lock out the release that may mend it."""
    try:
        _adopt(as_released(service, in_flight.to), in_flight, takeover)
    except Exception as failure:
        after, before = strategy(in_flight.strategy, service), strategy_of(source, service, in_flight.strategy)
        with contextlib.suppress(SlipwayError, OSError):  # what ails it may pass, and systemd goes on trying
            integrity.verify(service.layout, service.store, source)
            service.systemd.end(after.unit(in_flight.to), service.settings.drain_timeout, STOP_MARGIN)
            install_units(service.layout, service.systemd, stage.unit_copies(service.layout, source))
            with contextlib.suppress(SlipwayError, OSError):
                before.flip(source)
            service.systemd.start(before.unit(source))
        _point_back(service, source, before.instance(source))
        service.store.drop_settings()
        _conclude(
            service,
            in_flight,
            "given_up",
            serving=None,
            interrupted=True,
            reason=f"{cause(error)[0]} {cause(failure)[0]}",
        )


def _adopt(service: Service, in_flight: Transaction, takeover: Takeover) -> None:
    """Keep the transaction's `to` where `source` could not be brought back; it must prove itself like any other."""
    after = strategy(in_flight.strategy, service)
    after.drain(in_flight.to)  # one that is tried again and again would be in the way for ever
    started = after.start(None, in_flight.to)
    after.gate.wait_healthy(after.subject(in_flight.to), started)
    after.flip(in_flight.to)
    commit(service, in_flight, takeover)
