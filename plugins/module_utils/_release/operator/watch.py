# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service's own watch: when to restart it, when to call for help. Pure. This file is PRIVATE to the collection.

The state is a mapping that goes to a file between two runs of the timer and comes back from it; whatever is wrong with
it, the watch begins anew rather than failing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Mapping, Optional

NOTHING = "nothing"
RESTART = "restart"
ROLLBACK = "rollback"
ALERT = "alert"


@dataclass(frozen=True)
class Policy:
    fall: int = 3  # failures in a row before anything is done
    rise: int = 3  # good answers in a row that end an episode and forget its restarts
    backoff: float = 30.0  # seconds between the first restart and the second; doubles from then on
    cap: float = 900.0  # the longest time between two restarts
    remind: float = 3600.0  # seconds between two alerts of one episode
    rollback: int = 0  # crashes and restarts, none of them longer than `steady` after another, that end the release
    steady: float = 600.0  # seconds without a crash, a restart or a wait for one after which a release has recovered


@dataclass(frozen=True)
class Decision:
    """What to do now. An alert belongs to a restart, too: someone has to hear of it."""

    action: str
    message: str
    state: dict[str, Any]


def fresh(epoch: str, crashes: int = 0) -> dict[str, Any]:
    """The state of a service that is new: after a boot, or with another release, when PID 1 had counted that many."""
    return {
        "epoch": epoch,
        "failures": 0,
        "good": 0,
        "restarts": 0,
        "restarts_total": 0,
        "next_restart": 0.0,
        "next_alert": 0.0,
        "crashes": crashes,
        "falls": 0,
        "fell_at": 0.0,
        "kept": 0,
    }


def step(
    state: Any,
    healthy: Optional[bool],
    now: float,
    policy: Policy,
    epoch: str = "",
    why: str = "",
    crashes: int = 0,
    busy: bool = False,
    keep: str = "",
) -> Decision:
    """One run of the timer.

    healthy: None when the check says nothing, or while a swap is under way: the watch then keeps out of it.
    now: seconds of the wall clock, as the state outlives the process.
    epoch: what the counting is bound to, such as boot id and release.
    crashes: how often PID 1 has started it again by itself, as PID 1 counts; what runs now may fall in a moment.
    busy: PID 1 is starting or stopping it and gives up by itself in time; another restart would only begin that anew.
    keep: why it must not be started again, whether or not it is well.
    """
    counts = _usable(state, epoch, now, policy, crashes)
    if healthy is None:
        return Decision(NOTHING, "no verdict", counts)
    fallen = crashes - counts["crashes"] if crashes >= counts["crashes"] else crashes
    counts["crashes"] = crashes
    if now - counts["fell_at"] >= policy.steady:
        counts["falls"] = 0
    if fallen:
        counts.update(falls=counts["falls"] + fallen, fell_at=now)
    if keep:
        return _kept(counts, healthy, now, policy, keep)
    counts["kept"] = 0
    if healthy and not fallen:
        return _good(counts, policy)
    decided = Decision(NOTHING, "up, but it has crashed", {**counts, "good": 0})
    if not healthy:
        decided = _bad(counts, now, policy, why, busy)
    falls = decided.state["falls"]
    if policy.rollback and falls >= policy.rollback:
        return Decision(ROLLBACK, f"crashed or restarted {falls} times{f': {why}' if why else ''}", decided.state)
    return decided


def _usable(state: Any, epoch: str, now: float, policy: Policy, crashes: int) -> dict[str, Any]:
    begun = fresh(epoch, crashes)
    if not isinstance(state, Mapping) or not all(_same_kind(state.get(key), begun[key]) for key in begun):
        return begun
    if state["epoch"] != epoch:
        begun["restarts_total"] = state["restarts_total"]
        return begun
    counts = {key: state[key] for key in begun}
    # A clock that was set back must not make the watch wait for a time that is far away.
    counts["next_restart"] = min(counts["next_restart"], now + policy.cap)
    counts["next_alert"] = min(counts["next_alert"], now + policy.remind)
    counts["fell_at"] = min(counts["fell_at"], now)
    return counts


def _same_kind(value: Any, like: Any) -> bool:
    if isinstance(like, str):
        return isinstance(value, str)
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def _good(counts: dict[str, Any], policy: Policy) -> Decision:
    good = counts["good"] + 1
    # No more than is asked for: while all is well, the state stays the same and need not be written.
    state = {**counts, "good": min(good, policy.rise), "failures": 0}
    if good >= policy.rise:
        state.update(restarts=0, next_restart=0.0, next_alert=0.0)
    return Decision(NOTHING, "healthy", state)


def _kept(counts: dict[str, Any], healthy: bool, now: float, policy: Policy, keep: str) -> Decision:
    """What serves stays; only what does not serve any more, and cannot be started, is worth going back from."""
    failures = 0 if healthy else counts["failures"] + 1
    state = {**counts, "good": 0, "failures": failures, "kept": 1}
    if policy.rollback and failures >= policy.fall:
        return Decision(ROLLBACK, f"unhealthy {failures} times in a row: {keep}", state)
    if counts["kept"] and now < counts["next_alert"]:
        return Decision(NOTHING, keep, state)
    return Decision(ALERT, keep, {**state, "next_alert": now + policy.remind})


def _bad(counts: dict[str, Any], now: float, policy: Policy, why: str, busy: bool) -> Decision:
    failures = counts["failures"] + 1
    state = {**counts, "good": 0, "failures": failures}
    cause = f": {why}" if why else ""
    if failures < policy.fall:
        return Decision(NOTHING, f"failure {failures} of {policy.fall}{cause}", state)
    state["fell_at"] = now  # it has not recovered, however long the next restart is away
    if now >= counts["next_restart"] and not busy:
        return _restart(state, now, policy, cause)
    seconds = max(0.0, counts["next_restart"] - now)
    wait = "systemd is at it" if busy else f"restarted {counts['restarts']} times, next in {seconds:.0f} s"
    if now >= counts["next_alert"]:
        state["next_alert"] = now + policy.remind
        return Decision(ALERT, f"still unhealthy, {wait}{cause}", state)
    return Decision(NOTHING, f"still unhealthy, {wait}{cause}", state)


def _restart(state: dict[str, Any], now: float, policy: Policy, cause: str) -> Decision:
    restarts = state["restarts"] + 1
    failures = state["failures"]
    state.update(
        failures=0,
        restarts=restarts,
        falls=state["falls"] + 1,
        fell_at=now,
        restarts_total=state["restarts_total"] + 1,
        next_restart=now + pause(restarts, policy),
        next_alert=now + policy.remind if restarts == 1 else state["next_alert"],
    )
    return Decision(RESTART, f"unhealthy {failures} times in a row, restart {restarts}{cause}", state)


def pause(restarts: int, policy: Policy) -> float:
    """Seconds until the next restart may come."""
    # The exponent is bounded: a service that is down for a year must not end in an overflow.
    return min(policy.cap, policy.backoff * 2.0 ** min(restarts - 1, 32))
