# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a program will start, found by reading alone. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import os
import stat
import struct
from typing import NamedTuple, Optional

from .._binary.elf import Elf, ElfError
from .._binary.go_build_info import BuildInfo
from .._binary.machines import systemd_architecture
from .._binary.program import open_program
from .._core.problems import Problem
from .._core.root_view import ResolvedPath
from .._host.kernel import Host
from .._units.context import Context
from .glibc import GlibcLinker
from .loader import (
    Files,
    Interpreter,
    Library,
    Linker,
    LoaderEnvironment,
    Tables,
    find_interpreters,
    identify,
    read_tables,
)
from .musl import MuslLinker
from .requirements import has_musl, interpreter_fix, machine_problem, needs, packed_problem


class Verdict(NamedTuple):
    path: str
    elf: Optional[Elf]
    libraries: list[Library]
    problems: list[Problem]

    def as_dict(self) -> dict[str, object]:
        """The module's contract for one binary."""
        return {
            "path": self.path,
            "runnable": not self.problems,
            "class": self.elf.elf_class if self.elf else None,
            "interpreter": self.elf.interpreter if self.elf else None,
            "libraries": [{"name": library.name, "path": library.path} for library in self.libraries],
            "problems": [problem._asdict() for problem in self.problems],
        }


class Program(NamedTuple):
    """A program that could be read. label: as asked for, in messages. resolved: where it is."""

    label: str
    resolved: ResolvedPath
    elf: Elf
    info: Optional[BuildInfo]
    packed: bool
    start: bytes
    status: os.stat_result
    tables: Optional[Tables]


