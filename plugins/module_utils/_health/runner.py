# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attempts, and when enough of them make a verdict. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Callable, Optional, Sequence

from .._core.errors import SlipwayError
from .deadline import Deadline, Stopwatch
from .outcome import FAIL, WARN, Attempt, CheckFailed, need
from .result import CheckResult, summarise
from .session import Probe, Session, failing
from .spec.check import Check
from .stability import Stability
from .verdict import Judge, Verdict

PARALLEL = 64

Try = Callable[[Session, Optional[float]], Attempt]
Kind = Callable[[Probe], Attempt]


def attempt(check: Check, deadline: Optional[float] = None, session: Optional[Session] = None) -> Attempt:
    """One attempt, over after check.timeout and no later than deadline, a time.monotonic() value. Never raises."""
    limit = Deadline.after(check.timeout, deadline)
    clipped = limit.seconds < check.timeout * 0.999
    kind = _kind(check)
    probe = Probe(session or Session(check), limit, Stopwatch())
    try:
        made = _persist(kind, probe)
    except CheckFailed as failed:
        made = failing(probe, failed)
    except SlipwayError as error:
        made = Attempt(FAIL, "error", str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        made = Attempt(FAIL, "error", f"{error.strerror or error}{where}")
    except Exception as error:  # a defect here must fail the check, not the caller's release
        made = Attempt(FAIL, "error", f"the check could not be made: {type(error).__name__}: {error}")
    return replace(made, latency=probe.watch.finish(), clipped=clipped and made.reason == "timeout")


def _kind(check: Check) -> Kind:
    """How this check is made. What a kind needs is imported here, only when it is used and before time is taken."""
    if check.kind == "metrics":
        from .kinds.metrics import attempt as metrics

        return metrics
    if check.http is not None:
        from .kinds.http import attempt as page

        return page
    if check.grpc is not None:
        from .kinds.grpc import attempt as grpc

        return grpc
    if check.endpoint is not None:
        from .kinds.tcp import attempt as talk

        return talk
    if check.command:
        from .kinds.exec import attempt as command

        return command
    from .kinds.systemd import attempt as unit

    return unit


def _persist(kind: Kind, probe: Probe) -> Attempt:
    """On a socket shared with another process, knock again until the wanted one answers."""
    pause = 0.001
    met: list[CheckFailed] = []
    while True:
        try:
            return _every_family(kind, probe)
        except CheckFailed as failed:
            # Time that ran out in the middle of yet another connection is no silence of the wanted process.
            if met and failed.reason == "timeout" and probe.process is None:
                raise met[0] from failed
            if failed.counts or failed.reason != "identity" or probe.deadline.left() <= pause:
                raise
            met = [failed]
        probe.deadline.pause(pause)
        pause = min(pause * 2, 0.05)
        probe.watch.reset()


def _every_family(kind: Kind, probe: Probe) -> Attempt:
    if probe.check.family != "both":
        return kind(probe)
    made = None
    for family in ("4", "6"):
        probe.family = family
        probe.watch.restart()
        try:
            answer = kind(probe)
        except CheckFailed as failed:
            over = CheckFailed(failed.reason, f"over IPv{family}: {failed}", failed.state, failed.counts)
            over.process = failed.process
            raise over from failed
        made = answer if made is None or answer.state == WARN else made
    return need(made)


def run(check: Check, tries: Try = lambda session, end: attempt(session.check, end, session)) -> CheckResult:
    """Attempts until there is a verdict: rise, fall, deadline and min_healthy_time decide when."""
    session = Session(check)
    began = time.monotonic()
    end = None if check.deadline is None else began + check.deadline
    judge, stability = Judge(check), Stability(check)
    attempts: list[Attempt] = []
    time.sleep(check.initial_delay)
    while True:
        started = time.monotonic()
        made = replace(tries(session, end), at=started - began)
        attempts.append(made)
        verdict = judge.add(made, time.monotonic())
        broken = stability.broken(made, end)
        if broken is not None:
            verdict = judge.unstable(broken)
        if verdict is None:
            verdict = _pause(judge.next_start(started, time.monotonic()), end, judge)
        if verdict is not None:
            return summarise(check, attempts, verdict, time.monotonic() - began)


def _pause(until: float, end: Optional[float], judge: Judge) -> Optional[Verdict]:
    """Wait for the next attempt; a verdict when there is no time for one."""
    if end is not None and until >= end:
        return judge.out_of_time(time.monotonic())
    time.sleep(max(0.0, until - time.monotonic()))
    return None


def run_all(checks: Sequence[Check], parallel: int = PARALLEL) -> tuple[CheckResult, ...]:
    """Every check, side by side; the others only once all startup checks have passed."""
    startup = [check for check in checks if check.phase == "startup"]
    others = [check for check in checks if check.phase != "startup"]
    done = dict(zip([check.name for check in startup], _side_by_side(startup, parallel)))
    failed = next((result for result in done.values() if result.state == FAIL), None)
    if failed is None:
        done.update(zip([check.name for check in others], _side_by_side(others, parallel)))
    return tuple(done.get(check.name) or _skipped(check, failed) for check in checks)


def _side_by_side(checks: Sequence[Check], parallel: int) -> list[CheckResult]:
    if len(checks) < 2:
        return [run(check) for check in checks]
    with ThreadPoolExecutor(min(len(checks), parallel)) as pool:
        return list(pool.map(run, checks))


def _skipped(check: Check, because: Optional[CheckResult]) -> CheckResult:
    name = because.name if because else "another"
    verdict = Verdict(FAIL, "skipped", f"not attempted: startup check {name} failed")
    return summarise(check, [], verdict, 0.0)
