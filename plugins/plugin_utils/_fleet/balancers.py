# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the load balancers in front of a fleet have counted of each host, as one sum. PRIVATE to the collection.

A process of HAProxy counts from zero, and takes with it what it has counted since it was asked last. That is no request
and no failure: it is not known, and left out of the sum.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.slipway.go.plugins.plugin_utils._fleet.comparison import Look, Sample, Unanswered

# What slipway.go.balancer_info answers on a load balancer; raises Unanswered.
Ask = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True)
class Counted:
    """What one process has counted since it began, requests and failures by server. uptime: in seconds."""

    process: int
    uptime: int
    servers: Mapping[str, tuple[int, int]]


def understand(answer: Mapping[str, Any], name: str) -> Counted:
    try:
        servers = {str(one): (int(n["requests"]), int(n["failed"])) for one, n in answer["servers"].items()}
        return Counted(int(answer["process"]), int(answer["uptime"]), servers)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise Unanswered(f"{name} does not answer as slipway.go.balancer_info does") from None


def has_begun_anew(then: Counted, now: Counted) -> bool:
    """It is another process, or somebody has had its counters cleared."""
    lower = any(
        now.servers[one][i] < counts[i] for one, counts in then.servers.items() if one in now.servers for i in (0, 1)
    )
    return now.process != then.process or now.uptime < then.uptime or lower


class Balancers:
    """Each look asks all of them. One that does not answer keeps nobody from knowing what the others have counted."""

    def __init__(self, asks: Mapping[str, Ask]) -> None:
        self._asks = asks
        self._last: dict[str, Counted] = {}
        self._sums: dict[str, Sample] = {}
        self._gaps = Counter[str]()

    def check(self) -> None:
        """Raise Unanswered where one of them does not have what would be asked for."""
        for ask in self._asks.values():
            try:
                ask()
            except Unanswered as error:
                if error.misread:
                    raise

    def look(self) -> Look:
        missing = []
        for name, ask in self._asks.items():
            try:
                self._add(name, understand(ask(), name))
            except Unanswered as error:
                missing.append(str(error))
        if len(missing) == len(self._asks):
            raise Unanswered("; ".join(missing))
        samples = {name: Sample(counted.requests, counted.failures) for name, counted in self._sums.items()}
        return Look(samples, "; ".join(missing), dict(self._gaps))

    def _add(self, name: str, now: Counted) -> None:
        then = self._last.get(name)
        self._last[name] = now
        for one in now.servers:
            self._sums.setdefault(one, Sample())
        if then is not None and has_begun_anew(then, now):
            self._gaps[name] += 1
        elif then is not None:
            for one in then.servers.keys() & now.servers.keys():
                self._sums[one].requests += now.servers[one][0] - then.servers[one][0]
                self._sums[one].failures += now.servers[one][1] - then.servers[one][1]
