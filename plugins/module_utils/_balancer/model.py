# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every kind of load balancer has in common: the wish, the answer and the refusals. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from .._core.errors import SlipwayError

OUT, BACK = "out", "back"
WHOLE = 100.0
POLL = 0.1
_LOCK = "/run/slipway-balancer.lock"  # nobody but root can make or hold it
_LOCKED = 60.0  # seconds
_NAME = re.compile(r"[A-Za-z0-9_.:/\[\]-]{1,255}")
_MOST = 86400
_GIVEN = ("backend", "server", "state", "min_servers", "timeout", "share")


@dataclass(frozen=True)
class Wish:
    """How one server of a backend is to be.

    min_servers: how many others must serve before it is taken out. timeout: seconds, for its connections to end, or
    for it to serve again. share: the percentage of the requests that it gets when it is back, together with those
    named; WHOLE is its own weight, and None leaves the weight as it is, unless it is one of a share.
    """

    backend: str
    server: str
    state: str
    min_servers: int
    timeout: float
    share: Optional[float] = None
    together: tuple[str, ...] = ()


def require_name(option: str, given: str) -> str:
    """A name with other characters could be another command of HAProxy."""
    if not _NAME.fullmatch(given):
        raise SlipwayError(
            "invalid_balancer",
            f"{option} is {given!r}, not a name of letters, digits and . _ - : / [ ].",
            f"correct balancer_{option}",
        )
    return given


def parse_wish(given: Mapping[str, Any]) -> Wish:
    """From the module's options."""
    for option in ("backend", "server"):
        require_name(option, given[option])
    for option in ("min_servers", "timeout"):
        if not 0 <= given[option] <= _MOST:
            raise SlipwayError(
                "invalid_balancer",
                f"{option} is {given[option]}, not 0 to {_MOST}.",
                f"correct balancer_{option}",
            )
    share = given["share"]
    if share is not None and not 0 < share <= WHOLE:  # also what is no number
        raise SlipwayError(
            "invalid_balancer", f"share is {share:g}, not more than 0 and at most 100.", "correct balancer_canary_share"
        )
    return Wish(**{key: given[key] for key in _GIVEN}, together=tuple(given["together"]))


@dataclass(frozen=True)
class Answer:
    """changed: whether anything was, or would be. connections: what is still open at a server that was taken out.

    weight: the one that it was given; None where it kept its own. lowered: the one that it keeps, which
    somebody else has set below that of the configuration.
    """

    changed: bool
    others: tuple[str, ...]
    connections: int = 0
    weight: Optional[int] = None
    lowered: Optional[int] = None


def require_others(wish: Wish, others: Sequence[str]) -> None:
    """Refuse to take out a server without which too few would serve."""
    if len(others) < wish.min_servers:
        raise SlipwayError(
            "balancer_last_server",
            f"without {wish.server}, {len(others)} servers of {wish.backend} would serve, not {wish.min_servers}.",
            "see that the others serve, or lower balancer_min_servers",
        )


def unknown(what: str, where: str, known: Sequence[str]) -> SlipwayError:
    there = f"it has {', '.join(known)}" if known else "it has none"
    return SlipwayError(
        "balancer_unknown", f"{where} has no {what}; {there}.", "correct balancer_backend or balancer_server"
    )


def wait(seconds: float, is_over: Callable[[], bool]) -> bool:
    """Whether it was over within so many seconds; asked at least once."""
    end = time.monotonic() + seconds
    while not is_over():
        if time.monotonic() >= end:
            return False
        time.sleep(POLL)
    return True


@contextlib.contextmanager
def one_at_a_time(path: str = _LOCK) -> Iterator[None]:
    """Two hosts of a batch must not take each other for the one that stays (flock(2); it ends with the process)."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise SlipwayError("balancer_refused", f"{path} belongs to root.", "run this as root (become: true)") from error
    try:
        if not wait(_LOCKED, lambda: _locks(descriptor)):
            raise SlipwayError(
                "balancer_refused",
                f"another run has been changing the servers of this load balancer for {_LOCKED:g} s.",
                "run again when it is over",
            )
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
