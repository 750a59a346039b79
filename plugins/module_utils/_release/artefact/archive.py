# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tar archives, read as untrusted input. This file is PRIVATE to the collection.

An own reader, because tarfile takes in a header as large as the archive claims it to be, follows links, and has no
filters before Python 3.12. This one knows files and folders only; everything else is refused. It works on a stream and
holds one header and one piece of a file at a time.
"""

from __future__ import annotations

import lzma
import platform
import posixpath
import zlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator, NamedTuple, NoReturn, Optional, Sequence

from ..._core.errors import SlipwayError
from . import zstd
from .zstd import Source

BLOCK = 512
CHUNK = 1 << 16
MAX_MEMBERS = 10_000  # files and folders
MAX_HEADERS = 3 * MAX_MEMBERS
MAX_TEXT = 1 << 16  # bytes of a header that holds a long name
MAX_TEXTS = 16 << 20  # of all of them
MAX_STREAMS = 10_000  # compressed ones in one file
MAX_PATH = 1000
MAX_NAME = 255
MAX_DEPTH = 32
_XZ_MEMORY = 128 << 20  # what xz -9 needs, twice

_MAGICS = (b"\x1f\x8b", b"\xfd7zXZ\x00")
_USTAR = b"ustar"
_USTAR_AT = 257
_FOREIGN = {
    b"PK\x03\x04": "a zip archive",
    b"BZh": "compressed with bzip2",
}
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a fifo",
    b"7": "a contiguous file",
}
_SPARSE = b"S"
_FILES = (b"0", b"\0")
_FOLDER = b"5"
_SET_ID = 0o6000


class Member(NamedTuple):
    """One file. name is relative, without . and .. and double slashes; mode is executable or not, and nothing else."""

    name: str
    size: int
    executable: bool


@dataclass(frozen=True)
class Survey:
    """What is in an archive. top is the one folder that everything is in, empty where there is none."""

    files: tuple[Member, ...]
    top: str
    total: int

    def inside(self, name: str) -> str:
        """The name without the one folder around everything."""
        return name[len(self.top) + 1 :] if self.top else name


def _refuse(code: str, what: str, fix: str) -> NoReturn:
    raise SlipwayError(code, f"the archive of release_src {what}.", fix)


def _damaged(what: str) -> NoReturn:
    _refuse("damaged_archive", what, "build or fetch the archive again, as .tar, .tar.gz, .tar.xz or .tar.zst")


def _unsafe(what: str, fix: str) -> NoReturn:
    _refuse("unsafe_archive", what, fix)


_NOT_SPARSE = "pack it without tar --sparse"


def is_archive(path: str) -> bool:
    """Whether the file is a tar archive, compressed or not, by its first bytes; raise for kinds that are not taken."""
    with open(path, "rb") as stream:
        start = stream.read(BLOCK)
    for magic, what in _FOREIGN.items():
        if start.startswith(magic):
            _refuse("foreign_archive", f"is {what}", "make it a .tar.gz, .tar.xz, .tar.zst or .tar")
    if start.startswith(zstd.MAGIC) and not zstd.is_available():
        _refuse(
            "foreign_archive",
            f"is compressed with zstd, and {platform.node()}, which has to read it, has no program zstd",
            "install zstd on the controller and on the hosts that read it, or make it a .tar.gz, .tar.xz or .tar",
        )
    return start.startswith((*_MAGICS, zstd.MAGIC)) or start[_USTAR_AT : _USTAR_AT + len(_USTAR)] == _USTAR


class _Plain:
    """An archive that is not compressed. start: what was read of it before."""

    def __init__(self, start: bytes, raw: Source) -> None:
        self._start, self._raw = start, raw

    def read(self, size: int) -> bytes:
        data, self._start = self._start[:size], self._start[size:]
        return data or self._raw.read(size)


class _Gunzip:
    """zlib with the methods of lzma's decompressor."""

    def __init__(self) -> None:
        self._engine = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._engine.eof

    @property
    def unused_data(self) -> bytes:
        return self._engine.unused_data

    @property
    def needs_input(self) -> bool:
        return not self._engine.unconsumed_tail

    def decompress(self, data: bytes, size: int) -> bytes:
        return self._engine.decompress(self._engine.unconsumed_tail + data, size)


