# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who has signed a file: minisign, or a key of SSH. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple

from ..._core import command, files
from ..._core.errors import SlipwayError
from . import minisign

MAX_TEXT = 1 << 16
_SSH = "-----BEGIN SSH SIGNATURE-----"
_GOOD = re.compile(r'Good "[^"]*" signature for (.+) with (\S+) key (\S+)')
_NO_TOOL = "install OpenSSH 8.1 or newer on the host (ssh-keygen), or sign with minisign"


@dataclass(frozen=True)
class Trust:
    """Whose signature counts.

    keys: public keys of minisign. allowed_signers: the text of ssh-keygen(1)'s file. signer: the identity in it that
    must have signed; any when empty.
    """

    keys: tuple[str, ...] = ()
    allowed_signers: str = ""
    signer: str = ""
    namespace: str = "file"

    def check(self, variable: str = "release_signature") -> None:
        """Raise where nobody could ever be trusted by this. variable: what was signed."""
        for key in self.keys:
            minisign.parse_key(key)
        if not self.keys and not self.allowed_signers.strip():
            raise SlipwayError(
                "no_signer",
                f"{variable} is set, and nothing says whose signature counts.",
                "set release_minisign_keys, or release_allowed_signers for signatures of ssh-keygen -Y sign",
            )


class Signed(NamedTuple):
    """Who has signed it, and the comment that was signed with it; SSH has none."""

    signer: str
    comment: str = ""


def verify(text: str, trust: Trust, path: str, folder: str) -> Signed:
    """Return who has signed the file at path; raise SlipwayError unless that is one of those trusted.

    text is the detached signature. folder is a private one for the files that ssh-keygen(1) wants to read.
    """
    trust.check()
    if text.lstrip().startswith(_SSH):
        return Signed(_verify_ssh(text, trust, path, folder))
    if not text.startswith(minisign.UNTRUSTED):
        raise SlipwayError(
            "invalid_signature",
            "release_signature is neither a signature of minisign nor one of ssh-keygen -Y sign.",
            "sign with minisign -S or ssh-keygen -Y sign -n file, and give the file it writes",
        )
    if not trust.keys:
        raise SlipwayError(
            "no_signer",
            "release_signature is one of minisign, and release_minisign_keys is empty.",
            "set release_minisign_keys to the public keys you trust",
        )
    with open(path, "rb") as stream:
        key = minisign.signed_by(text, [minisign.parse_key(key) for key in trust.keys], stream)
    return Signed(f"minisign {key}", minisign.comment_of(text))


def _verify_ssh(text: str, trust: Trust, path: str, folder: str) -> str:
    if not trust.allowed_signers.strip():
        raise SlipwayError(
            "no_signer",
            "release_signature is one of ssh-keygen, and release_allowed_signers is empty.",
            "set release_allowed_signers to a file of lines IDENTITY KEYTYPE KEY",
        )
    allowed, signature = os.path.join(folder, "allowed_signers"), os.path.join(folder, "signature")
    for name, content in ((allowed, trust.allowed_signers), (signature, text)):
        whole = content if content.endswith("\n") else content + "\n"
        files.write_pieces([whole.encode("utf-8", "surrogateescape")], name, 0o600)
    try:
        with open(path, "rb") as stream:
            signer = trust.signer or _find_signer(allowed, signature, stream)
            stream.seek(0)
            told = _ssh_keygen(
                ["verify", "-f", allowed, "-I", signer, "-n", trust.namespace, "-s", signature],
                stream,
                f"release_signature is not a valid signature of this content by {signer} "
                f"in the namespace {trust.namespace}",
            )
    finally:
        for name in (allowed, signature):
            os.unlink(name)
    good = _GOOD.search(told)
    return f"ssh {good.group(1)} {good.group(3)}" if good else f"ssh {signer}"


def _find_signer(allowed: str, signature: str, stream: BinaryIO) -> str:
    told = _ssh_keygen(
        ["find-principals", "-f", allowed, "-s", signature],
        stream,
        "release_signature was made with a key that is not in release_allowed_signers",
    )
    return told.splitlines()[0].partition(",")[0].strip() if told.strip() else ""


def _ssh_keygen(arguments: list[str], stream: BinaryIO, failure: str) -> str:
    try:
        done = command.run(["ssh-keygen", "-Y", *arguments], source=stream)
    except command.MissingProgram:
        raise SlipwayError(
            "no_ssh_keygen", "this host has no ssh-keygen to check release_signature.", _NO_TOOL
        ) from None
    except command.TimeLimitPassed as error:
        raise SlipwayError(
            "bad_signature", f"release_signature was not checked: {error.message}", "run again"
        ) from None
    if done.code == 0:
        return done.text
    said = done.complaint.splitlines()
    if any("unknown option" in line or "usage:" in line for line in said):
        raise SlipwayError("no_ssh_keygen", "ssh-keygen on this host is too old for release_signature.", _NO_TOOL)
    raise SlipwayError(
        "bad_signature",
        f"{failure} (ssh-keygen: {said[0] if said else 'no reason given'}).",
        "sign exactly what is released with a key you trust, or find out who has changed it",
    )
