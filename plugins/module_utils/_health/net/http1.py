# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP/1.1 as a check needs it, inside the deadline and within limits. This file is PRIVATE to the collection."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, List, Optional, Tuple
from urllib.parse import urljoin

from ..._core.errors import SlipwayError
from ..outcome import CheckFailed, need
from ..session import Probe
from ..spec.endpoint import Url, parse_url
from .stream import Stream

if TYPE_CHECKING:
    from ..spec.check import Check, Http, Tls

HEADERS_LIMIT = 65536
LINE_LIMIT = 16384
INTERIM_LIMIT = 10
_NO_BODY = (204, 304)
_REDIRECTS = (301, 302, 303, 307, 308)
_HEX = frozenset(b"0123456789abcdefABCDEF")

Headers = List[Tuple[str, str]]


@dataclass(frozen=True)
class Response:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> Optional[str]:
        """The value, several of them joined as HTTP says; None where there is none."""
        values = [value for key, value in self.headers if key == name]
        return ", ".join(values) if values else None


class Reader:
    """Lines and blocks out of a stream."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.buffer = bytearray()
        self.ended = False

    def fill(self) -> bool:
        """Wait for more; False at the end of the stream."""
        if not self.ended:
            data = self.stream.receive()
            self.buffer += data
            self.ended = not data
        return not self.ended

    def line(self, limit: int, doing: str) -> bytes:
        searched = 0
        while True:
            end = self.buffer.find(b"\n", searched)
            if end > limit or (end < 0 and len(self.buffer) > limit):
                raise CheckFailed("protocol", f"{self.stream.where} sent {doing} of more than {limit} bytes")
            if end >= 0:
                return self._take(end + 1).rstrip(b"\r\n")
            searched = len(self.buffer)
            if not self.fill():
                raise CheckFailed("closed", f"{self.stream.where} closed the connection in the middle of {doing}")

    def exactly(self, size: int, whole: str) -> bytes:
        while len(self.buffer) < size:
            if not self.fill():
                missing = size - len(self.buffer)
                raise CheckFailed(
                    "body", f"{self.stream.where} closed the connection {missing} bytes before the end of {whole}"
                )
        return self._take(size)

    def _take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data


def fetch(probe: Probe) -> Response:
    """The final response, redirects followed as far as asked."""
    check = probe.check
    http = need(check.http)
    url, method = http.url, http.method
    for _hop in range(http.follow_redirects + 1):
        response = _exchange(probe, http, url, method)
        location = response.header("location")
        if response.status not in _REDIRECTS or location is None or not http.follow_redirects:
            return response
        if response.status == 303 and method != "HEAD":
            method = "GET"
        url = _redirected(check, url, location)
    raise CheckFailed("status", f"{check.target} redirects more than {http.follow_redirects} times, last to {url}")


def _redirected(check: Check, url: Url, location: str) -> Url:
    try:
        target = parse_url(urljoin(str(url), location.strip()), check.name)
    except (SlipwayError, ValueError) as error:
        raise CheckFailed("status", f"{url} redirects to {location!r}, which is no http URL") from error
    if url.scheme == "https" and target.scheme == "http":
        raise CheckFailed("status", f"{url} redirects to {target}, which gives up TLS")
    pinned = check.endpoint is not None and (check.endpoint.path is not None or check.endpoint != url.endpoint)
    if pinned and (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
        raise CheckFailed("status", f"{url} redirects to {target}, away from {check.endpoint}")
    return target


def _exchange(probe: Probe, http: Http, url: Url, method: str) -> Response:
    check = probe.check
    own = (url.scheme, url.host, url.port) == (http.url.scheme, http.url.host, http.url.port)
    endpoint = http.proxy.endpoint if http.proxy else (check.endpoint if own else None) or url.endpoint
    with probe.open(endpoint) as stream:
        if url.scheme == "https":
            if http.proxy:
                _tunnel(stream, url)
            tls = check.tls or _default_tls()
            probe.secure(stream, tls, (tls.server_name if own else None) or url.host, ("http/1.1",))
        refused = _ask(probe, stream, _request(http, url, method, own))
        stream.doing = f"waiting for the first byte of an answer from {stream.where}"
        try:
            response = read_response(stream, method, http.max_body)
        except CheckFailed as failed:
            # TLS 1.3 refuses a client certificate only after the handshake, and says so only to who reads.
            raise failed if refused is None or failed.reason == "tls" else refused from None
    probe.status = response.status
    return response


def _ask(probe: Probe, stream: Stream, request: bytes) -> Optional[CheckFailed]:
    """Send the request. Who answers and closes without reading it may still have said why."""
    try:
        probe.say(stream, request)
    except CheckFailed as failed:
        if failed.reason != "reset":
            raise
        return failed
    return None


def _default_tls() -> Tls:
    from ..spec.check import Tls

    return Tls()


def _tunnel(stream: Stream, url: Url) -> None:
    host = f"[{url.host}]" if ":" in url.host else url.host
    authority = f"{host}:{url.port}"
    stream.doing = f"waiting for the proxy {stream.where} to connect"
    stream.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode("latin-1"))
    reader = Reader(stream)
    _version, status = _status_line(reader)
    _headers(reader)
    if status != 200:
        raise CheckFailed("status", f"the proxy {stream.where} answered {status} to CONNECT {authority}")


def _request(http: Http, url: Url, method: str, own: bool) -> bytes:
    """The head of the request. Another host than the one asked for gets no credentials."""
    target = str(url) if http.proxy and url.scheme == "http" else url.target
    headers = [
        ("Host", url.authority),
        ("User-Agent", "slipway-health"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "identity"),
        ("Connection", "close"),
    ]
    extra = list(http.headers) if own else []
    if http.authorization_file and own:
        extra.append(("Authorization", read_secret(http.authorization_file)))
    if method in ("POST", "PUT"):
        extra.append(("Content-Length", "0"))
    replaced = {name.lower() for name, _value in extra}
    lines = [f"{name}: {value}" for name, value in headers if name.lower() not in replaced]
    lines += [f"{name}: {value}" for name, value in extra]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode("utf-8")


def read_secret(path: str) -> str:
    """One line of a file; neither it nor the file's content ever goes into a message."""
    try:
        with open(path, encoding="utf-8") as file:
            secret = file.read(8192).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CheckFailed("error", f"authorization_file {path} cannot be read") from error
    if not secret or any(ord(c) < 32 or ord(c) == 127 for c in secret):
        raise CheckFailed("error", f"authorization_file {path} does not hold exactly one line")
    return secret