class _Inflated:
    """The bytes that one or more compressed streams, one behind the other, hold. start: what was read of raw before."""

    def __init__(self, start: bytes, raw: Source, make: Callable[[], Any]) -> None:
        self._raw, self._make = raw, make
        self._input = start
        self._engine = make()
        self._streams = 1

    def read(self, size: int) -> bytes:
        """Between 1 and size bytes, or none at the end."""
        while True:
            if self._engine.eof and not self._next():
                return b""
            data = b""
            if self._engine.needs_input:
                data, self._input = self._input or self._raw.read(CHUNK), b""
            piece: bytes = self._engine.decompress(data, size)
            if piece:
                return piece
            if not data and not self._engine.eof:
                raise EOFError

    def _next(self) -> bool:
        """Begin the stream behind the one that has ended; there may be zeros between them."""
        self._input = (self._engine.unused_data + self._input).lstrip(b"\0")
        while not self._input:
            piece = self._raw.read(CHUNK)
            if not piece:
                return False
            self._input = piece.lstrip(b"\0")
        self._streams += 1
        if self._streams > MAX_STREAMS:
            _damaged(f"consists of more than {MAX_STREAMS} compressed streams")
        self._engine = self._make()
        return True


def _inflate(start: bytes, raw: Source) -> Any:
    """What has read(size) and gives the tar archive."""
    if start.startswith(_MAGICS[0]):
        return _Inflated(start, raw, _Gunzip)
    if start.startswith(_MAGICS[1]):
        return _Inflated(start, raw, lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY))
    if start.startswith(zstd.MAGIC):
        return zstd.Decompressed(start, raw)
    return _Plain(start, raw)


