"""Signatures of minisign, made without it."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class Signer:
    """Signs as minisign does, without it."""

    def __init__(self, identity: bytes = b"slipways") -> None:
        self._key = Ed25519PrivateKey.generate()
        self._id = identity

    @property
    def public(self) -> str:
        return base64.b64encode(b"Ed" + self._id + self._key.public_key().public_bytes_raw()).decode()

    def sign_plainly(self, message: bytes) -> bytes:
        """The message itself, as an envelope of DSSE wants it."""
        return self._key.sign(message)

    def sign(self, data: bytes, comment: str = "a test") -> bytes:
        signature = self._key.sign(hashlib.blake2b(data).digest())
        whole = self._key.sign(signature + comment.encode())
        first = base64.b64encode(b"ED" + self._id + signature).decode()
        second = base64.b64encode(whole).decode()
        return f"untrusted comment: \n{first}\ntrusted comment: {comment}\n{second}\n".encode()
