# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one field needed of an X.509 certificate. This file is PRIVATE to the collection."""

from __future__ import annotations

import calendar
from typing import NamedTuple, Optional

_VERSION = 0xA0
_UTC_TIME = 0x17
_GENERALIZED_TIME = 0x18


class Element(NamedTuple):
    tag: int
    content: bytes


def not_after(certificate: bytes) -> Optional[int]:
    """The end of a DER certificate's validity as seconds since 1970; None where it cannot be read."""
    try:
        whole = _elements(certificate)[0]
        to_be_signed = _elements(whole.content)[0]
        fields = _elements(to_be_signed.content)
        # Before the validity: perhaps a version, then serial number, signature algorithm and issuer.
        validity = fields[4 if fields[0].tag == _VERSION else 3]
        end = _elements(validity.content)[1]
        return _seconds(end.tag, end.content.decode("ascii"))
    except (ValueError, IndexError):
        return None


def _elements(data: bytes) -> list[Element]:
    elements: list[Element] = []
    position = 0
    while position < len(data):
        tag, length = data[position], data[position + 1]
        start = position + 2
        if length & 0x80:
            size = length & 0x7F
            if not 1 <= size <= 4:
                raise ValueError("length")
            length, start = int.from_bytes(data[start : start + size], "big"), start + size
        position = start + length
        if position > len(data):
            raise ValueError("cut short")
        elements.append(Element(tag, data[start:position]))
    return elements


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
