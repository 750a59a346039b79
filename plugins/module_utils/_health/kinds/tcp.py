# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plain connection: connect, perhaps send, perhaps expect. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from ..net.stream import Stream
from ..outcome import Attempt, CheckFailed
from ..session import RunningAttempt, healthy
from ..spec.check import ConnectedTarget
from ..spec.connection import CONNECTION_OPTIONS, parse_stream
from ..spec.options import Options
from .kind import Kind
from .matching import ExpectedText, parse_expected_text

ANSWER_LIMIT = 65536
OPTIONS = CONNECTION_OPTIONS | {"address", "tls", "send", "expect", "expect_regex", "hold"}
_HOLD = 0.1


@dataclass(frozen=True)
class StreamTarget(ConnectedTarget):
    """What is sent over a plain connection, and what has to come back."""

    expected: ExpectedText
    send: Optional[bytes] = None
    hold: float = _HOLD


def parse(options: Options) -> StreamTarget:
    connection = parse_stream(options)
    send = options.text("send")
    return StreamTarget(
        connection,
        expected=parse_expected_text(options),
        send=None if send is None else send.encode(),
        hold=options.seconds("hold", _HOLD),
    )


def attempt(running: RunningAttempt, target: StreamTarget) -> Attempt:
    connection = target.connection
    with running.open(connection.endpoint) as stream:
        if connection.tls is not None:
            running.secure(stream, connection.tls, connection.server_name, ())
        if target.send:
            running.say(stream, target.send)
        running.settle_identity(stream)
        if not target.expected.is_given:
            _hold(stream, target.hold)
            return healthy(running, f"{stream.where} accepts connections")
        _expect(stream, target.expected)
        return healthy(running, f"{stream.where} answers with {target.expected}")


def _hold(stream: Stream, seconds: float) -> None:
    """The kernel completes connections for a process that drops them at once: see whether this one stays."""
    if stream.glance(stream.deadline.at_most(seconds)) == b"":
        raise CheckFailed("closed", f"{stream.where} accepted the connection and closed it at once")


def _expect(stream: Stream, expected: ExpectedText) -> None:
    stream.doing = f"waiting for an answer from {stream.where}"
    answer = b""
    while not expected.is_in(answer, stream.deadline):
        if len(answer) >= ANSWER_LIMIT:
            raise CheckFailed("body", f"{stream.where} sent {ANSWER_LIMIT} bytes without {expected}")
        data = stream.receive(ANSWER_LIMIT)
        if not answer:
            stream.watch.stop("first_byte")
        if not data:
            raise _ended(answer, expected, stream.where)
        answer += data
        stream.doing = f"waiting for {expected} from {stream.where}, which sent {answer[:60]!r}"


def _ended(answer: bytes, expected: ExpectedText, where: str) -> CheckFailed:
    if not answer:
        return CheckFailed("closed", f"{where} closed the connection without a word")
    return CheckFailed("body", f"{where} answered {answer[:60]!r} and closed, wanted {expected}")


KIND = Kind(OPTIONS, parse, attempt)
