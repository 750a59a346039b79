# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program asks of kernel and processor, against what a host has. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import os
import re
from typing import Optional

from .._binary.elf import PF_X, PT_LOAD, Elf
from .._binary.go_build_info import BuildInfo
from .._binary.versions import go_kernel
from .._core.problems import Problem
from .._core.root_view import View
from .._host.kernel import Host, kernel_version

GO_MESSAGE = "This program can only be run on AMD64 processors with v{level} microarchitecture support."


def machine_problem(elf: Elf, host: Host, start: bytes, go: bool) -> Optional[Problem]:
    """What keeps the kernel from even looking at the program's contents. go: it has Go's build info."""
    if elf.goos != "linux":
        name = elf.goos or f"OS ABI {elf.header.ident[7]}"
        text = f"{elf.path}: {os.strerror(errno.ENOEXEC)}: built for {name}"
        fix = (
            f"rebuild with GOOS=linux: it is built for {name}" if go else f"build it for Linux: it is built for {name}"
        )
        return Problem("wrong_os", text, fix)
    if elf.header.type not in (2, 3) or elf.is_library:
        kind = "a shared library" if elf.is_library else f"of ELF type {elf.type}"
        text = f"{elf.path}: {os.strerror(errno.ENOEXEC)}: {kind}"
        return Problem("not_a_program", text, "give the program itself" + (", built with -buildmode=exe" if go else ""))
    if not any(segment.type == PT_LOAD for segment in elf.segments):
        text = f"{elf.path}: {os.strerror(errno.ENOEXEC)}: no loadable segments"
        return Problem("malformed", text, "build or upload the file again: it is damaged")
    if host.starts(elf.goarch) or any(entry.matches(start) for entry in host.binfmts):
        return None
    built = elf.goarch or f"{elf.machine_name}, {elf.bits} bits, {elf.endian} endian"
    text = f"{elf.path}: {os.strerror(errno.ENOEXEC)}: built for {built}"
    own = host.goarch or host.machine
    fix = f"rebuild with GOARCH={own}: it is built for {built}"
    if not go:
        fix = f"build it for {own}, or install its package for {own}: it is built for {built}"
    return Problem("wrong_machine", text, fix)


def packed_problem(elf: Elf) -> Problem:
    text = f"{elf.path}: packed by UPX: its interpreter and its libraries cannot be read"
    return Problem("packed", text, "release the program without UPX, or unpack it with upx -d")


def needs(elf: Elf, info: Optional[BuildInfo], host: Host) -> list[Problem]:
    problems = [_page_size(elf, host), _entry(elf, host), _kernel(elf, info, host)]
    if info is not None:
        problems.append(_processor(elf, info, host))
    return [problem for problem in problems if problem is not None]


def _page_size(elf: Elf, host: Host) -> Optional[Problem]:
    loads = [segment for segment in elf.segments if segment.type == PT_LOAD]
    if all((segment.vaddr - segment.offset) % host.page_size == 0 for segment in loads):
        return None
    text = f"{elf.path}: {os.strerror(errno.EINVAL)}: segments are not aligned to pages of {host.page_size} bytes"
    fix = f"link it with -Wl,-z,max-page-size={max(host.page_size, 65536)}"
    return Problem("page_size", text, fix)


def _entry(elf: Elf, host: Host) -> Optional[Problem]:
    """The kernel starts it all the same, and the first instruction ends it."""
    if elf.is_library:
        return None
    page = elf.header.entry - elf.header.entry % host.page_size
    every = (
        elf.bits == 32 and elf.nx is None
    )  # without a word on the stack all memory of a 32-bit program is executable
    loads = [segment for segment in elf.segments if segment.type == PT_LOAD and (every or segment.flags & PF_X)]
    if any(load.vaddr < page + host.page_size and load.vaddr + load.filesz > page for load in loads):
        return None
    text = f"{elf.path}: Segmentation fault: its entry point 0x{elf.header.entry:x} is in no executable segment"
    return Problem("malformed", text, "build or upload the file again: it is damaged")


def _kernel(elf: Elf, info: Optional[BuildInfo], host: Host) -> Optional[Problem]:
    running = kernel_version(host.kernel)
    wanted = elf.notes.min_kernel
    if wanted is not None and wanted > running:
        fix = f"upgrade the kernel to {_dotted(wanted)} or newer: this host runs {host.kernel}"
        return Problem("kernel_too_old", f"{elf.path}: FATAL: kernel too old", fix)
    floor = go_kernel(info.version) if info is not None else None
    if info is not None and floor is not None and floor > running:
        release = " ".join(info.version.split()[:1])
        text = f"{elf.path}: built with {release}, which needs kernel {_dotted(floor)}"
        fix = (
            f"upgrade the kernel to {_dotted(floor)} or newer, or build with an older Go: this host runs {host.kernel}"
        )
        return Problem("kernel_too_old", text, fix)
    return None


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version if version[2] else version[:2]))


