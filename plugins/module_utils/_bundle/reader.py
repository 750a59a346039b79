# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a bundle as what somebody else has made, one piece at a time. This file is PRIVATE to the collection.

Nothing is believed before the signature over the manifest holds. From then on the manifest says which bytes come next,
and each that is another one is told as the file that it belongs to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import IO, Callable, ContextManager, Iterator, NamedTuple, NoReturn, Optional, Sequence

from .._core.errors import SlipwayError
from .._core.problems import Problem
from .._release.artefact import minisign, signature, sshsig
from .._release.artefact.signature import Trust
from . import archive, manifest
from .archive import BLOCK, Member
from .manifest import MINISIG, SIGNATURES, Entry, Manifest

CHUNK = 1 << 20
MAX_SIGNATURE = 1 << 16
MOST_PROBLEMS = 20  # what is told of one bundle
MOST_SKIPPED = 10_000  # members that are of no use, before the reader gives up
UNTRUSTED = f"{minisign.UNTRUSTED}signature of {manifest.NAME}"
DAMAGED = "damaged_bundle"
UNSAFE = "unsafe_bundle"
_ANEW = "fetch the bundle again from whoever made it, and unpack nothing of this one"
# The words of release's intake, in those of whoever unpacks.
_WORDS = {
    "release_signature": f"the signature of {manifest.NAME}",
    "release_minisign_keys": "unbundle_minisign_keys",
    "release_allowed_signers": "unbundle_allowed_signers",
    "exactly what is released": "the bundle again",
}
# Takes an entry and gives what takes its bytes.
Sink = Callable[[Entry], ContextManager[Callable[[bytes], object]]]


class Opened(NamedTuple):
    """The beginning of a bundle. raw: the manifest's bytes. signatures: their texts by their names."""

    manifest: Manifest
    raw: bytes
    signatures: dict[str, str]

    @property
    def sha256(self) -> str:
        return manifest.digest(self.raw)


@contextlib.contextmanager
def opened(path: str, variable: str) -> Iterator[IO[bytes]]:
    """The file, which must be one: a pipe or a device would hang the run or have no end."""
    fix = f"give the path of a bundle in {variable}"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        message = f"{variable} is {path}, which cannot be read: {(error.strerror or str(error)).lower()}."
        raise SlipwayError("not_a_bundle", message, fix) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise SlipwayError("not_a_bundle", f"{variable} is {path}, which is no file.", fix)
    with os.fdopen(descriptor, "rb") as stream:
        yield stream


def _refuse(what: str, code: str = DAMAGED) -> NoReturn:
    raise SlipwayError(code, f"{what}.", _ANEW)


def _exactly(stream: IO[bytes], size: int, of: str) -> bytes:
    data = stream.read(size)
    if len(data) != size:
        _refuse(f"the bundle is cut short in {of}")
    return data


# The beginning


def read_beginning(stream: IO[bytes], most: int) -> Opened:
    """The manifest and its signatures, of which none is verified yet. most: how many bytes all files may have."""
    raw = _read_text(stream, manifest.NAME, manifest.MAX_TEXT)
    signatures = {}
    for name in SIGNATURES:
        if _is_next(stream, name):
            signatures[name] = _read_text(stream, name, MAX_SIGNATURE).decode("utf-8", "surrogateescape")
    return Opened(manifest.parse(raw, most), raw, signatures)


def _is_next(stream: IO[bytes], name: str) -> bool:
    at = stream.tell()
    found = archive.member(stream.read(BLOCK).ljust(BLOCK, b"\0"))
    stream.seek(at)
    return found is not None and found.name == name


