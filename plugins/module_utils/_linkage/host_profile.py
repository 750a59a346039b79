# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What one host offers, small enough to send; and judging an artefact by it elsewhere.
This file is PRIVATE to the collection.
"""

from __future__ import annotations

import fnmatch
import struct
from typing import Any, Mapping, NamedTuple, Optional

from .._binary.elf import Elf, ElfError, Reader, parse_elf
from .._binary.facts import Binary
from .._binary.machines import machines
from .._core.problems import Problem
from .._core.root_view import View
from .._host.cpu import X86_LEVELS, Cpu
from .._host.kernel import Binfmt, Host, read_host
from .advice import Advice, newest_version
from .glibc import GlibcLinker
from .loader import INTERPRETERS, Files, Interpreter, LoaderEnvironment, find_interpreters, identify
from .requirements import interpreter_fix, machine_problem, needs, packed_problem

GLIBC_FAMILY = (
    "libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1", "libresolv.so.2", "libutil.so.1",
)  # fmt: skip
_FEATURES = frozenset().union(*X86_LEVELS, ("atomics", "vfp", "vfpv3"))


class Libc(NamedTuple):
    """provides: the version names of each library of the family, as its files define them."""

    kind: str
    goarch: Optional[str]
    interpreter: str
    provides: Mapping[str, tuple[str, ...]]


class HostProfile(NamedTuple):
    machine: str
    goarch: Optional[str]
    kernel: str
    page_size: int
    cpu_vendor: str
    cpu_features: tuple[str, ...]
    also: tuple[str, ...]
    libcs: tuple[Libc, ...]

    @property
    def interpreters(self) -> tuple[str, ...]:
        return tuple(libc.interpreter for libc in self.libcs)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        plain = dict(self._asdict(), cpu_features=list(self.cpu_features), also=list(self.also))
        plain["libcs"] = [
            dict(libc._asdict(), provides={name: list(versions) for name, versions in libc.provides.items()})
            for libc in self.libcs
        ]
        return dict(plain, interpreters=list(self.interpreters))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> HostProfile:
        libcs = tuple(
            Libc(raw["kind"], raw["goarch"], raw["interpreter"], {k: tuple(v) for k, v in raw["provides"].items()})
            for raw in plain["libcs"]
        )
        fields = {name: plain[name] for name in cls._fields}
        return cls(**dict(fields, cpu_features=tuple(plain["cpu_features"]), also=tuple(plain["also"]), libcs=libcs))

    def host(self) -> Host:
        cpu = Cpu(self.cpu_vendor, frozenset(self.cpu_features))
        return Host(self.machine, self.goarch, self.kernel, self.page_size, cpu, self.also, -1, ())


def collect_host_profile(view: Optional[View] = None) -> HostProfile:
    """On the host: reads /proc, the loaders and the C library; a few milliseconds."""
    host = read_host()
    emulated = tuple(name for name in _emulated(host.binfmts) if not host.starts(name))
    return HostProfile(
        machine=host.machine,
        goarch=host.goarch,
        kernel=host.kernel,
        page_size=host.page_size,
        cpu_vendor=host.cpu.vendor,
        cpu_features=tuple(sorted(host.cpu.features & _FEATURES)),
        also=host.also + emulated,
        libcs=tuple(_libcs(view or View(), host)),
    )


def _emulated(binfmts: tuple[Binfmt, ...]) -> list[str]:
    """Architectures whose programs binfmt_misc hands to an emulator."""
    architectures: list[str] = []
    for goarch, (machine, bits, endian) in machines().items():
        order = "<" if endian == "little" else ">"
        ident = bytes([0x7F, 69, 76, 70, bits // 32, 1 if order == "<" else 2, 1]) + bytes(9)
        start = ident + struct.pack(order + "HHI", 2, machine, 1) + bytes(40)
        if any(entry.matches(start) for entry in binfmts):
            architectures.append(goarch)
    return architectures


def _libcs(view: View, host: Host) -> list[Libc]:
    files = Files()
    libcs = [_libc(view, host, files, name) for name in find_interpreters(view)]
    return [libc for libc in libcs if libc is not None]


def _libc(view: View, host: Host, files: Files, name: str) -> Optional[Libc]:
    try:
        with Reader(view.host(name)) as reader:
            elf = parse_elf(reader)
        interpreter = identify(name, files.get(view.host(name), elf.header), files)
    except (ElfError, OSError):
        return None
    if interpreter.kind == "unknown" or interpreter.file.elf is None:
        return None
    provides = _provides(view, host, files, interpreter, elf) if interpreter.kind == "glibc" else {}
    return Libc(interpreter.kind, elf.goarch, name, provides)


def _provides(view: View, host: Host, files: Files, interpreter: Interpreter, elf: Elf) -> dict[str, tuple[str, ...]]:
    advice = Advice(view, elf.goarch, elf.bits, go=False)
    linker = GlibcLinker(view, files, interpreter, elf, LoaderEnvironment(), advice, host.cpu, host.machine)
    versions: dict[str, tuple[str, ...]] = {}
    for name in GLIBC_FAMILY:
        library = linker.locate(name, elf)
        if library is not None and library.dynamic.verdef is not None:
            versions[name] = library.dynamic.verdef
    return versions


def judge_artifact(binary: Binary, profile: HostProfile) -> list[Problem]:
    """What can be said without being on the host. Libraries outside the C library are for `linkage` there."""
    elf, host = binary.elf, profile.host()
    foreign = machine_problem(elf, host, b"", binary.info is not None)
    if foreign is not None:
        return [foreign]
    packed = [packed_problem(elf)] if binary.packed else []
    return [*packed, *needs(elf, binary.info, host), *_loading(binary, profile)]


def _loading(binary: Binary, profile: HostProfile) -> list[Problem]:
    elf, go = binary.elf, binary.info is not None
    if elf.interpreter is None:
        return []
    libc = next((libc for libc in profile.libcs if libc.interpreter == elf.interpreter), None)
    if libc is None:
        # A loader where the profile does not look: the host decides.
        if not any(fnmatch.fnmatch(elf.interpreter, pattern) for pattern in INTERPRETERS):
            return []
        text = f"{elf.path}: No such file or directory: the interpreter {elf.interpreter} is missing"
        return [Problem("interpreter_missing", text, interpreter_fix(elf, _only_musl(profile), go))]
    return _versions(elf, libc, go)


def _only_musl(profile: HostProfile) -> bool:
    return {libc.kind for libc in profile.libcs} == {"musl"}


def _versions(elf: Elf, libc: Libc, go: bool) -> list[Problem]:
    advice = Advice(View(), elf.goarch, elf.bits, go)
    newest = newest_version(libc.provides.get("libc.so.6", ()), "GLIBC")
    here = f"the libc of this host provides up to {newest}" if newest else ""
    problems: list[Problem] = []
    for need in elf.dynamic.verneed:
        provided = libc.provides.get(need.library)
        for version, weak in need.names if provided is not None else ():
            if not weak and version not in (provided or ()):
                text = f"{elf.path}: {need.library}: version `{version}' not found (required by {elf.path})"
                fix = advice.version(version, need.library, provided or (), here)
                problems.append(Problem("version_missing", text, fix))
    return problems
