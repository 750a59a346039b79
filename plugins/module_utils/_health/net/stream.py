# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A connection whose every wait ends at one deadline. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import time
from typing import TYPE_CHECKING, Any, Optional, Sequence

from ..deadline import Deadline, Stopwatch
from ..outcome import CheckFailed
from .dns import Address, resolve
from .errors import NOBODY_LISTENS, failure

if TYPE_CHECKING:
    import ssl

    from ..spec.endpoint import Endpoint

CHUNK = 65536
FULL_BACKLOG_PAUSE = 0.01
NEXT_ADDRESS = 0.25  # seconds without an answer


class Stream:
    """A connected, non-blocking socket. Not opened directly: see connect()."""

    def __init__(self, sock: socket.socket, where: str, deadline: Deadline, watch: Stopwatch) -> None:
        self.sock = sock
        self.raw = sock
        self.where = where
        self.deadline = deadline
        self.watch = watch
        self.doing = f"connected to {where}, nothing said yet"

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def wait(self, events: int) -> None:
        _wait(self.sock, events, self.deadline, self.doing)

    def start_tls(self, context: ssl.SSLContext, server_name: Optional[str]) -> ssl.SSLSocket:
        from .tls import handshake

        try:
            # A connection that was reset by now cannot be wrapped, and says so in many ways.
            self.sock.getpeername()
        except OSError as error:
            raise failure(error, self.where) from error
        self.doing = f"in the TLS handshake with {self.where}"
        secured = handshake(self.sock, context, server_name, self.deadline, self.where)
        self.sock = secured
        self.watch.stop("tls")
        return secured

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self.deadline.require(self.doing)
            sent = self._step(self.sock.send, view, select.POLLOUT)
            if sent == b"":
                raise CheckFailed("reset", f"{self.where} closed the connection before it was asked")
            view = view[sent:] if sent is not None else view

    def receive(self, limit: int = CHUNK) -> bytes:
        """What has arrived, at most limit bytes; b"" when the other side is done."""
        while True:
            self.deadline.require(self.doing)
            data = self._step(self.sock.recv, limit, select.POLLIN)
            if data is not None:
                return bytes(data)

    def glance(self, until: Deadline) -> Optional[bytes]:
        """What comes before until: data, b"" at the end of the stream, None when nothing comes."""
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        while True:
            data: Any = self._once()
            if data is not None or until.passed():
                return data
            poller.poll(int(max(0.0, until.remaining()) * 1000) + 1)

    def _once(self) -> Optional[bytes]:
        try:
            return self.sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            if self.sock is self.raw:
                raise failure(error, self.where) from error
            from .tls import wants

            return b"" if wants(error, self.where) is None else None

    def _step(self, call: Any, argument: Any, events: int) -> Any:
        """One send or recv; None where it has to be repeated."""
        try:
            return call(argument)
        except (BlockingIOError, InterruptedError):
            self.wait(events)
        except OSError as error:
            return self._failed(error)
        return None

    def _failed(self, error: OSError) -> Any:
        # ssl is imported only where TLS is spoken: it doubles the cost of a plain check.
        if self.sock is self.raw:
            raise failure(error, self.where) from error
        from .tls import wants

        needed = wants(error, self.where)
        if needed is None:
            return b""
        self.wait(needed)
        return None


def _wait(sock: socket.socket, events: int, deadline: Deadline, doing: str) -> None:
    poller = select.poll()
    poller.register(sock, events)
    # Rounded up: poll() counts whole milliseconds, and zero would spin.
    if not poller.poll(int(deadline.require(doing) * 1000) + 1):
        deadline.require(doing)


def connect(endpoint: Endpoint, family: str, deadline: Deadline, watch: Stopwatch) -> Stream:
    """A plain connection to the endpoint; the first of its addresses that accepts."""
    if endpoint.path is not None:
        return _connect_unix(endpoint.path, deadline, watch)
    addresses = resolve(endpoint.host, endpoint.port, family, deadline)
    watch.stop("dns")
    sock, address = _Race(addresses, deadline).run()
    watch.stop("connect")
    return Stream(sock, str(address), deadline, watch)