@contextmanager
def _honest() -> Iterator[None]:
    """What the decompressors raise for damaged input, told to the operator."""
    try:
        yield
    except EOFError:
        _damaged("ends too early")
    except (zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
        _damaged(f"cannot be decompressed ({error})")
    except MemoryError:
        _damaged("needs too much memory to be decompressed")


class _Tape:
    """Reads exactly what is asked for, or says that the archive ends too early."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def some(self, size: int) -> bytes:
        """Between 1 and size bytes."""
        with _honest():
            data: bytes = self._stream.read(min(size, CHUNK))
        if not data:
            _damaged("ends too early")
        return data

    def exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            data += self.some(size - len(data))
        return data


class MemberContent:
    """The bytes of one file; read it to its end, or leave it to the archive to skip."""

    def __init__(self, tape: _Tape, size: int) -> None:
        self._tape = tape
        self._left = size
        self._padding = -size % BLOCK

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            piece = self._tape.some(self._left)
            self._left -= len(piece)
            yield piece

    def skip(self) -> None:
        for _piece in self:
            pass
        self._tape.exactly(self._padding)
        self._padding = 0


def _number(field_bytes: bytes, what: str) -> int:
    if field_bytes[0] == 0x80:
        return int.from_bytes(field_bytes[1:], "big")
    text = field_bytes.rstrip(b" \0").lstrip(b" ")
    if not text:
        return 0
    if not all(0x30 <= digit <= 0x37 for digit in text):
        _damaged(f"has a header whose {what} is no number")
    return int(text, 8)


def _text(raw: bytes) -> str:
    try:
        return raw.partition(b"\0")[0].decode("utf-8")
    except UnicodeDecodeError:
        _unsafe(f"has a name that is not UTF-8 ({raw[:60]!r})", "name its files in UTF-8")


def _pax(raw: bytes) -> dict[str, str]:
    """The records `LENGTH KEY=VALUE\\n` of a pax header (POSIX.1-2001) that matter here."""
    raw = raw.rstrip(b"\0")
    records: dict[str, str] = {}
    at = 0
    while at < len(raw):
        space = raw.find(b" ", at, at + 8)
        digits = raw[at : max(space, at)]
        length = int(digits) if digits.isdigit() else 0
        record = raw[space + 1 : at + length]
        if space < 0 or at + length > len(raw) or not record.endswith(b"\n") or b"=" not in record:
            _damaged("has a malformed pax header")
        key, _equals, value = record[:-1].partition(b"=")
        if key in (b"path", b"size") or key.startswith(b"GNU.sparse."):
            if b"\0" in value:
                _damaged("has a malformed pax header")
            records[key.decode("ascii", "replace")] = _text(value)
        at += length
    return records


def clean_name(name: str) -> str:
    """The name as a relative path; empty for the folder itself. Raise for one that leaves it or that no shell shows."""
    fix = "make the archive with relative paths inside one folder, in readable names"
    if name.startswith("/"):
        _unsafe(f"has the absolute path {name[:200]!r}", fix)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        _unsafe(f"has the path {name[:200]!r}, which leads out of the release", fix)
    if any(ord(char) < 32 or ord(char) == 127 for char in name):
        _unsafe(f"has control characters in the name {name[:200]!r}", fix)
    if len(name.encode()) > MAX_PATH or len(parts) > MAX_DEPTH or any(len(p.encode()) > MAX_NAME for p in parts):
        _unsafe(f"has a path that is too long or too deep: {name[:60]!r}…", fix)
    return "/".join(parts)


@dataclass
class _Header:
    name: str
    size: int
    mode: int
    kind: bytes

    @classmethod
    def parse(cls, block: bytes) -> _Header:
        stored = block[148:156].strip(b" \0")
        actual = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
        if stored.lstrip(b"0") != b"%o" % actual:
            _damaged("has a header with a wrong checksum, or is no tar archive")
        name = block[:100].partition(b"\0")[0]
        prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
        full = prefix + b"/" + name if prefix else name
        return cls(_text(full), _number(block[124:136], "size"), _number(block[100:108], "mode"), block[156:157])


@dataclass
class _Tree:
    """What has been seen so far, and what of it is too much."""

    most: int
    total: int = 0
    files: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)

    def add(self, name: str, header: _Header) -> None:
        folder = header.kind == _FOLDER
        if name in self.files or (name in self.folders and not folder):
            _unsafe(f"has {name!r} twice", "make it anew, with every path once")
        parents = name.split("/") if folder else name.split("/")[:-1]
        for depth in range(len(parents)):
            parent = "/".join(parents[: depth + 1])
            if parent in self.files:
                _unsafe(f"has {parent!r} as a file and as a folder", "make it anew, with every path once")
            self.folders.add(parent)
        if not folder:
            self.files.add(name)
            self.total += header.size
        if self.total > self.most:
            _refuse(
                "archive_too_large",
                f"unpacks to more than {self.most >> 20} MiB",
                "raise release_max_size if that is right",
            )
        if len(self.files) + len(self.folders) > MAX_MEMBERS:
            _refuse("archive_too_large", f"has more than {MAX_MEMBERS} files and folders", "pack the assets together")


def members(raw: Source, most: int) -> Iterator[tuple[Member, MemberContent]]:
    """Every file of the archive, in its order, each with its content; raise SlipwayError at the first that is unsafe.

    most: how many bytes all files together may have.
    """
    start = raw.read(BLOCK)
    stream = _inflate(start, raw)
    try:
        yield from _members(_Tape(stream), _Tree(most))
    finally:
        if isinstance(stream, zstd.Decompressed):
            stream.close()


def _members(tape: _Tape, tree: _Tree) -> Iterator[tuple[Member, MemberContent]]:
    for header in _headers(tape):
        name = clean_name(header.name)
        _check(header, name)
        if header.kind == _FOLDER:
            if name:
                tree.add(name, header)
            MemberContent(tape, header.size).skip()
            continue
        tree.add(name, header)
        content = MemberContent(tape, header.size)
        yield Member(name, header.size, bool(header.mode & 0o111)), content
        content.skip()


def _check(header: _Header, name: str) -> None:
    if header.kind == _SPARSE:
        _unsafe(f"has a sparse file, {name!r}", _NOT_SPARSE)
    if header.kind not in (*_FILES, _FOLDER):
        what = _KINDS.get(header.kind, f"an entry of the kind {header.kind!r}")
        _unsafe(
            f"has {what}, {name!r}",
            "pack files and folders only (tar --dereference --hard-dereference packs what links point at)",
        )
    if header.kind == _FOLDER:
        if header.size:
            _damaged("has a folder with content")
        return
    if not name or header.name.endswith("/"):
        _damaged("has a file without a name")
    if header.mode & _SET_ID:
        _unsafe(f"has {name!r} with the setuid or setgid bit", "remove that bit with chmod ug-s before packing")


def _headers(tape: _Tape) -> Iterator[_Header]:
    """The headers of members, with long names put together; what stands behind each is for the caller to read."""
    name: Optional[str] = None
    size: Optional[int] = None
    texts = 0
    for _count in range(MAX_HEADERS):
        block = tape.exactly(BLOCK)
        if not block.strip(b"\0"):
            return
        header = _Header.parse(block)
        if header.kind in (b"x", b"g", b"L", b"K"):
            texts += header.size
            if header.size > MAX_TEXT or texts > MAX_TEXTS:
                _unsafe("has headers that are too large", "make it anew without extended attributes (--no-xattrs)")
            more = _extension(tape, header)
            name = more.get("path", name)
            size = int(more["size"]) if "size" in more else size
            continue
        header.name = header.name if name is None else name
        header.size = header.size if size is None else size
        name = size = None
        yield header
    _refuse("archive_too_large", f"has more than {MAX_HEADERS} headers", "pack the assets together")


def _extension(tape: _Tape, header: _Header) -> dict[str, str]:
    """What a pax or GNU header says of the member behind it: path and size."""
    content = MemberContent(tape, header.size)
    raw = b"".join(content)
    content.skip()
    if header.kind == b"L":
        return {"path": _text(raw)}
    if header.kind == b"K":
        return {}
    records = _pax(raw)
    if any(key.startswith("GNU.sparse.") for key in records):
        _unsafe("has a sparse file", _NOT_SPARSE)
    if header.kind == b"g" and records:
        _unsafe("has a name or a size for all members", "make it anew with another tar")
    size = records.get("size", "0")
    if not (size.isascii() and size.isdigit() and len(size) <= 15):
        _damaged("has a malformed pax header")
    return records


def survey(path: str, most: int) -> Survey:
    """Look through the whole archive, writing nothing."""
    with open(path, "rb") as raw:
        files = tuple(member for member, _content in members(raw, most))
    first = {member.name.partition("/")[0] for member in files}
    wrapped = len(first) == 1 and all("/" in member.name for member in files)
    return Survey(files, first.pop() if wrapped else "", sum(member.size for member in files))


def choose_binary(survey: Survey, wanted: str, service: str) -> Member:
    """The one file that is to run: the one asked for, else the one named as the service, else the only executable."""
    if wanted:
        asked = [m for m in survey.files if wanted in (m.name, survey.inside(m.name))]
        asked = asked or [m for m in survey.files if posixpath.basename(m.name) == wanted]
        return _only(asked, survey, f"release_binary {wanted!r}", "correct release_binary")
    named = [m for m in survey.files if posixpath.basename(m.name) == service]
    if len(named) > 1:
        named = [m for m in named if m.executable]
    if named:
        return _only(named, survey, f"a file named {service!r}", "set release_binary to the path of the right one")
    programs = [m for m in survey.files if m.executable]
    return _only(programs, survey, "an executable", "set release_binary to the path of the program in the archive")


def _only(candidates: Sequence[Member], survey: Survey, what: str, fix: str) -> Member:
    if len(candidates) == 1:
        return candidates[0]
    shown = candidates or survey.files
    names = ", ".join(repr(survey.inside(member.name)) for member in shown[:5])
    more = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    where = f"it has {names}{more}" if shown else "it is empty"
    _refuse("no_binary", f"has {what} {len(candidates)} times; {where}", fix)
