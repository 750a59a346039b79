# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Counts the users' requests of a release behind HAProxy, and has them judged. PRIVATE to the collection.

The engine's own requests have a backend of their own and are in none of these counts.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Mapping, NamedTuple, Optional, Tuple

from ..._core.errors import SlipwayError
from ..state.model import REFUSE
from ..timeline import Evidence
from .slots import CHOSEN
from .verdict import ALPHA, FAIL, INCONCLUSIVE, Counts, Pair, Verdict, e_value

LOOK = 1.0  # seconds from one look to the next
WHOLE = 100


class TooSlow(SlipwayError):
    """Nothing but the durations of its requests speaks against a release. reason: what they are, and the limit."""

    def __init__(self, code: str, message: str, fix: str, reason: str) -> None:
        super().__init__(code, message, fix)
        self.reason = reason


class Totals(NamedTuple):
    """What one worker of HAProxy has counted at one server since that worker has begun."""

    requests: int
    failed: int
    milliseconds: Mapping[int, int]
    open: int = 0  # now, and not since then: those that have no answer yet, and connections such as a websocket's


# Whether own requests are told apart, and the totals by worker and slot.
Reading = Tuple[bool, Mapping[Tuple[int, str], Totals]]


def between(before: Mapping[tuple[int, str], Totals], now: Mapping[tuple[int, str], Totals], slot: str) -> Counts:
    """What was counted at a slot between two readings; what a worker saw that is gone since is lost."""
    counts = Counts()
    for key, totals in now.items():
        if key[1] != slot:
            continue
        then = before.get(key, Totals(0, 0, {}))
        times = {ms: count - then.milliseconds.get(ms, 0) for ms, count in totals.milliseconds.items()}
        requests = max(totals.requests - then.requests, 0)
        failed = min(max(totals.failed - then.failed, 0), requests)
        counts.add(Counts(requests, failed, {ms: count for ms, count in times.items() if count > 0}))
    return counts


def since_counted(counted: Mapping[str, Any], now: Mapping[tuple[int, str], Totals], slot: str) -> Optional[Counts]:
    """What was counted at a slot since the journal's event `counted`; None where that cannot be known."""
    try:
        then = {(int(p), str(s)): Totals(int(r), int(f), {}) for p, s, r, f in counted["totals"]}
    except (KeyError, TypeError, ValueError):
        return None
    if not then or any(now[key].requests < then[key].requests for key in then if key in now):
        return None  # HAProxy has begun anew, with the number of another process
    return between(then, now, slot)


class Traffic:
    """The users' requests from the beginning of a swap to the end of its soak. No method waits for HAProxy."""

    def __init__(
        self,
        verdict: Verdict,
        read: Callable[[], Reading],
        slots: tuple[str, str],
        release_id: str,
        inconclusive: str,
        begun: Optional[Mapping[tuple[int, str], Totals]] = None,
    ) -> None:
        """begun is what had been counted when the run began; without it, counting begins with the first answer."""
        self._verdict = verdict
        self._read = read
        self._new, self._old = slots
        self._release_id = release_id
        self._inconclusive = inconclusive
        self._told_apart = True
        self._last = begun
        self._evidence = Evidence()
        self._begun = self._looked = time.monotonic()
        self._is_new = False  # whether something was counted that nobody has judged as a proof yet
        self._count()

    def _count(self) -> None:
        """HAProxy may be away for a moment; what it counts meanwhile is in the next reading."""
        self._is_new = False
        with contextlib.suppress(SlipwayError):
            told_apart, now = self._read()
            self._told_apart = self._told_apart and told_apart
            if self._last is not None:  # or these are the totals of all that ever was in these slots
                slots = (self._new, self._old)
                new, old = (between(self._last, now, slot) for slot in slots)
                new_chosen, old_chosen = (between(self._last, now, slot + CHOSEN) for slot in slots)
                chosen = Pair(new_chosen, old_chosen)
                self._verdict.count(new, old, time.monotonic() - self._begun, chosen)
            new_open, old_open = (
                sum(one.open for key, one in now.items() if key[1] == slot) for slot in (self._new, self._old)
            )
            self._verdict.opened(new_open, old_open, time.monotonic())
            self._last, self._is_new = now, True
        self._looked = time.monotonic()

    def begin(self, percent: int) -> None:
        """What is counted from now on belongs to this share of the requests."""
        self._count()
        self._verdict.begin(percent)
        self._begun = time.monotonic()

    def look(self) -> None:
        """Raise as soon as there is evidence against the release."""
        if time.monotonic() >= self._looked + LOOK:
            self.end()

    def end(self) -> None:
        """Look now."""
        self._count()
        reason = self._verdict.look()
        if self._verdict.stages:
            errors, latency = map(e_value, (self._verdict.errors, self._verdict.latency))
            self._evidence.add(time.monotonic(), errors, latency)
        if reason:
            percent = self._verdict.stages[-1].percent
            message = f"with {percent} % of the requests, {self._release_id} does worse: {reason}."
            fix = "see what the release logged, or correct the limit"
            if self._verdict.is_slow:
                raise TooSlow("canary_failed", message, fix, reason)
            raise SlipwayError("canary_failed", message, fix)

    def tolerate(self) -> None:
        """Judge by errors alone from now on, for somebody is asked about the durations."""
        self._verdict.tolerate()

    def insist(self) -> None:
        """Nobody has accepted the durations."""
        self._verdict.insist()

    def proven(self) -> bool:
        """Whether what was counted last shows that the release is good, so that this share may end before its time."""
        is_new, self._is_new = self._is_new, False
        return is_new and self._told_apart and self._verdict.prove()

    def decide(self) -> None:
        """Raise where nothing is known for certain and that is not to be accepted."""
        figures = self.figures()
        if figures["verdict"] == INCONCLUSIVE and self._inconclusive == REFUSE:
            raise SlipwayError(
                "inconclusive",
                f"the requests of users say neither that {self._release_id} is good nor that it is bad: "
                f"{figures['reason']}; release_inconclusive is {REFUSE}.",
                "give the steps more time (release_step_time, release_soak_time) or set release_inconclusive: accept",
            )

    def series(self, zero: float) -> dict[str, Any]:
        """The evidence at each look, in seconds from `zero`, and that with which the release is refused."""
        return {**self._evidence.figures(zero), "enough": 2 / ALPHA}

    def figures(self) -> dict[str, Any]:
        """What is known by now."""
        figures = self._verdict.figures()
        if not self._told_apart:
            figures["reason"] = figures["reason"] or "the probe's own requests are among them: apply slipway.go.proxy"
            figures["verdict"] = FAIL if figures["verdict"] == FAIL else INCONCLUSIVE
        return figures
