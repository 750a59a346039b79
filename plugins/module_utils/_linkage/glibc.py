# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Finds libraries in glibc's order and judges them as glibc does. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import os
import posixpath
import re
import sys
from itertools import product
from typing import Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .._binary.elf import DF_1_NODEFLIB, DF_1_PIE, DT_RELR, LAYOUTS, PT_DYNAMIC, PT_LOAD, Elf, Header, Segment
from .._binary.machines import EM_386, EM_ARM, EM_X86_64
from .._core.root_view import View
from .._host.cpu import Cpu
from .advice import Advice, newest_version, symbol_fix
from .ldcache import FLAGS, LdCache, Rules, read_cache
from .loader import File, Files, Interpreter, Library, Linker, LinkMap, LoaderEnvironment, Refused

MAX_ABI_VERSION = 3
RELR_MARK = "GLIBC_ABI_DT_RELR"
ASSERTION = "Assertion `version->filename == NULL || ! _dl_name_match_p (version->filename, map)' failed!"
VDSO = ("linux-vdso.so.1", "linux-vdso64.so.1", "linux-gate.so.1")
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)(?![A-Za-z0-9_]))")
_PLATFORM_BITS, _TLS_BIT = 0xF << 48, 1 << 63


class Traits(NamedTuple):
    """What one build of the loader has compiled in.

    system: its default directories, each with a slash at the end. lib: what $LIB stands for.
    hwcaps: names below glibc-hwcaps/, best first. legacy: tls/, haswell/ and the like, gone since 2.37.
    strict_alignment: each segment has to be aligned as it says itself, until 2.34.
    """

    system: tuple[str, ...]
    lib: str
    cache: str
    hwcaps: tuple[str, ...]
    legacy: bool
    relr: bool
    strict_alignment: bool = False


def read_traits(blob: bytes, bits: int) -> Traits:
    system = _system_directories(blob) or (("/lib64/", "/usr/lib64/") if bits == 64 else ("/lib/", "/usr/lib/"))
    cache = re.search(rb"(/[^\0%]{0,200}/ld\.so\.cache)\0", blob)
    hwcaps = re.search(rb"\0((?:x86-64-v\d|power\d+|z\d+)(?::(?:x86-64-v\d|power\d+|z\d+))*)\0", blob)
    return Traits(
        system=system,
        lib=_lib_token(blob, system),
        cache=os.fsdecode(cache.group(1)) if cache else "/etc/ld.so.cache",
        hwcaps=tuple(hwcaps.group(1).decode().split(":")) if hwcaps else (),
        legacy=re.search(rb"haswell\0+xeon_phi\0", blob) is not None,
        relr=RELR_MARK.encode() in blob,
        strict_alignment=b"\0ELF load command alignment not page-aligned\0" in blob,
    )


def _system_directories(blob: bytes) -> tuple[str, ...]:
    """The loader keeps them one after the other, each ending in a slash."""
    run: list[bytes] = []
    for piece in blob.split(b"\0"):
        if len(piece) > 1 and piece[:1] == piece[-1:] == b"/" and b"%" not in piece:
            run.append(piece)
            continue
        if run and all(b"/lib" in name for name in run):
            break
        run = []
    return tuple(map(os.fsdecode, run))


def _lib_token(blob: bytes, system: tuple[str, ...]) -> str:
    first = system[0].strip("/")
    if first.startswith("usr/"):
        first = first[4:]
    for candidate in (first, posixpath.basename(first)):
        if b"\0" + os.fsencode(candidate) + b"\0" in blob:
            return candidate
    return "lib64" if system[0].rstrip("/").endswith("64") else "lib"


def legacy_subdirectories(names: list[str]) -> list[str]:
    """Every combination, the fullest first; the last name counts most."""
    names = names[::-1]
    paths: list[str] = []
    for chosen in product((True, False), repeat=len(names)):
        path = "".join(name + "/" for name, wanted in zip(names, chosen) if wanted)
        if path and path not in paths:
            paths.append(path)
    return paths


