# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads an ELF file without trusting or executing it. This file is PRIVATE to the collection.

Only what the kernel and the dynamic loader look at decides: program headers, PT_DYNAMIC and notes. Section headers
are optional reading, because packers and strippers leave none or wrong ones. The file is read with bounded preads
and never mapped: a mapped file that shrinks kills its reader with SIGBUS.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections import OrderedDict
from types import MappingProxyType
from typing import Any, Iterator, Mapping, NamedTuple, Optional

from .._core.errors import SlipwayError
from .._core.text import printable
from .machines import goarch_of, goos_of, machine_name_of

BLOCK = 8192
CACHED_BLOCKS = 64
MAX_SEGMENT_TABLE = 65536  # the kernel refuses a larger one
MAX_SECTIONS = 65536
MAX_SECTION_NAMES = 4 << 20
MAX_SECTION_NAME = 256
MAX_DYNAMIC = 16384
MAX_NEEDED = 4096
MAX_VERSION_RECORDS = 65536
MAX_STRING = 4096
MAX_TEXT = 4 << 20
MAX_WHOLE_TABLE = 65536
MAX_NOTE_SEGMENT = 65536
MAX_NOTES = 256

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_NOTE = 1, 2, 3, 4
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
SHT_SYMTAB = 2
DT_NEEDED, DT_STRTAB, DT_STRSZ, DT_SONAME, DT_RPATH, DT_RUNPATH = 1, 5, 10, 14, 15, 29
DT_BIND_NOW, DT_FLAGS, DT_FLAGS_1, DT_RELR = 24, 30, 0x6FFFFFFB, 36
DT_AUXILIARY, DT_FILTER = 0x7FFFFFFD, 0x7FFFFFFF
DT_VERDEF, DT_VERNEED = 0x6FFFFFFC, 0x6FFFFFFE
DF_BIND_NOW = 8
DF_1_NOW, DF_1_NODEFLIB, DF_1_PIE = 0x1, 0x800, 0x08000000
VER_FLG_WEAK = 2
TYPES = {0: "none", 1: "rel", 2: "exec", 3: "dyn", 4: "core"}
X86_ISA_NEEDED = 0xC0008002
GNU_ABI_TAG, GNU_BUILD_ID, GNU_PROPERTY, GO_BUILD_ID = 1, 3, 5, 4


class ElfError(SlipwayError):
    """This file cannot be read as ELF.

    Codes: not_found, unreadable, not_regular, empty, not_elf, truncated, malformed, too_large_table.
    """

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        super().__init__(code, printable(message), printable(fix))


class Segment(NamedTuple):
    type: int
    flags: int
    offset: int
    vaddr: int
    filesz: int
    align: int


class Section(NamedTuple):
    name: str
    type: int
    addr: int
    size: int
    offset: int = 0


class VersionNeed(NamedTuple):
    """What this file wants of one library: version names, each with whether its absence is forgiven.

    indexes: the numbers by which the symbol table refers to the names.
    """

    library: str
    names: tuple[tuple[str, bool], ...]
    indexes: tuple[int, ...] = ()


