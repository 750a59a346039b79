# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one field needed of an X.509 certificate. This file is PRIVATE to the collection."""

from __future__ import annotations

import calendar
from typing import Optional

_SEQUENCE = 0x30
_VERSION = 0xA0
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18


def not_after(certificate: bytes) -> Optional[int]:
    """The end of a DER certificate's validity as seconds since 1970; None where it cannot be read."""
    try:
        _, to_be_signed, _ = _element(certificate)
        _, fields, _ = _element(to_be_signed)
        tag, _, rest = _element(fields)
        if tag == _VERSION:
            _, _, rest = _element(rest)
        for _skipped in ("signature", "issuer"):
            _, _, rest = _element(rest)
        tag, validity, _ = _element(rest)
        if tag != _SEQUENCE:
            return None
        _, _, rest = _element(validity)
        tag, when, _ = _element(rest)
        return _seconds(tag, when.decode("ascii"))
    except (ValueError, IndexError):
        return None


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content and what follows."""
    tag, length, start = data[0], data[1], 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4:
            raise ValueError("length")
        length, start = int.from_bytes(data[2 : 2 + size], "big"), 2 + size
    if start + length > len(data):
        raise ValueError("truncated")
    return tag, data[start : start + length], data[start + length :]


def _seconds(tag: int, text: str) -> Optional[int]:
    if tag == _UTC_TIME:
        # RFC 5280: two-digit years from 50 are 19xx.
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif tag != _GENERALIZED_TIME:
        return None
    year, month, day, hour, minute, second = (
        int(text[a:b]) for a, b in ((0, 4), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14))
    )
    return calendar.timegm((year, month, day, hour, minute, second))
