# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The grpc kind: grpc.health.v1.Health/Check. This file is PRIVATE to the collection."""

from __future__ import annotations

import struct
from typing import Optional
from urllib.parse import unquote

from ..net.http2 import exchange, question
from ..outcome import Attempt, CheckFailed, need
from ..session import Probe, healthy
from .fetch import read_secret

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


def attempt(probe: Probe) -> Attempt:
    check = probe.check
    endpoint = need(check.endpoint)
    with probe.open(endpoint) as stream:
        if check.tls is not None:
            agreed = probe.secure(stream, check.tls, check.tls.server_name or endpoint.host or None, ("h2",))
            if agreed not in (None, "h2"):
                raise CheckFailed("protocol", f"{stream.where} agreed on {agreed}, gRPC needs h2")
        probe.say(stream, question(_headers(probe), _request(need(check.grpc).service)))
        headers, trailers, message = exchange(stream)
    _require_grpc(headers, check.target)
    _require_ok(probe, trailers)
    return _judge(probe, message)


def _headers(probe: Probe) -> list[tuple[str, str]]:
    check = probe.check
    endpoint, grpc = need(check.endpoint), need(check.grpc)
    authority = "localhost" if endpoint.path is not None else str(endpoint)
    milliseconds = min(_MOST_MILLISECONDS, max(1, int(probe.deadline.left() * 1000)))
    headers = [
        (":method", "POST"),
        (":scheme", "http" if check.tls is None else "https"),
        (":path", _PATH),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("user-agent", "slipway-health"),
        ("grpc-timeout", f"{milliseconds}m"),
    ]
    headers += [(name.lower(), value) for name, value in grpc.headers]
    if grpc.authorization_file:
        headers.append(("authorization", read_secret(grpc.authorization_file)))
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


def _require_grpc(headers: dict[str, str], where: str) -> None:
    if headers.get(":status") != "200":
        raise CheckFailed("status", f"{where} answers HTTP {headers.get(':status', 'nothing')} instead of gRPC")
    kind = headers.get("content-type", "")
    if not kind.startswith("application/grpc"):
        raise CheckFailed("protocol", f"{where} answers with {kind or 'no content type'}, not with gRPC")


def _require_ok(probe: Probe, trailers: dict[str, str]) -> None:
    text = trailers.get("grpc-status", "")
    if not (text.isascii() and text.isdigit()):
        raise CheckFailed("protocol", f"{probe.check.target} ends its answer without a gRPC status")
    code = int(text[:9])
    probe.status = code
    if code == _OK:
        return
    said = unquote(trailers.get("grpc-message", ""))[:200]
    name = _CODES[code] if code < len(_CODES) else text[:9]
    message = f"{probe.check.target} answers {name}{': ' + said if said else ''}{_hint(probe, code)}"
    raise CheckFailed("timeout" if code == _DEADLINE else "status", message)


def _hint(probe: Probe, code: int) -> str:
    if code == _UNIMPLEMENTED:
        return "; it does not offer grpc.health.v1"
    if code == _NOT_FOUND:
        return f"; it reports no health for service {need(probe.check.grpc).service!r}"
    return ""


def _judge(probe: Probe, message: bytes) -> Attempt:
    number = _serving(message)
    if number is None:
        raise CheckFailed("protocol", f"{probe.check.target} answers with something else than a HealthCheckResponse")
    word = _SERVING.get(number, str(number))
    probe.details["serving"] = word
    if word != "SERVING":
        service = need(probe.check.grpc).service
        raise CheckFailed("status", f"{probe.check.target} says {word}{f' for {service!r}' if service else ''}")
    return healthy(probe, f"{probe.check.target} says SERVING")


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