class Reader:
    """Bounded random access to one regular file, with a small cache of blocks. Never blocks on a fifo or device."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._start_cache()
        self._fd = _open_regular(path)
        status = os.fstat(self._fd)
        self.size = status.st_size
        self.status = status

    def _start_cache(self) -> None:
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def read(self, offset: int, size: int) -> bytes:
        """Exactly size bytes, or ElfError: the file ends before, or shrank since it was opened."""
        if offset < 0 or size < 0 or offset + size > self.size:
            raise truncated(self.path, f"{size} bytes at offset {offset} are past its end at {self.size}")
        first = offset // BLOCK
        if offset + size <= (first + 1) * BLOCK:
            start = offset - first * BLOCK
            data = self._block(first)[start : start + size]
        else:
            data = self._pread(offset, size)
        if len(data) != size:
            raise truncated(self.path, "it shrank while it was read")
        return data

    def string(self, offset: int) -> bytes:
        """The bytes before the next NUL."""
        data = b""
        while len(data) < MAX_STRING:
            step = min(BLOCK - offset % BLOCK, self.size - offset)
            if step <= 0:
                raise truncated(self.path, "a string runs past its end")
            chunk = self.read(offset, step)
            end = chunk.find(b"\0")
            if end >= 0:
                data += chunk[:end]
                break
            data += chunk
            offset += step
        if len(data) > MAX_STRING:
            raise malformed(self.path, f"a string is longer than {MAX_STRING} bytes")
        return data

    def unpack(self, layout: struct.Struct, offset: int) -> tuple[Any, ...]:
        return layout.unpack(self.read(offset, layout.size))

    def _block(self, number: int) -> bytes:
        block = self._blocks.get(number)
        if block is None:
            block = self._pread(number * BLOCK, min(BLOCK, self.size - number * BLOCK))
            if len(self._blocks) >= CACHED_BLOCKS:
                self._blocks.popitem(last=False)
            self._blocks[number] = block
        return block

    def _pread(self, offset: int, size: int) -> bytes:
        try:
            return os.pread(self._fd, size, offset)
        except OSError as error:
            raise _unreadable(self.path, error) from error


def _open_regular(path: str) -> int:
    # Stat first: opening a device can act on it. O_NONBLOCK for what is swapped in between.
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _not_regular(path)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except ValueError as error:
        raise ElfError("not_found", f"{path!r}: {error}.", "give the path of a file") from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_regular(path)
    return fd


def _not_regular(path: str) -> ElfError:
    return ElfError("not_regular", f"{path}: not a regular file.", "give the path of the program itself")


def _unreadable(path: str, error: OSError) -> ElfError:
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return ElfError("not_found", f"{path}: {error.strerror}", "correct the path, or upload the file first")
    return ElfError("unreadable", f"{path}: {error.strerror}", "let the user that Ansible becomes read this file")


def truncated(path: str, what: str) -> ElfError:
    return ElfError(
        "truncated", f"{path}: file is truncated: {what}.", "build or upload the file again: it is empty or truncated"
    )


def malformed(path: str, what: str) -> ElfError:
    return ElfError("malformed", f"{path}: malformed ELF: {what}.", "build or upload the file again: it is damaged")


def too_large(path: str, what: str, count: int, limit: int) -> ElfError:
    return ElfError(
        "too_large_table",
        f"{path}: {count} {what}, more than {limit}.",
        "build or upload the file again: it is damaged",
    )


class _Layout(NamedTuple):
    header: struct.Struct
    segment: struct.Struct
    section: struct.Struct
    dynamic: struct.Struct
    verneed: struct.Struct
    vernaux: struct.Struct
    verdef: struct.Struct
    word: struct.Struct
    words: struct.Struct


def _layout(bits: int, endian: str) -> _Layout:
    wide = bits == 64
    return _Layout(
        header=struct.Struct(endian + ("HHIQQQIHHHHHH" if wide else "HHIIIIIHHHHHH")),
        segment=struct.Struct(endian + ("IIQQQQQQ" if wide else "IIIIIIII")),
        section=struct.Struct(endian + ("IIQQQQIIQQ" if wide else "IIIIIIIIII")),
        dynamic=struct.Struct(endian + ("QQ" if wide else "II")),
        verneed=struct.Struct(endian + "HHIII"),
        vernaux=struct.Struct(endian + "IHHII"),
        verdef=struct.Struct(endian + "HHHHIII"),
        word=struct.Struct(endian + "I"),
        words=struct.Struct(endian + "III"),
    )


LAYOUTS: dict[tuple[int, str], _Layout] = {
    (bits, endian): _layout(bits, {"little": "<", "big": ">"}[endian])
    for bits in (32, 64)
    for endian in ("little", "big")
}


class Header(NamedTuple):
    bits: int
    endian: str
    ident: bytes
    type: int
    machine: int
    version: int
    entry: int
    phoff: int
    shoff: int
    flags: int
    phentsize: int
    phnum: int
    shentsize: int
    shnum: int
    shstrndx: int


class Notes(NamedTuple):
    gnu_build_id: Optional[str] = None
    go_build_id: Optional[str] = None
    min_kernel: Optional[tuple[int, int, int]] = None
    x86_isa_needed: int = 0
    owners: tuple[str, ...] = ()


class Dynamic(NamedTuple):
    """PT_DYNAMIC, read."""

    present: bool = False
    needed: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    auxiliaries: tuple[str, ...] = ()
    soname: Optional[str] = None
    rpath: Optional[str] = None
    runpath: Optional[str] = None
    flags_1: int = 0
    bind_now: bool = False
    verneed: tuple[VersionNeed, ...] = ()
    verdef: Optional[tuple[str, ...]] = None
    values: Mapping[int, int] = MappingProxyType({})


class Elf(NamedTuple):
    """One ELF file as the kernel and the loader see it."""

    path: str
    header: Header
    segments: tuple[Segment, ...]
    interpreter: Optional[str]
    dynamic: Dynamic
    notes: Notes

    @property
    def bits(self) -> int:
        return self.header.bits

    @property
    def endian(self) -> str:
        return self.header.endian

    @property
    def machine(self) -> int:
        return self.header.machine

    @property
    def machine_name(self) -> str:
        return machine_name_of(self.header.machine)

    @property
    def goarch(self) -> Optional[str]:
        return goarch_of(self.header.machine, self.header.bits, self.header.endian)

    @property
    def goos(self) -> Optional[str]:
        return goos_of(self.header.ident[7], self.interpreter, self.notes.owners)

    @property
    def type(self) -> str:
        return TYPES.get(self.header.type, f"0x{self.header.type:x}")

    @property
    def needed(self) -> tuple[str, ...]:
        return self.dynamic.needed

    @property
    def soname(self) -> Optional[str]:
        return self.dynamic.soname

    @property
    def pie(self) -> bool:
        """A position-independent program, which a shared library is not."""
        return self.header.type == 3 and not self.is_library

    @property
    def is_library(self) -> bool:
        """A shared library that the kernel cannot start: no interpreter, and not a self-contained program."""
        if self.header.type != 3 or self.interpreter is not None or self.dynamic.flags_1 & DF_1_PIE:
            return False
        if self.header.entry == 0 or self.needed:
            return True
        return self.soname is not None and not is_loader_name(self.soname)

    @property
    def elf_class(self) -> str:
        """static, static-pie, dynamic, interpreter-only (a loader and no libraries), library or other."""
        if self.header.type not in (2, 3):
            return "other"
        if self.is_library:
            return "library"
        if self.interpreter is not None:
            return "dynamic" if self.needed else "interpreter-only"
        return "static-pie" if self.header.type == 3 else "static"

    @property
    def nx(self) -> Optional[bool]:
        """Whether the stack is not executable; None where the file leaves it to the kernel."""
        for segment in self.segments:
            if segment.type == PT_GNU_STACK:
                return not segment.flags & PF_X
        return None

    @property
    def relro(self) -> str:
        if not any(segment.type == PT_GNU_RELRO for segment in self.segments):
            return "none"
        return "full" if self.dynamic.bind_now or not self.dynamic.present else "partial"

    def offset_of(self, vaddr: int) -> Optional[int]:
        """Where in the file the byte is that the loader sees at this address."""
        return offset_of(self.segments, vaddr)


def is_loader_name(soname: str) -> bool:
    """ld-linux-x86-64.so.2, ld.so.1, ld64.so.2, ld-musl-x86_64.so.1, libc.musl-x86_64.so.1"""
    return soname.startswith(("ld-", "ld.so", "ld64.so", "libc.musl-"))


def offset_of(segments: tuple[Segment, ...], vaddr: int) -> Optional[int]:
    for segment in segments:
        if segment.type == PT_LOAD and segment.vaddr <= vaddr < segment.vaddr + segment.filesz:
            return segment.offset + vaddr - segment.vaddr
    return None


def read_notes(path: str) -> Notes:
    """The notes alone, of whatever is there; none where it is no ELF file."""
    try:
        with Reader(path) as reader:
            header = read_header(reader)
            layout = LAYOUTS[header.bits, header.endian]
            return _read_notes(reader, _read_segments(reader, header, layout), layout)
    except ElfError:
        return Notes()


def parse_elf(reader: Reader, header: Optional[Header] = None) -> Elf:
    header = header or read_header(reader)
    layout = LAYOUTS[header.bits, header.endian]
    segments = _read_segments(reader, header, layout)
    interpreter = _read_interpreter(reader, segments)
    dynamic = _read_dynamic(reader, segments, layout)
    notes = _read_notes(reader, segments, layout)
    return Elf(reader.path, header, segments, interpreter, dynamic, notes)


def read_header(reader: Reader) -> Header:
    if reader.size == 0:
        raise ElfError(
            "empty", f"{reader.path}: the file is empty.", "build or upload the file again: it is empty or truncated"
        )
    start = reader.read(0, min(reader.size, 64))
    if not start.startswith(b"\x7fELF"):
        if b"\x7fELF".startswith(start):
            raise truncated(reader.path, f"{reader.size} bytes are no ELF header")
        raise ElfError("not_elf", f"{reader.path}: not an ELF file.", _what_else(start))
    if len(start) < 52:
        raise truncated(reader.path, f"{reader.size} bytes are no ELF header")
    bits = {1: 32, 2: 64}.get(start[4])
    endian = {1: "little", 2: "big"}.get(start[5])
    if bits is None or endian is None:
        raise malformed(reader.path, f"class {start[4]}, data encoding {start[5]}")
    layout = LAYOUTS[bits, endian].header
    (kind, machine, version, entry, phoff, shoff, flags, _ehsize, *table) = reader.unpack(layout, 16)
    return Header(bits, endian, start[:16], kind, machine, version, entry, phoff, shoff, flags, *table)


def _what_else(start: bytes) -> str:
    if start.startswith(b"#!"):
        return "give the program that this script starts"
    if start.startswith(b"MZ"):
        return "build it for Linux: this is a Windows program"
    if start[:4] in (b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\xfe\xed\xfa\xcf"):
        return "build it for Linux: this is a macOS program"
    if start.startswith(b"!<arch>\n"):
        return "give the program that was linked from it: this is an archive"
    if start.startswith((b"\x1f\x8b", b"PK\x03\x04", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")):
        return "unpack the file first: it is compressed"
    return "give the path of a Linux program"


def _read_segments(reader: Reader, header: Header, layout: _Layout) -> tuple[Segment, ...]:
    if header.phnum == 0:
        return ()
    if header.phentsize != layout.segment.size:
        raise malformed(reader.path, f"program headers of {header.phentsize} bytes")
    size = header.phnum * header.phentsize
    if size > MAX_SEGMENT_TABLE:
        raise too_large(reader.path, "program headers", header.phnum, MAX_SEGMENT_TABLE // header.phentsize)
    rows = layout.segment.iter_unpack(reader.read(header.phoff, size))
    if header.bits == 64:
        segments = tuple(Segment(t, f, o, v, fs, a) for t, f, o, v, _p, fs, _ms, a in rows)
    else:
        segments = tuple(Segment(t, f, o, v, fs, a) for t, o, v, _p, fs, _ms, f, a in rows)
    for segment in segments:
        if segment.type == PT_LOAD and segment.offset + segment.filesz > reader.size:
            end = segment.offset + segment.filesz
            raise truncated(reader.path, f"a segment ends at {end}, the file at {reader.size}")
    return segments


def _read_interpreter(reader: Reader, segments: tuple[Segment, ...]) -> Optional[str]:
    for segment in segments:
        if segment.type == PT_INTERP:
            if not 2 <= segment.filesz <= MAX_STRING:
                raise malformed(reader.path, f"an interpreter name of {segment.filesz} bytes")
            raw = reader.read(segment.offset, segment.filesz)
            if raw[-1:] != b"\0":
                raise malformed(reader.path, "the interpreter name does not end")
            return os.fsdecode(raw.split(b"\0", 1)[0])
    return None


class _Strings:
    """DT_STRTAB: a small one is read at once, of a large one each string where it is asked for."""

    def __init__(self, reader: Reader, offset: int, size: int) -> None:
        self._reader = reader
        self._offset = offset
        self._size = size
        self._budget = MAX_TEXT
        whole = min(size, reader.size - offset)
        self._data = reader.read(offset, whole) if whole <= MAX_WHOLE_TABLE else b""

    def all(self, indexes: list[int]) -> tuple[str, ...]:
        return tuple(self.at(index) for index in indexes)

    def at(self, index: int) -> str:
        if not 0 <= index < self._size:
            raise malformed(self._reader.path, f"string {index} is outside a table of {self._size} bytes")
        end = self._data.find(b"\0", index, index + MAX_STRING)
        raw = self._data[index:end] if end >= 0 else self._reader.string(self._offset + index)
        self._budget -= len(raw)
        if self._budget < 0:
            raise too_large(self._reader.path, "bytes of names", MAX_TEXT - self._budget, MAX_TEXT)
        return os.fsdecode(raw)


def _read_dynamic(reader: Reader, segments: tuple[Segment, ...], layout: _Layout) -> Dynamic:
    # The last one counts, for the kernel and the loader alike.
    dynamic_segments = [segment for segment in segments if segment.type == PT_DYNAMIC and segment.filesz]
    if not dynamic_segments:
        return Dynamic()
    values, names = _dynamic_entries(reader, segments, dynamic_segments[-1], layout)
    offset = offset_of(segments, values.get(DT_STRTAB, -1))
    if offset is None:
        if any(names.values()):
            raise malformed(reader.path, "the dynamic string table is in no segment")
        return Dynamic(present=True, values=values)
    strings = _Strings(reader, offset, values.get(DT_STRSZ, 0))

    def text(tag: int) -> Optional[str]:
        return strings.at(values[tag]) if tag in values else None

    flags, flags_1 = values.get(DT_FLAGS, 0), values.get(DT_FLAGS_1, 0)
    return Dynamic(
        present=True,
        needed=strings.all(names[DT_NEEDED]),
        filters=strings.all(names[DT_FILTER]),
        auxiliaries=strings.all(names[DT_AUXILIARY]),
        soname=text(DT_SONAME),
        rpath=text(DT_RPATH),
        runpath=text(DT_RUNPATH),
        flags_1=flags_1,
        bind_now=bool(DT_BIND_NOW in values or flags & DF_BIND_NOW or flags_1 & DF_1_NOW),
        verneed=_read_verneed(reader, segments, values, strings, layout),
        verdef=_read_verdef(reader, segments, values, strings, layout),
        values=values,
    )


def _dynamic_entries(
    reader: Reader, segments: tuple[Segment, ...], where: Segment, layout: _Layout
) -> tuple[dict[int, int], dict[int, list[int]]]:
    offset = offset_of(segments, where.vaddr)
    if offset is None:
        offset = where.offset
    size = min(where.filesz, reader.size - offset)
    if size // layout.dynamic.size > MAX_DYNAMIC:
        raise too_large(reader.path, "dynamic entries", size // layout.dynamic.size, MAX_DYNAMIC)
    values: dict[int, int] = {}
    names: dict[int, list[int]] = {DT_NEEDED: [], DT_FILTER: [], DT_AUXILIARY: []}
    for tag, value in layout.dynamic.iter_unpack(reader.read(offset, size - size % layout.dynamic.size)):
        if tag == 0:
            break
        if tag in names:
            names[tag].append(value)
        else:
            values[tag] = value
    count = sum(map(len, names.values()))
    if count > MAX_NEEDED:
        raise too_large(reader.path, "needed libraries", count, MAX_NEEDED)
    return values, names


def _chain(reader: Reader, layout: struct.Struct, offset: int, what: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Records linked by a forward distance in their last field; 0 ends the chain."""
    for _count in range(MAX_VERSION_RECORDS):
        record = reader.unpack(layout, offset)
        yield offset, record
        if record[-1] == 0:
            return
        offset += record[-1]
    raise too_large(reader.path, what, MAX_VERSION_RECORDS + 1, MAX_VERSION_RECORDS)


