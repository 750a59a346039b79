# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What differs between an artefact and its rebuild, in the words of an operator. PRIVATE to the collection."""

from __future__ import annotations

import operator
from typing import Iterable, Iterator, NamedTuple, Optional

from .._binary.elf import SHT_SYMTAB, Elf, Reader, Section, read_sections
from .._binary.go_build_info import BuildInfo, Module
from .._binary.program import Opened, open_program

_NULL, _NOBITS = 0, 8
CHUNK = 1 << 20
_MEANING = {
    ".text": "machine code",
    ".rodata": "constants and texts",
    ".data": "variables",
    ".noptrdata": "variables",
    ".gopclntab": "table of functions",
    ".typelink": "table of types",
    ".itablink": "table of types",
    ".go.buildinfo": "build information",
    ".go.module": "module data",
    ".note.go.buildid": "build id",
    ".symtab": "symbol table",
    ".strtab": "symbol table",
    ".shstrtab": "names of sections",
}


class Difference(NamedTuple):
    """kind: build_id, module, setting, symbols, section, size or outside. offset: in the artefact, where it begins."""

    kind: str
    name: str
    artefact: str
    rebuilt: str
    text: str
    offset: Optional[int] = None


def find(artefact: str, rebuilt: str) -> list[Difference]:
    """All that differs, the causes before what follows from them; nothing where both have the same bytes."""
    with open_program(artefact) as one, open_program(rebuilt) as other:
        first = first_difference(one.reader, other.reader, 0, 0, min(one.reader.size, other.reader.size))
        if first is None and one.reader.size == other.reader.size:
            return []
        return list(_differences(one, other, first))


def _differences(one: Opened, other: Opened, first: Optional[int]) -> Iterator[Difference]:
    left, right = one.build_info(), other.build_info()
    if left is not None and right is not None:
        yield from _of_modules(left, right)
        yield from _of_settings(left, right)
    yield from _of_symbols(one, other)
    yield from _of_build_ids(one.elf, other.elf)
    if one.reader.size != other.reader.size:
        sizes = f"{one.reader.size:,}", f"{other.reader.size:,}"
        yield Difference("size", "", *sizes, f"the artefact has {sizes[0]} bytes and the rebuild {sizes[1]}")
    sections = list(_of_sections(one, other))
    yield from sections
    if not sections:
        offset = min(one.reader.size, other.reader.size) if first is None else first
        yield Difference("outside", "", "", "", f"bytes that are in no section differ, first at byte {offset}", offset)


def _of_modules(left: BuildInfo, right: BuildInfo) -> Iterator[Difference]:
    """The program's own module, and those it uses: another version, another checksum, or one that the other lacks."""
    if left.main is not None and right.main is not None and _shown(left.main) != _shown(right.main):
        here, there = _shown(left.main), _shown(right.main)
        text = f"the module {left.main.path} is {here} in the artefact and {there} in the rebuild"
        yield Difference("module", left.main.path, here, there, text)
    mine, theirs = ({module.path: _shown(module) for module in info.deps} for info in (left, right))
    for path in sorted({*mine, *theirs}):
        versions = mine.get(path, "absent"), theirs.get(path, "absent")
        if versions[0] != versions[1]:
            text = f"the module {path} is {versions[0]} in the artefact and {versions[1]} in the rebuild"
            yield Difference("module", path, *versions, text)


def _shown(module: Module) -> str:
    used = module.effective
    named = used.version or "without a version"
    if used is not module:
        named = f"{used.path} {named}"
    return f"{named} ({used.sum})" if used.sum else named


def _of_settings(left: BuildInfo, right: BuildInfo) -> Iterator[Difference]:
    """Flags, variables and what the version control says."""
    pairs = [("path", left.path, right.path), ("go", left.version, right.version)]
    mine, theirs = dict(left.settings), dict(right.settings)
    pairs += [(name, mine.get(name, ""), theirs.get(name, "")) for name in sorted({*mine, *theirs})]
    for name, here, there in pairs:
        if here != there:
            said = f"{name} is {here or 'not set'} in the artefact and {there or 'not set'} in the rebuild"
            yield Difference("setting", name, here, there, said)