def _processor(elf: Elf, info: BuildInfo, host: Host) -> Optional[Problem]:
    if elf.goarch == "amd64":
        return _amd64(elf, info, host)
    if elf.goarch == "arm64" and host.goarch == "arm64":
        return _arm64(elf, info, host)
    if elf.goarch == "arm":
        return _arm(elf, info, host)
    wants_sse2 = elf.goarch == "386" and (info.setting("GO386") or "").startswith("sse2")
    if wants_sse2 and host.cpu.features and "sse2" not in host.cpu.features:
        return Problem("cpu_level", f"{elf.path}: needs SSE2", "rebuild with GO386=softfloat")
    return None


def _amd64(elf: Elf, info: BuildInfo, host: Host) -> Optional[Problem]:
    wanted = re.fullmatch(r"v([1-4])", info.setting("GOAMD64") or "")
    level = host.cpu.x86_level
    if wanted is None or host.goarch != "amd64" or not host.cpu.features or int(wanted.group(1)) <= max(level, 1):
        return None
    number = wanted.group(1)
    fix = f"rebuild with GOAMD64=v{max(level, 1)}: this processor is x86-64-v{level}, the program needs v{number}"
    return Problem("cpu_level", f"{elf.path}: {GO_MESSAGE.format(level=number)}", fix)


def _arm64(elf: Elf, info: BuildInfo, host: Host) -> Optional[Problem]:
    """From v8.1 on, and with ,lse, Go uses the atomic instructions without asking."""
    wanted = info.setting("GOARM64") or ""
    if wanted in ("", "v8.0") or not host.cpu.features or "atomics" in host.cpu.features:
        return None
    fix = f"rebuild with GOARM64=v8.0: it is built with GOARM64={wanted}, and this processor has no LSE"
    return Problem("cpu_level", f"{elf.path}: This program can only be run on ARM64 processors with LSE support.", fix)


def _arm(elf: Elf, info: BuildInfo, host: Host) -> Optional[Problem]:
    wanted = (info.setting("GOARM") or "").partition(",")
    if not host.machine.startswith("armv") or not wanted[0].isdigit() or wanted[2] == "softfloat":
        return None
    if int(wanted[0]) > 5 and host.cpu.features and "vfp" not in host.cpu.features:
        fix = "rebuild with GOARM=5: this processor has no floating point unit"
        return Problem("cpu_level", f"{elf.path}: this CPU has no floating point hardware", fix)
    if int(wanted[0]) > 6 and host.cpu.features and "vfpv3" not in host.cpu.features:
        fix = "rebuild with GOARM=6: it is built with GOARM=7, and this processor has no VFPv3"
        return Problem("cpu_level", f"{elf.path}: this CPU has no VFPv3 floating point hardware", fix)
    return None


def interpreter_fix(elf: Elf, musl_here: bool, go: bool, install: str = "") -> str:
    """Who names an interpreter that is not there was usually built for another kind of system.

    install: how the C library of the program's architecture comes onto this host, where that is known.
    """
    name = elf.interpreter or ""
    base = os.path.basename(name)
    anew = "rebuild with CGO_ENABLED=0, or " if go else ""
    if elf.elf_class == "interpreter-only":
        mode = "without -buildmode=pie, or " if go else ""
        return f"rebuild {mode}on a system like this: only the interpreter {name} is missing"
    if base.startswith("ld-musl-"):
        return f"{anew}install musl: the interpreter {name} is that of Alpine"
    if base.startswith(("ld-linux", "ld64.so", "ld.so")):
        if musl_here:
            anew = "rebuild with CGO_ENABLED=0, or on Alpine" if go else "build it on Alpine"
            return f"{anew}: the interpreter {name} is glibc's, and this host has musl"
        if install:
            return f"{install}{', or rebuild with CGO_ENABLED=0' if go else ''}"
        kind = "32-bit C library" if elf.bits == 32 else "C library"
        return f"{anew}install the {kind} for {elf.goarch or elf.machine_name}: the interpreter {name} is missing"
    anew = "rebuild with CGO_ENABLED=0, or" if go else "link it"
    return f"{anew} with the interpreter of this host: {name} is missing"


def has_musl(view: View) -> bool:
    """musl and no glibc: a glibc host may have musl installed beside."""
    try:
        names = os.listdir(view.host("/lib"))
    except OSError:
        return False
    return any(name.startswith("ld-musl-") for name in names) and not any(name.startswith("ld-linux") for name in names)