def _table(reader: Reader, segments: tuple[Segment, ...], values: dict[int, int], tag: int, what: str) -> Optional[int]:
    if tag not in values:
        return None
    offset = offset_of(segments, values[tag])
    if offset is None:
        raise malformed(reader.path, f"the table of {what} is in no segment")
    return offset


def _read_verneed(
    reader: Reader, segments: tuple[Segment, ...], values: dict[int, int], strings: _Strings, layout: _Layout
) -> tuple[VersionNeed, ...]:
    what = "versions needed"
    start = _table(reader, segments, values, DT_VERNEED, what)
    if start is None:
        return ()
    needs: list[VersionNeed] = []
    budget = MAX_VERSION_RECORDS
    for offset, (_version, _count, file, aux, _next) in _chain(reader, layout.verneed, start, what):
        names: list[tuple[str, bool]] = []
        indexes: list[int] = []
        for _offset, (_hash, flags, index, name, _next_aux) in _chain(reader, layout.vernaux, offset + aux, what):
            names.append((strings.at(name), bool(flags & VER_FLG_WEAK)))
            indexes.append(index & 0x7FFF)
        budget -= len(names)
        if budget < 0:
            raise too_large(reader.path, what, MAX_VERSION_RECORDS - budget, MAX_VERSION_RECORDS)
        needs.append(VersionNeed(strings.at(file), tuple(names), tuple(indexes)))
    return tuple(needs)


