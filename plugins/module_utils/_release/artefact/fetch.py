# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Fetches a file over HTTP: bounded in size and time, and never telling what is secret. PRIVATE to the collection."""

from __future__ import annotations

import base64
import http.client
import os
import re
import ssl
import time
import urllib.request
from contextlib import contextmanager
from typing import Any, BinaryIO, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import SplitResult, unquote, urljoin, urlsplit, urlunsplit

from ..._core.errors import SlipwayError
from ..._health.deadline import Deadline, Stopwatch
from ..._health.net import http1
from ..._health.net.stream import Stream, connect
from ..._health.outcome import CheckFailed
from ..._health.spec.endpoint import Endpoint

MAX_REDIRECTS = 5
SILENCE = 30.0  # seconds without a byte
RESERVE = 64 << 20  # bytes that stay free on the file system
_REDIRECTS = (301, 302, 303, 307, 308)
_PORTS = {"http": 80, "https": 443}
_NO_LIMIT = 1 << 62
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r" *[!-~][ -~]*")
# What the request says of itself, and what would change how it is understood.
_OWN_HEADERS = frozenset(
    ("accept-encoding", "connection", "content-length", "expect", "host", "keep-alive", "proxy-authorization")
) | frozenset(("range", "te", "trailer", "transfer-encoding", "upgrade"))


class Limits(NamedTuple):
    """The most bytes of a file, and the most seconds for all of it."""

    size: int
    seconds: float


Origin = Tuple[str, str, int]


class Headers(NamedTuple):
    """Headers that one server gets, and no other: they hold what opens it."""

    origin: Optional[Origin] = None
    pairs: tuple[tuple[str, str], ...] = ()

    def of(self, parts: SplitResult) -> tuple[tuple[str, str], ...]:
        return self.pairs if _origin(parts) == self.origin else ()


_NO_HEADERS = Headers()


def is_url(text: str) -> bool:
    return "://" in text


def parse_url(url: str, variable: str) -> SplitResult:
    """The URL in parts; raise for one that nobody could fetch."""
    fix = f"write {variable} as https://HOST/PATH"
    try:
        parts = urlsplit(url)
        usable = parts.port is None or 0 < parts.port < 65536
    except ValueError:
        raise SlipwayError("invalid_url", f"{variable} is not a URL.", fix) from None
    if parts.scheme not in ("https", "http"):
        raise SlipwayError("invalid_url", f"{variable} is a {parts.scheme}:// URL, which cannot be fetched.", fix)
    plain = url.isascii() and not any(ord(char) <= 32 or ord(char) == 127 for char in url)
    if not parts.hostname or not usable or not plain:
        raise SlipwayError("invalid_url", f"{variable} {shown(url)!r} is not a usable URL.", fix)
    return parts


def shown(url: str) -> str:
    """The URL without what may be secret in it: user and password, the query, the fragment."""
    if not is_url(url):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition('://')[0]}://…"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def file_name(source: str) -> str:
    """The name of the file at the end of a URL or of a path."""
    return unquote(urlsplit(source).path.rpartition("/")[2]) if is_url(source) else os.path.basename(source)


def _origin(parts: SplitResult) -> Origin:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme]


def parse_headers(given: Mapping[str, Any], urls: Sequence[str], variable: str = "release_fetch_headers") -> Headers:
    """The headers for the server of the first URL; raise, without a word of a value, for what cannot be sent."""
    for name, value in given.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name) or name.lower() in _OWN_HEADERS:
            shown_name = repr(name) if isinstance(name, str) and _TOKEN.fullmatch(name) else "a name"
            raise SlipwayError(
                "invalid_headers",
                f"{variable} has {shown_name}, which cannot be a header of the request.",
                "write it as name: value pairs, such as Authorization: Bearer TOKEN",
            )
        if not isinstance(value, (str, int)) or isinstance(value, bool) or not _VALUE.fullmatch(str(value)):
            raise SlipwayError(
                "invalid_headers",
                f"the value of {name} in {variable} is empty, or is not one line of ASCII.",
                "give the value as one line of text",
            )
    if not urls or not given:
        return Headers()
    pairs = tuple((name, str(value).strip()) for name, value in given.items())
    return Headers(_origin(parse_url(urls[0], "release_src")), pairs)


def _without_user(parts: SplitResult) -> str:
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path or "/", parts.query, ""))


