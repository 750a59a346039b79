# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP/1.1 as a client, inside the deadline and within limits. This file is PRIVATE to the collection."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from typing import Iterator, List, Optional, Sequence, Tuple

from ..outcome import CheckFailed
from .stream import Stream

HEADERS_LIMIT = 65536
LINE_LIMIT = 16384
INTERIM_LIMIT = 10
_NO_BODY = (204, 304)
ENCODINGS_LIMIT = 3
MEMBERS_LIMIT = 1000
_GZIP = b"\x1f\x8b"
_ANY_HEADER, _NO_HEADER = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS
# "deflate" is zlib by RFC 9110, and by many servers the bare stream inside of it.
_UNPACKERS = {"gzip": (_ANY_HEADER,), "x-gzip": (_ANY_HEADER,), "deflate": (_ANY_HEADER, _NO_HEADER)}
_HEX = frozenset(b"0123456789abcdefABCDEF")

Headers = List[Tuple[str, str]]


@dataclass(frozen=True)
class Response:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    unread: str = ""  # the encoding of a body that nobody here can decode

    @property
    def content(self) -> bytes:
        """The body, for whoever has to read it; what it is encoded as is nothing to a check of the status alone."""
        if self.unread:
            raise CheckFailed("body", f"the body is encoded as {self.unread[:40]}, which was not asked for")
        return self.body

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
        return b"".join(self.pieces(size, whole))

    def pieces(self, size: int, whole: str) -> Iterator[bytes]:
        """So many bytes, as they come."""
        missing = size
        while missing:
            if not self.buffer and not self.fill():
                raise CheckFailed(
                    "body", f"{self.stream.where} closed the connection {missing} bytes before the end of {whole}"
                )
            piece = self._take(min(missing, len(self.buffer)))
            missing -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """All until the end of the stream, as it comes."""
        while self.buffer or self.fill():
            yield self._take(len(self.buffer))

    def _take(self, size: int) -> bytes:
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data


def tunnel(stream: Stream, authority: str, headers: Sequence[tuple[str, str]] = ()) -> None:
    """Have a proxy connect this stream with HOST:PORT."""
    lines = [f"{name}: {value}" for name, value in (("Host", authority), *headers)]
    stream.doing = f"waiting for the proxy {stream.where} to connect"
    stream.send("\r\n".join([f"CONNECT {authority} HTTP/1.1", *lines, "", ""]).encode("latin-1"))
    status, _headers = read_head(Reader(stream))
    if status != 200:
        raise CheckFailed("status", f"the proxy {stream.where} answered {status} to CONNECT {authority}")


def read_response(stream: Stream, method: str, max_body: int) -> Response:
    reader = Reader(stream)
    response = read_final_head(reader)
    if method == "HEAD" or response.status in _NO_BODY:
        return response
    body = b"".join(body_pieces(reader, response, max_body))
    return _decoded(Response(response.status, response.headers, body), max_body)


def read_final_head(reader: Reader) -> Response:
    """The answer as far as its body, which is still to be read."""
    stream = reader.stream
    if not reader.fill():
        raise CheckFailed("closed", f"{stream.where} closed the connection without an answer")
    stream.watch.stop("first_byte")
    stream.doing = f"reading the headers from {stream.where}"
    status, headers = _final_head(reader)
    stream.doing = f"reading the body from {stream.where}"
    return Response(status, tuple(headers), b"")


def _final_head(reader: Reader) -> tuple[int, Headers]:
    for _interim in range(INTERIM_LIMIT):
        status, headers = read_head(reader)
        if status == 101:
            raise CheckFailed("protocol", f"{reader.stream.where} switches protocols, which nobody asked for")
        if status >= 200:
            return status, headers
    raise CheckFailed("protocol", f"{reader.stream.where} sent more than {INTERIM_LIMIT} interim answers")


def read_head(reader: Reader) -> tuple[int, Headers]:
    """The status and the headers of one answer."""
    status = _status_line(reader)
    return status, _headers(reader)


def _status_line(reader: Reader) -> int:
    line = reader.line(LINE_LIMIT, "a status line")
    version, rest = [*line.split(b" ", 1), b""][:2]
    status = rest[:3]
    plausible = version in (b"HTTP/1.0", b"HTTP/1.1") and status.isdigit() and len(status) == 3
    if not plausible or rest[3:4] not in (b"", b" ") or not 100 <= int(status) <= 599:
        raise CheckFailed("protocol", f"{reader.stream.where} does not answer in HTTP/1: {_excerpt(line)}")
    return int(status)


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
        if line[:1] in b" \t" and headers:
            # A value may go on in the next line (RFC 9112, 5.2); a reader replaces the line break with a blank.
            last = headers[-1]
            headers[-1] = last[0], f"{last[1]} {line.strip().decode('latin-1')}".strip()
            continue
        name, colon, value = line.partition(b":")
        if not colon or not name or name.strip() != name:
            raise CheckFailed("protocol", f"{reader.stream.where} sent a malformed header: {_excerpt(line)}")
        headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))