def _read_verdef(
    reader: Reader, segments: tuple[Segment, ...], values: dict[int, int], strings: _Strings, layout: _Layout
) -> Optional[tuple[str, ...]]:
    what = "versions defined"
    start = _table(reader, segments, values, DT_VERDEF, what)
    if start is None:
        return None
    names: list[str] = []
    for offset, record in _chain(reader, layout.verdef, start, what):
        (name,) = reader.unpack(layout.word, offset + record[5])
        names.append(strings.at(name))
    return tuple(names)


def _read_notes(reader: Reader, segments: tuple[Segment, ...], layout: _Layout) -> Notes:
    """Notes inform; a damaged one is skipped, as the kernel and the loader do."""
    fields: dict[str, Any] = {}
    owners: list[str] = []
    budget = MAX_NOTES
    for segment in segments:
        if segment.type != PT_NOTE or segment.filesz > MAX_NOTE_SEGMENT:
            continue
        if segment.offset + segment.filesz > reader.size:
            continue
        data = reader.read(segment.offset, segment.filesz)
        for owner, kind, desc in _iter_notes(data, 8 if segment.align == 8 else 4, layout):
            budget -= 1
            if budget < 0:
                return Notes(**fields, owners=tuple(owners))
            owners.append(owner)
            _take_note(fields, owner, kind, desc, layout)
    return Notes(**fields, owners=tuple(sorted(set(owners))))