def read_response(stream: Stream, method: str, max_body: int) -> Response:
    reader = Reader(stream)
    if not reader.fill():
        raise CheckFailed("closed", f"{stream.where} closed the connection without an answer")
    stream.watch.stop("first_byte")
    stream.doing = f"reading the headers from {stream.where}"
    status, headers = _final_head(reader)
    response = Response(status, tuple(headers), b"")
    if method == "HEAD" or status in _NO_BODY:
        return response
    stream.doing = f"reading the body from {stream.where}"
    body = _body(reader, response, max_body)
    return Response(status, response.headers, _decoded(body, response, max_body))


def _final_head(reader: Reader) -> tuple[int, Headers]:
    for _interim in range(INTERIM_LIMIT):
        _version, status = _status_line(reader)
        headers = _headers(reader)
        if status == 101:
            raise CheckFailed("protocol", f"{reader.stream.where} switches protocols, which nobody asked for")
        if status >= 200:
            return status, headers
    raise CheckFailed("protocol", f"{reader.stream.where} sent more than {INTERIM_LIMIT} interim answers")


def _status_line(reader: Reader) -> tuple[bytes, int]:
    line = reader.line(LINE_LIMIT, "a status line")
    version, rest = [*line.split(b" ", 1), b""][:2]
    status = rest[:3]
    plausible = version in (b"HTTP/1.0", b"HTTP/1.1") and status.isdigit() and len(status) == 3
    if not plausible or rest[3:4] not in (b"", b" ") or not 100 <= int(status) <= 599:
        raise CheckFailed("protocol", f"{reader.stream.where} does not answer in HTTP/1: {_excerpt(line)}")
    return version, int(status)


