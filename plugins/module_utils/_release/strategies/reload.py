# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases that hand over by themselves: the strategy `reload`. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import Callable, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..._host.systemd import UnitState
from .. import stage
from ..phases import HANDING_OVER
from .base import CURRENT, STOP_MARGIN, Drained, Strategy, has_own_port
from .handover import Handover


class ReloadStrategy(Strategy):
    """One instance for all releases; its main process starts the next one on its own sockets when told to reload."""

    name = "reload"
    phases = HANDING_OVER
    shared = True

    @property
    def _handover(self) -> Handover:
        return Handover(self.layout, self.systemd, self.layout.instance(CURRENT))

    def instance(self, release_id: str) -> str:  # noqa: ARG002
        return CURRENT

    def in_turn_because(self, before: Optional[Strategy], source: Optional[str], to: str) -> Optional[str]:
        return super().in_turn_because(before, source, to) or self._unreachable(source, to)

    def _unreachable(self, source: Optional[str], to: str) -> Optional[str]:
        """What of `to` could not reach a process that one of `source` has started."""
        if source is None or source == to:
            return None
        if stage.environment(self.layout, source) != stage.environment(self.layout, to):
            return "the environment differs, and a process that is handed over to keeps that of the one before"
        if stage.credentials(self.layout, source) != stage.credentials(self.layout, to):
            return "a credential differs, and a process that is handed over to has those of the one before"
        if self.layout.manifest(source).get("units") != self.layout.manifest(to).get("units"):
            return "the unit differs, and a process that is handed over to stays in the sandbox of the one before"
        return None

    def serves(self, release_id: str) -> bool:
        state = self._handover.state()
        return state.up and self._handover.main(state) == release_id

    def runs(self, release_id: str) -> bool:
        return self.serves(release_id)

    def flip(self, release_id: str) -> None:
        """The unit starts what is current, and so does a process that hands over."""
        link = self.layout.release(CURRENT)
        if not os.path.islink(link):
            files.flip_symlink(link, "../current")
        if self.layout.current_id() != release_id:
            super().flip(release_id)

    def _start_unit(self, release_id: str) -> UnitState:
        self.flip(release_id)
        state = self._handover.state()
        if state.running:
            return self._handover.to(release_id, self.settings.start_timeout)
        if not state.settled_down:
            self.end(self._handover.unit)  # what it tries to start is not this release
        return super()._start_unit(release_id)

    def verify(self, release_id: str, started: UnitState) -> None:
        runs = self._handover.main(started)
        if runs != release_id:
            raise SlipwayError(
                "not_handed_over",
                f"{self._handover.unit} runs {runs or 'no release'} and not {release_id}.",
                "let the service start the next process by the path in argv[0], see docs/guide/your-service.md",
            )

    def drain(self, release_id: str, look: Callable[[], None] = lambda: None, beside: bool = False) -> Drained:
        cut = super().drain(release_id, look, beside).cut
        state = self._handover.state()
        if not state.settled_down and self._handover.main(state) != release_id:
            return Drained(cut + self.end(self._handover.unit))
        return Drained(cut + self._handover.wait_gone(release_id, self.settings.drain_timeout + STOP_MARGIN))

    def _in_own_units(self, main_pid: int) -> bool:
        return has_own_port(main_pid)

    def _before_return(self, release_id: str) -> None:
        super()._before_return(release_id)
        self.flip(release_id)
        self._handover.cancel(release_id)

    def _runs_reachable(self, release_id: str) -> bool:
        state = self._handover.settled()
        runs = self._handover.main(state)
        if state.running and (runs == release_id or (runs is not None and self._hands_back(runs, release_id))):
            return True
        if not state.settled_down:
            self.end(self._handover.unit)
        return False

    def _hands_back(self, runs: str, release_id: str) -> bool:
        if self._unreachable(runs, release_id):
            return False
        try:
            started = self._handover.to(release_id, self.settings.start_timeout)
            self.gate.wait_healthy(self.subject(release_id), started)
        except SlipwayError:
            return False  # then it ends and is started
        self._handover.wait_gone(release_id, self.settings.drain_timeout + STOP_MARGIN)
        return True
