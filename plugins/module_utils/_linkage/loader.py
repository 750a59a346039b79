# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What glibc's and musl's loaders have in common, done by reading alone. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import glob
import os
import posixpath
import re
from typing import Any, Callable, Mapping, NamedTuple, Optional, Sequence, TypeVar

from .._binary.elf import PF_W, PT_LOAD, Elf, ElfError, Header, Reader, parse_elf, read_header
from .._binary.symbols import (
    UNKNOWN_SYMBOLS,
    Relocated,
    Symbols,
    read_names,
    read_relocated,
    read_symbols,
    version_indexes,
)
from .._core.problems import Problem
from .._core.root_view import View
from .advice import Advice

# Where ABIs put their loaders; the globs find what the list has not heard of.
INTERPRETERS = ("/lib/ld-*.so*", "/lib/ld64.so*", "/lib64/ld-*.so*", "/lib64/ld64.so*", "/libx32/ld-*.so*")
MAX_LIBRARIES = 2000
MAX_FILES = 4096
MAX_BLOB = 8 << 20
MAX_NAMES = 300_000  # some 30 MB
Made = TypeVar("Made")
ABSENT = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)


class Library(NamedTuple):
    """A name as it is needed, and where the loader finds it; path None where it does not."""

    name: str
    path: Optional[str]


class LoaderEnvironment(NamedTuple):
    """What decides how a loader searches, beside the files.

    secure: started with AT_SECURE (setuid, setgid or file capabilities).
    Of a path in the view, each empty where nothing is in the way. barrier: what keeps who starts the program from
    reading it. unmappable: what to do so that code may be mapped from it. hidden: what to do so that the unit sees it.
    """

    library_path: str = ""
    preload: str = ""
    bind_now: bool = False
    secure: bool = False
    barrier: Callable[[str], str] = lambda _path: ""
    unmappable: Callable[[str], str] = lambda _path: ""
    hidden: Callable[[str], str] = lambda _path: ""


class File:
    """One file that may be a library: its header if it has one, and the rest where the header fits."""

    __slots__ = ("elf", "error", "header", "host", "identity", "size")

    def __init__(self, host: str, identity: tuple[int, int], size: int) -> None:
        self.host = host
        self.identity = identity
        self.size = size
        self.header: Optional[Header] = None
        self.elf: Optional[Elf] = None
        self.error: Optional[ElfError] = None


class Files:
    """Reads each file once per run, however many programs need it."""

    def __init__(self) -> None:
        self._files: dict[tuple[int, int, int, int], File] = {}
        self._directories: dict[str, bool] = {}
        self._known: dict[tuple[object, ...], Any] = {}
        self._symbols: dict[tuple[int, int], Symbols] = {}
        self._names = 0

    def get(self, host: str, want: Header) -> File:
        """OSError where the loader's open(2) would fail."""
        status = os.stat(host)
        key = (status.st_dev, status.st_ino, want.bits, want.machine)
        file = self._files.get(key)
        if file is None:
            if len(self._files) >= MAX_FILES:
                self._files.clear()
            file = self._files[key] = _read_file(host, key[:2], status.st_size, want)
        return file

    def is_directory(self, host: str) -> bool:
        answer = self._directories.get(host)
        if answer is None:
            answer = self._directories[host] = os.path.isdir(host)
        return answer

    def once(self, key: tuple[object, ...], make: Callable[[], Made]) -> Made:
        """What make returns, made once per key."""
        if key not in self._known:
            self._known[key] = make()
        made: Made = self._known[key]
        return made

    def symbols(self, link_map: LinkMap) -> Symbols:
        if link_map.tables is not None:
            return link_map.tables.symbols
        if link_map.file is None:
            return UNKNOWN_SYMBOLS
        symbols = self._symbols.get(link_map.file.identity)
        if symbols is None:
            symbols = _read_symbols(link_map.file.host, link_map.elf)
            self._names += len(symbols)
            if self._names > MAX_NAMES:
                self._symbols.clear()
                self._names = len(symbols)
            self._symbols[link_map.file.identity] = symbols
        return symbols

    def tables(self, link_map: LinkMap) -> Tables:
        if link_map.tables is None and link_map.file is not None:
            with Reader(link_map.file.host) as reader:
                link_map.tables = read_tables(reader, link_map.elf)
        return link_map.tables or NO_TABLES

    def constants(self, file: File) -> bytes:
        """The read-only bytes of a loader: its search path is in there."""
        return self.once(("constants", file.identity), lambda: _read_constants(file))


