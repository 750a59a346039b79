# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a check connects to: URLs, addresses, unix sockets. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional
from urllib.parse import SplitResult, quote, urlsplit

from .options import bad

_PORTS = {"http": 80, "https": 443}
_URL_SAFE = "/?#[]@!$&'()*+,;=%:~"
UNIX_PATH_LIMIT = 107


@dataclass(frozen=True)
class Endpoint:
    """A TCP host and port, or a unix socket (a leading @ means the abstract namespace)."""

    host: str = ""
    port: int = 0
    path: Optional[str] = None

    def __str__(self) -> str:
        if self.path is not None:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Url:
    scheme: str
    host: str
    port: int
    target: str  # path and query, as it goes on the wire

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.host, self.port)

    @property
    def origin(self) -> tuple[str, str, int]:
        """What two URLs have in common that are served by the same."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """The Host header: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def parse_url(text: str, where: str, option: str = "url") -> Url:
    split = _split(text, where, option)
    if split.scheme not in _PORTS:
        raise bad(where, f"{option} {text!r} is not an http or https URL", "write http://HOST:PORT/PATH or https://…")
    if split.username is not None or split.password is not None:
        raise bad(where, f"{option} holds a user or password", "put it in a file and name that in authorization_file")
    if not split.hostname:
        raise bad(where, f"{option} {text!r} names no host", "write http://HOST:PORT/PATH")
    path = quote(split.path or "/", safe=_URL_SAFE)
    query = "?" + quote(split.query, safe=_URL_SAFE) if split.query else ""
    port = _PORTS[split.scheme] if split.port is None else split.port
    return Url(split.scheme, split.hostname, port, path + query)


def _split(text: str, where: str, option: str) -> SplitResult:
    try:
        # urlsplit() drops line ends without a word and finds the port only when asked for it.
        if any(ord(character) <= 32 or ord(character) == 127 for character in text):
            raise ValueError("it holds blanks or control characters")
        split = urlsplit(text)
        if split.port == 0:
            raise ValueError("port 0 cannot be connected to")
    except ValueError as error:
        raise bad(where, f"{option} {text!r} is not a URL: {error}", "write http://HOST:PORT/PATH") from error
    return split


def parse_address(text: str, where: str) -> Endpoint:
    """HOST:PORT, [IPV6]:PORT, :PORT (this host), /path, @abstract or unix:/path."""
    if text.startswith("unix:"):
        return unix_endpoint(text[len("unix:") :], where, "address")
    if text.startswith(("/", "@")):
        return unix_endpoint(text, where, "address")
    host, port = _host_port(text)
    if port is None or any(ord(character) <= 32 for character in host):
        raise bad(where, f"address is {text!r}", "write HOST:PORT, [IPV6]:PORT or the path of a unix socket")
    return Endpoint(host or "localhost", port)


def _host_port(text: str) -> tuple[str, Optional[int]]:
    host, colon, number = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    # Without brackets nobody can tell an IPv6 address from a host and its port.
    elif ":" in host:
        return host, None
    if not colon or not (number.isascii() and number.isdigit()) or not 1 <= int(number) <= 65535:
        return host, None
    return host, int(number)


def unix_endpoint(path: str, where: str, option: str) -> Endpoint:
    if not path.startswith(("/", "@")) or len(path) < 2 or "\0" in path:
        raise bad(where, f"{option} {path!r} is not the path of a unix socket", "write an absolute path")
    if len(path.encode()) > UNIX_PATH_LIMIT:
        raise bad(where, f"{option} is longer than the {UNIX_PATH_LIMIT} bytes the kernel takes", "use a shorter path")
    return Endpoint(path=path)
