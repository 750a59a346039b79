# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The manifest of a bundle, as data: what is in it, and what of it an earlier bundle has. PRIVATE to the collection.

A manifest has one spelling. Whatever says the same in other bytes is refused, so that nothing in it goes unread.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from typing import Any, Iterable, Mapping, NamedTuple, NoReturn, Optional

from .._core.errors import SlipwayError

SCHEMA = 1
NAME = "MANIFEST.json"
SSHSIG, MINISIG = ".sig", ".minisig"
SIGNATURES = (NAME + MINISIG, NAME + SSHSIG)  # in the order in which they stand in a bundle
PROGRAM = "artefact"
KINDS = (
    PROGRAM, "checksums", "collection", "file", "manifest", "provenance", "readme", "sbom", "signature", "wheel",
)  # fmt: skip
MAX_FILES = 10_000
MAX_TEXT = 8 << 20
MAX_FILE = (1 << 33) - 1  # what the header of a tar archive can say
MAX_DEPTH = 32
_NAME_BYTES, _PREFIX_BYTES = 100, 155  # of the header
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_HEX = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"(?:[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)?")
_ANEW = "fetch the bundle again from whoever made it"
_NEWER = "unpack it with the version of slipway.go that has made it, or a newer one"


class Entry(NamedTuple):
    """One file. base: the path in the earlier bundle of a file that this one leaves out; empty for one that it has."""

    path: str
    size: int
    sha256: str
    kind: str
    base: str = ""


class Base(NamedTuple):
    """The earlier bundle. sha256: of its manifest."""

    name: str
    sha256: str


class Manifest(NamedTuple):
    """entries: in the order of their paths. created: in RFC 3339, empty where nobody has set a time."""

    name: str
    version: str
    created: str
    entries: tuple[Entry, ...]
    base: Optional[Base] = None

    @property
    def packed(self) -> tuple[Entry, ...]:
        """The files that the bundle itself has."""
        return tuple(entry for entry in self.entries if not entry.base)

    @property
    def total(self) -> int:
        return sum(entry.size for entry in self.entries)


def is_name(text: str) -> bool:
    """Whether a bundle and the folder that it is unpacked to can have this name."""
    return _WORD.fullmatch(text) is not None


def why_unsafe(path: str) -> str:
    """Why no bundle may have a file there; empty where it may."""
    if path.startswith("/"):
        return "is an absolute path"
    parts = path.split("/")
    if ".." in parts:
        return "leads out of the bundle"
    if "" in parts or "." in parts:
        return "is not written in its shortest form"
    # Control characters, those that change the direction of a text, and surrogates, which stand for bytes of no UTF-8.
    if any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in path):
        return "has characters that no terminal shows"
    if len(parts) > MAX_DEPTH or split(path) is None:
        return "is too long or too deep"
    if _folded(parts[0]) in {_folded(name) for name in (NAME, *SIGNATURES)}:
        return "has the name of the manifest or of its signature"
    return ""


def split(path: str) -> Optional[tuple[bytes, bytes]]:
    """Prefix and name, as the header of a tar archive has them; None where it has no room for them."""
    raw = path.encode("utf-8", "surrogateescape")
    if len(raw) <= _NAME_BYTES:
        return b"", raw
    for at, byte in enumerate(raw):
        if byte == 0x2F and len(raw) - at - 1 <= _NAME_BYTES:
            return (raw[:at], raw[at + 1 :]) if at <= _PREFIX_BYTES else None
    return None


def collisions(paths: Iterable[str]) -> list[str]:
    """Paths that another one has, too, on a file system that ignores case; or that another one has as its folder."""
    seen: dict[str, str] = {}
    folders: set[str] = set()
    found = []
    for path in paths:
        key = _folded(path)
        if key in seen:
            found.append(path)
        seen[key] = path
        parts = key.split("/")
        folders.update("/".join(parts[:depth]) for depth in range(1, len(parts)))
    return [*found, *(path for key, path in seen.items() if key in folders)]


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def as_bytes(manifest: Manifest) -> bytes:
    """The one spelling."""
    document = {
        "schema": SCHEMA,
        "name": manifest.name,
        "version": manifest.version,
        "created": manifest.created,
        "base": manifest.base._asdict() if manifest.base else None,
        "files": [_described(entry) for entry in manifest.entries],
    }
    return (json.dumps(document, indent=1) + "\n").encode()


