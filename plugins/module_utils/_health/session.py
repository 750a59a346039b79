# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the attempts of one check share, and what one attempt finds out. This file is PRIVATE to the collection."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Iterator, Optional, Sequence

from .deadline import Stopwatch
from .identity.group import Reached, reached
from .identity.identity import Identifier
from .net.stream import Stream, connect
from .outcome import FAIL, PASS, WARN, Attempt, CheckFailed, Process
from .spec.endpoint import Endpoint

if TYPE_CHECKING:
    from .deadline import Deadline
    from .spec.check import Check
    from .spec.connection import Tls

_AT_ONCE = 0.1  # seconds until a connection of several is there, or is left out


class Session:
    """Caches of one check; an attempt leaves here what the next one can use."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self.identifier = Identifier(check.identity)
        self.memory: dict[str, Any] = {}
        self._contexts: dict[tuple[Tls, tuple[str, ...]], Any] = {}

    def tls_context(self, options: Tls, alpn: Sequence[str]) -> Any:
        key = (options, tuple(alpn))
        if key not in self._contexts:
            from .net.tls import context

            self._contexts[key] = context(options, alpn)
        return self._contexts[key]


class RunningAttempt:
    """One attempt under way: its time, its connection, and what is known of the other end so far."""

    def __init__(self, session: Session, deadline: Deadline, watch: Stopwatch) -> None:
        self.session = session
        self.check = session.check
        self.deadline = deadline
        self.watch = watch
        self.family = "any" if self.check.connection is None else self.check.connection.family
        self.offered = 1  # connections at a time
        self.process: Optional[Process] = None
        self.status: Optional[int] = None
        self.answer = b""  # the body of the last response
        self.certificate_days: Optional[float] = None
        self.details: dict[str, Any] = {}
        self.warning: Optional[CheckFailed] = None
        self.reached: dict[int, Reached] = {}  # where on this host the first connection of each family has led to

    @contextmanager
    def open(self, endpoint: Endpoint) -> Iterator[Stream]:
        """Connect, and see who accepted before a word is said: a wrong process then gets no half question."""
        stream = self._meet(endpoint)
        try:
            place = reached(stream)
            if place is not None:
                self.reached.setdefault(place.family, place)
            self.watch.restart()
            yield stream
        finally:
            stream.close()

    def _meet(self, endpoint: Endpoint) -> Stream:
        """One of the connections that are offered: the first that no other process of a shared socket has accepted."""
        offered = [connect(endpoint, self.family, self.deadline, self.watch)]
        chosen = None
        try:
            self._offer_more(offered, endpoint)
            chosen = self._first_of_the_wanted(offered)
            chosen.deadline, chosen.watch = self.deadline, self.watch
            return chosen
        finally:
            for stream in offered:
                if stream is not chosen:
                    stream.close()

    def _offer_more(self, offered: list[Stream], endpoint: Endpoint) -> None:
        """As many more as the listener takes at once: a short backlog must not take the attempt's time.

        They go to where the first has led: a name is not asked for again.
        """
        if self.offered == 1:
            return
        place = reached(offered[0])
        same = endpoint if place is None else Endpoint(place.host, place.port)
        try:
            while len(offered) < self.offered:
                offered.append(connect(same, self.family, self.deadline.at_most(_AT_ONCE), Stopwatch()))
        except CheckFailed:
            pass

    def _first_of_the_wanted(self, offered: Sequence[Stream]) -> Stream:
        for stream in offered[:-1]:
            try:
                self._look_early(stream)
                return stream
            except CheckFailed as failed:
                if not failed.of_another:
                    raise
        self._look_early(offered[-1])
        return offered[-1]

    def _look_early(self, stream: Stream) -> None:
        self.process = None
        if self.check.identity is not None:
            self.process = self.session.identifier.early(stream)
        elif self.check.min_healthy_time > 0:
            # A stability window is about the process, also where no particular one is wanted.
            self.process = self.session.identifier.glimpse(stream)

    def settle_identity(self, stream: Stream) -> None:
        """Last call before the answer may come: from then on the other side may close and be forgotten."""
        if self.check.identity is not None and self.process is None:
            self.process = self.session.identifier.required(stream)

    def say(self, stream: Stream, data: bytes) -> None:
        """Send a whole question. A process that accepts only once data is there is identified before the end."""
        if self.check.identity is not None and self.process is None and len(data) > 1:
            stream.send(data[:-1])
            self.settle_identity(stream)
            data = data[-1:]
        stream.send(data)

    def secure(self, stream: Stream, options: Tls, server_name: Optional[str], alpn: Sequence[str]) -> Optional[str]:
        """TLS on this connection; the protocol that was agreed on."""
        from .net.tls import certificate_days, judge_certificate

        context = self.session.tls_context(options, alpn)
        self.watch.restart()
        secured = stream.start_tls(context, server_name)
        self.certificate_days = certificate_days(secured, options.verify)
        complaint = judge_certificate(self.certificate_days, options, stream.where)
        if complaint is not None and complaint.state == FAIL:
            raise complaint
        self.warning = complaint or self.warning
        return secured.selected_alpn_protocol()


def failing(running: RunningAttempt, failed: CheckFailed) -> Attempt:
    """The attempt as it ended, with what was known by then."""
    return Attempt(
        state=failed.state,
        reason=failed.reason,
        message=failed.message,
        status=running.status,
        process=failed.process or running.process,
        certificate_days=running.certificate_days,
        details=running.details,
        counts=failed.counts,
        answer=running.answer,
    )


def healthy(running: RunningAttempt, message: str) -> Attempt:
    """The attempt as it ended well, or with a warning."""
    warning = running.warning
    return Attempt(
        state=PASS if warning is None else WARN,
        reason="ok" if warning is None else warning.reason,
        message=message if warning is None else warning.message,
        status=running.status,
        process=running.process,
        certificate_days=running.certificate_days,
        details=running.details,
    )
