# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The grpc kind: grpc.health.v1.Health/Check. This file is PRIVATE to the collection."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Optional
from urllib.parse import unquote

from ..net.http2 import exchange, question
from ..outcome import Attempt, CheckFailed
from ..session import RunningAttempt, healthy
from ..spec.check import ConnectedTarget
from ..spec.connection import CONNECTION_OPTIONS, parse_stream
from ..spec.options import Options
from .headers import parse_headers, read_secret
from .kind import Kind

_PATH = "/grpc.health.v1.Health/Check"
_SERVING = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_OK, _DEADLINE, _NOT_FOUND, _UNIMPLEMENTED = 0, 4, 5, 12
_CODES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
_MOST_MILLISECONDS = 99999999  # the header has room for eight digits


@dataclass(frozen=True)
class GrpcTarget(ConnectedTarget):
    service: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    authorization_file: Optional[str] = None


def _parse(options: Options) -> GrpcTarget:
    connection = parse_stream(options)
    service = options.text("service") or ""
    return GrpcTarget(connection, service, parse_headers(options), options.text("authorization_file"))


def _attempt(running: RunningAttempt, target: GrpcTarget) -> Attempt:
    connection = target.connection
    with running.open(connection.endpoint) as stream:
        if connection.tls is not None:
            agreed = running.secure(stream, connection.tls, connection.server_name, ("h2",))
            if agreed not in (None, "h2"):
                raise CheckFailed("protocol", f"{stream.where} agreed on {agreed}, gRPC needs h2")
        headers = _headers(target, running.deadline.remaining())
        running.say(stream, question(headers, _request(target.service)))
        answered, trailers, message = exchange(stream)
    _require_grpc(answered, target)
    running.status = _grpc_status(target, trailers)
    _require_ok(target, running.status, trailers)
    return _judge(running, target, message)


def _headers(target: GrpcTarget, seconds: float) -> list[tuple[str, str]]:
    endpoint = target.connection.endpoint
    authority = "localhost" if endpoint.path is not None else str(endpoint)
    milliseconds = min(_MOST_MILLISECONDS, max(1, int(seconds * 1000)))
    headers = [
        (":method", "POST"),
        (":scheme", "http" if target.connection.tls is None else "https"),
        (":path", _PATH),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "slipway-health"),
        ("grpc-timeout", f"{milliseconds}m"),
    ]
    headers += [(name.lower(), value) for name, value in target.headers]
    if target.authorization_file:
        headers.append(("authorization", read_secret(target.authorization_file)))
    return headers


def _request(service: str) -> bytes:
    """HealthCheckRequest {1: service} behind gRPC's five bytes."""
    raw = service.encode("utf-8")
    message = b"\x0a" + _varint(len(raw)) + raw if raw else b""
    return struct.pack("!BI", 0, len(message)) + message


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _require_grpc(headers: dict[str, str], target: GrpcTarget) -> None:
    if headers.get(":status") != "200":
        raise CheckFailed("status", f"{target} answers HTTP {headers.get(':status', 'nothing')} instead of gRPC")
    content_type = headers.get("content-type", "")
    if not content_type.startswith("application/grpc"):
        raise CheckFailed("protocol", f"{target} answers with {content_type or 'no content type'}, not with gRPC")


def _grpc_status(target: GrpcTarget, trailers: dict[str, str]) -> int:
    text = trailers.get("grpc-status", "")
    if not (text.isascii() and text.isdigit()):
        raise CheckFailed("protocol", f"{target} ends its answer without a gRPC status")
    return int(text[:9])


def _require_ok(target: GrpcTarget, code: int, trailers: dict[str, str]) -> None:
    if code == _OK:
        return
    words = unquote(trailers.get("grpc-message", ""))[:200]
    name = _CODES[code] if code < len(_CODES) else str(code)
    message = f"{target} answers {name}{': ' + words if words else ''}{_hint(target, code)}"
    raise CheckFailed("timeout" if code == _DEADLINE else "status", message)


def _hint(target: GrpcTarget, code: int) -> str:
    if code == _UNIMPLEMENTED:
        return "; it does not offer grpc.health.v1"
    if code == _NOT_FOUND:
        return f"; it reports no health for service {target.service!r}"
    return ""


def _judge(running: RunningAttempt, target: GrpcTarget, message: bytes) -> Attempt:
    number = _serving(message)
    if number is None:
        raise CheckFailed("protocol", f"{target} answers with something else than a HealthCheckResponse")
    word = _SERVING.get(number, str(number))
    running.details["serving"] = word
    if word != "SERVING":
        raise CheckFailed("status", f"{target} says {word}{f' for {target.service!r}' if target.service else ''}")
    return healthy(running, f"{target} says SERVING")


def _serving(data: bytes) -> Optional[int]:
    """Field 1 of the HealthCheckResponse; a field that is not there has its default, 0."""
    if len(data) < 5 or data[0] != 0 or struct.unpack_from("!I", data, 1)[0] != len(data) - 5:
        return None
    status, position = 0, 5
    while position < len(data):
        key, position = _read_varint(data, position)
        if key == 8:
            status, position = _read_varint(data, position)
        else:
            position = _skip(data, key & 7, position)
        if position < 0:
            return None
    return status


def _read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The number and the position after it, negative where the data ends too early."""
    value = shift = 0
    while 0 <= position < len(data) and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            return value, position
    return 0, -1


def _skip(data: bytes, wire: int, position: int) -> int:
    if position < 0:
        return -1
    if wire == 0:
        return _read_varint(data, position)[1]
    if wire == 2:
        size, position = _read_varint(data, position)
        position = position + size if position >= 0 else -1
    elif wire in (1, 5):
        position += 8 if wire == 1 else 4
    else:
        return -1
    return position if position <= len(data) else -1


KIND = Kind(
    CONNECTION_OPTIONS | {"address", "tls", "service", "headers", "authorization_file"},
    _parse,
    _attempt,
)