def _of_symbols(one: Opened, other: Opened) -> Iterator[Difference]:
    """The one flag of the linker that shows by itself."""
    here, there = (
        any(section.type == SHT_SYMTAB for section in read_sections(opened.reader, opened.elf.header))
        for opened in (one, other)
    )
    if here != there:
        words = {True: "a symbol table", False: "no symbol table (-ldflags=-s)"}
        text = f"the artefact has {words[here]}, and the rebuild {words[there]}"
        yield Difference("symbols", "", words[here], words[there], text)


def _of_build_ids(left: Elf, right: Elf) -> Iterator[Difference]:
    """go's id is ACTION/MAIN-ACTION/MAIN-CONTENT/CONTENT: what was linked, what package main is, what came out."""
    here, there = left.notes.go_build_id or "", right.notes.go_build_id or ""
    if here != there:
        yield Difference("build_id", "", here, there, f"the build ids differ: {_meaning(here, there)}")


def _meaning(here: str, there: str) -> str:
    mine, theirs = here.split("/"), there.split("/")
    if not here or not there or len(mine) != len(theirs) or len(mine) != 4:
        return "one of both has no id of go build"
    if mine[0] == theirs[0]:
        return "the same was linked, and another file came out"
    if mine[2] != theirs[2]:
        return "package main was compiled from other source, or with other flags"
    return "package main is the same, and was linked with other -ldflags or other packages"


def _of_sections(one: Opened, other: Opened) -> Iterator[Difference]:
    mine, theirs = _sections(one), _sections(other)
    for name in [*mine, *(name for name in theirs if name not in mine)]:
        here, there = mine.get(name), theirs.get(name)
        if here is None or there is None:
            where = "rebuild" if here is None else "artefact"
            sizes = [f"{section.size:,}" if section else "absent" for section in (here, there)]
            yield Difference("section", name, sizes[0], sizes[1], f"only the {where} has {named(name)}")
            continue
        found = _compare(one.reader, other.reader, here, there)
        if found:
            text, offset = found
            yield Difference("section", name, f"{here.size:,}", f"{there.size:,}", f"{named(name)} {text}", offset)


def named(section: str) -> str:
    meaning = "debug information" if section.startswith((".debug_", ".zdebug_")) else _MEANING.get(section, "")
    return f"{section} ({meaning})" if meaning else section


def _sections(opened: Opened) -> dict[str, Section]:
    """Those with bytes in the file, by name; one that is not wholly in the file has none."""
    found: dict[str, Section] = {}
    for section in read_sections(opened.reader, opened.elf.header):
        is_inside = section.offset + section.size <= opened.reader.size
        if section.type not in (_NULL, _NOBITS) and section.size and is_inside:
            found.setdefault(section.name, section)
    return found


def _compare(one: Reader, other: Reader, here: Section, there: Section) -> Optional[tuple[str, int]]:
    """How they differ and where that begins in the first file; None where they have the same bytes."""
    shared = min(here.size, there.size)
    first = first_difference(one, other, here.offset, there.offset, shared)
    if first is None and here.size == there.size:
        return None
    at = shared if first is None else first
    where = f"first at byte {at:,} of it (byte {here.offset + at:,} of the artefact)"
    if here.size != there.size:
        sizes = f"has {here.size:,} bytes in the artefact and {there.size:,} in the rebuild"
        return f"{sizes}, and differs {where}", here.offset + at
    count = _count(one, other, here.offset, there.offset, here.size)
    return f"differs in {count:,} of {here.size:,} bytes, {where}", here.offset + at


def first_difference(one: Reader, other: Reader, here: int, there: int, size: int) -> Optional[int]:
    """Counted from the start of both."""
    for position, left, right in _pieces(one, other, here, there, size):
        if left != right:
            return position + next(index for index, pair in enumerate(zip(left, right)) if pair[0] != pair[1])
    return None


def _count(one: Reader, other: Reader, here: int, there: int, size: int) -> int:
    pieces = _pieces(one, other, here, there, size)
    return sum(sum(map(operator.ne, left, right)) for _position, left, right in pieces if left != right)


def _pieces(one: Reader, other: Reader, here: int, there: int, size: int) -> Iterable[tuple[int, bytes, bytes]]:
    for position in range(0, size, CHUNK):
        step = min(CHUNK, size - position)
        yield position, one.read(here + position, step), other.read(there + position, step)
