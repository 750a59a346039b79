# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures by minisign and ssh-keygen, as the release's intake verifies them. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field
from typing import Callable, Iterator, Optional

from .._core import command, files
from .._core.errors import SlipwayError
from .._core.problems import Problem, ProblemsError
from .._release.artefact import dsse, ed25519, minisign, sshsig

MINISIG, SSHSIG = ".minisig", ".sig"
_SECONDS = 60.0
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")
_SAME_KEY = "give the secret and the public half of the same key"


@dataclass(frozen=True)
class Keys:
    """minisign_key, ssh_key: paths; for a key that an agent holds, that of its public half. public: minisign's.

    prefix: of the variables that name them.
    """

    minisign_key: str = ""
    minisign_public: str = ""
    minisign_password: str = field(default="", repr=False)
    ssh_key: str = ""
    namespace: str = "file"
    prefix: str = "build"

    @property
    def endings(self) -> list[str]:
        return [ending for ending, key in ((MINISIG, self.minisign_key), (SSHSIG, self.ssh_key)) if key]


def check(keys: Keys) -> None:
    """Raise with all that is wrong with them, before anything is built."""
    problems = list(_problems(keys))
    if problems:
        raise ProblemsError(problems)


def _problems(keys: Keys) -> Iterator[Problem]:
    for variable in ("minisign_key", "ssh_key"):
        path = getattr(keys, variable)
        if path and not os.path.isfile(path):
            message = f"{keys.prefix}_{variable} is {path}, and there is no such file on the host that builds."
            yield Problem("build_not_signed", message, f"put the key there, or leave {keys.prefix}_{variable} out")
    if keys.minisign_key:
        try:
            minisign.parse_key(keys.minisign_public)
        except SlipwayError:
            message = (
                f"{keys.prefix}_minisign_public_key is no public key of minisign, by which signatures are checked."
            )
            yield Problem("build_not_signed", message, "give the line that starts with RW of the file minisign.pub")
    if not re.fullmatch(r"[A-Za-z0-9._@-]+", keys.namespace):
        message = f"{keys.prefix}_ssh_namespace is {keys.namespace!r}, which is no namespace of ssh-keygen."
        yield Problem("build_not_signed", message, "leave it out, or give a word")


def missing(path: str, keys: Keys, version: str) -> list[str]:
    """The endings of those signatures of the file at path that are not there, or are not by these keys."""
    checks: dict[str, Callable[[], bool]] = {
        MINISIG: lambda: _is_minisigned(path, path + MINISIG, keys, version),
        SSHSIG: lambda: _is_ssh_signed(path, path + SSHSIG, keys),
    }
    return [ending for ending in keys.endings if not (os.path.isfile(path) and checks[ending]())]


def sign(path: str, ending: str, keys: Keys, version: str, scratch: str) -> str:
    """The text of a signature of the file at path, checked; scratch: a private folder."""
    made = os.path.join(scratch, f"signature{ending}")
    if ending == MINISIG:
        _minisign(path, made, keys, version)
        is_good = _is_minisigned(path, made, keys, version)
    else:
        files.remove_tree(made)
        files.write_atomic(made, _ssh_keygen(path, keys), 0o600)
        is_good = _is_ssh_signed(path, made, keys)
    if not is_good:
        raise SlipwayError(
            "build_not_signed",
            f"the signature of {os.path.basename(path)} is not by the key that was named.",
            _SAME_KEY,
        )
    text = files.text(made)
    os.unlink(made)
    return text


def sign_message(message: bytes, ending: str, keys: Keys, scratch: str) -> dsse.Signature:
    """A signature for an envelope: the plain one of Ed25519 by minisign's key, or the whole one of ssh-keygen.

    minisign signs the message itself only in its older form (-l), which versions before 0.10 always write.
    """
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path = os.path.join(folder, "message")
        files.write_pieces([message], path, 0o600)
        found = _sign_plainly(path, keys) if ending == MINISIG else _sign_by_ssh(path, keys)
    if not is_message_signed(message, found, ending, keys, scratch):
        raise SlipwayError(
            "build_not_signed",
            "the signature of the provenance is not by the key that was named.",
            _SAME_KEY,
        )
    return found


