# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Attempts, and when enough of them make a verdict. This file is PRIVATE to the collection."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Callable, Optional, Sequence

from .._core.errors import SlipwayError
from .deadline import Deadline, Stopwatch
from .kinds.kind import Kind
from .kinds.registry import KINDS
from .members import require_all
from .outcome import FAIL, WARN, Attempt, CheckFailed
from .result import CheckResult, summarise
from .session import RunningAttempt, Session, failing
from .spec.check import Check
from .stability import Stability
from .verdict import Judge, Verdict

PARALLEL = 64
MOST_OFFERED = 8
LONGEST_PAUSE = 0.15  # seconds: the other process has to accept them all

MakeAttempt = Callable[[Session, Optional[float]], Attempt]


def attempt(check: Check, deadline: Optional[float] = None, session: Optional[Session] = None) -> Attempt:
    """One attempt, over after check.timeout and no later than deadline, a time.monotonic() value. Never raises."""
    return _attempt(check, deadline, session, _persist)


def attempt_all(check: Check, deadline: Optional[float] = None, session: Optional[Session] = None) -> Attempt:
    """The same, and good only if every socket that shares the port gives a good answer."""

    def make(kind: Kind, running: RunningAttempt) -> Attempt:
        made = _persist(kind, running)
        require_all(kind, running)
        return made

    return _attempt(check, deadline, session, make)


def _attempt(
    check: Check,
    deadline: Optional[float],
    session: Optional[Session],
    make: Callable[[Kind, RunningAttempt], Attempt],
) -> Attempt:
    limit = Deadline.after(check.timeout, deadline)
    shortened = limit.seconds < check.timeout * 0.999
    kind = KINDS[check.kind]()
    running = RunningAttempt(session or Session(check), limit, Stopwatch())
    try:
        made = make(kind, running)
    except CheckFailed as failed:
        made = failing(running, failed)
    except SlipwayError as error:
        made = Attempt(FAIL, "error", str(error))
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        made = Attempt(FAIL, "error", f"{error.strerror or error}{where}")
    except Exception as error:  # a defect here must fail the check, not the caller's release
        made = Attempt(FAIL, "error", f"the check could not be made: {type(error).__name__}: {error}")
    ran_out = made.reason == "timeout" or (made.reason == "dns" and limit.passed())
    return replace(made, latency=running.watch.finish(), clipped=shortened and ran_out)


def _persist(kind: Kind, running: RunningAttempt) -> Attempt:
    """On a socket shared with another process, knock again until the wanted one answers.

    With more connections at a time: where processors are scarce, the process that runs takes nearly all of them before
    the wanted one has been woken.
    """
    pause = 0.001
    met: list[CheckFailed] = []
    while True:
        try:
            return _every_family(kind, running)
        except CheckFailed as failed:
            # Time that ran out in the middle of yet another connection is no silence of the wanted process.
            if met and failed.reason == "timeout" and running.process is None:
                raise met[0] from failed
            if not failed.of_another or running.deadline.remaining() <= pause:
                raise
            met = [failed]
            running.offered = min(running.offered * 2, MOST_OFFERED)
        running.deadline.pause(pause)
        pause = min(pause * 2, LONGEST_PAUSE)
        running.watch.reset()


def _every_family(kind: Kind, running: RunningAttempt) -> Attempt:
    connection = running.check.connection
    if connection is None or connection.family != "both":
        return kind.attempt(running, running.check.target)
    answers = [_over(family, kind, running) for family in ("4", "6")]
    warned = [answer for answer in answers if answer.state == WARN]
    return warned[-1] if warned else answers[0]


def _over(family: str, kind: Kind, running: RunningAttempt) -> Attempt:
    running.family = family
    running.watch.restart()
    try:
        return kind.attempt(running, running.check.target)
    except CheckFailed as failed:
        over = CheckFailed(failed.reason, f"over IPv{family}: {failed}", failed.state, failed.counts)
        over.process = failed.process
        raise over from failed


def run(check: Check, make: MakeAttempt = lambda session, end: attempt_all(session.check, end, session)) -> CheckResult:
    """Attempts until there is a verdict: rise, fall, deadline and min_healthy_time decide when."""
    session = Session(check)
    began = time.monotonic()
    end = None if check.deadline is None else began + check.deadline
    judge, stability = Judge(check), Stability(check)
    attempts: list[Attempt] = []
    time.sleep(check.initial_delay)
    while True:
        started = time.monotonic()
        made = replace(make(session, end), at=started - began, answer=b"")
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
    from concurrent.futures import ThreadPoolExecutor  # takes longer to import than most checks take

    with ThreadPoolExecutor(min(len(checks), parallel)) as pool:
        return list(pool.map(run, checks))


def _skipped(check: Check, because: Optional[CheckResult]) -> CheckResult:
    name = because.name if because else "another"
    verdict = Verdict(FAIL, "skipped", f"not attempted: startup check {name} failed")
    return summarise(check, [], verdict, 0.0)