class GlibcLinker(Linker):
    def __init__(
        self,
        view: View,
        files: Files,
        interpreter: Interpreter,
        want: Elf,
        environment: LoaderEnvironment,
        advice: Advice,
        cpu: Cpu,
        machine: str,
    ) -> None:
        super().__init__(view, files, interpreter, want, environment, advice)
        self.cpu = cpu
        self.machine = machine
        identity = interpreter.file.identity
        self.traits = files.once(("traits", identity), lambda: read_traits(interpreter.constants, want.bits))
        self.subdirectories = files.once(("subdirectories", identity), self._subdirectories)
        self._searched: dict[tuple[str, str], list[str]] = {}
        self._other_class = False
        self.rtld = self._rtld()

    def _rtld(self) -> LinkMap:
        file = self.interpreter.file
        if file.elf is None:
            raise AssertionError("a glibc interpreter was identified by its ELF file")
        rtld = LinkMap(self.interpreter.name, self.interpreter.name, file.elf, file, None)
        if file.elf.soname:
            rtld.names.add(file.elf.soname)
        return rtld

    # Where it looks

    def _active_hwcaps(self) -> list[str]:
        level = self.cpu.x86_level
        return [name for name in self.traits.hwcaps if name.startswith("x86-64-v") and int(name[8:]) <= level]

    def _subdirectories(self) -> list[str]:
        paths = [f"glibc-hwcaps/{name}/" for name in self._active_hwcaps()]
        if self.traits.legacy and self.want.machine == EM_X86_64:
            names = ["x86_64"]
            if self.cpu.avx512_1:
                names.append("avx512_1")
            paths += legacy_subdirectories([*names, self.platform, "tls"])
        return [*paths, ""]

    @property
    def platform(self) -> str:
        if self.want.machine == EM_X86_64:
            return self.cpu.x86_platform or "x86_64"
        if self.want.machine == EM_386:
            return "i686"
        if self.want.machine == EM_ARM:
            return self.machine.replace("arm", "", 1)
        return self.machine

    def _legacy_word(self, word: int) -> bool:
        if not self.traits.legacy:
            return False
        allowed = _TLS_BIT | 1 << 1 | (1 << 2 if self.cpu.avx512_1 else 0)
        own = {"haswell": 1 << 50, "xeon_phi": 1 << 51}.get(self.platform, 0)
        return not word & ~(allowed | _PLATFORM_BITS) and (word & _PLATFORM_BITS) in (0, own)

    def _from_cache(self, name: str) -> Optional[str]:
        cache = self.files.once(("ld.so.cache", self.traits.cache, self.want.endian), self._read_cache)
        rules = Rules(FLAGS.get((self.want.machine, self.want.bits), ()), self._active_hwcaps(), self._legacy_word)
        return cache.lookup(name, rules)

    def _read_cache(self) -> LdCache:
        try:
            return read_cache(self.view.host(self.traits.cache), self.want.endian)
        except OSError:
            return LdCache(b"", self.want.endian)

    def expand(self, text: str, owner: LinkMap, is_main: bool) -> Optional[str]:
        """Replace $ORIGIN and its kin; None where the loader drops the path."""
        secure = self.environment.secure
        dropped = False

        def value(match: re.Match[str]) -> str:
            nonlocal dropped
            kind = match.group(1) or match.group(2)
            if kind == "LIB":
                return self.traits.lib
            if kind == "PLATFORM":
                return self.platform
            rest = text[match.end() :]
            if secure and (match.start() != 0 or rest[:1] not in ("", "/")):
                dropped = True
            return owner.origin

        result = _TOKEN.sub(value, text)
        if dropped or (secure and is_main and "ORIGIN" in text and not self._trusted(result)):
            return None
        return result

    def _trusted(self, path: str) -> bool:
        return (posixpath.normpath(path) + "/").startswith(self.traits.system)

    def _directories(self, text: str, owner: LinkMap, separators: str = ":") -> list[str]:
        """A search path as the loader splits it. An empty element is the working directory."""
        key = (text, owner.path)
        searched = self._searched.get(key)
        if searched is not None:
            return searched
        directories: list[str] = []
        for part in re.split(f"[{separators}]", text) if text else ():
            directory = self.expand(part, owner, owner is self.maps[0]) if part else ""
            if directory is None or (part and not directory):
                continue
            directory = directory.rstrip("/") + "/" if directory else ""
            if directory not in directories:
                directories.append(directory)
        self._searched[key] = directories
        return directories

    def _try_directories(self, directories: Iterable[str], name: str) -> Optional[tuple[str, File]]:
        for directory in directories:
            for sub in self.subdirectories:
                if sub and not self._exists(directory + sub):
                    continue
                try:
                    file = self._verify(directory + sub + name)
                except OSError:  # neither absent nor forbidden: the loader leaves this list
                    return None
                if file is not None:
                    return directory + sub + name, file
        return None

    def _exists(self, directory: str) -> bool:
        try:
            return self.files.is_directory(self.view.host(directory))
        except OSError:
            return False

    def _stages(self, current: LinkMap) -> Iterator[list[str]]:
        """Lists of directories in the order in which they count, up to the cache."""
        main = self.maps[0]
        if current.elf.dynamic.runpath is None:
            ancestor: Optional[LinkMap] = current
            while ancestor is not None:
                dynamic = ancestor.elf.dynamic
                if dynamic.rpath is not None and dynamic.runpath is None:
                    yield self._directories(dynamic.rpath, ancestor)
                ancestor = ancestor.loader
        if self.environment.library_path and not self.environment.secure:
            yield self._directories(self.environment.library_path, main, ":;")
        if current.elf.dynamic.runpath is not None:
            yield self._directories(current.elf.dynamic.runpath, current)

    def _search(self, current: LinkMap, name: str) -> Optional[tuple[str, File]]:
        for directories in self._stages(current):
            library = self._try_directories(directories, name)
            if library:
                return library
        no_default = bool(current.elf.dynamic.flags_1 & DF_1_NODEFLIB)
        cached = self._from_cache(name)
        if cached and not (no_default and cached.startswith(self.traits.system)):
            file = self._verify_quietly(cached)
            if file is not None:
                return cached, file
        return None if no_default else self._try_directories(self.traits.system, name)

    def locate(self, name: str, elf: Elf) -> Optional[Elf]:
        """The library of that name that a program without run paths would get."""
        main = LinkMap("", "/", elf, None, None)
        self.maps = [main]
        try:
            library = self._search(main, name)
        except Refused:
            return None
        return library[1].elf if library is not None else None

    def _verify_quietly(self, path: str) -> Optional[File]:
        try:
            return self._verify(path)
        except OSError:
            return None

    # What it accepts

    def _verify(self, path: str) -> Optional[File]:
        """The file, None to look further, or Refused where glibc gives up."""
        file = self.open(path)
        if file is None:
            return None
        try:
            return file if self._fits(file) else None
        except Refused as refused:
            refused.subject = path
            raise

    def _fits(self, file: File) -> bool:
        """In glibc's order. Debian's asks for the machine before it complains about anything else in the header."""
        header = file.header
        if header is None:
            raise Refused(_header_error(file), _code_of(file))
        if header.bits != self.want.bits:
            self._other_class = True
            return False
        other_machine = _raw_machine(header) != _raw_machine(self.want)
        why = self._bad_ident(header)
        if why and not other_machine:
            raise Refused(why)
        if not why and header.version != 1:
            raise Refused("ELF file version does not match current one")
        if other_machine:
            return False
        if header.type not in (2, 3):
            raise Refused("only ET_DYN and ET_EXEC can be loaded")
        if header.phentsize != LAYOUTS[header.bits, header.endian].segment.size:
            raise Refused("ELF file's phentsize not the expected size")
        if header.phoff + header.phnum * header.phentsize > file.size:
            raise Refused("cannot read file data")
        return True

    def _bad_ident(self, header: Header) -> str:
        ident = header.ident
        if header.endian != self.want.endian:
            return f"ELF file data encoding not {self.want.endian}-endian"
        if ident[6] != 1:
            return "ELF file version ident does not match current one"
        if ident[7] not in ((0, 3, 64, 97) if header.machine == EM_ARM else (0, 3)):
            return "ELF file OS ABI invalid"
        if ident[8] > (MAX_ABI_VERSION if ident[7] == 3 else 0):
            return "ELF file ABI version invalid"
        return "nonzero padding in e_ident" if any(ident[9:]) else ""

    def _check_mapping(self, file: File, path: str) -> None:
        elf = file.elf
        if elf is None:
            raise Refused(_header_error(file), _code_of(file))
        loads = [segment for segment in elf.segments if segment.type == PT_LOAD]
        self._check_alignment(loads)
        if not loads:
            raise Refused("object file has no loadable segments")
        if elf.header.type != 3:
            raise Refused("cannot dynamically load executable")
        if not any(segment.type == PT_DYNAMIC and segment.filesz for segment in elf.segments):
            raise Refused("object file has no dynamic section")
        unmappable = self.environment.unmappable(path)
        if unmappable:
            raise Refused("failed to map segment from shared object", "noexec_mount", unmappable)
        if elf.dynamic.flags_1 & DF_1_PIE:
            raise Refused("cannot dynamically load position-independent executable")

    def _check_alignment(self, loads: Sequence[Segment]) -> None:
        page = os.sysconf("SC_PAGE_SIZE")
        if self.traits.strict_alignment:
            if any(segment.align % page for segment in loads):
                raise Refused("ELF load command alignment not page-aligned")
            if any((segment.vaddr - segment.offset) & (segment.align - 1) for segment in loads):
                raise Refused("ELF load command address/offset not properly aligned")
        elif any((segment.vaddr - segment.offset) % page for segment in loads):
            raise Refused("ELF load command address/offset not page-aligned")

    # The walk

    def start(self, main: LinkMap) -> None:
        if main.elf.soname:
            main.names.add(main.elf.soname)
        if self.environment.secure:
            return
        for name in re.split(r"[ :]+", self.environment.preload) + self._preload_file():
            if name:
                self.need(main, name, optional=True)

    def _preload_file(self) -> list[str]:
        try:
            with open(self.view.host("/etc/ld.so.preload"), encoding="utf-8", errors="surrogateescape") as file:
                text = file.read(65536)
        except OSError:
            return []
        return re.split(r"[ :\t\n]+", re.sub(r"#[^\n]*", "", text))

    def _loaded(self, name: str) -> Optional[LinkMap]:
        if name in self.rtld.names:
            if self.rtld not in self.maps:
                self.maps.append(self.rtld)
                self.libraries.append(Library(name, self.rtld.path))
            return self.rtld
        for link_map in self.maps:
            if name in link_map.names or name == link_map.elf.soname:
                link_map.names.add(name)
                return link_map
        return None

    def need(self, current: LinkMap, name: str, optional: bool = False) -> None:
        expanded = self.expand(name, current, current is self.maps[0])
        if not expanded or expanded in self.missing or expanded in VDSO or self._loaded(expanded):
            return
        self._other_class, self.denied, self.hidden = False, "", ""
        try:
            library = self._find(current, expanded)
            if library is not None:
                self._take(current, expanded, *library)
                return
        except Refused as refused:
            if not optional:
                self._refuse(expanded, refused)
            return
        if not optional:
            self._miss(current, expanded)

    def _find(self, current: LinkMap, name: str) -> Optional[tuple[str, File]]:
        if "/" not in name:
            return self._search(current, name)
        file = self._verify_quietly(name)
        return (name, file) if file is not None else None

    def _take(self, current: LinkMap, name: str, path: str, file: File) -> None:
        for link_map in self.maps:
            if link_map.file is not None and link_map.file.identity == file.identity and link_map is not self.rtld:
                link_map.names.add(name)
                return
        try:
            self._check_mapping(file, path)
        except Refused as refused:
            refused.fix = refused.fix or self.advice.refused(path)
            raise
        self.add(name, path, file, current)

    def _refuse(self, name: str, refused: Refused) -> None:
        self.missing.add(name)
        self.libraries.append(Library(name, None))
        subject = refused.subject or name
        message = f"{self._program}: error while loading shared libraries: {subject}: {refused.why}"
        self.complain(refused.code, message, refused.fix or self.advice.refused(subject))

    def _miss(self, current: LinkMap, name: str) -> None:
        self.missing.add(name)
        self.libraries.append(Library(name, None))
        start = f"{self._program}: error while loading shared libraries: {name}: "
        if self.denied:
            # A search goes on, so that the last thing it meets is that there is no such file.
            reason = errno.EACCES if "/" in name else errno.ENOENT
            text = start + f"cannot open shared object file: {os.strerror(reason)}"
            self.complain("library_unreadable", text, f"let the user of the service read {self.denied}")
        elif self._other_class:
            other = 32 if self.want.bits == 64 else 64
            text = f"{start}wrong ELF class: ELFCLASS{other}"
            self.complain("library_invalid", text, self.advice.other_class(name))
        else:
            text = start + "cannot open shared object file: No such file or directory"
            self.complain("library_missing", text, self._missing_fix(current, name))

    def _missing_fix(self, current: LinkMap, name: str) -> str:
        """RUNPATH is not handed down: the most common surprise, so say it where it is the reason."""
        main = self.maps[0]
        if self.hidden:
            return self.hidden
        if current is not main and main.elf.dynamic.runpath is not None and current.elf.dynamic.rpath is None:
            for directory in self._directories(main.elf.dynamic.runpath, main):
                if self._verify_or_none(directory + name):
                    return (
                        f"link {current.label} with its own RUNPATH, or the program with -Wl,--disable-new-dtags: "
                        f"{name} is in {directory}, which is in the RUNPATH of {main.label} and not handed down"
                    )
        return self.advice.library(name)

    def _verify_or_none(self, path: str) -> Optional[File]:
        try:
            return self._verify(path)
        except (OSError, Refused):
            return None

    @property
    def _program(self) -> str:
        return self.maps[0].label

    # What must hold once everything is loaded

    def finish(self) -> None:
        for link_map in self.maps:
            self._check_versions(link_map)
            self._check_relr(link_map)
            self._check_isa(link_map)
        self._check_one_glibc()
        # Symbols that a library lacks may come from whatever loads it.
        if not self.missing and not self.problems and not self.maps[0].elf.is_library:
            self._check_unversioned()
            self._check_symbols()

    def _check_one_glibc(self) -> None:
        """The loader and the C library share data whose layout each release changes: another release's is a crash."""
        for link_map in self.maps:
            file = link_map.file
            if file is None or "libc.so.6" not in link_map.names or _beside(file.host, self.interpreter.file.host):
                continue
            libc, loader = self._release(file), self._release(self.interpreter.file)
            if libc != loader or not (libc or link_map.path.startswith(self.traits.system)):
                text = (
                    f"{self._program}: {link_map.path} is of glibc {libc or 'of an unknown release'}, and the loader "
                    f"{self.interpreter.name} of {loader or 'an unknown release'}: they only work with their own"
                )
                fix = f"leave {link_map.path} out of what is bundled, or bundle its loader and link to that"
                self.complain("library_invalid", text, fix)

    def bound_now(self, link_map: LinkMap, candidates: Mapping[int, bytes]) -> list[str]:
        """A part of glibc asks for the insides of the others while it is set up, whenever it is bound."""
        needed = (name for need in link_map.elf.dynamic.verneed for name, _weak in need.names)
        if "GLIBC_PRIVATE" in needed:
            return [os.fsdecode(candidates[index]) for index in sorted(candidates)]
        return super().bound_now(link_map, candidates)

    def _release(self, file: File) -> str:
        """2.36, as the file itself says it, or by its name before 2.34."""
        return self.files.once(("release", file.identity), lambda: _release_of(file, self.files.constants(file)))

    def _check_unversioned(self) -> None:
        """A library without any version is taken, until a symbol with a version is looked up in it."""
        for link_map in self.maps:
            for need in link_map.elf.dynamic.verneed:
                provider = next((m for m in self.maps if need.library in m.names), None)
                if provider is None or provider.elf.dynamic.verdef or provider.elf.dynamic.verneed:
                    continue
                names = self._versioned_symbols(link_map, provider, need.indexes)
                if names:
                    text = f"{self._program}: symbol lookup error: {names[0]}: {ASSERTION}"
                    fix = f"install the library that {link_map.label} was linked to, or link to {provider.path}: "
                    self.complain("version_missing", text, fix + "that one has no symbol versions")

    def _versioned_symbols(self, link_map: LinkMap, provider: LinkMap, versions: Sequence[int]) -> list[str]:
        wanted = self.files.symbols(link_map).wanted
        defined = self.files.symbols(provider).defined
        asked = self.files.tables(link_map).versions
        common = {wanted[name]: name for name in wanted if name in defined and asked.get(wanted[name]) in versions}
        return self.bound_now(link_map, common)

    def _check_symbols(self) -> None:
        for link_map, names in self.unresolved():
            text = f"{self._program}: symbol lookup error: {link_map.label}: undefined symbol: {names[0]}"
            self.complain("symbol_missing", text, symbol_fix(names, link_map.label))

    def _check_versions(self, link_map: LinkMap) -> None:
        for need in link_map.elf.dynamic.verneed:
            provider = next((m for m in self.maps if need.library in m.names), None)
            if provider is None:
                if need.library not in self.missing and need.library not in VDSO:
                    text = f"{link_map.label}: needs versions of {need.library}, which nothing loads"
                    self.complain("library_invalid", text, "link it again with what it needs")
                continue
            defined = provider.elf.dynamic.verdef
            for version, weak in need.names if defined is not None else ():
                if not weak and version not in (defined or ()):
                    text = f"{self._program}: {provider.path}: version `{version}' not found"
                    text += f" (required by {link_map.label})"
                    fix = self.advice.version(version, provider.path, defined or (), self._libc_here())
                    self.complain("version_missing", text, fix)

    def _libc_here(self) -> str:
        """What the C library that is loaded offers, which is not what its parts of the same release do."""
        libc = next((link_map for link_map in self.maps if "libc.so.6" in link_map.names), None)
        if libc is None or libc.file is None:
            return ""
        release = self._release(libc.file)
        name = f"the libc here{f', glibc {release},' if release else ''}"
        return f"{name} provides up to {newest_version(libc.elf.dynamic.verdef or (), 'GLIBC')}"

    def _check_relr(self, link_map: LinkMap) -> None:
        dynamic = link_map.elf.dynamic
        marked = any(name == RELR_MARK for need in dynamic.verneed for name, _ignored in need.names)
        if DT_RELR not in dynamic.values or marked or not dynamic.verneed or not self.traits.relr:
            return
        if any(name.startswith("libc.so.") for name in dynamic.needed):
            text = f"{link_map.label}: DT_RELR without GLIBC_ABI_DT_RELR dependency"
            self.complain("version_missing", text, "link it with -Wl,-z,nopack-relative-relocs or a newer linker")

    def _check_isa(self, link_map: LinkMap) -> None:
        needed = link_map.elf.notes.x86_isa_needed
        if self.want.machine != EM_X86_64 or link_map is self.rtld or not self.traits.hwcaps:
            return
        level = needed.bit_length()
        if needed and self.cpu.features and level > max(self.cpu.x86_level, 1):
            text = f"{link_map.label}: CPU ISA level is lower than required"
            fix = f"rebuild it for x86-64-v{self.cpu.x86_level}, which this processor is: it needs x86-64-v{level}"
            self.complain("cpu_level", text, fix)


