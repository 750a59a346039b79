# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names to addresses, in bounded time. This file is PRIVATE to the collection."""

from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any, NamedTuple

from ..deadline import Deadline
from ..outcome import CheckFailed

FAMILIES = {"any": socket.AF_UNSPEC, "4": socket.AF_INET, "6": socket.AF_INET6}


class Address(NamedTuple):
    family: int
    sockaddr: tuple[Any, ...]

    def __str__(self) -> str:
        host = str(self.sockaddr[0])
        return f"[{host}]:{self.sockaddr[1]}" if ":" in host else f"{host}:{self.sockaddr[1]}"


def resolve(host: str, port: int, family: str, deadline: Deadline) -> list[Address]:
    """Every address of host in the wanted family ("any", "4" or "6"), in the system's order."""
    literal = _literal(host, port)
    if literal is not None:
        if family != "any" and literal.family != FAMILIES[family]:
            raise CheckFailed("unreachable", f"{host} is not an IPv{family} address")
        return [literal]
    return _lookup(host, port, family, deadline)


def _literal(host: str, port: int) -> Any:
    # With a scope (fe80::1%eth0) only getaddrinfo knows the number of the interface; it asks no server for that.
    if "%" in host:
        return None
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if address.version == 4:
        return Address(socket.AF_INET, (host, port))
    return Address(socket.AF_INET6, (host, port, 0, 0))


def _lookup(host: str, port: int, family: str, deadline: Deadline) -> list[Address]:
    answers: list[Any] = []
    failed: list[Exception] = []

    def ask() -> None:
        try:
            answers.extend(socket.getaddrinfo(host, port, FAMILIES[family], socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failed.append(error)

    # getaddrinfo has no timeout of its own and cannot be interrupted: leave it behind in a daemon thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(max(0.0, deadline.remaining()))
    if thread.is_alive():
        raise CheckFailed("dns", f"resolving {host} did not end within {deadline.seconds:g} s")
    if failed:
        raise CheckFailed("dns", f"{host} does not resolve: {_words(failed[0])}")
    if not answers:
        raise CheckFailed("dns", f"{host} has no address")
    return list(dict.fromkeys(Address(entry[0], entry[4]) for entry in answers))


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