def _read_file(host: str, identity: tuple[int, int], size: int, want: Header) -> File:
    file = File(host, identity, size)
    try:
        with Reader(host) as reader:
            file.header = read_header(reader)
            if (file.header.bits, file.header.machine) == (want.bits, want.machine):
                file.elf = parse_elf(reader, file.header)
    except ElfError as error:
        file.error = error
    return file


def _read_symbols(host: str, elf: Elf) -> Symbols:
    try:
        with Reader(host) as reader:
            return read_symbols(reader, elf)
    except ElfError:
        return UNKNOWN_SYMBOLS


def _read_constants(file: File) -> bytes:
    if file.elf is None:
        return b""
    parts: list[bytes] = []
    budget = MAX_BLOB
    try:
        with Reader(file.host) as reader:
            for segment in file.elf.segments:
                if segment.type == PT_LOAD and not segment.flags & PF_W and segment.filesz <= budget:
                    budget -= segment.filesz
                    parts.append(reader.read(segment.offset, segment.filesz))
    except ElfError:
        return b""
    return b"\0".join(parts)


class Tables(NamedTuple):
    """What a program's symbol and relocation tables say, and the names of what it copies from libraries."""

    symbols: Symbols
    relocated: Relocated
    versions: Mapping[int, int]
    copied: tuple[str, ...]


NO_TABLES = Tables(UNKNOWN_SYMBOLS, Relocated(set(), set()), {}, ())


def read_tables(reader: Reader, elf: Elf) -> Tables:
    symbols = read_symbols(reader, elf)
    relocated = read_relocated(reader, elf)
    try:
        versions = version_indexes(reader, elf, symbols.wanted.values())
        copied = read_names(reader, elf, relocated.copied)
    except ElfError:
        versions, copied = {}, {}
    return Tables(symbols, relocated, versions, tuple(os.fsdecode(name) for _ignored, name in sorted(copied.items())))


class LinkMap:
    """One object in the process that would be started."""

    __slots__ = ("elf", "file", "label", "loader", "names", "origin", "path", "tables")

    def __init__(self, label: str, path: str, elf: Elf, file: Optional[File], loader: Optional[LinkMap]) -> None:
        self.tables: Optional[Tables] = None  # read already
        self.label = label  # what messages call it
        self.path = path  # as the loader spells it
        self.elf = elf
        self.file = file
        self.loader = loader  # who needed it first
        self.names = {path}
        self.origin = posixpath.dirname(path) or "."


class Unresolved(NamedTuple):
    """Symbols that an object wants and nothing loaded defines, in the order of its table."""

    link_map: LinkMap
    names: list[str]


