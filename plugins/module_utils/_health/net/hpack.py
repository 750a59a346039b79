# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""HTTP/2 header compression: reads all of RFC 7541, writes the plainest. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Tuple

Header = Tuple[str, str]

TABLE_SIZE = 4096
LIST_LIMIT = 65536
_ENTRY_OVERHEAD = 32
_INTEGER_LIMIT = 1 << 28

# RFC 7541 appendix A.
_STATIC: tuple[Header, ...] = (
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
)

# RFC 7541 appendix B. The code is canonical, so that the length in bits of each symbol's code (in base 32 digits; the
# last symbol is the end of string) says all.
_DIGITS = "0123456789abcdefghijklmnopqrstu"
_LENGTHS = (
    "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde6"
    "f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnmmn"
    "qqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu"
)
_END_OF_STRING = 256


class HpackError(ValueError):
    """The header block breaks RFC 7541."""


def _codes() -> dict[tuple[int, int], int]:
    """(length, code) to symbol."""
    table: dict[tuple[int, int], int] = {}
    code = previous = 0
    for length, symbol in sorted((_DIGITS.index(digit), symbol) for symbol, digit in enumerate(_LENGTHS)):
        code <<= length - previous
        table[length, code] = symbol
        code += 1
        previous = length
    return table


_CODES = _codes()


def unhuffman(data: bytes) -> bytes:
    decoded = bytearray()
    code = length = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code = code << 1 | byte >> shift & 1
            length += 1
            symbol = _CODES.get((length, code))
            if symbol is None:
                if length > 30:
                    raise HpackError("no such Huffman code")
                continue
            if symbol == _END_OF_STRING:
                raise HpackError("end of string inside a string")
            decoded.append(symbol)
            code = length = 0
    # What is left over is padding: fewer than eight bits, all of them ones.
    if length > 7 or code != (1 << length) - 1:
        raise HpackError("bad padding")
    return bytes(decoded)


def _integer(data: bytes, position: int, prefix: int) -> tuple[int, int]:
    """The number that starts in the low prefix bits at position, and the position after it."""
    full = (1 << prefix) - 1
    value = _byte(data, position) & full
    position += 1
    if value < full:
        return value, position
    shift = 0
    while True:
        byte = _byte(data, position)
        position += 1
        value += (byte & 0x7F) << shift
        shift += 7
        if value > _INTEGER_LIMIT or shift > 35:
            raise HpackError("number too large")
        if not byte & 0x80:
            return value, position


def _byte(data: bytes, position: int) -> int:
    if position >= len(data):
        raise HpackError("cut short")
    return data[position]


def _string(data: bytes, position: int) -> tuple[str, int]:
    compressed = _byte(data, position) & 0x80
    length, position = _integer(data, position, 7)
    raw = data[position : position + length]
    if len(raw) < length:
        raise HpackError("cut short")
    return (unhuffman(raw) if compressed else raw).decode("latin-1"), position + length


class Decoder:
    """Header blocks of one connection, in their order."""

    def __init__(self) -> None:
        self._dynamic: list[Header] = []
        self._limit = TABLE_SIZE

    def decode(self, block: bytes) -> list[Header]:
        headers: list[Header] = []
        position = size = 0
        while position < len(block):
            first = block[position]
            if first & 0xE0 == 0x20:
                position = self._resize(block, position)
                continue
            header, position = self._field(block, position, first)
            size += _size(header)
            if size > LIST_LIMIT:
                raise HpackError("headers too large")
            headers.append(header)
        return headers

    def _resize(self, block: bytes, position: int) -> int:
        self._limit, position = _integer(block, position, 5)
        if self._limit > TABLE_SIZE:
            raise HpackError("table larger than allowed")
        self._evict()
        return position

    def _field(self, block: bytes, position: int, first: int) -> tuple[Header, int]:
        if first & 0x80:
            index, position = _integer(block, position, 7)
            return self._entry(index), position
        indexed = first & 0xC0 == 0x40
        index, position = _integer(block, position, 6 if indexed else 4)
        if index:
            name = self._entry(index)[0]
        else:
            name, position = _string(block, position)
        value, position = _string(block, position)
        if indexed:
            self._dynamic.insert(0, (name, value))
            self._evict()
        return (name, value), position

    def _entry(self, index: int) -> Header:
        table = _STATIC if 0 < index <= len(_STATIC) else self._dynamic
        position = index - 1 if table is _STATIC else index - 1 - len(_STATIC)
        if not 0 <= position < len(table):
            raise HpackError("no such entry")
        return table[position]

    def _evict(self) -> None:
        total = 0
        for position, header in enumerate(self._dynamic):
            total += _size(header)
            if total > self._limit:
                del self._dynamic[position:]
                return


def _size(header: Header) -> int:
    return len(header[0]) + len(header[1]) + _ENTRY_OVERHEAD


def encode(headers: list[Header]) -> bytes:
    """Literals that enter no table: a few bytes more, and nothing to keep."""
    block = bytearray()
    for name, value in headers:
        block.append(0)
        for text in (name, value):
            raw = text.encode("utf-8")
            block += _length(len(raw)) + raw
    return bytes(block)


def _length(number: int) -> bytes:
    if number < 0x7F:
        return bytes([number])
    rest = number - 0x7F
    encoded = bytearray([0x7F])
    while rest >= 0x80:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)