def _sign_plainly(path: str, keys: Keys) -> dsse.Signature:
    made, password = f"{path}{MINISIG}", f"{keys.minisign_password}\n".encode()
    argv = ["minisign", "-S", "-s", keys.minisign_key, "-m", path, "-x", made, "-t", "provenance"]
    done = command.run([*argv, "-l"], _SECONDS, source=password)
    if done.code != 0 and "option" in done.complaint:
        done = command.run(argv, _SECONDS, source=password)
    _require(done, "minisign", f"{keys.prefix}_minisign_password")
    found = minisign.parse_signature(files.text(made))
    if found is None or not found.is_plain:
        raise SlipwayError(
            "build_not_signed",
            "minisign has not made a signature of the provenance itself, but one of a digest.",
            "use a minisign that knows the option -l, or build_ssh_key",
        )
    return dsse.Signature(str(minisign.Key(found.key_id, b"")), found.signature)


def _sign_by_ssh(path: str, keys: Keys) -> dsse.Signature:
    return dsse.Signature(_fingerprint(_key_listing(keys.ssh_key)) or "", sshsig.bare(_ssh_keygen(path, keys)) or b"")


def is_message_signed(message: bytes, one: dsse.Signature, ending: str, keys: Keys, scratch: str) -> bool:
    """Whether that signature of an envelope is by this key."""
    if ending == MINISIG:
        return ed25519.verify(minisign.parse_key(keys.minisign_public).public, one.signature, [message])
    if not one.signature.startswith(dsse.SSHSIG):
        return False
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        path, signature = os.path.join(folder, "message"), os.path.join(folder, "signature")
        for name, content in ((path, message), (signature, sshsig.armour(one.signature).encode())):
            files.write_pieces([content], name, 0o600)
        return _is_ssh_signed(path, signature, keys)


def comment(path: str, version: str) -> str:
    """Minisign's trusted comment, by which intake knows of which version the signer speaks."""
    return f"version:{version} file:{os.path.basename(path)}"


def _minisign(path: str, made: str, keys: Keys, version: str) -> None:
    argv = ["minisign", "-S", "-s", keys.minisign_key, "-m", path, "-x", made, "-t", comment(path, version)]
    password = f"{keys.minisign_password}\n".encode()
    _require(command.run(argv, _SECONDS, source=password), "minisign", f"{keys.prefix}_minisign_password")


def _ssh_keygen(path: str, keys: Keys) -> str:
    variables = {name: os.environ[name] for name in ("SSH_AUTH_SOCK", "HOME") if name in os.environ}
    variables["SSH_ASKPASS_REQUIRE"] = "never"
    argv = ["ssh-keygen", "-Y", "sign", "-f", keys.ssh_key, "-n", keys.namespace]
    with open(path, "rb") as stream:
        done = command.run(argv, _SECONDS, variables=variables, source=stream)
    _require(done, "ssh-keygen", f"an agent for a key with a passphrase, and {keys.prefix}_ssh_key to its public half")
    return done.text


def _require(done: command.Finished, program: str, what: str) -> None:
    if done.code != 0:
        said = (done.complaint.splitlines() or ["no reason given"])[-1].rstrip(".")
        fix = _SAME_KEY if "match private" in said else f"check the key, and use {what}"
        raise SlipwayError("build_not_signed", f"{program} has not signed: {said}.", fix)


def _is_minisigned(path: str, signature: str, keys: Keys, version: str) -> bool:
    text = files.text(signature)
    try:
        with open(path, "rb") as stream:
            minisign.signed_by(text, [minisign.parse_key(keys.minisign_public)], stream)
    except SlipwayError:
        return False
    return minisign.comment_of(text) == comment(path, version)


def _is_ssh_signed(path: str, signature: str, keys: Keys) -> bool:
    argv = ["ssh-keygen", "-Y", "check-novalidate", "-n", keys.namespace, "-s", signature]
    with open(path, "rb") as stream:
        done = command.run(argv, _SECONDS, source=stream)
    return done.code == 0 and _fingerprint(done.text) == _fingerprint(_key_listing(keys.ssh_key))


def _key_listing(path: str) -> str:
    return command.run(["ssh-keygen", "-l", "-f", path], _SECONDS).text


def _fingerprint(text: str) -> Optional[str]:
    match = _FINGERPRINT.search(text)
    return match.group(0) if match else None
