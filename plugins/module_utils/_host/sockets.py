# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who listens where, read from /proc without starting anything. This file is PRIVATE to the collection.

Formats: proc(5), /proc/net/tcp (state 0A is LISTEN) and /proc/net/unix (flag 0x10000 is __SO_ACCEPTCON).
"""

from __future__ import annotations

import ipaddress
import re
import sys
from typing import Iterable, Optional

from .._core import files
from .._core.errors import SlipwayError
from . import processes

_TCP_LISTEN = "0A"
_UNIX_ACCEPTS = 0x10000
_DIGITS = re.compile(r"[0-9]{1,5}")
MAX_PORT = 65535


def tcp_port(listen: str) -> Optional[int]:
    """The port of a systemd ListenStream= value: PORT, ADDRESS:PORT or [ADDRESS]:PORT; None for a socket path.

    Source: systemd.socket(5), ListenStream=.
    """
    text = str(listen).strip()
    if text.startswith(("/", "@", "vsock:")):
        return None
    port = text.rpartition(":")[2]
    if not _DIGITS.fullmatch(port) or not 1 <= int(port) <= MAX_PORT:
        raise SlipwayError(
            "invalid_listen",
            f"service_listen entry {listen!r} is neither a port, an address with a port, nor a socket path.",
            "use for example 8080, 127.0.0.1:8080, [::1]:8080 or /run/shop.sock",
        )
    return int(port)


def _hexadecimal(text: str) -> Optional[int]:
    """None for anything else: a unix socket's name may hold line breaks, and then the kernel writes half a row."""
    try:
        return int(text, 16)
    except ValueError:
        return None


def parse_tcp_listeners(text: str) -> dict[str, int]:
    """Map the inode of each listening socket in a /proc/net/tcp or tcp6 table to its port."""
    found = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _TCP_LISTEN:
            port = _hexadecimal(fields[1].rpartition(":")[2])
            if port is not None:
                found[fields[9]] = port
    return found


def parse_tcp_addresses(text: str) -> dict[str, str]:
    """Map the inode of each listening socket in a /proc/net/tcp or tcp6 table to the address it is bound to."""
    found = {}
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and fields[3] == _TCP_LISTEN:
            words = bytes.fromhex(fields[1].partition(":")[0])
            # The kernel prints each 32-bit word in its own byte order.
            order = [
                words[i : i + 4] if sys.byteorder == "big" else words[i : i + 4][::-1] for i in range(0, len(words), 4)
            ]
            found[fields[9]] = str(ipaddress.ip_address(b"".join(order)))
    return found


def overlaps(listen: str, bound: Optional[str]) -> bool:
    """Whether a ListenStream= value would meet a socket bound to that address; when in doubt, yes."""
    host = str(listen).strip().rpartition(":")[0].strip("[]")
    if not host or bound is None:
        return True
    try:
        wanted, taken = ipaddress.ip_address(host), ipaddress.ip_address(bound)
    except ValueError:
        return True
    return wanted == taken or wanted.is_unspecified or taken.is_unspecified


def parse_unix_listeners(text: str) -> set[str]:
    """The inodes of listening sockets in /proc/net/unix."""
    rows = [line.split() for line in text.splitlines()[1:]]
    return {row[6] for row in rows if len(row) > 6 and (_hexadecimal(row[3]) or 0) & _UNIX_ACCEPTS}


def tcp_listeners() -> dict[str, int]:
    return {**parse_tcp_listeners(files.text("/proc/net/tcp")), **parse_tcp_listeners(files.text("/proc/net/tcp6"))}


def tcp_addresses() -> dict[str, str]:
    return {**parse_tcp_addresses(files.text("/proc/net/tcp")), **parse_tcp_addresses(files.text("/proc/net/tcp6"))}


def listening_inodes() -> set[str]:
    """Every listening stream socket of this network namespace."""
    return set(tcp_listeners()) | parse_unix_listeners(files.text("/proc/net/unix"))


def holders(inodes: Iterable[str]) -> list[int]:
    """The processes that hold any of these sockets."""
    wanted = set(inodes)
    return [pid for pid in processes.every_pid() if wanted & processes.socket_inodes(pid)]


def programs(listen: Iterable[str]) -> dict[int, set[str]]:
    """The names of those who listen on the ports of these ListenStream= values, by port."""
    listeners = tcp_listeners()
    ports = {port for port in map(tcp_port, listen) if port is not None}
    return {
        port: {processes.name(pid) for pid in holders(inode for inode, used in listeners.items() if used == port)}
        for port in ports
    }
