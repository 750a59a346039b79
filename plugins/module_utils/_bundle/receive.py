# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Verifies a bundle and unpacks it, all of it or nothing. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from typing import IO, Any, Callable, ContextManager, Dict, Iterator, List, NoReturn, Optional, Sequence

from .._core.errors import SlipwayError
from .._release.artefact.signature import Trust
from . import archive, manifest, place, reader
from .manifest import Base, Entry, Manifest
from .reader import Opened, Walk

Write = Callable[[bytes], object]
Copies = Callable[[Sequence[Entry]], ContextManager[Write]]
# What files have the content of a file of the base.
Wanted = Dict[str, List[Entry]]
_AGAIN = "unpack the earlier bundle again, or set unbundle_base to an intact one"


@dataclass(frozen=True)
class Request:
    """src: the bundle. dest: the folder in which it gets one of its own. base: an earlier bundle or its folder.

    most: the bytes that all of its files may have.
    """

    src: str
    dest: str
    trust: Trust = field(default_factory=Trust)
    base: str = ""
    most: int = 4 << 30


def unbundle(request: Request, check_mode: bool = False) -> dict[str, Any]:
    """What the bundle holds and where it is now; nothing of it is there before all of it was verified."""
    _require_trust(request.trust)
    with reader.opened(request.src, "unbundle_src") as stream:
        opened = reader.read_beginning(stream, request.most)
        with tempfile.TemporaryDirectory() as folder:
            signer = reader.verify(opened, request.trust, folder)
        if check_mode:
            changed = _Run(request, opened, stream).check()
        else:
            with place.only_run(request.dest, "unbundle_dest"):
                changed = _Run(request, opened, stream).unpack()
    return _result(request, opened.manifest, signer, changed)


def read_signers(path: str) -> str:
    """The text of a file of allowed signers; nothing where none is named."""
    if not path:
        return ""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read()
    except OSError as error:
        raise SlipwayError(
            "no_signer",
            f"unbundle_allowed_signers is {path}, which cannot be read: {(error.strerror or str(error)).lower()}.",
            "set unbundle_allowed_signers to a file of lines IDENTITY KEYTYPE KEY",
        ) from None


def _require_trust(trust: Trust) -> None:
    if not trust.keys and not trust.allowed_signers.strip():
        raise SlipwayError(
            "no_signer",
            "nothing says whose signature of a bundle counts.",
            "set unbundle_allowed_signers or unbundle_minisign_keys to those who may make bundles",
        )


def _result(request: Request, found: Manifest, signer: str, changed: bool) -> dict[str, Any]:
    kinds: dict[str, int] = {}
    for entry in found.entries:
        kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
    return {
        "changed": changed,
        "path": os.path.join(request.dest, found.name),
        "name": found.name,
        "version": found.version,
        "created": found.created,
        "base": found.base.name if found.base else "",
        "signer": signer,
        "files": len(found.entries),
        "size": found.total,
        "kinds": kinds,
    }


class _Run:
    def __init__(self, request: Request, opened: Opened, stream: IO[bytes]) -> None:
        self._request, self._opened, self._stream = request, opened, stream
        self._manifest = opened.manifest
        self._target = os.path.join(request.dest, opened.manifest.name)
        self._texts = [(manifest.NAME, opened.raw)]
        self._texts += [(name, text.encode("utf-8", "surrogateescape")) for name, text in opened.signatures.items()]

    def check(self) -> bool:
        """Verify all of it and write nothing; return whether unpack() would."""
        is_there = self._is_there()
        self._walk(None)
        if not is_there:
            self._take_from_base(None)
        return not is_there

    def unpack(self) -> bool:
        if self._is_there():
            self._walk(None)
            return False
        with place.staging(self._request.dest, self._manifest.name) as root:
            for name, raw in self._texts:
                place.write(root, name, [raw])
            self._walk(lambda entry: place.new_file(root, entry.path, archive.mode(entry.kind)))
            self._take_from_base(root)
            place.publish(root, self._target)
        return True

    def _is_there(self) -> bool:
        """Whether all of it is there already; raise where something stands in the way that is not of this bundle."""
        target = self._target
        if not os.path.lexists(target):
            return False
        if os.path.islink(target) or not os.path.isdir(target) or place.manifest_of(target) != self._opened.raw:
            self._refuse_place("is there, and is not this bundle", f"remove {target}, or give another unbundle_dest")
        wrong, others = place.differing(target, self._manifest, self._texts)
        if others:
            what = f"has {', '.join(others[:5])}, which the bundle does not have"
            self._refuse_place(what, "move what is not of the bundle elsewhere")
        return not wrong

    def _refuse_place(self, what: str, fix: str) -> NoReturn:
        raise SlipwayError("bundle_place_taken", f"{self._target} {what}. Nothing was changed.", fix)

    def _walk(self, sink: Optional[reader.Sink]) -> None:
        problems = Walk(self._stream, self._manifest.packed, sink).run()
        reader.raise_for(problems, os.path.basename(self._request.src))

    # What an earlier bundle has

    def _take_from_base(self, root: Optional[str]) -> None:
        """Copy it to root, or only verify that it is there where root is None."""
        wanted: dict[str, list[Entry]] = {}
        for entry in self._manifest.entries:
            if entry.base:
                wanted.setdefault(entry.base, []).append(entry)
        if not wanted or self._manifest.base is None:
            return
        given = self._request.base or os.path.join(self._request.dest, self._manifest.base.name)
        take = _from_folder if os.path.isdir(given) else _from_bundle
        take(given, self._manifest.base, wanted, lambda entries: _copies(root, entries))


