# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Proof that the release in question is the one that answers, and keeps answering. PRIVATE to the collection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from .. import _sockets
from .._errors import SlipwayError
from .._health.check import Check, parse_check
from .._health.runner import attempt
from .._systemd import Systemd, UnitState
from .store import Layout

# The gate's own pace; everything else in release_health is an option of slipway.go.health_check.
PACE: dict[str, float] = {"interval": 0.2, "rise": 2, "fall": 3, "deadline": 30.0}


@dataclass(frozen=True)
class Pace:
    """How often to ask, how many answers in a row decide, and when to give up. Times are in seconds."""

    interval: float
    rise: int
    fall: int
    deadline: float


class Gate:
    """Watches one instance through systemd and through its health check."""

    def __init__(self, layout: Layout, systemd: Systemd, health: Mapping[str, Any], strategy: str) -> None:
        self._layout = layout
        self._systemd = systemd
        self._strategy = strategy
        values = {key: health.get(key, default) for key, default in PACE.items()}
        self.pace = Pace(float(values["interval"]), int(values["rise"]), int(values["fall"]), float(values["deadline"]))
        self._health = {key: value for key, value in health.items() if key not in PACE}
        if self._health:
            parse_check(self._spec(layout.binary("0-0000000000")))

    def _spec(self, executable: str) -> dict[str, Any]:
        identity = {"executable": executable, "shared": self._strategy == "socket"}
        return {"name": "release", "kind": "http", "identity": identity, **self._health}

    def _check(self, release_id: str) -> Optional[Check]:
        return parse_check(self._spec(self._layout.binary(release_id))) if self._health else None

    def wait_healthy(self, release_id: str, started: UnitState) -> None:
        """Return once the instance has passed `rise` checks in a row; raise when it dies or the deadline passes."""
        check = self._check(release_id)
        if check is None:
            return
        deadline = time.monotonic() + self.pace.deadline
        passes, last = 0, "no answer yet"
        while passes < self.pace.rise:
            self._stable(release_id, started)
            answer = attempt(check, deadline)
            passes = passes + 1 if answer.state != "fail" else 0
            if answer.state == "fail":
                last = f"{answer.reason}: {answer.message}"
            if passes < self.pace.rise:
                if time.monotonic() + self.pace.interval >= deadline:
                    raise SlipwayError(
                        "unhealthy",
                        f"{release_id} did not become healthy within {self.pace.deadline:g} s ({last}).",
                        f"see journalctl -u '{self._layout.instance(release_id)}', or raise release_health.deadline",
                    )
                time.sleep(self.pace.interval)

    def soak(self, release_id: str, started: UnitState, seconds: float) -> None:
        """Raise unless the instance stays up and healthy for that long."""
        check = self._check(release_id)
        deadline = time.monotonic() + seconds
        failures = 0
        while True:
            self._stable(release_id, started)
            if check is not None:
                answer = attempt(check)
                failures = failures + 1 if answer.state == "fail" else 0
                if failures >= self.pace.fall:
                    raise SlipwayError(
                        "unhealthy_in_soak",
                        f"{release_id} was healthy and then failed {failures} checks in a row "
                        f"({answer.reason}: {answer.message}).",
                        f"see journalctl -u '{self._layout.instance(release_id)}'",
                    )
            if time.monotonic() >= deadline:
                return
            time.sleep(min(self.pace.interval, max(deadline - time.monotonic(), 0.01)))

    def _stable(self, release_id: str, started: UnitState) -> None:
        unit = self._layout.instance(release_id)
        now = self._systemd.show(unit)
        if not now.up or now.restarts != started.restarts or now.main_pid != started.main_pid:
            raise SlipwayError("crashed", f"{unit} did not stay up: {now.describe()}.", f"see journalctl -u '{unit}'")


def verify_shared_socket(unit: str, main_pid: int) -> None:
    """Raise unless the process holds a listening socket that PID 1 holds too.

    An instance can be active without the descriptors it was to inherit; draining the other one would then be an outage.
    """
    shared = _sockets.socket_inodes(main_pid) & _sockets.socket_inodes(1) & _sockets.listening_inodes()
    if not shared:
        raise SlipwayError(
            "socket_not_inherited",
            f"{unit} runs but does not listen on the service's socket.",
            "the service must accept on the descriptors of LISTEN_FDS; otherwise set service_swap to restart",
        )
