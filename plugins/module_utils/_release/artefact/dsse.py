# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Envelopes of DSSE 1.0 (dead simple signing envelope), read as untrusted input. PRIVATE to the collection.

What is signed is PAE(payloadType, payload), never the JSON around it. `sig` of a key of minisign is the plain Ed25519
signature of that; `sig` of a key of SSH is the whole signature of `ssh-keygen -Y sign`, without its armour.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any, Iterable, NamedTuple, NoReturn, Sequence

MAX_TEXT = 1 << 18
MAX_SIGNATURES = 8
MAX_DIGITS = 20  # of a number
PAYLOAD_TYPE = "application/vnd.in-toto+json"
SSHSIG = b"SSHSIG"
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


class Malformed(ValueError):
    """What is wrong with the text, in words that go on after "it"."""


class Signature(NamedTuple):
    """keyid: a hint that nobody has signed; empty where there is none."""

    keyid: str
    signature: bytes


class Envelope(NamedTuple):
    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @property
    def message(self) -> bytes:
        """What is signed."""
        return pae(self.payload_type, self.payload)


def pae(payload_type: str, payload: bytes) -> bytes:
    """The pre-authentication encoding."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def parse(text: str) -> Envelope:
    """The one envelope that the text is; raise Malformed."""
    if len(text) > MAX_TEXT:
        _refuse(f"has more than {MAX_TEXT >> 10} KiB")
    document = parse_json(text)
    if not isinstance(document, dict):
        _refuse("is not one object of JSON")
    kind = document.get("payloadType")
    if not isinstance(kind, str):
        _refuse("has no payloadType")
    if kind != PAYLOAD_TYPE:
        _refuse(f"has the payloadType {kind[:80]!r}, and not {PAYLOAD_TYPE}")
    return Envelope(kind, _decode(document.get("payload"), "payload"), _signatures(document.get("signatures")))


def _signatures(given: Any) -> tuple[Signature, ...]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        _refuse("has no list of signatures")
    if not 0 < len(given) <= MAX_SIGNATURES:
        _refuse(f"has {len(given)} signatures, and 1 to {MAX_SIGNATURES} are allowed")
    found = []
    for one in given:
        keyid = one.get("keyid", "")
        if not isinstance(keyid, str):
            _refuse("has a keyid that is no text")
        found.append(Signature(keyid, _decode(one.get("sig"), "sig")))
    if len({one.signature for one in found}) < len(found):
        _refuse("has a signature twice")
    return tuple(found)


def _decode(given: Any, field: str) -> bytes:
    """Base64 in its standard or its URL-safe alphabet, in the one spelling of these bytes."""
    if not isinstance(given, str) or not given or not _BASE64.fullmatch(given):
        _refuse(f"has a {field} that is no base64")
    standard = given.replace("-", "+").replace("_", "/")
    try:
        found = base64.b64decode(standard, validate=True)
    except (ValueError, binascii.Error):
        _refuse(f"has a {field} that is no base64")
    if base64.b64encode(found).decode() != standard:
        _refuse(f"has a {field} whose base64 ends in other bits than zeros")
    return found


def parse_json(text: str) -> Any:
    """A text in JSON, in which nothing could be read in two ways."""
    try:
        text.encode()
        found = json.loads(
            text,
            object_pairs_hook=_unique,
            parse_constant=lambda name: _refuse(f"has the number {name}"),
            parse_int=_integer,
            parse_float=_fraction,
        )
        json.dumps(found, ensure_ascii=False).encode()  # a half of a surrogate pair is no character
    except Malformed:
        raise
    except UnicodeError:
        _refuse("is not UTF-8")
    except (ValueError, RecursionError) as error:
        _refuse(f"is no JSON ({str(error)[:80]})")
    return found


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for index, (key, _value) in enumerate(pairs) if key in {k for k, _v in pairs[:index]})
        _refuse(f"has {twice[:80]!r} twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        _refuse(f"has a number of {len(digits)} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    number = float(digits) if len(digits) <= 4 * MAX_DIGITS else float("inf")
    if number in (float("inf"), float("-inf")):
        _refuse("has a number that is too large")
    return number


def render(payload_type: str, payload: bytes, signatures: Iterable[Signature]) -> str:
    """An envelope as one line."""
    return (
        json.dumps(
            {
                "payloadType": payload_type,
                "payload": base64.b64encode(payload).decode(),
                "signatures": [
                    {"keyid": one.keyid, "sig": base64.b64encode(one.signature).decode()} for one in signatures
                ],
            }
        )
        + "\n"
    )


def _refuse(why: str) -> NoReturn:
    raise Malformed(why)