def _authorization(header: str, parts: SplitResult) -> list[tuple[str, str]]:
    if parts.username is None:
        return []
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return [(header, "Basic " + base64.b64encode(pair.encode()).decode())]


def _endpoint(parts: SplitResult) -> Endpoint:
    return Endpoint(parts.hostname or "", parts.port or _PORTS[parts.scheme])


def _proxy(parts: SplitResult) -> Optional[SplitResult]:
    """The proxy that the environment names for this URL."""
    host = parts.netloc.rpartition("@")[2]
    told = urllib.request.getproxies().get(parts.scheme)
    if not told or urllib.request.proxy_bypass(host):
        return None
    return parse_url(told if is_url(told) else f"http://{told}", f"{parts.scheme}_proxy of the environment")


def _failed(url: str, variable: str, why: str, fix: str) -> SlipwayError:
    return SlipwayError("not_fetched", f"{variable} {shown(url)} could not be fetched by this host: {why}.", fix)


def _http_error(url: str, variable: str, status: int) -> SlipwayError:
    name = http.client.responses.get(status, "")
    fix = {
        401: "put a user and a password that may read it into the URL, or a token into release_fetch_headers",
        403: "use a URL that this host may read; a signed one may have expired",
        404: f"correct {variable}",
        407: "give the proxy's user and password in the environment of the play",
    }.get(status, "look at that server, then run again")
    return _failed(url, variable, f"the server answered {status} {name}".rstrip(), fix)


def _redirected(parts: SplitResult, location: str, variable: str) -> SplitResult:
    """Where a redirect leads; raise where it must not."""
    try:
        joined = urljoin(_without_user(parts), location)
    except ValueError:
        raise SlipwayError(
            "invalid_url", f"the redirect of {variable} is not a URL.", "use the URL of the file itself"
        ) from None
    target = parse_url(joined, f"the redirect of {variable}")
    if parts.scheme == "https" and target.scheme != "https":
        raise SlipwayError(
            "insecure_redirect",
            f"{variable} {shown(urlunsplit(parts))} redirects from https to {shown(urlunsplit(target))}.",
            "use the https URL of the file itself",
        )
    if target.username is None and (target.scheme, target.hostname, target.port) == (
        parts.scheme,
        parts.hostname,
        parts.port,
    ):  # the password is for this server, and for no other
        return target._replace(netloc=parts.netloc)
    return target


class _Answer:
    """An answer, of which only the body is still to be read."""

    def __init__(self, stream: Stream, deadline: Deadline) -> None:
        self._reader, self._stream, self._deadline = http1.Reader(stream), stream, deadline
        self._head = http1.read_final_head(self._reader)
        self.status = self._head.status

    def header(self, name: str) -> Optional[str]:
        return self._head.header(name)

    @property
    def length(self) -> Optional[int]:
        """How long the body is by the server's word."""
        told = self.header("content-length") or ""
        return int(told) if told.isascii() and told.isdigit() and len(told) < 16 else None

    def pieces(self) -> Iterator[bytes]:
        pieces = http1.body_pieces(self._reader, self._head, _NO_LIMIT)
        while True:
            self._stream.deadline = self._deadline.at_most(SILENCE)
            piece = next(pieces, b"")
            if not piece:
                return
            yield piece