class _Race:
    """Connects to several addresses, the next one beside those that say nothing: one of them may be a black hole.

    As RFC 8305 has it, and within half of the time that is left for all of them.
    """

    def __init__(self, addresses: Sequence[Address], deadline: Deadline) -> None:
        self._waiting = _interleaved(addresses)
        self._deadline = deadline
        self._pause = min(NEXT_ADDRESS, max(0.0, deadline.remaining()) / (2 * len(addresses)))
        self._next = 0.0  # when the next address has its turn
        self._pending: dict[int, tuple[socket.socket, Address]] = {}
        self._failed: list[CheckFailed] = []

    def run(self) -> tuple[socket.socket, Address]:
        """The connection that was there first; all others are closed."""
        try:
            while self._waiting or self._pending:
                if self._waiting and (not self._pending or time.monotonic() >= self._next):
                    winner = self._start(self._waiting.pop(0))
                elif self._deadline.passed():
                    break
                else:
                    winner = self._wait()
                if winner is not None:
                    return winner
            self._failed += [self._silent(address) for _sock, address in self._pending.values()]
            raise _most_telling(self._failed)
        finally:
            for sock, _address in self._pending.values():
                sock.close()

    def _start(self, address: Address) -> Optional[tuple[socket.socket, Address]]:
        self._next = time.monotonic() + self._pause
        try:
            sock = _new_socket(address.family)
        except OSError as error:
            self._failed.append(failure(error, str(address)))
            return None
        self._pending[sock.fileno()] = sock, address
        code = sock.connect_ex(address.sockaddr)
        return None if code == errno.EINPROGRESS else self._finish(sock.fileno(), code)

    def _wait(self) -> Optional[tuple[socket.socket, Address]]:
        poller = select.poll()
        for descriptor in self._pending:
            poller.register(descriptor, select.POLLOUT)
        seconds = self._deadline.remaining()
        if self._waiting:
            seconds = min(seconds, self._next - time.monotonic())
        for descriptor, _event in poller.poll(int(max(0.0, seconds) * 1000) + 1):
            code = self._pending[descriptor][0].getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            winner = self._finish(descriptor, code)
            if winner is not None:
                return winner
        return None

    def _finish(self, descriptor: int, code: int) -> Optional[tuple[socket.socket, Address]]:
        """The connection, or None where it has failed."""
        sock, address = self._pending.pop(descriptor)
        try:
            if code:
                raise OSError(code, os.strerror(code))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # On loopback the kernel may pick the wanted port as the source port and connect the socket to itself.
            if sock.getsockname() != sock.getpeername():
                return sock, address
            self._failed.append(CheckFailed("refused", f"{address} {NOBODY_LISTENS}"))
        except OSError as error:
            self._failed.append(failure(error, str(address)))
        sock.close()
        return None

    def _silent(self, address: Address) -> CheckFailed:
        doing = f"connecting to {address} (no answer, or its backlog is full)"
        return CheckFailed("timeout", f"no complete answer within {self._deadline.seconds:g} s: still {doing}")


def _interleaved(addresses: Sequence[Address]) -> list[Address]:
    """In their order, but one of each family in turn: a whole family may lead nowhere."""
    first = [one for one in addresses if one.family == addresses[0].family]
    others = [one for one in addresses if one.family != addresses[0].family]
    turns = itertools.zip_longest(first, others)
    return [one for pair in turns for one in pair if one is not None]


def _most_telling(failed: list[CheckFailed]) -> CheckFailed:
    """Of several addresses, the one that got furthest; localhost fails twice, for ::1 and for 127.0.0.1."""
    order = ("reset", "timeout", "refused")
    ranked = sorted(failed, key=lambda e: order.index(e.reason) if e.reason in order else len(order))
    if len(ranked) > 1 and len({e.message for e in ranked}) > 1:
        return CheckFailed(ranked[0].reason, "; ".join(e.message for e in ranked))
    return ranked[0]


def _new_socket(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setblocking(False)
    return sock


def _connect_unix(path: str, deadline: Deadline, watch: Stopwatch) -> Stream:
    watch.latency["dns"] = 0.0
    where = f"unix:{path}"
    sock = _new_socket(socket.AF_UNIX)
    try:
        _knock(sock, path, deadline, where)
    except OSError as error:
        sock.close()
        if error.errno == errno.ECONNREFUSED:
            raise CheckFailed("refused", f"{where} {_deaf(path)}") from error
        raise failure(error, where) from error
    except CheckFailed:
        sock.close()
        raise
    watch.stop("connect")
    return Stream(sock, where, deadline, watch)


def _deaf(path: str) -> str:
    """Why nobody listens on a socket file that is there."""
    if os.path.isfile(path) or os.path.isdir(path):
        return "is not a socket"
    return "is stale: the socket is there, but nothing listens on it"


def _knock(sock: socket.socket, path: str, deadline: Deadline, where: str) -> None:
    address = "\0" + path[1:] if path.startswith("@") else path
    while True:
        code = sock.connect_ex(address)
        # A full backlog of a unix socket says EAGAIN to a non-blocking socket; there is nothing to poll for.
        if code != errno.EAGAIN:
            break
        deadline.require(f"connecting to {where}, whose backlog is full: nobody accepts")
        deadline.pause(FULL_BACKLOG_PAUSE)
    if code:
        raise OSError(code, os.strerror(code))
