# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ed25519 against the vectors of RFC 8032, another implementation, and everything that is nearly right."""

from __future__ import annotations

import hashlib

import pytest
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import ed25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

# RFC 8032, 7.1: TEST 1, 2, 3 and SHA(abc): secret key, public key, message, signature.
RFC8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
        "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b589"
        "09351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]
KEY, MESSAGE, SIGNATURE = (bytes.fromhex(part) for part in RFC8032[2][1:])


@pytest.mark.parametrize("vector", RFC8032, ids=["1", "2", "3", "SHA(abc)"])
def test_rfc_8032(vector):
    secret, key, message, signature = (bytes.fromhex(part) for part in vector)
    private = Ed25519PrivateKey.from_private_bytes(secret)
    assert private.public_key().public_bytes_raw() == key, "the vector was copied wrongly"
    assert private.sign(message) == signature, "the vector was copied wrongly"
    assert ed25519.verify(key, signature, [message])
    assert not ed25519.verify(key, signature, [message + b"\0"])


def flipped(data, bit):
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_every_flipped_bit_of_the_signature_is_refused():
    assert not [bit for bit in range(512) if ed25519.verify(KEY, flipped(SIGNATURE, bit), [MESSAGE])]


def test_every_flipped_bit_of_the_key_is_refused():
    assert not [bit for bit in range(256) if ed25519.verify(flipped(KEY, bit), SIGNATURE, [MESSAGE])]


@given(
    secret=st.binary(min_size=32, max_size=32), message=st.binary(max_size=300), at=st.integers(0), cut=st.integers(0)
)
def test_what_another_implementation_signs_is_accepted_and_nothing_near_it(secret, message, at, cut):
    private = Ed25519PrivateKey.from_private_bytes(secret)
    key, signature = private.public_key().public_bytes_raw(), private.sign(message)
    cut %= len(message) + 1
    assert ed25519.verify(key, signature, [message[:cut], message[cut:]]), "the pieces do not matter"
    assert not ed25519.verify(key, flipped(signature, at % 512), [message])
    if message:
        assert not ed25519.verify(key, signature, [flipped(message, at % (8 * len(message)))])


@given(key=st.binary(max_size=70), signature=st.binary(max_size=70), message=st.binary(max_size=70))
def test_noise_is_refused(key, signature, message):
    assert not ed25519.verify(key, signature, [message])


def test_another_encoding_of_the_same_signature_is_refused():
    """S and S plus the order of the group satisfy the same equation: only one of them is a signature."""
    s = int.from_bytes(SIGNATURE[32:], "little") + ed25519._ORDER
    assert not ed25519.verify(KEY, SIGNATURE[:32] + s.to_bytes(32, "little"), [MESSAGE])


# The points of small order and their second encodings: with such a key, one signature fits every message.
SMALL_ORDER = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_points_of_small_order_are_no_keys(point):
    weak = bytes.fromhex(point)
    zero = bytes(32)
    for r in map(bytes.fromhex, SMALL_ORDER):
        assert not ed25519.verify(weak, r + zero, [MESSAGE])
    assert not ed25519.verify(KEY, weak + SIGNATURE[32:], [MESSAGE])
