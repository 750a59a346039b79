# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures in the format of minisign(1), verified without it. This file is PRIVATE to the collection.

A signature file is four lines: an untrusted comment, the signature, a trusted comment, and the global signature over
the signature and the trusted comment. A public key is one line of base64, with or without a comment above it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import BinaryIO, Iterator, NamedTuple, Optional, Sequence

from ..._core.errors import SlipwayError
from .ed25519 import verify

CHUNK = 1 << 20
UNTRUSTED = "untrusted comment: "
TRUSTED = "trusted comment: "
_LEGACY = b"Ed"  # signs the file itself
_HASHED = b"ED"  # signs the file's BLAKE2b-512


class Key(NamedTuple):
    key_id: bytes
    public: bytes

    def __str__(self) -> str:
        """As minisign shows it: the id as a number."""
        return f"{int.from_bytes(self.key_id, 'little'):016X}"


class Signature(NamedTuple):
    algorithm: bytes
    key_id: bytes
    signature: bytes
    trusted_comment: bytes
    global_signature: bytes

    @property
    def is_plain(self) -> bool:
        """Whether it signs the file itself, and not its digest."""
        return self.algorithm == _LEGACY


def _base64(text: str, size: int) -> Optional[bytes]:
    """The bytes, or None where text is not the one encoding of that many."""
    try:
        found = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None
    return found if len(found) == size and base64.b64encode(found).decode() == text else None


def parse_key(text: str) -> Key:
    """A public key as `minisign -G` prints it, or the whole file."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].startswith(UNTRUSTED):
        lines = lines[1:]
    raw = _base64(lines[0], 42) if len(lines) == 1 else None
    if raw is None or raw[:2] != _LEGACY:
        raise SlipwayError(
            "invalid_key",
            f"release_minisign_keys has {text.strip()[:80]!r}, which is no public key of minisign.",
            "give the line that starts with RW of the file minisign.pub",
        )
    return Key(raw[2:10], raw[10:])


def _lines(text: str) -> list[str]:
    """Only a line feed ends a line: the trusted comment is signed byte for byte."""
    lines = text.split("\n")
    while lines and not lines[-1].strip():
        lines.pop()
    return [line[:-1] if line.endswith("\r") else line for line in lines]


def parse_signature(text: str) -> Optional[Signature]:
    """None where it is no signature of minisign."""
    lines = _lines(text)
    if len(lines) != 4 or not lines[0].startswith(UNTRUSTED) or not lines[2].startswith(TRUSTED):
        return None
    raw, whole = _base64(lines[1].strip(), 74), _base64(lines[3].strip(), 64)
    if raw is None or whole is None or raw[:2] not in (_LEGACY, _HASHED):
        return None
    comment = lines[2][len(TRUSTED) :].encode("utf-8", "surrogateescape")
    return Signature(raw[:2], raw[2:10], raw[10:], comment, whole)


def comment_of(text: str) -> str:
    """The trusted comment, to be believed once signed_by() has accepted that text."""
    signature = parse_signature(text)
    return signature.trusted_comment.decode("utf-8", "surrogateescape") if signature is not None else ""


def _pieces(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK), b"")


def _message(signature: Signature, stream: BinaryIO) -> Iterator[bytes]:
    if signature.algorithm == _LEGACY:
        yield from _pieces(stream)
        return
    digest = hashlib.blake2b()
    for piece in _pieces(stream):
        digest.update(piece)
    yield digest.digest()


def signed_by(text: str, keys: Sequence[Key], stream: BinaryIO) -> Key:
    """The key among keys that has signed what stream holds, and the trusted comment with it; raise if none has."""
    signature = parse_signature(text)
    if signature is None:
        raise SlipwayError(
            "invalid_signature",
            "release_signature is no signature of minisign: it was damaged, or is something else.",
            "give the file that minisign -S has written (NAME.minisig)",
        )
    key = next((key for key in keys if key.key_id == signature.key_id), None)
    if key is None:
        known = ", ".join(map(str, keys))
        raise SlipwayError(
            "unknown_signer",
            f"release_signature was made with the key {Key(signature.key_id, b'')}, "
            f"which is not in release_minisign_keys ({known}).",
            "sign with one of these keys, or add the public key of that signer if you trust it",
        )
    if not verify(key.public, signature.signature, _message(signature, stream)):
        raise SlipwayError(
            "bad_signature",
            f"release_signature is not the signature of this content by the key {key}.",
            "sign exactly what is released, or find out who has changed it",
        )
    if not verify(key.public, signature.global_signature, [signature.signature + signature.trusted_comment]):
        raise SlipwayError(
            "bad_signature",
            f"the trusted comment in release_signature is not the one that the key {key} has signed.",
            "take the signature file as the signer has published it",
        )
    return key
