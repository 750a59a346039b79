# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures that the real minisign has made are accepted, and nothing that differs from them.

The files in minisign/ were made with minisign 0.11 and keys that are nobody's:
minisign -S [-l] -s KEY -m message -x hashed.minisig|legacy.minisig -t COMMENT
"""

from __future__ import annotations

import base64
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import minisign
from hypothesis import given, settings
from hypothesis import strategies as st

FOLDER = Path(__file__).parent / "minisign"
MESSAGE = (FOLDER / "message").read_bytes()
ONE = minisign.parse_key((FOLDER / "one.pub").read_text())
OTHER = minisign.parse_key((FOLDER / "other.pub").read_text())
HASHED = (FOLDER / "hashed.minisig").read_text()
LEGACY = (FOLDER / "legacy.minisig").read_text()


def signed(text, message=MESSAGE, keys=(ONE,)):
    return minisign.signed_by(text, keys, io.BytesIO(message))


def refused(code, text, message=MESSAGE, keys=(ONE,)):
    with pytest.raises(SlipwayError) as caught:
        signed(text, message, keys)
    assert caught.value.code in code
    assert "release_signature" in str(caught.value)
    assert caught.value.fix
    return True


@pytest.mark.parametrize("text", [HASHED, LEGACY], ids=["hashed", "legacy"])
def test_both_kinds(text):
    assert signed(text) == ONE
    assert signed(text, keys=(OTHER, ONE)) == ONE
    assert signed(text.replace("\n", "\r\n")) == ONE
    refused(["bad_signature"], text, MESSAGE + b"\n")
    refused(["unknown_signer"], text, keys=(OTHER,))


def test_the_id_is_shown_as_minisign_shows_it():
    assert str(ONE) in (FOLDER / "one.pub").read_text().splitlines()[0]


def test_a_key_that_claims_the_id_of_another():
    refused(["bad_signature"], HASHED, keys=(minisign.Key(ONE.key_id, OTHER.public),))


@pytest.mark.parametrize("text", [HASHED, LEGACY], ids=["hashed", "legacy"])
@pytest.mark.parametrize("line", [1, 3])
def test_every_flipped_bit_of_the_signatures_is_refused(text, line):
    lines = text.split("\n")
    raw = base64.b64decode(lines[line])
    for bit in range(8 * len(raw)):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        lines[line] = base64.b64encode(changed).decode()
        refused(["bad_signature", "unknown_signer", "invalid_signature"], "\n".join(lines))


@pytest.mark.parametrize("text", [HASHED, LEGACY], ids=["hashed", "legacy"])
def test_every_changed_byte_of_the_trusted_comment_is_refused(text):
    start = text.index(f"\n{minisign.TRUSTED}") + 1
    end = text.index("\n", start)
    for at in range(start, end):
        for bit in range(8):
            changed = bytearray(text.encode())
            changed[at] ^= 1 << bit
            refused(["bad_signature", "invalid_signature"], changed.decode("utf-8", "surrogateescape"))


@given(at=st.integers(0, 8 * len(MESSAGE) - 1))
def test_every_flipped_bit_of_the_message_is_refused(at):
    changed = bytearray(MESSAGE)
    changed[at // 8] ^= 1 << at % 8
    for text in (HASHED, LEGACY):
        refused(["bad_signature"], text, bytes(changed))


def test_the_untrusted_comment_is_nobodys_word():
    assert signed(HASHED.replace("signature of a test", "anything")) == ONE


def test_the_parts_of_two_signatures_do_not_fit_together():
    hashed, legacy = HASHED.split("\n"), LEGACY.split("\n")
    refused(["bad_signature"], "\n".join([*hashed[:2], *legacy[2:]]))
    refused(["bad_signature"], "\n".join([*legacy[:2], *hashed[2:]]))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n\n\n",
        HASHED.split("\n", 1)[1],
        "\n".join(HASHED.split("\n")[:2]),
        "\n".join(HASHED.split("\n")[:3]),
        HASHED + "another line\n",
        HASHED.replace("trusted comment: ", "comment: "),
        HASHED.replace("=", ""),
        HASHED.replace("\nRU", "\nRX"),
        HASHED.replace("\n", "\n\n"),
    ],
)
def test_what_is_no_signature(text):
    refused(["invalid_signature"], text)


@given(
    text=st.one_of(st.text(), st.lists(st.sampled_from([*HASHED.split("\n"), *LEGACY.split("\n"), "="])).map("\n".join))
)
def test_noise_is_refused_or_is_what_was_signed(text):
    whole = [lines.split("\n")[1:4] for lines in (HASHED, LEGACY)]
    if text.split("\n")[1:4] in whole:
        return
    refused(["invalid_signature", "bad_signature", "unknown_signer"], text)


def test_keys():
    line = (FOLDER / "one.pub").read_text().splitlines()[1]
    assert minisign.parse_key(line) == minisign.parse_key(f"\n  {line}\n") == ONE


@pytest.mark.parametrize(
    "text", ["", "RW", "untrusted comment: x\n", "RWQ" + "A" * 53 + "\nRWQ", "A" * 56, "é", "=" * 56]
)
def test_what_is_no_key(text):
    with pytest.raises(SlipwayError) as caught:
        minisign.parse_key(text)
    assert caught.value.code == "invalid_key"
    assert "release_minisign_keys" in str(caught.value)


@given(text=st.text())
def test_noise_is_no_key(text):
    with pytest.raises(SlipwayError):
        minisign.parse_key(text)


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A folder with a key of the minisign of this machine."""
    if shutil.which("minisign") is None:
        pytest.skip("minisign is not installed")
    folder = tmp_path_factory.mktemp("minisign")
    made = ["minisign", "-G", "-W", "-s", str(folder / "key"), "-p", str(folder / "key.pub")]
    subprocess.run(made, check=True, capture_output=True)
    return folder


@settings(max_examples=15)
@given(message=st.binary(max_size=3000), comment=st.text("abc äß:= ", max_size=40), legacy=st.booleans())
def test_what_minisign_signs_now(real, message, comment, legacy):
    (real / "file").write_bytes(message)
    kind = ["-l"] if legacy else []
    argv = ["minisign", "-S", *kind, "-s", str(real / "key"), "-m", str(real / "file"), "-t", comment]
    subprocess.run(argv, check=True, capture_output=True)
    text = (real / "file.minisig").read_bytes().decode("utf-8", "surrogateescape")
    key = minisign.parse_key((real / "key.pub").read_text())
    assert signed(text, message, (key,)) == key
    refused(["bad_signature"], text, message + b"x", (key,))
