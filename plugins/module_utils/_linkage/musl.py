# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds libraries in musl's order and judges them as musl does. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import os
import posixpath
import re
from typing import Iterator, Optional

from .._binary.elf import PT_DYNAMIC, ElfError, Reader
from .advice import symbol_fix
from .loader import File, Library, Linker, LinkMap, Refused

DEFAULT_PATH = "/lib:/usr/local/lib:/usr/lib"
CARRY_ON = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.ENAMETOOLONG)
_OWN = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
_TOKEN = re.compile(r"\$(?:ORIGIN|\{ORIGIN\})")


class MuslLinker(Linker):
    """Unlike glibc it takes the first file that opens, whatever it is, and hands every run path down."""

    _system: Optional[str] = None
    _self_listed = False
    eager = True

    def start(self, main: LinkMap) -> None:
        if not self.environment.secure:
            for name in re.split(r"[\s:]+", self.environment.preload):
                if name:
                    self.need(main, name, optional=True)

    def need(self, current: LinkMap, name: str, optional: bool = False) -> None:
        if _OWN.match(name) or name == self.interpreter.name:
            self._list_self(name)
            return
        if name in self.missing or any(name in link_map.names for link_map in self.maps[1:]):
            return
        self.hidden, self.denied = "", ""
        try:
            library = self._find(current, name)
            if library is None:
                raise self._absence(name)
            self._take(current, name, *library)
        except Refused as refused:
            if not optional:
                self._refuse(current, name, refused)

    def _absence(self, name: str) -> Refused:
        if self.denied:
            fix = f"let the user of the service read {self.denied}"
            return Refused(os.strerror(errno.ENOENT), "library_unreadable", fix)
        return Refused(os.strerror(errno.ENOENT), "library_missing", self.hidden or self.advice.library(name))

    def _list_self(self, name: str) -> None:
        if not self._self_listed:
            self._self_listed = True
            self.libraries.append(Library(name, self.interpreter.name))

    def _find(self, current: LinkMap, name: str) -> Optional[tuple[str, File]]:
        if "/" in name:
            file = self.open(name)
            return (name, file) if file is not None else None
        for path in self._paths(current):
            for directory in re.split(r"[:\n]+", path):
                if not directory:
                    continue
                candidate = f"{directory}/{name}"
                try:
                    file = self.open(candidate)
                except OSError as error:
                    if error.errno not in CARRY_ON:
                        return None
                    continue
                if file is not None:
                    return candidate, file
        return None

    def _paths(self, current: LinkMap) -> Iterator[str]:
        if self.environment.library_path and not self.environment.secure:
            yield self.environment.library_path
        ancestor: Optional[LinkMap] = current
        while ancestor is not None:
            run_path = self._run_path(ancestor)
            if run_path:
                yield run_path
            ancestor = ancestor.loader
        yield self.system_path

    def _run_path(self, owner: LinkMap) -> Optional[str]:
        dynamic = owner.elf.dynamic
        text = dynamic.runpath if dynamic.runpath is not None else dynamic.rpath
        if text is None or "$" not in text:
            return text
        if len(_TOKEN.findall(text)) != text.count("$"):
            return None
        if self.environment.secure and (owner is self.maps[0] or not owner.origin.startswith("/")):
            return None
        return _TOKEN.sub(lambda _match: owner.origin, text)

    @property
    def system_path(self) -> str:
        if self._system is None:
            self._system = self._read_system_path()
        return self._system

    def _read_system_path(self) -> str:
        blob = self.interpreter.constants
        arch = re.search(rb"/etc/ld-musl-([\w.-]+)\.path\0", blob)
        name = self.interpreter.name
        prefix = posixpath.dirname(posixpath.dirname(name)).rstrip("/") if name.startswith("/") else ""
        if arch:
            try:
                with Reader(self.view.host(f"{prefix}/etc/ld-musl-{arch.group(1).decode()}.path")) as reader:
                    return os.fsdecode(reader.read(0, min(reader.size, 65536)).split(b"\0")[0])
            except ElfError as error:
                if error.code != "not_found":
                    return ""
            except OSError as error:
                if error.errno != errno.ENOENT:
                    return ""
        built_in = re.search(rb"\0((?:/[^\0:\n ]*)?/lib[^\0:\n ]*(?::/[^\0:\n ]+)+)\0", blob)
        return os.fsdecode(built_in.group(1)) if built_in else DEFAULT_PATH

    def _take(self, current: LinkMap, name: str, path: str, file: File) -> None:
        for link_map in self.maps:
            if link_map.file is not None and link_map.file.identity == file.identity:
                link_map.names.add(posixpath.basename(path) if "/" not in name else link_map.path)
                return
        if file.elf is None:
            raise Refused(_exec_error(file), fix=self.advice.refused(path))
        if file.elf.header.type not in (2, 3) or not any(s.type == PT_DYNAMIC for s in file.elf.segments):
            raise Refused(os.strerror(errno.ENOEXEC), fix=self.advice.refused(path))
        unmappable = self.environment.unmappable(path)
        if unmappable:
            raise Refused(os.strerror(errno.EPERM), "noexec_mount", unmappable)
        added = self.add(name, path, file, current)
        added.names = {posixpath.basename(path)} if "/" not in name else set()

    def finish(self) -> None:
        file = self.interpreter.file
        if self.missing or self.problems or file.elf is None or self.maps[0].elf.is_library:
            return
        own = LinkMap(self.interpreter.name, self.interpreter.name, file.elf, file, None)
        for link_map, names in self.unresolved([own]):
            text = f"Error relocating {link_map.label}: {names[0]}: symbol not found"
            self.complain("symbol_missing", text, symbol_fix(names, link_map.label))

    def _refuse(self, current: LinkMap, name: str, refused: Refused) -> None:
        self.missing.add(name)
        self.libraries.append(Library(name, None))
        text = f"Error loading shared library {name}: {refused.why} (needed by {current.label})"
        self.complain(refused.code, text, refused.fix)


def _exec_error(file: File) -> str:
    if file.error is not None and file.error.code == "truncated" and file.header is not None:
        return file.error.message
    return os.strerror(errno.ENOEXEC)
