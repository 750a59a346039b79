# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ed25519 signatures, verified as RFC 8032 says with the standard library alone. PRIVATE to the collection.

Only verification: nothing here is secret, so nothing has to take constant time.
"""

from __future__ import annotations

import hashlib
from typing import Iterable, NamedTuple, Optional

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_SQRT_MINUS_ONE = pow(2, (_P - 1) // 4, _P)


class Point(NamedTuple):
    """Extended homogeneous coordinates: x = X/Z, y = Y/Z, x·y = T/Z."""

    x: int
    y: int
    z: int
    t: int


_NEUTRAL = Point(0, 1, 1, 0)


def _add(a: Point, b: Point) -> Point:
    """RFC 8032, 5.1.4."""
    e = (a.y - a.x) * (b.y - b.x) % _P
    f = (a.y + a.x) * (b.y + b.x) % _P
    g = 2 * a.t * b.t * _D % _P
    h = 2 * a.z * b.z % _P
    i, j, k, m = f - e, h - g, h + g, f + e
    return Point(i * j % _P, k * m % _P, j * k % _P, i * m % _P)


def _double(a: Point) -> Point:
    e = a.x * a.x % _P
    f = a.y * a.y % _P
    g = 2 * a.z * a.z % _P
    h = e + f
    i = h - (a.x + a.y) * (a.x + a.y) % _P
    j = e - f
    k = g + j
    return Point(i * k % _P, j * h % _P, k * j % _P, i * h % _P)


def _is_neutral(a: Point) -> bool:
    return a.x % _P == 0 and (a.y - a.z) % _P == 0


def _has_small_order(a: Point) -> bool:
    return _is_neutral(_double(_double(_double(a))))


def _decode(encoded: bytes) -> Optional[Point]:
    """The point, or None where the 32 bytes are no canonical encoding of one (RFC 8032, 5.1.3)."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if v * x * x % _P == -u % _P:
        x = x * _SQRT_MINUS_ONE % _P
    if v * x * x % _P != u or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return Point(x, y, 1, x * y % _P)


def _encode(a: Point) -> bytes:
    inverse = pow(a.z, _P - 2, _P)
    x, y = a.x * inverse % _P, a.y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE = _decode((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little")) or _NEUTRAL


def _combine(first: int, a: Point, second: int, b: Point) -> Point:
    """[first]a + [second]b, both in one pass over the bits."""
    table = (None, a, b, _add(a, b))
    total = _NEUTRAL
    for bit in range(max(first.bit_length(), second.bit_length()) - 1, -1, -1):
        total = _double(total)
        addend = table[(first >> bit & 1) | (second >> bit & 1) << 1]
        if addend is not None:
            total = _add(total, addend)
    return total


def verify(key: bytes, signature: bytes, message: Iterable[bytes]) -> bool:
    """Whether the 64 bytes of signature are those of this message, which comes in pieces, by the 32-byte public key.

    As strict as libsodium: S below the order of the group, canonical points, and none of small order.
    """
    if len(key) != 32 or len(signature) != 64:
        return False
    a, r, s = _decode(key), _decode(signature[:32]), int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= _ORDER or _has_small_order(a) or _has_small_order(r):
        return False
    digest = hashlib.sha512(signature[:32] + key)
    for piece in message:
        digest.update(piece)
    k = int.from_bytes(digest.digest(), "little") % _ORDER
    minus_a = Point(_P - a.x, a.y, a.z, _P - a.t)
    return _encode(_combine(s, _BASE, k, minus_a)) == signature[:32]