class Checker:
    """Judges programs on one host in one context; keeps what they have in common."""

    def __init__(self, host: Host, context: Context) -> None:
        self.host = host
        self.context = context
        self.files = Files()

    def check(self, path: str) -> Verdict:
        try:
            program = self._read(path)
        except ElfError as error:
            return Verdict(path, None, [], [Problem.of(error)])
        libraries: list[Library] = []
        foreign = machine_problem(program.elf, self.host, program.start)
        problems = [*self.context.missing, *([] if foreign is None else [foreign])]
        if program.packed:
            problems.append(packed_problem(program.elf))
        if not program.elf.is_library:
            problems += self._start_problems(program)
        if foreign is None:
            problems += needs(program.elf, program.info, self.host)
        if foreign is None or program.elf.is_library:
            linked = self._link(program)
            libraries = linked.libraries
            problems += linked.problems
        return Verdict(path, program.elf, libraries, problems)

    def _read(self, path: str) -> Program:
        view = self.context.view
        if self.context.root_image:
            raise ElfError(
                "unit_root_image",
                f"{path}: RootImage={self.context.root_image} of {self.context.unit} cannot be looked into.",
                "unpack the image and name its directory with RootDirectory=",
            )
        try:
            resolved = view.resolve(view.inside(path))
        except ValueError as error:
            raise ElfError("not_found", f"{path!r}: {error}.", "give the path of a file") from error
        except OSError as error:
            code = "not_found" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "unreadable"
            where = f" in {view.root}" if view.root != "/" else ""
            raise ElfError(
                code, f"{path}: {error.strerror}{where}", "correct the path, or upload the file first"
            ) from error
        with open_program(resolved.host) as opened:
            elf = opened.elf._replace(path=path)
            start = opened.reader.read(0, min(opened.reader.size, 256))
            tables = read_tables(opened.reader, elf) if elf.interpreter is not None else None
            return Program(path, resolved, elf, opened.build_info(), opened.packed, start, opened.reader.status, tables)

    # What the kernel and the unit say before anything is loaded

    def _start_problems(self, program: Program) -> list[Problem]:
        problems = [
            self._hidden(program),
            self._executable(program),
            self._noexec(program),
            self._capabilities(program),
            self._architecture(program),
        ]
        return [problem for problem in problems if problem is not None]

    def _hidden(self, program: Program) -> Optional[Problem]:
        why = self._hides(self.context.view.inside(program.label))
        if not why:
            return None
        text = f"{program.label}: {os.strerror(errno.ENOENT)}: {why} hides it"
        return Problem(
            "unit_hidden", text, "install it elsewhere, for instance below /opt, or expose it with BindReadOnlyPaths="
        )

    def _executable(self, program: Program) -> Optional[Problem]:
        allowed = bool(program.status.st_mode & 0o111)
        who = self.context.who
        if allowed and who is not None:
            allowed = who.may(program.resolved.host, 1)
        if allowed:
            return None
        name = f"user of {self.context.unit}" if self.context.unit else "user"
        mode = stat.filemode(program.status.st_mode)
        text = f"{program.label}: {os.strerror(errno.EACCES)}: not executable ({mode})"
        return Problem(
            "not_executable", text, f"set its mode to 0755, and let the {name} enter the directories above it"
        )

    def _noexec(self, program: Program) -> Optional[Problem]:
        text = f"{program.label}: {os.strerror(errno.EACCES)}: "
        if not self.context.may_execute(program.resolved.path):
            fix = f"add its directory to ExecPaths= of {self.context.unit}"
            return Problem("unit_noexec", text + f"NoExecPaths= of {self.context.unit}", fix)
        if on_noexec_mount(program.resolved.host):
            fix = "install it on another file system, or mount this one without noexec"
            return Problem("noexec_mount", text + "on a noexec mount", fix)
        return None

    def _capabilities(self, program: Program) -> Optional[Problem]:
        effective, permitted = file_capabilities(program.resolved.host)
        lacking = permitted & ~(self.context.bounding & self.host.bounding)
        if not effective or not lacking or _has_flag(program.resolved.host, "ST_NOSUID"):
            return None
        text = f"{program.label}: {os.strerror(errno.EPERM)}: its file capabilities exceed the bounding set"
        return Problem(
            "capabilities", text, f"remove them with setcap -r {program.label}, or widen CapabilityBoundingSet="
        )

    def _architecture(self, program: Program) -> Optional[Problem]:
        goarch = program.elf.goarch
        allowed = self.context.architectures
        if not allowed or goarch == self.host.goarch or systemd_architecture(goarch) in allowed:
            return None
        text = f"{program.label}: Bad system call: SystemCallArchitectures={' '.join(allowed)} of {self.context.unit}"
        return Problem(
            "unit_architecture", text, f"build it for {self.host.goarch}, which this host is: it is built for {goarch}"
        )

    # Loading

    def _link(self, program: Program) -> _Linked:
        elf = program.elf
        name = elf.interpreter or (self._loader_of_library(elf) if elf.is_library else None)
        if name is None:
            return _Linked([], [])
        unresolved = [Library(needed, None) for needed in elf.needed]
        try:
            interpreter = self._interpreter(program, name)
        except ElfError as error:
            return _Linked(unresolved, [Problem.of(error)])
        linker = self._linker(program, interpreter)
        if linker is None:
            if not elf.needed:
                return _Linked([], [])
            text = f"{program.label}: {name} is neither glibc's nor musl's loader"
            return _Linked(unresolved, [Problem("loader_unknown", text, "rebuild with CGO_ENABLED=0")])
        linked = linker.link(program.label, program.resolved.path, elf, program.tables)
        return _Linked(linked.libraries, linked.problems)

    def _loader_of_library(self, elf: Elf) -> Optional[str]:
        """A library does not say who loads it: the loader of this host for its architecture does."""
        view = self.context.view
        for name in find_interpreters(view):
            try:
                file = self.files.get(view.host(name), elf.header)
            except OSError:
                continue
            if file.elf is not None and (identify(name, file, self.files).kind == "musl") == _for_musl(elf):
                return name
        return None

    def _linker(self, program: Program, interpreter: Interpreter) -> Optional[Linker]:
        environment = self._loader_environment(program)
        view = self.context.view
        if interpreter.kind == "glibc":
            host = self.host
            return GlibcLinker(view, self.files, interpreter, program.elf, environment, host.cpu, host.machine)
        if interpreter.kind == "musl":
            return MuslLinker(view, self.files, interpreter, program.elf, environment)
        return None

    def _loader_environment(self, program: Program) -> LoaderEnvironment:
        variables = self.context.environment
        who = self.context.who
        return LoaderEnvironment(
            library_path=variables.get("LD_LIBRARY_PATH", ""),
            preload=variables.get("LD_PRELOAD", ""),
            bind_now=bool(variables.get("LD_BIND_NOW")),
            secure=self._is_secure(program),
            may_read=(lambda host: who.may(host, 4)) if who is not None else (lambda _host: True),
            hidden_by=self._hides,
            may_map=lambda host: not on_noexec_mount(host) and self._rules_allow(host),
        )

    def _hides(self, path: str) -> str:
        """A library may be below /home where ProtectHome= is set, too, or be a symlink that leads there."""
        if not self.context.hidden:
            return ""
        reasons = (self.context.hidden_by(step) for step in self.context.view.way(path))
        why = next((reason for reason in reasons if reason), "")
        return f"{why} of {self.context.unit}" if why else ""

    def _rules_allow(self, host: str) -> bool:
        return not self.context.exec_rules or self.context.may_execute(self.context.view.inside(os.path.realpath(host)))

    def _is_secure(self, program: Program) -> bool:
        """AT_SECURE: the loader then ignores LD_* and most of $ORIGIN.

        Without a unit nobody says who will start a setuid program: judge it for those for whom the bit is there.
        """
        status, host = program.status, program.resolved.host
        if _has_flag(host, "ST_NOSUID"):
            return False
        who = self.context.who if self.context.unit else None
        if any(file_capabilities(host)) and (who is None or who.uid != 0):
            return True
        if self.context.no_new_privileges:
            return False
        changes_user = status.st_mode & stat.S_ISUID and (who is None or status.st_uid != who.uid)
        group_bits = stat.S_ISGID | stat.S_IXGRP
        changes_group = status.st_mode & group_bits == group_bits and (who is None or status.st_gid not in who.gids)
        return bool(changes_user or changes_group)

    def _interpreter(self, program: Program, name: str) -> Interpreter:
        """The loader behind PT_INTERP, or ElfError with what execve(2) would answer."""
        view = self.context.view
        why = self._hides(name)
        if why:
            text = f"{program.label}: {os.strerror(errno.ENOENT)}: the interpreter {name} is missing"
            raise ElfError("interpreter_missing", text, f"let the unit see {name}, which {why} hides")
        try:
            file = self.files.get(view.host(name), program.elf.header)
        except (OSError, ValueError) as error:
            reason = os.strerror(errno.ENOENT)
            if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR):
                reason = error.strerror or reason
            text = f"{program.label}: {reason}: the interpreter {name} is missing"
            raise ElfError("interpreter_missing", text, interpreter_fix(program.elf, has_musl(view))) from error
        if file.elf is None or file.elf.header.type not in (2, 3):
            text = f"{program.label}: {os.strerror(errno.ELIBBAD)}: the interpreter {name}"
            raise ElfError("interpreter_invalid", text, f"install {name} for {program.elf.goarch} again")
        self._check_interpreter_rights(program, name, file.host)
        return identify(name, file, self.files)

    def _check_interpreter_rights(self, program: Program, name: str, host: str) -> None:
        text = f"{program.label}: {os.strerror(errno.EACCES)}: the interpreter {name} "
        if on_noexec_mount(host) or not self._rules_allow(host):
            raise ElfError(
                "noexec_mount",
                text + "is on a noexec mount",
                f"move {name} to a file system without noexec, or mount this one without it",
            )
        who = self.context.who
        if not os.stat(host).st_mode & 0o111 or (who is not None and not who.may(host, 1)):
            raise ElfError(
                "interpreter_invalid",
                text + "is not executable",
                f"make it executable with chmod 0755 {os.path.realpath(host)}",
            )


class _Linked(NamedTuple):
    libraries: list[Library]
    problems: list[Problem]


def _for_musl(elf: Elf) -> bool:
    return any(name == "libc.so" or name.startswith("libc.musl-") for name in elf.needed)


def _has_flag(host: str, name: str) -> bool:
    try:
        return bool(os.statvfs(host).f_flag & getattr(os, name))
    except OSError:
        return False


def on_noexec_mount(host: str) -> bool:
    return _has_flag(host, "ST_NOEXEC")


def file_capabilities(host: str) -> tuple[bool, int]:
    """Whether the file raises its capabilities at once, and which."""
    try:
        data = os.getxattr(host, "security.capability")
    except OSError:
        return False, 0
    if len(data) < 12:
        return False, 0
    magic, low = struct.unpack_from("<II", data)
    high = struct.unpack_from("<I", data, 12)[0] if len(data) >= 20 else 0
    return bool(magic & 1), low | high << 32
