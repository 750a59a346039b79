# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One question and its answer over HTTP/2, as gRPC needs it. This file is PRIVATE to the collection."""

from __future__ import annotations

import struct
from typing import NamedTuple, Optional

from ..outcome import CheckFailed
from . import hpack
from .http1 import Reader
from .stream import Stream

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FRAME_LIMIT = 16384
TOTAL_LIMIT = 1024 * 1024
MESSAGE_LIMIT = 65535  # as much as the flow control window lets come without asking for more
OUR_STREAM = 1

DATA, HEADERS, _PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, _WINDOW, CONTINUATION = range(10)
END_STREAM = ACK = 0x1
END_HEADERS = 0x4
_PADDED = 0x8
_PRIORITIZED = 0x20
_ENABLE_PUSH = 2
_ERRORS = (
    "NO_ERROR",
    "PROTOCOL_ERROR",
    "INTERNAL_ERROR",
    "FLOW_CONTROL_ERROR",
    "SETTINGS_TIMEOUT",
    "STREAM_CLOSED",
    "FRAME_SIZE_ERROR",
    "REFUSED_STREAM",
    "CANCEL",
    "COMPRESSION_ERROR",
    "CONNECT_ERROR",
    "ENHANCE_YOUR_CALM",
    "INADEQUATE_SECURITY",
    "HTTP_1_1_REQUIRED",
)


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


def pack(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack("!I", len(payload))[1:] + struct.pack("!BBI", kind, flags, stream) + payload


def question(headers: list[hpack.Header], body: bytes) -> bytes:
    """Everything the client says: it need not wait for the server's settings."""
    settings = struct.pack("!HI", _ENABLE_PUSH, 0)
    return (
        PREFACE
        + pack(SETTINGS, 0, 0, settings)
        + pack(HEADERS, END_HEADERS, OUR_STREAM, hpack.encode(headers))
        + pack(DATA, END_STREAM, OUR_STREAM, body)
    )


class Answer:
    """Reads frames until our stream has ended."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.reader = Reader(stream)
        self.decoder = hpack.Decoder()
        self.headers: dict[str, str] = {}
        self.trailers: dict[str, str] = {}
        self.message = bytearray()
        self._taken = 0
        self._refused: Optional[CheckFailed] = None

    def read(self) -> None:
        ended = False
        while not ended:
            frame = self._frame()
            ended = self._take(frame)

    def _broken(self, what: str) -> CheckFailed:
        return CheckFailed("protocol", f"{self.stream.where} {what}")

    def _frame(self) -> Frame:
        head = self._exactly(9)
        if head.startswith(b"HTTP/"):
            raise self._broken("answers in HTTP/1: no gRPC there")
        length = int.from_bytes(head[:3], "big")
        kind, flags, stream = struct.unpack("!BBI", head[3:])
        if length > FRAME_LIMIT:
            raise self._broken(f"does not answer in HTTP/2: {head!r}")
        self._taken += length + len(head)
        if self._taken > TOTAL_LIMIT:
            raise self._broken(f"sent more than {TOTAL_LIMIT} bytes for one small answer")
        return Frame(kind, flags, stream & 0x7FFFFFFF, self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        while len(self.reader.buffer) < size:
            if not self.reader.fill():
                where = self.stream.where
                raise self._refused or CheckFailed("closed", f"{where} closed the connection before it had answered")
        return self.reader.exactly(size, "a frame")

    def _take(self, frame: Frame) -> bool:
        """Handle one frame; True when our stream has ended."""
        if frame.kind == GOAWAY:
            self._going_away(frame)
        elif frame.kind in (SETTINGS, PING):
            self._acknowledge(frame)
        elif frame.kind == PUSH or (frame.kind in (DATA, HEADERS) and frame.stream != OUR_STREAM):
            raise self._broken("sent frames of a stream nobody opened")
        elif frame.stream == OUR_STREAM:
            return self._take_ours(frame)
        return False

    def _take_ours(self, frame: Frame) -> bool:
        if frame.kind == RST_STREAM:
            raise CheckFailed("reset", f"{self.stream.where} reset the stream: {_error(frame.payload[:4])}")
        if frame.kind == HEADERS:
            self._take_headers(frame)
        elif frame.kind == DATA:
            if not self.headers:
                raise self._broken("sent data before its headers")
            self.message += self._unpadded(frame)
            if len(self.message) > MESSAGE_LIMIT:
                raise self._broken("sent a message far too large for a health answer")
        elif frame.kind == CONTINUATION:
            raise self._broken("sent a continuation of nothing")
        return frame.kind in (DATA, HEADERS) and bool(frame.flags & END_STREAM)

    def _take_headers(self, frame: Frame) -> None:
        block = self._unpadded(frame)
        if frame.flags & _PRIORITIZED:
            block = block[5:]
        while not frame.flags & END_HEADERS:
            frame = self._frame()
            if frame.kind != CONTINUATION or frame.stream != OUR_STREAM:
                raise self._broken("interrupted its headers")
            block += frame.payload
            if len(block) > hpack.LIST_LIMIT:
                raise self._broken("sent endless headers")
        try:
            headers = dict(self.decoder.decode(block))
        except hpack.HpackError as error:
            raise self._broken(f"sent headers that cannot be read: {error}") from error
        if headers.get(":status", "").startswith("1"):
            return
        if not self.headers:
            self.stream.watch.stop("first_byte")
            self.headers = headers
        self.trailers = headers

    def _unpadded(self, frame: Frame) -> bytes:
        if not frame.flags & _PADDED:
            return frame.payload
        padding = frame.payload[0] if frame.payload else 0
        if padding + 1 > len(frame.payload):
            raise self._broken("sent a frame of padding only")
        return frame.payload[1 : len(frame.payload) - padding]

    def _acknowledge(self, frame: Frame) -> None:
        if frame.flags & ACK:
            return
        payload = frame.payload if frame.kind == PING else b""
        try:
            self.stream.send(pack(frame.kind, ACK, 0, payload))
        except CheckFailed as failed:
            # Who has said all and closed takes no thanks; the answer may be here already.
            if failed.reason != "reset":
                raise
            self._refused = failed

    def _going_away(self, frame: Frame) -> None:
        """A server that is ending may still finish what it had accepted."""
        if len(frame.payload) < 8:
            raise self._broken("sent a GOAWAY that is cut short")
        last, code = struct.unpack_from("!I4s", frame.payload)
        if last & 0x7FFFFFFF < OUR_STREAM or any(code):
            words = frame.payload[8:].decode("utf-8", "replace")[:100]
            more = f" ({words})" if words else ""
            raise CheckFailed("reset", f"{self.stream.where} sent GOAWAY: {_error(code)}{more}")


def _error(code: bytes) -> str:
    number = int.from_bytes(code, "big")
    return _ERRORS[number] if number < len(_ERRORS) else f"error {number}"


def exchange(stream: Stream) -> tuple[dict[str, str], dict[str, str], bytes]:
    """Headers, trailers (the same where there is only one block) and message."""
    answer = Answer(stream)
    stream.doing = f"waiting for an HTTP/2 answer from {stream.where}"
    answer.read()
    return answer.headers, answer.trailers, bytes(answer.message)
