# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Sockets that share one port (SO_REUSEPORT). This file is PRIVATE to the collection.

The kernel gives each connection to one of them. Which one depends on the client's port, in a way that nobody outside of
the kernel can foresee. A member that hangs is met by chance, so there have to be enough visits.
"""

from __future__ import annotations

import ipaddress
import math
import socket
from typing import TYPE_CHECKING, NamedTuple, Optional

from ..net.errors import failure
from .diagnosis import NOT_ACCEPTED, DiagUnavailable, Listener, listeners, server_inode

if TYPE_CHECKING:
    from ..net.stream import Stream

_MISSED = 0.001  # how likely it is that the visits meet all members but the one that hangs
_MOST_VISITS = 100
_MAPPED = b"\0" * 10 + b"\xff\xff"


class Reached(NamedTuple):
    """The other end of a connection, if it is on this host."""

    family: int
    host: str
    port: int


def reached(stream: Stream) -> Optional[Reached]:
    """Where the connection has led to; None for another host, and for what is no TCP."""
    sock = stream.raw
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        peer, own = sock.getpeername(), sock.getsockname()
    except OSError as error:  # reset by now
        raise failure(error, stream.where) from error
    host = str(peer[0]).partition("%")[0]
    if peer[0] != own[0] and not ipaddress.ip_address(host).is_loopback:
        return None
    return Reached(sock.family, host, peer[1])


def size(place: Reached) -> int:
    """How many sockets share its connections; 1 where the kernel does not tell."""
    try:
        return max(1, _size(place))
    except DiagUnavailable:
        return 1


def _size(place: Reached) -> int:
    raw = socket.inet_pton(place.family, place.host)
    found = _most_specific(listeners(place.family, place.port), raw)
    if not found and place.family == socket.AF_INET:
        found = _most_specific(listeners(socket.AF_INET6, place.port), _MAPPED + raw)
    return found


def _most_specific(found: list[Listener], raw: bytes) -> int:
    """Those at that very address come before those at all addresses."""
    for address in (raw, bytes(len(raw))):
        groups = [one.interface for one in found if one.address == address]
        if groups:
            return max(groups.count(interface) for interface in groups)
    return 0


def visits(members: int) -> int:
    """How many connections it takes to meet a certain one of them, but for one case in a thousand."""
    return min(_MOST_VISITS, math.ceil(math.log(_MISSED) / math.log(1 - 1 / members)))


def is_accepted(sock: socket.socket) -> bool:
    """Whether a process has taken the connection, or has even ended it."""
    try:
        return server_inode(sock) != NOT_ACCEPTED
    except (DiagUnavailable, OSError):
        return True