def _iter_notes(data: bytes, align: int, layout: _Layout) -> Iterator[tuple[str, int, bytes]]:
    position = 0
    while position + 12 <= len(data):
        name_size, desc_size, kind = layout.words.unpack_from(data, position)
        desc = _round_up(position + 12 + name_size, align)
        end = desc + desc_size
        if end > len(data):
            return
        name = data[position + 12 : position + 12 + name_size].rstrip(b"\0")
        yield name.decode("latin-1"), kind, data[desc:end]
        position = _round_up(end, align)


def _round_up(value: int, align: int) -> int:
    return (value + align - 1) // align * align


def _take_note(fields: dict[str, Any], owner: str, kind: int, desc: bytes, layout: _Layout) -> None:
    if owner == "Go" and kind == GO_BUILD_ID:
        fields.setdefault("go_build_id", desc.rstrip(b"\0").decode("utf-8", "replace"))
    elif owner == "GNU" and kind == GNU_BUILD_ID:
        fields.setdefault("gnu_build_id", desc.hex())
    elif owner == "GNU" and kind == GNU_ABI_TAG and len(desc) >= 16:
        system = layout.word.unpack_from(desc)[0]
        if system == 0:
            fields.setdefault("min_kernel", layout.words.unpack_from(desc, 4))
    elif owner == "GNU" and kind == GNU_PROPERTY:
        fields["x86_isa_needed"] = fields.get("x86_isa_needed", 0) | _isa_needed(desc, layout)