def _release_of(file: File, blob: bytes) -> str:
    banner = re.search(rb"(?:stable|development) release version (\d+(?:\.\d+)+)", blob)
    if banner is not None:
        return banner.group(1).decode()
    named = re.search(r"-(\d+\.\d+)\.so\Z", os.path.realpath(file.host))
    return named.group(1) if named is not None else ""


def _beside(one: str, other: str) -> bool:
    """Whether two files are in one directory, behind all links: one package brings both."""
    return os.path.dirname(os.path.realpath(one)) == os.path.dirname(os.path.realpath(other))


def _raw_machine(header: Header) -> int:
    """The machine number as this host's loader reads it, whatever the byte order."""
    return int.from_bytes(header.machine.to_bytes(2, header.endian), sys.byteorder)  # type: ignore[arg-type]


def _header_error(file: File) -> str:
    if file.error is None:
        return "cannot read file data"
    words = {
        "not_elf": "invalid ELF header",
        "empty": "file too short",
        "not_regular": "cannot read file data: Error 21",  # the loader has few words
        "too_large_table": "cannot read file data",
    }
    if file.error.code == "truncated" and file.header is None:
        return "file too short"
    return words.get(file.error.code, file.error.message)


def _code_of(file: File) -> str:
    return "library_unreadable" if file.error is not None and file.error.code == "unreadable" else "library_invalid"