def _described(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in entry._asdict().items() if name != "base" or value}


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _refuse(what: str, code: str = "not_a_bundle", fix: str = _ANEW) -> NoReturn:
    raise SlipwayError(code, f"{NAME} of the bundle {what}.", fix)


def parse(raw: bytes, most: int) -> Manifest:
    """Read it as what somebody else has written, signed or not. most: how many bytes all files may have."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        _refuse("is no JSON")
    if not isinstance(document, dict) or "schema" not in document:
        _refuse("is no manifest of a bundle")
    if document["schema"] != SCHEMA or isinstance(document["schema"], bool):
        _refuse(f"has the schema {str(document['schema'])[:20]}, and this version reads {SCHEMA}", fix=_NEWER)
    found = _manifest(document)
    _require_limits(found, most)
    _require_paths(found)
    if as_bytes(found) != raw:
        _refuse("is not spelt as this collection spells it")
    return found


def _manifest(document: Mapping[str, Any]) -> Manifest:
    texts = [document.get(name) for name in ("name", "version", "created")]
    files = document.get("files")
    if not all(isinstance(text, str) for text in texts) or not isinstance(files, list):
        _refuse("lacks a name, a version, a time or its files")
    name, version, created = map(str, texts)
    if not is_name(name) or not is_name(version) or not _TIME.fullmatch(created):
        _refuse(f"has the name {name[:100]!r}, the version {version[:100]!r} or a time that none can have")
    if len(files) > MAX_FILES:
        _refuse(f"lists {len(files)} files, and this version reads {MAX_FILES}", "bundle_too_large", _NEWER)
    return Manifest(name, version, created, tuple(map(_entry, files)), _base(document.get("base")))


def _base(value: Any) -> Optional[Base]:
    if value is None:
        return None
    name, sha256 = (value.get("name"), value.get("sha256")) if isinstance(value, dict) else (None, None)
    if not isinstance(name, str) or not is_name(name) or not isinstance(sha256, str) or not _HEX.fullmatch(sha256):
        _refuse("names its base as none can be named")
    return Base(name, sha256)


def _entry(value: Any) -> Entry:
    fields = [value.get(name) for name in ("path", "sha256", "kind")] if isinstance(value, dict) else [None]
    if not all(isinstance(one, str) for one in fields):
        _refuse("lists a file without path, digest or kind")
    path, sha256, kind = map(str, fields)
    size, base = value.get("size"), value.get("base", "")
    is_size = isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_FILE
    if not is_size or not isinstance(base, str) or not _HEX.fullmatch(sha256) or kind not in KINDS:
        _refuse(f"lists {path[:200]!r} with a size, a digest, a kind or a base that none can have")
    return Entry(path, size, sha256, kind, base)


def _require_limits(manifest: Manifest, most: int) -> None:
    if manifest.total > most:
        _refuse(
            f"lists {manifest.total} bytes, and unbundle_max_size allows {most}",
            "bundle_too_large",
            "raise unbundle_max_size if that is right",
        )
    if manifest.base is None and any(entry.base for entry in manifest.entries):
        _refuse("takes files from a base that it does not name")


def _require_paths(manifest: Manifest) -> None:
    paths = [entry.path for entry in manifest.entries]
    for path in [*paths, *(entry.base for entry in manifest.entries if entry.base)]:
        why = why_unsafe(path)
        if why:
            _refuse(f"lists {path[:200]!r}, which {why}", "unsafe_bundle", "unpack nothing of it, and ask who made it")
    for path in collisions(paths):
        _refuse(
            f"lists {path!r} twice, or in two spellings", "unsafe_bundle", "unpack nothing of it, and ask who made it"
        )
    if paths != sorted(paths):
        _refuse("does not list its files in their order")


def delta(manifest: Manifest, base: Manifest, sha256: str) -> Manifest:
    """The same set, without what the base has under any name. sha256: of the base's manifest."""
    have = {(entry.sha256, entry.size): entry.path for entry in reversed(base.entries)}
    entries = tuple(entry._replace(base=have.get((entry.sha256, entry.size), "")) for entry in manifest.entries)
    return manifest._replace(entries=entries, base=Base(base.name, sha256))
