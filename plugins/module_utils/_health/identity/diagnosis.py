# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks the kernel about the other end of a local connection. This file is PRIVATE to the collection.

The netlink question is answered from the kernel's hash table, however many connections the host has; the text of
/proc/net/tcp has to be read as a whole and is only the fallback where netlink is denied.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Any, Iterator, NamedTuple, Optional

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NLM_F_DUMP = 0x300
_NLMSG_ERROR = 2
_NLMSG_DONE = 3
_NLMSG_HEADER = struct.Struct("=IHHII")
_ANY_COOKIE = b"\xff" * 8
_STATE_LISTEN = 10
_UNIX_SHOW_PEER = 4
_UNIX_ATTR_PEER = 2
_REPLY_SECONDS = 1.0

NOT_ACCEPTED = 0  # the kernel has the connection, no process has accepted it
GONE = -1  # this host has no such connection (any more)


class DiagUnavailable(Exception):
    """Netlink's socket diagnostics cannot be used here."""


def server_inode(sock: socket.socket) -> int:
    """The inode of the socket at the other end of sock, NOT_ACCEPTED or GONE."""
    if sock.family == socket.AF_UNIX:
        return _unix_peer_inode(sock)
    try:
        inode = _tcp_peer_inode(sock)
    except DiagUnavailable:
        inode = GONE
    # A kernel that lacks the diagnostics of a family says the same as one that lacks the connection.
    return _tcp_peer_inode_from_text(sock) if inode == GONE else inode


def _ask(request: bytes) -> bytes:
    """The payload of the first answer; empty where there is no such socket."""
    message = _NLMSG_HEADER.pack(_NLMSG_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(_REPLY_SECONDS)
            netlink.sendto(message + request, (0, 0))
            reply = netlink.recv(8192)
    except OSError as error:
        raise DiagUnavailable(str(error)) from error
    length, kind, _flags, _sequence, _port = _NLMSG_HEADER.unpack_from(reply)
    payload = reply[_NLMSG_HEADER.size : length]
    if kind != _NLMSG_ERROR:
        return payload
    code = -struct.unpack_from("=i", payload)[0]
    if code == errno.ENOENT:
        return b""
    raise DiagUnavailable(os.strerror(code))


class Listener(NamedTuple):
    """A listening TCP socket of this host."""

    address: bytes  # as it is bound; all zeros for every address
    interface: int


def listeners(family: int, port: int) -> list[Listener]:
    """The sockets of that family that listen on the port."""
    ends = struct.pack("!HH16s16s", port, 0, b"", b"")
    request = struct.pack("=BBxxI", family, socket.IPPROTO_TCP, 1 << _STATE_LISTEN) + ends + struct.pack("=I", 0)
    found: list[Listener] = []
    length = 4 if family == socket.AF_INET else 16
    for payload in _ask_for_all(request + _ANY_COOKIE):
        # Older kernels do not choose by the port.
        if len(payload) >= 72 and payload[1] == _STATE_LISTEN and payload[4:6] == ends[:2]:
            found.append(Listener(payload[8 : 8 + length], struct.unpack_from("=I", payload, 40)[0]))
    return found


def _ask_for_all(request: bytes) -> Iterator[bytes]:
    """The payload of each answer."""
    size = _NLMSG_HEADER.size + len(request)
    message = _NLMSG_HEADER.pack(size, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST | _NLM_F_DUMP, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
            netlink.settimeout(_REPLY_SECONDS)
            netlink.sendto(message + request, (0, 0))
            while True:
                reply, position = netlink.recv(65536), 0
                while position + _NLMSG_HEADER.size <= len(reply):
                    length, kind, _flags, _sequence, _port = _NLMSG_HEADER.unpack_from(reply, position)
                    if kind in (_NLMSG_DONE, _NLMSG_ERROR) or length < _NLMSG_HEADER.size:
                        return
                    yield reply[position + _NLMSG_HEADER.size : position + length]
                    position += (length + 3) & ~3
    except OSError as error:
        raise DiagUnavailable(str(error)) from error


def _packed(address: tuple[Any, ...], family: int) -> tuple[int, bytes, int]:
    """Port, 16 address bytes and scope."""
    host = str(address[0]).partition("%")[0]
    scope = address[3] if len(address) > 3 else 0
    return address[1], socket.inet_pton(family, host).ljust(16, b"\0"), scope


def _tcp_peer_inode(sock: socket.socket) -> int:
    # Seen from the server: its local end is our peer.
    local_port, local, scope = _packed(sock.getpeername(), sock.family)
    remote_port, remote, _scope = _packed(sock.getsockname(), sock.family)
    ends = struct.pack("!HH16s16s", local_port, remote_port, local, remote)
    request = struct.pack("=BBxxI", sock.family, socket.IPPROTO_TCP, 0xFFFFFFFF)
    payload = _ask(request + ends + struct.pack("=I", scope) + _ANY_COOKIE)
    if len(payload) < 72:
        return GONE
    # The lookup falls back to the listening socket while the handshake is not finished.
    if payload[1] == _STATE_LISTEN or payload[4:8] != ends[:4]:
        return NOT_ACCEPTED
    return int(struct.unpack_from("=I", payload, 68)[0])


def _hex_end(address: tuple[Any, ...], family: int, mapped: bool) -> str:
    host = str(address[0]).partition("%")[0]
    raw = socket.inet_pton(family, host)
    if mapped:
        raw = b"\0" * 10 + b"\xff\xff" + raw
    words = struct.unpack(f"={len(raw) // 4}I", raw)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"


def _tcp_peer_inode_from_text(sock: socket.socket) -> int:
    tables = [("tcp", False), ("tcp6", True)] if sock.family == socket.AF_INET else [("tcp6", False)]
    for table, mapped in tables:
        local = _hex_end(sock.getpeername(), sock.family, mapped)
        remote = _hex_end(sock.getsockname(), sock.family, mapped)
        inode = _find_row(f"/proc/net/{table}", f" {local} {remote} ")
        if inode is not None:
            return inode
    return GONE


def _find_row(path: str, wanted: str) -> Optional[int]:
    try:
        with open(path, encoding="ascii", errors="replace") as table:
            for line in table:
                if wanted in line:
                    return int(line.split()[9])
    except OSError:
        pass
    return None


def _unix_peer_inode(sock: socket.socket) -> int:
    own = os.fstat(sock.fileno()).st_ino
    payload = _ask(struct.pack("=BBHIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, own, _UNIX_SHOW_PEER) + _ANY_COOKIE)
    if not payload:
        raise DiagUnavailable("the kernel does not know our own socket")
    position = 16
    while position + 4 <= len(payload):
        length, kind = struct.unpack_from("=HH", payload, position)
        if kind == _UNIX_ATTR_PEER and length >= 8:
            return int(struct.unpack_from("=I", payload, position + 4)[0])
        position += max(4, (length + 3) & ~3)
    return GONE