def _read_text(stream: IO[bytes], name: str, most: int) -> bytes:
    block = stream.read(BLOCK)
    if not block:
        _refuse(f"the bundle is cut short before {name}", DAMAGED if name != manifest.NAME else "not_a_bundle")
    found = archive.member(block) if len(block) == BLOCK else None
    if found is None or found.name != name:
        _refuse(f"the file does not begin with {manifest.NAME}, and is no bundle", "not_a_bundle")
    if found.size > most:
        raise SlipwayError(
            "bundle_too_large", f"{name} of the bundle has {found.size} bytes, and {most} are allowed.", _ANEW
        )
    if block != archive.header(name, found.size):
        _refuse(f"{name} has a header that no bundle has ({_difference(found, found.size)})")
    raw = _exactly(stream, found.size, name)
    if any(_exactly(stream, archive.padding(found.size), name)):
        _refuse(f"bytes that belong to no file follow {name}")
    return raw


# The signature


def verify(opened_: Opened, trust: Trust, folder: str) -> str:
    """Who has signed it; raise unless that is somebody trusted. folder: a private one."""
    if not opened_.signatures:
        _refuse(f"the bundle has no signature of {manifest.NAME}", "unsigned_bundle")
    path = os.path.join(folder, manifest.NAME)
    with open(path, "wb") as stream:
        stream.write(opened_.raw)
    try:
        signers = [_verify_one(name, text, trust, path, folder) for name, text in _trusted(opened_, trust)]
    finally:
        os.unlink(path)
    return signers[0]


def _trusted(opened_: Opened, trust: Trust) -> list[tuple[str, str]]:
    """The signatures of the kinds that something is said of; where there is none of these, the first."""
    kinds = {name: bool(trust.keys if name.endswith(MINISIG) else trust.allowed_signers.strip()) for name in SIGNATURES}
    found = [(name, text) for name, text in opened_.signatures.items() if kinds[name]]
    return found or list(opened_.signatures.items())[:1]


def _verify_one(name: str, text: str, trust: Trust, path: str, folder: str) -> str:
    if not (_is_plain_minisig(text) if name.endswith(MINISIG) else _is_plain_sshsig(text)):
        _refuse(f"{name} is not spelt as signatures of a bundle are", "invalid_signature")
    try:
        return signature.verify(text, trust, path, folder).signer
    except SlipwayError as error:
        raise SlipwayError(error.code, _translated(error.message), _translated(error.fix)) from None


def _translated(text: str) -> str:
    for theirs, ours in _WORDS.items():
        text = text.replace(theirs, ours)
    return text


def plain_minisig(text: str) -> str:
    """With the first line, which nobody signs, as it is in every bundle."""
    return "\n".join([UNTRUSTED, *text.split("\n")[1:4], ""])


def _is_plain_minisig(text: str) -> bool:
    """Whether each of its bytes is signed, is a signature, or could not be another one."""
    lines = text.split("\n")
    return (
        minisign.parse_signature(text) is not None
        and text == plain_minisig(text)
        and "\r" not in text
        and all(line == line.strip() for line in (lines[1], lines[3]))
    )


def _is_plain_sshsig(text: str) -> bool:
    found = sshsig.bare(text)
    return found is not None and sshsig.armour(found) == text


# The files


class _Told(Exception):
    """Nothing behind this point can be read as files."""