def body_pieces(reader: Reader, response: Response, max_body: int) -> Iterator[bytes]:
    """The body as it comes; the attempt ends where it is more than max_body, or cut short."""
    encoding, length = response.header("transfer-encoding"), response.header("content-length")
    if encoding is not None:
        if encoding.lower() != "chunked" or length is not None:
            raise CheckFailed("protocol", f"{reader.stream.where} frames its body in a way that cannot be trusted")
        return _chunked(reader, max_body)
    if length is not None:
        return _sized(reader, _length(reader, length), max_body)
    return _until_end(reader, max_body)


def _until_end(reader: Reader, max_body: int) -> Iterator[bytes]:
    received = 0
    for piece in reader.rest():
        received += len(piece)
        if received > max_body:
            raise _too_large(reader, max_body)
        yield piece


def _length(reader: Reader, text: str) -> int:
    values = {value.strip() for value in text.split(",")}
    value = values.pop()
    if values or not (value.isascii() and value.isdigit()) or len(value) > 18:
        raise CheckFailed("protocol", f"{reader.stream.where} sent Content-Length: {text[:60]}")
    return int(value)


def _sized(reader: Reader, length: int, max_body: int) -> Iterator[bytes]:
    if length > max_body:
        raise _too_large(reader, max_body)
    yield from reader.pieces(length, f"the {length} bytes its Content-Length announces")
    if reader.buffer:
        raise CheckFailed("body", f"{reader.stream.where} sent more than the {length} bytes of its Content-Length")


def _chunked(reader: Reader, max_body: int) -> Iterator[bytes]:
    received = 0
    while True:
        line = reader.line(LINE_LIMIT, "a chunk size").partition(b";")[0].strip()
        if not line or len(line) > 16 or not _HEX.issuperset(line):
            raise CheckFailed("protocol", f"{reader.stream.where} sent a chunk size of {_excerpt(line)}")
        size = int(line, 16)
        received += size
        if received > max_body:
            raise _too_large(reader, max_body)
        if size == 0:
            _headers(reader)
            return
        yield from reader.pieces(size, "a chunk")
        if reader.line(LINE_LIMIT, "the end of a chunk"):
            raise CheckFailed("protocol", f"{reader.stream.where} sent a chunk that does not end where it said")


def _too_large(reader: Reader, max_body: int) -> CheckFailed:
    return CheckFailed("body", f"{reader.stream.where} sends a body of more than max_body ({max_body} bytes)")


def _decoded(response: Response, max_body: int) -> Response:
    """Some servers compress although identity was asked for."""
    given = (response.header("content-encoding") or "").lower().split(",")
    encodings = [name for name in map(str.strip, given) if name not in ("", "identity")]
    body = response.body
    while encodings and body:
        if encodings[-1] not in _UNPACKERS or len(encodings) > ENCODINGS_LIMIT:
            return replace(response, body=body, unread=", ".join(encodings))
        body = _unpacked(body, encodings.pop(), max_body)
    return replace(response, body=body)


def _unpacked(body: bytes, encoding: str, max_body: int) -> bytes:
    """All members of a gzip stream, one behind the other; deflate with or without the header of zlib."""
    plain, left = b"", body
    for _member in range(MEMBERS_LIMIT):
        piece, left = _unpacked_member(left, encoding, max_body - len(plain))
        plain += piece
        if not left.startswith(_GZIP):
            return plain
    raise CheckFailed("body", f"the {encoding} body consists of more than {MEMBERS_LIMIT} parts")


def _unpacked_member(data: bytes, encoding: str, most: int) -> tuple[bytes, bytes]:
    failed: Optional[zlib.error] = None
    for window in _UNPACKERS[encoding]:
        unpacker = zlib.decompressobj(window)
        try:
            plain = unpacker.decompress(data, most + 1)
        except zlib.error as error:
            failed = failed or error
            continue
        if len(plain) > most or not unpacker.eof:
            raise CheckFailed("body", f"the {encoding} body is cut short or unpacks to more than max_body")
        return plain, unpacker.unused_data
    raise CheckFailed("body", f"the body says {encoding} and is not") from failed


def _excerpt(data: bytes) -> str:
    shown = data[:60].decode("ascii", "backslashreplace")
    return repr(shown) + ("…" if len(data) > 60 else "")