@contextlib.contextmanager
def _copies(root: Optional[str], entries: Sequence[Entry]) -> Iterator[Write]:
    """Takes one content for all the files that have it; writes nothing where root is None."""
    with contextlib.ExitStack() as stack:
        targets = [(root, entry) for entry in entries if root is not None]
        files = [
            stack.enter_context(place.new_file(root, entry.path, archive.mode(entry.kind))) for root, entry in targets
        ]
        yield lambda piece: [write(piece) for write in files]


def _refuse_base(what: str, fix: str = _AGAIN) -> NoReturn:
    raise SlipwayError("wrong_bundle_base", f"{what}. Nothing was unpacked.", fix)


def _require_base(path: str, raw: bytes, base: Base) -> None:
    if manifest.digest(raw) != base.sha256:
        _refuse_base(
            f"unbundle_base is {path}, which is not the {base.name} that the bundle was made from",
            f"set unbundle_base to {base.name} as its maker has sent it, or to the folder that it was unpacked to",
        )


def _from_folder(path: str, base: Base, wanted: Wanted, copies: Copies) -> None:
    _require_base(path, place.manifest_of(path), base)
    wrong = [name for name, entries in wanted.items() if not _is_copied(os.path.join(path, name), entries, copies)]
    if wrong:
        _refuse_base(f"{path} was changed since it was unpacked: {', '.join(wrong[: reader.MOST_PROBLEMS])}")


def _is_copied(path: str, entries: Sequence[Entry], copies: Copies) -> bool:
    digest = hashlib.sha256()
    try:
        with copies(entries) as write:
            for piece in place.pieces_of(path):
                digest.update(piece)
                write(piece)
    except FileNotFoundError:
        return False
    return {entry.sha256 for entry in entries} == {digest.hexdigest()}


def _from_bundle(path: str, base: Base, wanted: Wanted, copies: Copies) -> None:
    if not os.path.lexists(path):
        _refuse_base(
            f"the bundle holds what is new since {base.name}, which is not at {path}",
            f"unpack {base.name} first, or set unbundle_base to it",
        )
    with reader.opened(path, "unbundle_base") as stream:
        found = reader.read_beginning(stream, manifest.MAX_FILE * manifest.MAX_FILES)
        _require_base(path, found.raw, base)
        packed = {entry.path: entry.sha256 for entry in found.manifest.packed}
        if not set(wanted) <= set(packed):
            _refuse_base(
                f"{path} has only what is new since an earlier bundle itself",
                f"unpack {base.name}, and set unbundle_base to its folder",
            )
        differ = [name for name, entries in wanted.items() if {one.sha256 for one in entries} != {packed[name]}]
        if differ:
            _refuse_base(f"{', '.join(differ[: reader.MOST_PROBLEMS])} of {path} is not what the bundle says of it")
        problems = Walk(stream, found.manifest.packed, lambda entry: copies(wanted.get(entry.path, []))).run()
    if problems:
        _refuse_base(f"{path} was changed: {'; '.join(problem.message for problem in problems)}")
