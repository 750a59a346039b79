# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The release engine: takes one service from one release to another, or back. This file is PRIVATE to the collection.

One method for each verb; what a verb does is in verbs/, and how releases take over from one another in strategies/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional, Sequence

from .._core.errors import SlipwayError
from .._host.systemd import Systemd
from .context import Context
from .meant import Meant
from .outcome import Outcome
from .state.layout import Layout
from .state.lease import Claim
from .state.model import Settings, Spec

if TYPE_CHECKING:
    from .removal.parts import Wish
    from .verbs.remove import Removed
    from .verbs.resume import Said


class Engine:
    """What can be done with one service on this host. Each method imports its verb, since a command needs only one.

    by: who asks for it, from where and why (see by.py). claim: what its run says of itself, for the service's lease.
    """

    def __init__(
        self,
        settings: Settings,
        layout: Optional[Layout] = None,
        systemd: Optional[Systemd] = None,
        by: Optional[Mapping[str, Any]] = None,
        claim: Optional[Claim] = None,
    ) -> None:
        self._context = Context(settings, layout, systemd, by, claim)

    def predict(self, spec: Spec) -> Outcome:
        from .verbs import release

        return release.predict(self._context, spec)

    def release(self, spec: Spec) -> Outcome:
        from .verbs import release

        return release.release(self._context, spec)

    def plan(self) -> dict[str, Any]:
        from .verbs import plan

        return plan.plan(self._context)

    def lease_objection(self) -> Optional[SlipwayError]:
        """What speaks against a release by this run, as far as the lease goes."""
        return self._context.leases.objection(self._context.claim)

    def take_lease(self) -> None:
        from .verbs import lease

        if self._context.claim is not None:
            lease.take(self._context.store, self._context.claim, self._context.by, self._context.settings.lock_timeout)

    def predict_rollback(self, wanted: Optional[str] = None, meant: Optional[Meant] = None) -> Outcome:
        from .verbs import rollback

        return rollback.predict(self._context, wanted, meant)

    def rollback(self, wanted: Optional[str] = None, meant: Optional[Meant] = None, mark_bad: bool = True) -> Outcome:
        from .verbs import rollback

        return rollback.rollback(self._context, wanted, meant, mark_bad)

    def can_roll_back(self, bad: str) -> bool:
        from .verbs import rollback

        return rollback.can_roll_back(self._context, bad)

    def roll_back_automatically(self, bad: str, reason: str) -> Optional[Outcome]:
        from .verbs import rollback

        return rollback.roll_back_automatically(self._context, bad, reason)

    def confirm(self, txn: Optional[str] = None) -> Outcome:
        from .verbs import confirm

        return confirm.confirm(self._context, txn)

    def resume(self, back: bool = False, check: bool = False) -> Said:
        from .verbs import resume

        return resume.resume(self._context, back, check)

    def recover(self, txn: Optional[str] = None) -> Optional[str]:
        from .verbs import recover

        return recover.recover(self._context, txn)

    def finish_drain(self, release_id: str, until: float, hurried: Callable[[], bool]) -> Optional[int]:
        from .verbs import drain

        return drain.finish(self._context, release_id, until, hurried)

    def serving(self) -> Optional[str]:
        from .verbs import recover

        return recover.serving(self._context)

    def purge(self, names: Sequence[str], predict: bool = False) -> list[str]:
        from .verbs import purge

        return purge.predict(self._context, names) if predict else purge.purge(self._context, names)

    def keep_former(self, moved: Sequence[str], kept: Sequence[str]) -> bool:
        from .verbs import keep_former

        return keep_former.keep_former(self._context, moved, kept)

    def close_former(self, predict: bool = False) -> bool:
        from .verbs import keep_former

        return keep_former.close_former(self._context, predict)

    def takes_over(self) -> bool:
        """Whether the next release, or the one that waits to be confirmed, takes a former service over."""
        return self._context.takeover.in_force

    def give_back(self, predict: bool = False) -> Outcome:
        from .verbs import give_back

        return give_back.predict(self._context) if predict else give_back.give_back(self._context)

    def remove(self, wish: Wish, predict: bool = False) -> Removed:
        from .verbs import remove

        return remove.predict(self._context, wish) if predict else remove.remove(self._context, wish)