def _headers(reader: Reader) -> Headers:
    headers: Headers = []
    size = 0
    while True:
        line = reader.line(LINE_LIMIT, "a header line")
        if not line:
            return headers
        size += len(line) + 2
        if size > HEADERS_LIMIT:
            raise CheckFailed("protocol", f"{reader.stream.where} sent headers of more than {HEADERS_LIMIT} bytes")
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name:
            raise CheckFailed("protocol", f"{reader.stream.where} sent a malformed header: {_excerpt(line)}")
        headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))


def _body(reader: Reader, response: Response, max_body: int) -> bytes:
    encoding, length = response.header("transfer-encoding"), response.header("content-length")
    if encoding is not None:
        if encoding.lower() != "chunked" or length is not None:
            raise CheckFailed("protocol", f"{reader.stream.where} frames its body in a way that cannot be trusted")
        return _chunked(reader, max_body)
    if length is not None:
        return _sized(reader, _length(reader, length), max_body)
    while len(reader.buffer) <= max_body and reader.fill():
        pass
    if len(reader.buffer) > max_body:
        raise _too_large(reader, max_body)
    return bytes(reader.buffer)


def _length(reader: Reader, text: str) -> int:
    values = {value.strip() for value in text.split(",")}
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()) or len(value) > 18:
        raise CheckFailed("protocol", f"{reader.stream.where} sent Content-Length: {text[:60]}")
    return int(value)


def _sized(reader: Reader, length: int, max_body: int) -> bytes:
    if length > max_body:
        raise _too_large(reader, max_body)
    body = reader.exactly(length, f"the {length} bytes its Content-Length announces")
    if reader.buffer:
        raise CheckFailed("body", f"{reader.stream.where} sent more than the {length} bytes of its Content-Length")
    return body


def _chunked(reader: Reader, max_body: int) -> bytes:
    body = bytearray()
    while True:
        line = reader.line(LINE_LIMIT, "a chunk size").partition(b";")[0].strip()
        if not line or len(line) > 16 or not _HEX.issuperset(line):
            raise CheckFailed("protocol", f"{reader.stream.where} sent a chunk size of {_excerpt(line)}")
        size = int(line, 16)
        if len(body) + size > max_body:
            raise _too_large(reader, max_body)
        if size == 0:
            _headers(reader)
            return bytes(body)
        body += reader.exactly(size, "a chunk")
        if reader.line(LINE_LIMIT, "the end of a chunk"):
            raise CheckFailed("protocol", f"{reader.stream.where} sent a chunk that does not end where it said")


def _too_large(reader: Reader, max_body: int) -> CheckFailed:
    return CheckFailed("body", f"{reader.stream.where} sends a body of more than max_body ({max_body} bytes)")


def _decoded(body: bytes, response: Response, max_body: int) -> bytes:
    """Some servers compress although identity was asked for."""
    encoding = (response.header("content-encoding") or "identity").lower()
    if encoding == "identity" or not body:
        return body
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise CheckFailed("body", f"the body is encoded as {encoding[:40]}, which was not asked for")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        plain = unpacker.decompress(body, max_body + 1)
    except zlib.error as error:
        raise CheckFailed("body", f"the body says {encoding} and is not") from error
    if len(plain) > max_body or not unpacker.eof:
        raise CheckFailed("body", f"the {encoding} body is cut short or unpacks to more than {max_body} bytes")
    return plain


def _excerpt(data: bytes) -> str:
    shown = data[:60].decode("ascii", "backslashreplace")
    return repr(shown) + ("…" if len(data) > 60 else "")
