# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivers notices: each in a thread of its own and within its time, and no failure leaves here as an exception.

This file is PRIVATE to the collection.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from typing import Callable, NamedTuple, Optional, Sequence

SLACK = 0.5  # seconds by which a delivery may outlast its own time limit before it is left to itself


class Undelivered(Exception):
    """Why a notice was not delivered. What may be secret, such as a URL's path or an answer's body, is not in it."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code
        self.why = why


class Delivery(NamedTuple):
    """name: of the entry. send: delivers or raises."""

    name: str
    event: str
    send: Callable[[], None]
    seconds: float


class Outcome(NamedTuple):
    """code: empty where it was delivered."""

    name: str
    code: str = ""
    why: str = ""
    event: str = ""


def deliver(deliveries: Sequence[Delivery]) -> list[Outcome]:
    """All of them at the same time, so that they take as long as the slowest may take and no longer.

    A thread that does not end in time is left behind and ends with its process: a look-up of a name cannot be ended.
    """
    found: list[Optional[Outcome]] = [None] * len(deliveries)

    def attempt(number: int) -> None:
        found[number] = _attempt(deliveries[number])

    began = time.monotonic()
    threads = [threading.Thread(target=attempt, args=(number,), daemon=True) for number in range(len(deliveries))]
    for thread in threads:
        thread.start()
    for thread, one in zip(threads, deliveries):
        thread.join(max(0.0, began + one.seconds + SLACK - time.monotonic()))
    late = [Outcome(one.name, *_late(one.seconds), one.event) for one in deliveries]
    return [outcome or instead for outcome, instead in zip(found, late)]


def _attempt(one: Delivery) -> Outcome:
    try:
        one.send()
    except Undelivered as error:
        return Outcome(one.name, error.code, error.why, one.event)
    except Exception as error:  # a delivery that breaks must not break a release
        return Outcome(one.name, "defect", f"it was not sent because of {type(error).__name__}", one.event)
    return Outcome(one.name, event=one.event)


def _late(seconds: float) -> tuple[str, str]:
    return "timeout", f"it was not delivered within {seconds:g} s"


def of_network(error: BaseException, seconds: float) -> Undelivered:
    """What a connection has failed of, in words that hold nothing of the request."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        error = reason
    if isinstance(error, ssl.SSLCertVerificationError):
        return Undelivered("tls", f"its certificate is not accepted: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return Undelivered("tls", "it does not speak TLS as it should")
    if isinstance(error, (socket.timeout, TimeoutError)):
        return Undelivered(*_late(seconds))
    if isinstance(error, socket.gaierror):
        return Undelivered("unresolved", "its name has no address")
    if isinstance(error, ConnectionRefusedError):
        return Undelivered("refused", "it refuses connections")
    if isinstance(error, OSError) and error.strerror:
        return Undelivered("network", f"the connection failed: {error.strerror}")
    return Undelivered("network", "the connection failed")
