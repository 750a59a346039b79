# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A plain connection: connect, perhaps send, perhaps expect. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

from ..net.stream import Stream
from ..outcome import Attempt, CheckFailed, need
from ..session import Probe, healthy
from .matching import search

if TYPE_CHECKING:
    from ..deadline import Deadline
    from ..spec.check import Talk

ANSWER_LIMIT = 65536


def attempt(probe: Probe) -> Attempt:
    check = probe.check
    endpoint, talk = need(check.endpoint), need(check.talk)
    with probe.open(endpoint) as stream:
        if check.tls is not None:
            probe.secure(stream, check.tls, check.tls.server_name or endpoint.host or None, ())
        if talk.send:
            probe.say(stream, talk.send)
        probe.settle_identity(stream)
        if talk.expect is None and talk.pattern is None:
            _hold(stream, talk.hold)
            return healthy(probe, f"{stream.where} accepts connections")
        _expect(stream, talk)
        return healthy(probe, f"{stream.where} answers with {wanted_words(talk)}")


def _hold(stream: Stream, seconds: float) -> None:
    """The kernel completes connections for a process that drops them at once: see whether this one stays."""
    if stream.glance(stream.deadline.at_most(seconds)) == b"":
        raise CheckFailed("closed", f"{stream.where} accepted the connection and closed it at once")


def _expect(stream: Stream, wanted: Talk) -> None:
    stream.doing = f"waiting for an answer from {stream.where}"
    answer = b""
    while not answered(answer, wanted, stream.deadline):
        if len(answer) >= ANSWER_LIMIT:
            raise CheckFailed("body", f"{stream.where} sent {ANSWER_LIMIT} bytes without {wanted_words(wanted)}")
        data = stream.receive(ANSWER_LIMIT)
        if not answer:
            stream.watch.stop("first_byte")
        if not data:
            raise _ended(answer, wanted, stream.where)
        answer += data
        stream.doing = f"waiting for {wanted_words(wanted)} from {stream.where}, which sent {answer[:60]!r}"


def _ended(answer: bytes, wanted: Talk, where: str) -> CheckFailed:
    if not answer:
        return CheckFailed("closed", f"{where} closed the connection without a word")
    return CheckFailed("body", f"{where} answered {answer[:60]!r} and closed, wanted {wanted_words(wanted)}")


def answered(answer: bytes, wanted: Talk, deadline: Deadline) -> bool:
    """Whether the answer so far is the wanted one."""
    if not answer:
        return False
    if wanted.expect is not None and wanted.expect not in answer:
        return False
    return wanted.pattern is None or search(wanted.pattern, answer.decode("utf-8", "replace"), deadline, "the answer")


def wanted_words(wanted: Talk) -> str:
    """What has to come back, for people."""
    parts: list[Optional[str]] = [
        None if wanted.expect is None else repr(wanted.expect.decode("utf-8", "replace")),
        None if wanted.pattern is None else f"a match of {wanted.pattern.pattern!r}",
    ]
    return " and ".join(part for part in parts if part)
