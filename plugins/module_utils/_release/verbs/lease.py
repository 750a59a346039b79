# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The verbs of the lease: take it, give it back, end that of another run. This file is PRIVATE to the collection.

They need nothing of the engine but what is remembered of the service, so that they cost next to nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Mapping, Optional

from ..state.lease import Claim, Lease, Leases
from ..state.store import Store

By = Mapping[str, str]


def take(store: Store, claim: Claim, by: By, timeout: float) -> None:
    """Take it for a run, or raise: before the lock of a run that has it is waited for."""
    leases = leases_of(store)
    leases.check(replace(claim, held=False))
    with store.locked(timeout):
        leases.take(claim, by)


def give_back(store: Store, run: str, timeout: float) -> bool:
    """Whether this run had it."""
    leases = leases_of(store)
    last = leases.last()
    if last is None or last.run != run:
        return False
    with store.locked(timeout):
        return leases.give_back(run)


def end(store: Store, by: By, timeout: float) -> Optional[Lease]:
    """The lease that was ended, of whichever run; None where nobody had it."""
    leases = leases_of(store)
    if leases.holder() is None:
        return None
    with store.locked(timeout):
        return leases.end(by)


def leases_of(store: Store) -> Leases:
    return Leases(store.layout, store.journal)
