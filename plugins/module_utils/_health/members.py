# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks every socket that shares a port: the answer of one says nothing of the others. PRIVATE to the collection."""

from __future__ import annotations

import socket
import time

from .deadline import Stopwatch
from .identity import group
from .kinds.kind import Kind
from .net.stream import Stream, connect
from .outcome import CheckFailed
from .session import RunningAttempt
from .spec.endpoint import Endpoint

_FAIR = 0.5  # of the timeout: with less, silence is no evidence
_ASKING = 0.1  # of the timeout: for whole questions; after that it is enough that a process accepts
_LONGEST_PAUSE = 0.01


def require_all(kind: Kind, running: RunningAttempt) -> None:
    """Raise where one of the sockets that share the port of a good answer does not give one.

    Another process may be among those of a shared identity, such as the old release: they are not asked.
    """
    identity = running.check.identity
    if identity is not None and identity.shared:
        return
    seconds = time.monotonic() - running.watch.started
    for place in list(running.reached.values()):
        members = group.size(place)
        if members > 1:
            _visit_all(kind, running, place, members, seconds)


def _visit_all(kind: Kind, running: RunningAttempt, place: group.Reached, members: int, seconds: float) -> None:
    # An attempt that compares two answers of one process has nothing to compare here.
    asks = not running.check.target.least_seconds
    begun = time.monotonic()
    for _visit in range(group.visits(members)):
        if running.deadline.remaining() < running.check.timeout * _FAIR:
            return
        try:
            if asks and time.monotonic() + seconds <= begun + running.check.timeout * _ASKING:
                _ask(kind, running, place)
            else:
                _knock(running, place)
        except CheckFailed as failed:
            where = f"one of {members} sockets that share port {place.port} (SO_REUSEPORT)"
            told = CheckFailed(failed.reason, f"{where}: {failed}", failed.state, failed.counts)
            told.process = failed.process
            raise told from failed


def _ask(kind: Kind, running: RunningAttempt, place: group.Reached) -> None:
    visit = RunningAttempt(running.session, running.deadline, Stopwatch())
    visit.family = "4" if place.family == socket.AF_INET else "6"
    kind.attempt(visit, running.check.target)


def _knock(running: RunningAttempt, place: group.Reached) -> None:
    with connect(Endpoint(place.host, place.port), "any", running.deadline, Stopwatch()) as stream:
        _wait_accepted(stream)


def _wait_accepted(stream: Stream) -> None:
    pause = 0.0005
    while not group.is_accepted(stream.raw):
        stream.deadline.require(f"connected to {stream.where}, and no process accepts")
        stream.deadline.pause(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)
