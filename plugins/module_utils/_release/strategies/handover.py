# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One unit whose main process starts the next one and leaves it its sockets. This file is PRIVATE to the collection.

systemd knows one main process, a handover has two or three, and systemctl(1) calls a reload a success also when the
next process has died. What tells them apart is the file that each executes.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from typing import Optional

from ..._core.errors import SlipwayError
from ..._host import connections, processes
from ..._host.systemd import POLL, Systemd, UnitState
from ..state.layout import Layout

REPEAT = 5.0  # seconds of quiet before another attempt; libraries refuse one while the handover before it is not over
PATIENCE = 15.0  # seconds for what should end or settle at once


def release_of(executable: str, layout: Layout) -> Optional[str]:
    """The id of the release that this file belongs to, as its process names it; None for any other program."""
    folder = re.escape(os.path.realpath(layout.releases))
    match = re.fullmatch(rf"{folder}/([^/.][^/]*)/bin/{re.escape(layout.name)}( \(deleted\))?", executable)
    return match.group(1) if match else None


def running(layout: Layout, unit: str) -> dict[int, str]:
    """The processes of the unit that run a release, and which one each runs."""
    releases = {}
    for pid in processes.every_pid():
        release_id = release_of(processes.executable_name(pid) or "", layout)
        if release_id is not None and processes.in_unit(pid, unit):
            releases[pid] = release_id
    return releases


def kill(pid: int, number: int) -> None:
    """Send the signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


class Handover:
    """The processes of one unit, and the change from one to the next."""

    def __init__(self, layout: Layout, systemd: Systemd, unit: str) -> None:
        self._layout, self._systemd, self.unit = layout, systemd, unit

    def state(self) -> UnitState:
        return self._systemd.show(self.unit)

    def settled(self) -> UnitState:
        """The unit's state once a handover that came to nothing is over for systemd, too."""
        deadline = time.monotonic() + PATIENCE
        while True:
            state = self.state()
            if state.active != "reloading" or time.monotonic() >= deadline:
                return state
            time.sleep(POLL)

    def main(self, state: UnitState) -> Optional[str]:
        """The release that the main process runs."""
        return running(self._layout, self.unit).get(state.main_pid)

    def to(self, release_id: str, timeout: float) -> UnitState:
        """Have the main process replaced by one of this release; fail as soon as that one has died."""
        begun, restarts = time.monotonic(), self.state().restarts
        before, seen, quiet_since = set(running(self._layout, self.unit)), False, begun - REPEAT
        while True:
            processes = running(self._layout, self.unit)
            state = self.state()
            if state.restarts != restarts or not (state.running or state.active == "activating"):
                raise self._failed("crashed", f"{self.unit} ended in the handover: {state.describe()}.")
            if state.up and processes.get(state.main_pid) == release_id:
                return state
            begins = any(runs == release_id and pid not in before for pid, runs in processes.items())
            if seen and not begins:
                raise self._failed("not_handed_over", f"{release_id} was started by {self.unit} and ended at once.")
            seen, now = begins, time.monotonic()
            if now - begun >= timeout:
                raise self._failed(
                    "start_timeout",
                    f"{self.unit} has not handed over to {release_id} within {timeout:g} s.",
                    ", or raise release_start_timeout",
                )
            if begins or state.job or not state.up:
                quiet_since = now
            elif now - quiet_since >= REPEAT:
                self._systemd.call("reload", "--no-block", self.unit)
                quiet_since = now
            time.sleep(POLL)

    def _failed(self, code: str, message: str, also: str = "") -> SlipwayError:
        return SlipwayError(code, message, f"see journalctl -u '{self.unit}'{also}")

    def wait_gone(self, release_id: str, patience: float) -> int:
        """Wait until no other release runs beside the main process; kill what still does after that many seconds.

        Return how many open connections that has cut.
        """
        deadline, killed, cut = time.monotonic() + patience, False, 0
        while True:
            others = self._others(release_id)
            late = time.monotonic() >= deadline
            if not others or (late and killed):
                return cut
            if late:
                cut = sum(connections.accepted(pid, connections.listening_ports()) or 0 for pid in others)
                self._kill(others, signal.SIGKILL)
                deadline, killed = deadline + PATIENCE, True
            time.sleep(POLL)

    def cancel(self, release_id: str) -> None:
        """Have no other release that was started take over once it is ready."""
        self._kill(self._others(release_id), signal.SIGTERM)
        self.wait_gone(release_id, PATIENCE)

    def _others(self, release_id: str) -> list[int]:
        """The processes that run another release, except the main one."""
        main = self.state().main_pid
        processes = running(self._layout, self.unit)
        return [pid for pid, runs in processes.items() if pid != main and runs != release_id]

    @staticmethod
    def _kill(pids: list[int], number: int) -> None:
        for pid in pids:
            kill(pid, number)