class Walk:
    """One way through the files behind the signatures. sink: gets those that are as they should be so far."""

    def __init__(self, stream: IO[bytes], entries: Sequence[Entry], sink: Optional[Sink] = None) -> None:
        self._stream = stream
        self._entries = {entry.path: entry for entry in entries}
        self._seen: dict[str, None] = {}
        self._sink = sink
        self.problems: list[Problem] = []

    def run(self) -> list[Problem]:
        """Everything that differs, as far as it can be told."""
        with contextlib.suppress(_Told):
            self._files()
            self._tell_missing()
            self._require_end()
        return self.problems

    def _tell(self, what: str, code: str = DAMAGED, ends: bool = False) -> None:
        self._sink = None
        self.problems.append(Problem(code, what, _ANEW))
        if ends or len(self.problems) >= MOST_PROBLEMS:
            raise _Told

    def _files(self) -> None:
        for _count in range(len(self._entries) + MOST_SKIPPED):
            block = self._stream.read(BLOCK)
            if len(block) < BLOCK:
                self._tell(f"the archive is cut short {self._where()}", ends=True)
            if not any(block):
                return
            self._one(block)
        self._tell("the archive has more members than are read", ends=True)

    def _missing(self) -> list[str]:
        return [path for path in self._entries if path not in self._seen]

    def _where(self) -> str:
        return f"before {(self._missing() or ['its end'])[0]}"

    def _one(self, block: bytes) -> None:
        found = archive.member(block)
        if found is None:
            self._tell(f"the header is damaged {self._where()}", ends=True)
            return
        entry = self._entries.get(found.name)
        if entry is not None and found.name not in self._seen:
            self._seen[found.name] = None
            if found.what:
                self._tell(f"{found.name} is {found.what}", UNSAFE)
            elif block == archive.header_of(entry):
                self._content(entry)
                return
            else:
                self._tell(f"{found.name} was changed: {_difference(found, entry.size)}")
        else:
            self._tell_other(found)
        self._skip(found)

    def _tell_other(self, found: Member) -> None:
        why = manifest.why_unsafe(found.name)
        name = found.name if not why else repr(found.name)[:300]
        if found.what:
            self._tell(f"{name} is {found.what}, which no bundle has", UNSAFE)
        elif found.name in self._entries or found.name in (manifest.NAME, *SIGNATURES):
            self._tell(f"{name} is there twice")
        elif why:
            self._tell(f"{name} {why}, and the manifest does not list it", UNSAFE)
        else:
            self._tell(f"{name} is there, and the manifest does not list it")

    def _content(self, entry: Entry) -> None:
        digest = hashlib.sha256()
        with self._sink(entry) if self._sink else contextlib.nullcontext(digest.update) as write:
            for piece in self._pieces(entry.path, entry.size):
                digest.update(piece)
                if self._sink:
                    write(piece)
        if digest.hexdigest() != entry.sha256:
            self._tell(f"{entry.path} was changed: its digest is not that of the manifest")
        self._padding(entry.path, entry.size)

    def _padding(self, path: str, size: int) -> None:
        rest = self._stream.read(archive.padding(size))
        if len(rest) < archive.padding(size):
            self._tell(f"{path} is cut short", ends=True)
        if any(rest):
            self._tell(f"bytes that belong to no file follow {path}")

    def _pieces(self, path: str, size: int) -> Iterator[bytes]:
        while size:
            piece = self._stream.read(min(size, CHUNK))
            if not piece:
                self._tell(f"{path} is cut short", ends=True)
            size -= len(piece)
            yield piece

    def _skip(self, found: Member) -> None:
        if found.what not in archive.WITHOUT_CONTENT:  # whatever their headers say of a size
            path = found.name if found.name in self._entries else repr(found.name)[:300]
            for _piece in self._pieces(path, found.size):
                pass
            self._padding(path, found.size)

    def _tell_missing(self) -> None:
        for path in self._missing():
            self._tell(f"{path} is missing")
        if not self.problems:
            for path, awaited in zip(self._seen, self._entries):
                if path != awaited:
                    self._tell(f"{path} is not at its place in the archive")

    def _require_end(self) -> None:
        """The zeros at the end, of which one block was read, and nothing behind them."""
        size = len(archive.END) - BLOCK
        if self._stream.read(size) != bytes(size):
            self._tell("the archive does not end as a bundle does", ends=True)
        if self._stream.read(1):
            self._tell("bytes that belong to no file follow the end of the archive", ends=True)


def _difference(found: Member, size: int) -> str:
    if found.size != size:
        return f"it has {found.size} bytes, and {size} are right"
    return "its mode, owner, time or format is another one"


def raise_for(problems: Sequence[Problem], what: str) -> None:
    """One refusal that names every file. what: the bundle's name."""
    if problems:
        told = "; ".join(problem.message for problem in problems)
        more = " and perhaps more" if len(problems) >= MOST_PROBLEMS else ""
        code = UNSAFE if any(one.code == UNSAFE for one in problems) else DAMAGED
        raise SlipwayError(
            code,
            f"{what} is not what its manifest says: {told}{more}. Nothing was unpacked.",
            _ANEW,
            problems=[problem._asdict() for problem in problems],
        )
