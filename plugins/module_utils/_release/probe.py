# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks at the users' address while releases take turns, and says what became of it. PRIVATE to the collection.

Its requests are made beside the swap, at a fixed rate and each on a connection of its own, whatever became of those
before. Nothing that happens here reaches the swap but the figures.
"""

from __future__ import annotations

import bisect
import contextlib
import math
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional

from .._core.errors import SlipwayError
from .._health.outcome import FAIL, Attempt
from .._health.parsing import parse_check
from .._health.result import nearest_rank
from .._health.runner import attempt
from .._health.session import Session
from .._health.spec.check import Check
from .gate import PACE
from .periods import AFTER, BEFORE, ROLLBACK, SINCE_THE_SWAP_BEGAN
from .timeline import Requests

RATE = 20.0
MAX_RATE = 100.0
MAX_FAILED_PERCENT = 5.0
# Requests that take their time must not keep the next ones from being made.
WORKERS = 4
# What is measured before the swap, in seconds: a release waits no longer for it.
SAMPLE = 0.5
# A share of fewer requests is taken of this many: the first one that fails is not all of them.
FEWEST = 20
# A p99 is compared with that of so many requests, and where it is slower by so many seconds.
COMPARABLE = 5
NOTICEABLE = 0.01
# Durations that are kept of a period, the latest; memory has an end where a soak has none.
KEPT = 100_000
# By this header, HAProxy and the logs of a service tell these requests from those of users.
OWN = "X-Slipway-Probe"
# The kinds of check that are one request.
_REQUEST_KINDS = ("http", "https", "tcp", "unix", "grpc")
_LIMITS = ("max_failed", "max_failed_percent", "max_p99", "max_p99_ratio")
ABOUT_THE_RELEASE = ("name", "identity", "phase", "initial_delay", "min_healthy_time", "max_latency", "warn_latency")


@dataclass(frozen=True)
class ProbePlan:
    """What is asked, how often a second, and which limits decide; no check, no probe. max_p99 is in seconds."""

    check: Optional[Check]
    rate: float
    max_failed: Optional[float] = None
    max_failed_percent: Optional[float] = None
    max_p99: Optional[float] = None
    max_p99_ratio: Optional[float] = None


def parse_plan(health: Mapping[str, Any], options: Mapping[str, Any]) -> ProbePlan:
    """What release_probe says; what it leaves out is as in release_health."""
    if not isinstance(options, Mapping):
        raise SlipwayError("invalid_probe", f"release_probe is {options!r}.", "write its options as name: value pairs")
    rate = _number(options, "rate", RATE)
    limits = {name: _number(options, name, None) for name in _LIMITS}
    if "max_failed_percent" not in options:
        limits["max_failed_percent"] = MAX_FAILED_PERCENT
    if rate is None or not rate <= MAX_RATE:
        raise _invalid("rate", options.get("rate"), f"give requests a second, 0 (no probe) to {MAX_RATE:g}")
    own = {name: value for name, value in options.items() if name != "rate" and name not in _LIMITS}
    return ProbePlan(_parse_check(health, own, bool(options)) if rate else None, rate, **limits)


def _number(options: Mapping[str, Any], name: str, default: Optional[float]) -> Optional[float]:
    given = options.get(name)
    if given is None:
        return default
    try:
        value = float(given)
    except (TypeError, ValueError):
        value = math.nan
    if not 0 <= value < math.inf:
        raise _invalid(name, given, "give a number, 0 or more")
    return value


def _invalid(name: str, given: Any, fix: str) -> SlipwayError:
    return SlipwayError("invalid_probe", f"release_probe.{name} is {given!r}.", fix)


def _parse_check(health: Mapping[str, Any], own: Mapping[str, Any], wanted: bool) -> Optional[Check]:
    inherited = {k: v for k, v in health.items() if k not in PACE and k not in ABOUT_THE_RELEASE}
    spec = dict(own) if "url" in own or "kind" in own else {**inherited, **own}
    url = str(spec.get("url") or "")
    spec.setdefault("kind", "https" if url.startswith("https:") else "http")
    if spec["kind"] in ("http", "https") and not url:
        spec["kind"] = ""
    if spec["kind"] not in (_REQUEST_KINDS if wanted else ("http", "https")):
        if wanted:
            raise SlipwayError(
                "invalid_probe",
                "release_probe has nothing to ask: release_health is no request either.",
                "give release_probe.url the address that users have, or leave release_probe empty",
            )
        return None
    if spec["kind"] in ("http", "https"):
        spec["headers"] = {**(spec.get("headers") or {}), OWN: "1"}
    return parse_check({**spec, "name": "release_probe"})


def _attempt(session: Session) -> Attempt:
    return attempt(session.check, None, session)


def duration(made: Attempt) -> Optional[float]:
    """How long the answer took, in seconds; None without one."""
    return made.latency.get("total") if made.state != FAIL or made.status is not None else None


class _Durations:
    """The latest of some durations, sorted as they come: a look costs the same however long a soak or a pause is."""

    def __init__(self, most: int = KEPT) -> None:
        self._most = most
        self._latest: deque[float] = deque()
        self._ordered: list[float] = []

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, seconds: float) -> None:
        if len(self._latest) == self._most:
            del self._ordered[bisect.bisect_left(self._ordered, self._latest.popleft())]
        self._latest.append(seconds)
        bisect.insort(self._ordered, seconds)

    def percentile(self, rank: int) -> Optional[float]:
        return nearest_rank(self._ordered, rank)


@dataclass
class _Period:
    """What has been asked from one moment to another."""

    sent: int = 0
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    last: str = ""
    seconds: _Durations = field(default_factory=_Durations)  # of those that were answered

    def add(self, made: Attempt) -> None:
        self.sent += 1
        if made.state == FAIL:
            self.failed += 1
            self.reasons[made.reason] = self.reasons.get(made.reason, 0) + 1
            self.last = made.message
        total = duration(made)
        if total is not None:
            self.seconds.add(total)

    @property
    def p99(self) -> Optional[float]:
        return self.seconds.percentile(99)

    def percent(self, least: float) -> float:
        return 100 * self.failed / max(self.sent, least, 1)

    def figures(self) -> dict[str, Any]:
        figures: dict[str, Any] = {"sent": self.sent, "failed": self.failed, "reasons": dict(self.reasons)}
        for name, rank in (("p50_ms", 50), ("p99_ms", 99), ("max_ms", 100)):
            value = self.seconds.percentile(rank)
            figures[name] = None if value is None else round(value * 1000, 2)
        return figures


class Probe:
    """The requests of one swap. Every method may be called at any time, and none raises."""

    def __init__(self, plan: ProbePlan, ask: Callable[[Session], Attempt] = _attempt) -> None:
        self._plan = plan
        self._ask = ask
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._workers: list[threading.Thread] = []
        self._periods: dict[str, _Period] = {}
        self._period = BEFORE
        self._begun = self._due = 0.0
        self._requests = Requests(0.0)

    def start(self, period: str = BEFORE) -> None:
        """Begin to ask, where that is wanted; a second call does nothing but end the period."""
        self._period = period
        check = self._plan.check
        if check is None or self._workers or self._stop.is_set():
            return
        self._begun = self._due = time.monotonic()
        self._requests = Requests(self._begun)
        sessions = [Session(check) for _worker in range(WORKERS)]
        self._workers = [threading.Thread(target=self._work, args=(s,), daemon=True) for s in sessions]
        with contextlib.suppress(RuntimeError):  # a host that has no thread left has other worries
            for worker in self._workers:
                worker.start()

    def sample(self) -> None:
        """Wait until enough is known of the time before."""
        if self._workers:
            time.sleep(max(0.0, self._begun + SAMPLE - time.monotonic()))

    def mark(self, period: str) -> str:
        """What is sent from now on counts for this period; return the former one."""
        former, self._period = self._period, period
        return former

    def finish(self) -> Optional[dict[str, Any]]:
        """Stop asking, and return the figures once every request has ended; none takes longer than its timeout."""
        self._stop.set()
        for worker in self._workers:
            if worker.ident is not None:
                worker.join()
        return self.figures()

    def figures(self) -> Optional[dict[str, Any]]:
        """What is known by now; None where nothing was asked."""
        if self._plan.check is None or not self._workers:
            return None
        with self._lock:
            periods = {name: period.figures() for name, period in self._periods.items()}
            blind = self._blind()
        return {"target": str(self._plan.check.target), "rate": self._plan.rate, "blind": blind, **periods}

    def series(self, zero: float) -> Optional[dict[str, Any]]:
        """The requests by their time, in seconds from `zero`; None where nothing was asked."""
        if self._plan.check is None or not self._workers:
            return None
        with self._lock:
            return self._requests.figures(zero)

    def counted(self, *periods: str) -> list[int]:
        """How many requests of these periods were sent, and how many of them failed."""
        with self._lock:
            known = [self._periods[name] for name in periods if name in self._periods]
            return [sum(period.sent for period in known), sum(period.failed for period in known)]

    def _blind(self) -> Optional[str]:
        """Why the figures say nothing of the release: not one request was answered as it should be, at no time."""
        sent = sum(period.sent for period in self._periods.values())
        judged = [self._periods[name] for name in (BEFORE, AFTER) if name in self._periods]
        if len(judged) < 2 or any(period.failed < period.sent for period in self._periods.values()):
            return None
        target = self._plan.check.target if self._plan.check else ""
        return (
            f"The probe is inconclusive: each of its {sent} requests to {target} failed, before the swap as after it "
            f"({judged[-1].last}). Point release_probe.url at what users ask for"
        )

    def objection(self, period: str, planned: float = 0.0) -> Optional[SlipwayError]:
        """What speaks against this period, which will last that many seconds.

        What was as bad before is nobody's fault now.
        """
        with self._lock:
            now, before = self._periods.get(period, _Period()), self._periods.get(BEFORE, _Period())
            return self._too_many(now, before, planned * self._plan.rate) or self._too_slow(now, before)

    def _too_many(self, now: _Period, before: _Period, expected: float) -> Optional[SlipwayError]:
        limit, least = self._plan.max_failed_percent, max(expected, FEWEST)
        if now.failed == 0 or before.percent(1) >= now.percent(1):
            return None
        said = (
            f"{now.failed} of {now.sent} probe requests to {self._target} failed "
            f"(before: {before.failed} of {before.sent}; the last: {now.last})"
        )
        if self._plan.max_failed is not None and now.failed > self._plan.max_failed:
            return self._object("max_failed", f"{self._plan.max_failed:g}", said, now.failed == now.sent)
        if limit is not None and now.percent(least) > limit:
            return self._object("max_failed_percent", f"{limit:g} %", said, now.failed == now.sent)
        return None

    def _too_slow(self, now: _Period, before: _Period) -> Optional[SlipwayError]:
        if self._plan.max_p99 is None and self._plan.max_p99_ratio is None:
            return None
        known, former = now.p99, before.p99
        if known is None or len(now.seconds) < COMPARABLE or (former is not None and known <= former):
            return None
        said = f"the p99 of {now.sent} probe requests to {self._target} is {known * 1000:.1f} ms"
        said += "" if former is None else f", before {former * 1000:.1f} ms"
        if self._plan.max_p99 is not None and known > self._plan.max_p99:
            return self._object("max_p99", f"{self._plan.max_p99:g} s", said)
        ratio = self._plan.max_p99_ratio
        comparable = former is not None and len(before.seconds) >= COMPARABLE and known - former >= NOTICEABLE
        if ratio is not None and comparable and former is not None and known > ratio * former:
            return self._object("max_p99_ratio", f"{ratio:g} times that", said)
        return None

    @property
    def _target(self) -> str:
        return str(self._plan.check.target) if self._plan.check else ""

    def _object(self, name: str, limit: str, said: str, all_failed: bool = False) -> SlipwayError:
        return SlipwayError(
            "probe_failed",
            f"{said}; release_probe.{name} allows {limit}.",
            "see what the release logged, or "
            + ("point release_probe.url at what users ask for" if all_failed else f"correct release_probe.{name}"),
        )

    def _work(self, session: Session) -> None:
        while not self._stop.wait(self._until_due()):
            period, sent = self._period, time.monotonic()
            made = self._ask(session)
            with self._lock:
                self._periods.setdefault(period, _Period()).add(made)
                self._requests.add(sent, made.state == FAIL, duration(made))

    def _until_due(self) -> float:
        """Seconds until this worker's next request; what could not be sent in time is not made up for."""
        with self._lock:
            now = time.monotonic()
            due = max(self._due, now)
            self._due = due + 1 / self._plan.rate
            return due - now


def describe(figures: Mapping[str, Any]) -> str:
    """The figures of a probe in one line."""
    parts = []
    for name in (BEFORE, *SINCE_THE_SWAP_BEGAN, ROLLBACK):
        period = figures.get(name) or {}
        if period.get("sent"):
            p99 = "" if period.get("p99_ms") is None else f", p99 {period['p99_ms']:.1f} ms"
            parts.append(f"{name} {period.get('failed')} of {period['sent']} failed{p99}")
    return "; ".join([*parts, "inconclusive"] if figures.get("blind") else parts)
