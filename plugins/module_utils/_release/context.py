# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every verb of the engine works with. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
from typing import Any, Iterator, Mapping, Optional

from .._core.problems import ProblemsError
from .._host.systemd import Systemd
from .by import parse_by
from .gate import Gate
from .meant import Meant
from .probe import Probe, parse_plan
from .progress import Progress
from .state.journal import brought_by
from .state.layout import Layout
from .state.lease import Claim, Leases
from .state.model import Settings
from .state.service import Service
from .state.store import Store
from .strategies.base import Strategy
from .strategies.registry import strategy, strategy_of
from .takeover import Takeover


class Context:
    """One service on this host: how it is treated, where it is, what is remembered of it, and the PID 1 that runs it.

    And what more than one verb asks of it.
    """

    def __init__(
        self,
        settings: Settings,
        layout: Optional[Layout] = None,
        systemd: Optional[Systemd] = None,
        by: Optional[Mapping[str, Any]] = None,
        claim: Optional[Claim] = None,
    ) -> None:
        self.settings = settings
        self.by = parse_by(by or {})
        self.claim = claim
        self.layout = layout or Layout(settings.name, settings.root)
        self.store = Store(self.layout)
        self.journal = self.store.journal
        self.leases = Leases(self.layout, self.journal)
        self.progress = Progress(self.layout, claim.run if claim is not None else "")
        self.systemd = systemd or Systemd()
        self.takeover = Takeover(self.layout, self.systemd)
        self.service = Service(settings, self.layout, self.store, self.systemd)
        Gate(self.layout, self.systemd, settings.health, shared=False)  # refuses bad options before anything happens
        self._probe_plan = parse_plan(settings.health, settings.probe)

    @contextlib.contextmanager
    def locked(self, timeout: Optional[float] = None) -> Iterator[None]:
        """The service's lock, and what is remembered of it readable."""
        with self.store.locked(self.settings.lock_timeout if timeout is None else timeout):
            self.takeover = Takeover(self.layout, self.systemd)
            self.store.repair()
            yield

    @contextlib.contextmanager
    def probed(self) -> Iterator[Probe]:
        """A probe that asks nothing yet, and nothing any more when the run ends, however it ends."""
        probe = Probe(self._probe_plan)
        try:
            yield probe
        finally:
            probe.finish()

    def strategy(self, name: str) -> Strategy:
        return strategy(name, self.service)

    def strategy_of(self, release_id: str, otherwise: str = "restart") -> Strategy:
        return strategy_of(release_id, self.service, otherwise)

    def current_id(self) -> Optional[str]:
        return self.layout.current_id()

    def is_committed(self, release_id: str) -> bool:
        """Whether it serves, counts as good, and nothing is in flight."""
        layout = self.layout
        return (
            layout.current_id() == release_id
            and layout.last_good_id() == release_id
            and self.store.load() is None
            and self.strategy_of(release_id).serves(release_id)
        )

    def earlier_good(self, other_than: Optional[str], meant: Optional[Meant] = None) -> Optional[str]:
        """The one that was good most recently, of those that are still here and that are not to be taken back, too."""
        staged = {release_id for release_id in self.layout.staged() if self.layout.manifest(release_id)}
        good = self.journal.earlier_good(staged, other_than)
        if meant is not None:
            outcomes = self.journal.outcomes()
            good = [
                release_id for release_id in good if not meant.matches(release_id, brought_by(release_id, outcomes))
            ]
        return next(iter(good), None)

    def check_linkage(self, release_id: str) -> None:
        """Raise unless the kernel and the loader of this host would start the release in its own unit.

        What a packed program needs cannot be read; one that has been good here has shown that this host has it.
        """
        from . import preflight  # what it needs takes longer to import than all else in here

        proven = ("packed",) if release_id in self.journal.good() else ()
        problems = [one for one in preflight.linkage_problems(self.layout, release_id) if one.code not in proven]
        if problems:
            raise ProblemsError(problems, current=self.layout.current_id())