def _isa_needed(desc: bytes, layout: _Layout) -> int:
    align = 8 if layout.dynamic.size == 16 else 4
    position, needed = 0, 0
    while position + 8 <= len(desc):
        kind = layout.word.unpack_from(desc, position)[0]
        size = layout.word.unpack_from(desc, position + 4)[0]
        if kind == X86_ISA_NEEDED and size == 4 and position + 12 <= len(desc):
            needed |= layout.word.unpack_from(desc, position + 8)[0]
        position = _round_up(position + 8 + size, align)
    return needed


def read_sections(reader: Reader, header: Header) -> tuple[Section, ...]:
    """The section headers, or none where they are missing or make no sense: nothing that runs depends on them."""
    layout = LAYOUTS[header.bits, header.endian].section
    if header.shoff == 0 or header.shentsize != layout.size:
        return ()
    try:
        first = reader.unpack(layout, header.shoff)
        count = header.shnum or first[5]
        index = header.shstrndx if header.shstrndx != 0xFFFF else first[6]
        if not index < count <= MAX_SECTIONS:
            return ()
        rows = list(layout.iter_unpack(reader.read(header.shoff, count * layout.size)))
        offset, size = rows[index][4:6]
        names = reader.read(offset, min(size, reader.size - offset, MAX_SECTION_NAMES))
    except ElfError:
        return ()
    return tuple(Section(_name_in(names, row[0]), row[1], row[3], row[5], row[4]) for row in rows)


def _name_in(names: bytes, start: int) -> str:
    end = names.find(b"\0", start, start + MAX_SECTION_NAME)
    return os.fsdecode(names[start:end]) if end >= 0 else ""
