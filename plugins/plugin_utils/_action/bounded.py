# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A network that is gone does not keep the controller waiting for a module. This file is PRIVATE to the collection.

Ansible's open connection notices such a network when TCP gives up, which may be a quarter of an hour later.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

# Beyond the time to confirm of an earlier change, which is waited for, and that of the task's own.
SLACK = 30.0
DEFAULT = 60.0
CLEANUP = 10.0


class _Elapsed(BaseException):
    """Not an Exception: the connection plugin would take that as a reason to try again."""


@contextlib.contextmanager
def limit(seconds: float, says: str, kind: type[AnsibleError] = AnsibleError) -> Iterator[None]:
    """Raise kind(says) when the block takes longer. A task that has a `timeout` of its own keeps that."""
    if threading.current_thread() is not threading.main_thread() or signal.getitimer(signal.ITIMER_REAL)[0]:
        yield
        return

    def elapsed(_signal: int, _frame: FrameType | None) -> None:
        raise _Elapsed

    before = signal.signal(signal.SIGALRM, elapsed)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _Elapsed:
        raise kind(says) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class BoundedAction(ActionBase):
    """An action whose result stands, although the temporary directory on a host that is gone cannot be removed."""

    def cleanup(self, force: bool = False) -> None:
        with contextlib.suppress(AnsibleError), limit(CLEANUP, "the temporary directory was not removed"):
            super().cleanup(force)


def time_to_confirm(given: Any) -> float:
    """What is no number is for the module to refuse."""
    with contextlib.suppress(TypeError, ValueError):
        return float(given)
    return DEFAULT


def run_armed(
    action: ActionBase, given: Any, task_vars: dict[str, Any] | None, least: float = 0.0, more: float = 0.0
) -> dict[str, Any]:
    """Run the task's own module, which arms a change for the given seconds, and fail when no answer comes.

    least: seconds for which it is armed at least while it is made; more: what that may take beyond the time to confirm.
    """
    seconds = time_to_confirm(given)
    longest = 2 * seconds + SLACK + more
    try:
        with limit(longest, f"the host has not answered for {longest:g} s"):
            answer: dict[str, Any] = action._execute_module(task_vars=task_vars)
    except AnsibleError as error:
        if not str(error).startswith("the host has not answered"):
            raise
        end = max(seconds, least)
        fix = "see what keeps packets from that host, then run again"
        return {
            "failed": True,
            "code": "no_answer",
            "msg": f"{error}. It takes back by itself what it has changed, {end:g} s after that. Fix: {fix}",
            "fix": fix,
        }
    return answer