@contextmanager
def _asked(parts: SplitResult, own: Sequence[tuple[str, str]], deadline: Deadline) -> Iterator[_Answer]:
    """Ask for it with these headers, through the proxy where there is one. Certificates are always checked."""
    proxy = _proxy(parts)
    patience = deadline.at_most(SILENCE)
    with connect(_endpoint(proxy or parts), "any", patience, Stopwatch()) as stream:
        host = parts.netloc.rpartition("@")[2]
        headers = [("Host", host), ("User-Agent", "slipway"), ("Accept-Encoding", "identity"), ("Connection", "close")]
        headers += _authorization("Authorization", parts)
        replaced = {name.lower() for name, _value in own}
        headers = [pair for pair in headers if pair[0].lower() not in replaced] + list(own)
        to_proxy = _authorization("Proxy-Authorization", proxy) if proxy else []
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if proxy and parts.scheme == "https":
            http1.tunnel(stream, str(_endpoint(parts)), to_proxy)
        elif proxy:
            target = _without_user(parts)
            headers += to_proxy
            if proxy.scheme == "https":
                stream.start_tls(ssl.create_default_context(), proxy.hostname)
        if parts.scheme == "https":
            stream.start_tls(ssl.create_default_context(), parts.hostname)
        lines = [f"{name}: {value}" for name, value in headers]
        stream.send("\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode("latin-1"))
        stream.deadline = deadline.at_most(SILENCE)
        yield _Answer(stream, deadline)


@contextmanager
def _open(url: str, variable: str, headers: Headers, deadline: Deadline) -> Iterator[_Answer]:
    """The answer that has the file, wherever redirects lead."""
    parts = parse_url(url, variable)
    for _count in range(MAX_REDIRECTS + 1):
        with _asked(parts, headers.of(parts), deadline) as answer:
            location = answer.header("location")
            if answer.status not in _REDIRECTS or not location:
                if not 200 <= answer.status < 300:
                    raise _http_error(urlunsplit(parts), variable, answer.status)
                yield answer
                return
        parts = _redirected(parts, location, variable)
        if not headers.of(parts):  # nor does a server get them that another one leads to
            headers = Headers()
    raise _failed(url, variable, f"it redirects more than {MAX_REDIRECTS} times", "use the URL of the file itself")


def _check_size(length: int, limit: int, url: str, variable: str, room: Optional[int]) -> None:
    if length > limit:
        raise SlipwayError(
            "artefact_too_large",
            f"{variable} {shown(url)} has more than the {limit >> 20} MiB that release_max_size allows.",
            "correct the URL, or raise release_max_size",
        )
    if room is not None and length > room:
        raise SlipwayError(
            "disk_full",
            f"{variable} {shown(url)} has {length >> 20} MiB, and there is room for {max(room, 0) >> 20} MiB here.",
            "free space on the file system of /var/tmp",
        )


def _room(target: BinaryIO) -> Optional[int]:
    """Bytes that may be written where target is; None for what is no file."""
    try:
        found = os.fstatvfs(target.fileno())
    except (OSError, ValueError):
        return None
    return found.f_bavail * found.f_frsize - RESERVE


def _receive(url: str, variable: str, target: BinaryIO, limit: int, headers: Headers, deadline: Deadline) -> None:
    with _open(url, variable, headers, deadline) as answer:
        length, room, received = answer.length, _room(target), 0
        _check_size(length or 0, limit, url, variable, room)
        try:
            for piece in answer.pieces():
                received += len(piece)
                _check_size(received, limit, url, variable, room)
                target.write(piece)
        except CheckFailed as error:
            if error.reason not in ("body", "closed", "reset"):
                raise
            if received != length:
                of = f" of {length}" if length is not None else ""
                why = f"the connection ended after {received}{of} bytes"
                raise _failed(url, variable, why, "run again, or look at that server if it stays") from None


def fetch(url: str, variable: str, target: BinaryIO, limits: Limits, headers: Headers = _NO_HEADERS) -> None:
    """Write what the URL gives to target; raise SlipwayError, with nothing secret in it, where that fails."""
    begun, deadline = time.monotonic(), Deadline.after(limits.seconds)
    try:
        _receive(url, variable, target, limits.size, headers, deadline)
    except CheckFailed as error:
        is_late = error.reason == "timeout" or deadline.passed()
        spent = min(time.monotonic() - begun, limits.seconds)
        raise _failed(url, variable, *(_too_slow(spent) if is_late else _reason(error))) from None


def _too_slow(seconds: float) -> tuple[str, str]:
    fix = "look at the network and at that server, or raise release_fetch_timeout"
    return f"it took more than {seconds:.3g} s", fix


def _reason(error: CheckFailed) -> tuple[str, str]:
    """What went wrong and what to do. Words of the other side are left out: they may repeat what we sent."""
    cause = error.__cause__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return (
            f"its certificate is not valid: {cause.verify_message}",
            "have the host trust the authority that signed it",
        )
    if isinstance(cause, ssl.SSLError):
        return f"TLS failed ({cause.reason or 'unknown'})", "look at that server's TLS, or at the URL's port"
    if error.reason == "status":
        return "the proxy refused the connection", "look at https_proxy and no_proxy in the environment of the play"
    if error.reason == "protocol":
        return "the answer is no HTTP", "correct the URL"
    return error.message, "correct the URL, or let the host reach that server"
