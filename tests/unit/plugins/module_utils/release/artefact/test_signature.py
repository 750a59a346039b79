# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures of ssh-keygen and minisign, from those who are trusted and from others."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.slipway.go.plugins.module_utils._core import command
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import signature
from ansible_collections.slipway.go.plugins.module_utils._release.artefact.signature import Trust

FOLDER = Path(__file__).parent / "minisign"
ONE, OTHER = ((FOLDER / name).read_text() for name in ("one.pub", "other.pub"))
MINISIG = (FOLDER / "hashed.minisig").read_text()
MESSAGE = str(FOLDER / "message")
needs_ssh = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Two keys of SSH and what the first has signed."""
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("one", "two"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True)
    (folder / "shop").write_bytes(b"what is released")
    sign = ["ssh-keygen", "-q", "-Y", "sign", "-f", folder / "one", "-n", "file", folder / "shop"]
    subprocess.run(sign, check=True, capture_output=True)
    return folder


def line(keys, name, who, options=""):
    return f"{who} {options}{' ' if options else ''}{(keys / f'{name}.pub').read_text()}"


def verify(keys, tmp_path, trust, text=None, path=None):
    text = (keys / "shop.sig").read_text() if text is None else text
    try:
        return signature.verify(text, trust, str(path or keys / "shop"), str(tmp_path))
    finally:
        assert os.listdir(tmp_path) == [], "nothing stays"


def refused(code, act, *words):
    with pytest.raises(SlipwayError) as caught:
        act()
    assert caught.value.code == code
    assert caught.value.fix
    for word in words:
        assert word in str(caught.value)


@needs_ssh
def test_a_key_that_is_trusted(keys, tmp_path):
    trust = Trust(allowed_signers=line(keys, "two", "b@x") + line(keys, "one", "a@x"))
    found = verify(keys, tmp_path, trust)
    assert found.signer.startswith("ssh a@x SHA256:")
    assert verify(keys, tmp_path, Trust(allowed_signers=trust.allowed_signers, signer="a@x")) == found


@needs_ssh
@pytest.mark.parametrize(
    ("name", "who", "options", "more"),
    [
        ("two", "a@x", "", {}),
        ("one", "b@x", "", {"signer": "a@x"}),
        ("one", "a@x", 'namespaces="git"', {}),
        ("one", "a@x", "", {"namespace": "git"}),
        ("one", "a@x", 'valid-before="20200101"', {}),
        ("one", "a@x", "", {"signer": "-rx"}),
    ],
)
def test_a_key_that_is_not(keys, tmp_path, name, who, options, more):
    trust = Trust(allowed_signers=line(keys, name, who, options), **more)
    refused("bad_signature", lambda: verify(keys, tmp_path, trust), "release_signature")


@needs_ssh
def test_another_content(keys, tmp_path):
    trust = Trust(allowed_signers=line(keys, "one", "a@x"))
    path = keys / "changed"
    path.write_bytes(b"what is releaseD")
    refused("bad_signature", lambda: verify(keys, tmp_path, trust, path=path), "release_signature", "a@x")


@needs_ssh
def test_every_changed_letter_of_the_signature_is_refused(keys, tmp_path):
    trust = Trust(allowed_signers=line(keys, "one", "a@x"), signer="a@x")
    text = (keys / "shop.sig").read_text()
    start = text.index("\n") + 1
    for at in range(start, text.index("\n-----END"), 11):
        if text[at] != "\n":
            changed = text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :]
            refused("bad_signature", lambda changed=changed: verify(keys, tmp_path, trust, changed))


@needs_ssh
def test_a_signature_that_was_cut_short(keys, tmp_path):
    trust = Trust(allowed_signers=line(keys, "one", "a@x"))
    refused("bad_signature", lambda: verify(keys, tmp_path, trust, (keys / "shop.sig").read_text()[:100]))


@needs_ssh
def test_a_comment_in_allowed_signers_may_be_in_any_encoding(keys, tmp_path):
    comment = "# J\xfcrgen\n".encode("latin-1").decode("utf-8", "surrogateescape")
    trust = Trust(allowed_signers=comment + line(keys, "one", "a@x"))
    assert verify(keys, tmp_path, trust).signer.startswith("ssh a@x SHA256:")


@needs_ssh
def test_a_signature_with_a_byte_that_is_no_utf_8_is_refused(keys, tmp_path):
    trust = Trust(allowed_signers=line(keys, "one", "a@x"))
    text = (keys / "shop.sig").read_text()
    for broken in (text[:100] + "\udcff" + text[100:], "-----BEGIN SSH SIGNATURE-----\n\udcff\n"):
        refused("bad_signature", lambda broken=broken: verify(keys, tmp_path, trust, broken), "release_signature")


def test_ssh_keygen_gets_the_bytes_that_were_given(tmp_path, monkeypatch):
    seen = []

    def remember(arguments, stream, failure):
        seen.extend((tmp_path / name).read_bytes() for name in ("allowed_signers", "signature"))
        return "a@x"

    monkeypatch.setattr(signature, "_ssh_keygen", remember)
    text = "-----BEGIN SSH SIGNATURE-----\n\udcff\n"
    verify(tmp_path, tmp_path, Trust(allowed_signers="# \udcfc\na@x ssh-ed25519 AAAA", signer="a@x"), text, MESSAGE)
    assert seen == [b"# \xfc\na@x ssh-ed25519 AAAA\n", b"-----BEGIN SSH SIGNATURE-----\n\xff\n"]


@pytest.mark.parametrize(
    ("tool", "words"),
    [(None, "has no ssh-keygen"), ("#!/bin/sh\necho 'unknown option -- Y' >&2; exit 1\n", "too old")],
)
def test_a_host_without_what_it_takes(tmp_path, monkeypatch, tool, words):
    monkeypatch.setattr(command, "PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "work").mkdir()
    if tool:
        (tmp_path / "bin" / "ssh-keygen").write_text(tool)
        (tmp_path / "bin" / "ssh-keygen").chmod(0o755)
    text = "-----BEGIN SSH SIGNATURE-----\n"
    trust = Trust(allowed_signers="a ssh-ed25519 AAAA")
    refused("no_ssh_keygen", lambda: signature.verify(text, trust, MESSAGE, str(tmp_path / "work")), words, "minisign")


def test_a_tool_that_hangs(tmp_path, monkeypatch):
    def hang(argv, **_options):
        raise command.TimeLimitPassed(argv, 120)

    monkeypatch.setattr(command, "run", hang)
    trust = Trust(allowed_signers="a ssh-ed25519 AAAA")
    refused(
        "bad_signature",
        lambda: signature.verify("-----BEGIN SSH SIGNATURE-----\n", trust, MESSAGE, str(tmp_path)),
        "120",
    )


def test_minisign(tmp_path):
    assert signature.verify(MINISIG, Trust((OTHER, ONE)), MESSAGE, str(tmp_path)).signer == "minisign DC6C420BBA78D4E6"
    refused("unknown_signer", lambda: signature.verify(MINISIG, Trust((OTHER,)), MESSAGE, str(tmp_path)))


@pytest.mark.parametrize("text", ["", "-----BEGIN PGP SIGNATURE-----\n", "\0"])
def test_what_is_no_signature(tmp_path, text):
    refused("invalid_signature", lambda: signature.verify(text, Trust((ONE,)), MESSAGE, str(tmp_path)), "minisign -S")


def test_a_kind_of_signature_for_which_nobody_is_trusted(tmp_path):
    ssh = Trust(allowed_signers="a ssh-ed25519 AAAA")
    refused("no_signer", lambda: signature.verify(MINISIG, ssh, MESSAGE, str(tmp_path)), "release_minisign_keys")
    text = "-----BEGIN SSH SIGNATURE-----\n"
    refused("no_signer", lambda: signature.verify(text, Trust((ONE,)), MESSAGE, str(tmp_path)), "allowed_signers")


def test_trust_in_nobody():
    refused("no_signer", lambda: Trust().check(), "whose signature counts")
    refused("no_signer", lambda: Trust(allowed_signers="\n").check())
    refused("invalid_key", lambda: Trust(("nonsense",)).check(), "release_minisign_keys")