class Refused(Exception):
    """The loader finds a file and gives up on the program because of it."""

    def __init__(self, why: str, code: str = "library_invalid", fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.code = code
        self.fix = fix
        self.subject = ""  # what the message is about, where that is not the name that is needed


class Linked(NamedTuple):
    maps: list[LinkMap]
    libraries: list[Library]
    problems: list[Problem]


class Interpreter(NamedTuple):
    """A PT_INTERP that exists. kind: glibc, musl or unknown."""

    kind: str
    name: str
    file: File
    constants: bytes


def find_interpreters(view: View) -> list[str]:
    """The loaders where ABIs put them, by the names that programs use."""
    root = view.root.rstrip("/")
    return [view.inside(path) for pattern in INTERPRETERS for path in sorted(glob.glob(root + pattern))]


def identify(name: str, file: File, files: Files) -> Interpreter:
    """By what is in it: a file's name proves nothing, a glibc host may well have a file called ld-musl-…"""
    kind = files.once(("kind", file.identity), lambda: _kind(file, files.constants(file)))
    return Interpreter(kind, name, file, files.constants(file))


def _kind(file: File, blob: bytes) -> str:
    if re.search(rb"/etc/ld-musl-[\w.-]+\.path\0", blob):
        return "musl"
    if b"ld.so.cache\0" in blob or "GLIBC_PRIVATE" in ((file.elf and file.elf.dynamic.verdef) or ()):
        return "glibc"
    return "unknown"


class Linker:
    """The walk over what is needed, breadth first. Subclasses know where to look and what to say."""

    def __init__(
        self,
        view: View,
        files: Files,
        interpreter: Interpreter,
        want: Elf,
        environment: LoaderEnvironment,
        advice: Advice,
    ) -> None:
        self.advice = advice
        self.view = view
        self.files = files
        self.interpreter = interpreter
        self.want = want.header
        self.environment = environment
        self.missing: set[str] = set()
        self.problems: list[Problem] = []
        self.libraries: list[Library] = []
        self.maps: list[LinkMap] = []
        self.hidden = ""  # what to do so that the unit sees what was last looked for
        self.denied = ""  # what keeps the user from it

    def link(self, label: str, path: str, elf: Elf, tables: Optional[Tables] = None) -> Linked:
        """label: what messages call the program. path: canonical, in the view."""
        main = LinkMap(label, path, elf, None, None)
        main.tables = tables
        self.maps.append(main)
        self.start(main)
        position = 0
        while position < len(self.maps):
            current = self.maps[position]
            position += 1
            for name in current.elf.dynamic.filters + current.elf.needed:
                self.need(current, name)
            for name in current.elf.dynamic.auxiliaries:
                self.need(current, name, optional=True)
            if len(self.maps) > MAX_LIBRARIES:
                self.complain(
                    "library_invalid", f"{label}: more than {MAX_LIBRARIES} libraries", "link it with fewer libraries"
                )
                break
        self.finish()
        return Linked(self.maps, self.libraries, self.problems)

    def complain(self, code: str, message: str, fix: str) -> None:
        problem = Problem(code, message, fix)
        if problem not in self.problems:
            self.problems.append(problem)

    def add(self, name: str, path: str, file: File, loader: Optional[LinkMap]) -> LinkMap:
        if file.elf is None:
            raise Refused(file.error.message if file.error else "not read")
        added = LinkMap(path, path, file.elf, file, loader)
        added.names.add(name)
        self.maps.append(added)
        self.libraries.append(Library(name, path))
        return added

    def open(self, path: str) -> Optional[File]:
        """The file behind a path in the view, or None where open(2) would say that there is none."""
        try:
            file = self.files.get(self.view.host(path), self.want)
        except ValueError:
            return None
        except OSError as error:
            if error.errno in ABSENT:
                return None
            raise
        hidden = self.environment.hidden(path)
        if hidden:
            self.hidden = hidden
            return None
        barrier = self.environment.barrier(path)
        if barrier:
            self.denied = barrier
            return None
        return file

    def unresolved(self, also: Sequence[LinkMap] = ()) -> list[Unresolved]:
        """What is bound at start and defined nowhere, by object."""
        scope = [*self.maps, *also]
        tables = [self.files.symbols(link_map) for link_map in scope]
        if not all(table.complete for table in tables):
            return []
        every: set[bytes] = set()
        for table in tables:
            every.update(table.wanted)
        # The C library, which is last, has most of them; the program, which is first, seldom any.
        for table in reversed(tables):
            if not every:
                break
            every = every - table.defined
        unresolved: list[Unresolved] = []
        for link_map, table in zip(scope, tables) if every else ():
            missing = {table.wanted[name]: name for name in table.wanted if name in every}
            names = self.bound_now(link_map, missing)
            if names:
                unresolved.append(Unresolved(link_map, names))
        return unresolved + self._copies(scope[0], tables[1:])

    def bound_now(self, link_map: LinkMap, candidates: Mapping[int, bytes]) -> list[str]:
        """Of symbols by index, those that must be there before the program starts, in the order of the table."""
        indexes = sorted(candidates)
        if indexes and not (self.eager or self.environment.bind_now or link_map.elf.dynamic.bind_now):
            at_once = self.files.tables(link_map).relocated.at_once
            indexes = [index for index in indexes if index in at_once]
        return [os.fsdecode(candidates[index]) for index in indexes]

    def _copies(self, main: LinkMap, others: Sequence[Symbols]) -> list[Unresolved]:
        """Data that the program takes over from a library is defined in both."""
        copied = self.files.tables(main).copied
        lost = [name for name in copied if not any(os.fsencode(name) in table.defined for table in others)]
        return [Unresolved(main, lost)] if lost else []

    # What differs:

    eager = False  # whether functions are bound before the program starts, whatever it says

    def start(self, main: LinkMap) -> None:
        raise NotImplementedError

    def need(self, current: LinkMap, name: str, optional: bool = False) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """Checks that need everything loaded."""
