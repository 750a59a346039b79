# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a program will start, found by reading alone. This file is PRIVATE to the collection."""

from __future__ import annotations

import errno
import os
import posixpath
import stat
import struct
from typing import NamedTuple, Optional

from .._binary.elf import Elf, ElfError
from .._binary.go_build_info import BuildInfo
from .._binary.machines import systemd_architecture
from .._binary.program import open_program
from .._core.problems import Problem
from .._core.root_view import ResolvedPath
from .._host.kernel import Host, kernel_version
from .._units.credentials import EXECUTE, READ
from .._units.surroundings import Context, removes
from .advice import Advice
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
from .memory import has_writable_code, write_execute_problems
from .musl import MuslLinker
from .requirements import has_musl, interpreter_fix, machine_problem, needs, packed_problem
from .scripts import DEEPEST, DEFAULT_PATH, Shebang, read_shebang

NEWEST = 999  # of systemd, where it does not say which it is


class Verdict(NamedTuple):
    """shebang: of a script; elf and libraries are then those of its interpreter."""

    path: str
    elf: Optional[Elf]
    libraries: list[Library]
    problems: list[Problem]
    shebang: Optional[Shebang] = None

    def as_dict(self) -> dict[str, object]:
        """The module's contract for one binary."""
        return {
            "path": self.path,
            "runnable": not self.problems,
            "class": self._class(),
            "interpreter": self._interpreter(),
            "libraries": [{"name": library.name, "path": library.path} for library in self.libraries],
            "problems": [problem._asdict() for problem in self.problems],
        }

    def _class(self) -> Optional[str]:
        if self.shebang is not None:
            return "script"
        return self.elf.elf_class if self.elf else None

    def _interpreter(self) -> Optional[str]:
        if self.shebang is not None:
            return self.shebang.interpreter
        return self.elf.interpreter if self.elf else None


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
        verdict = self._check(path)
        return verdict._replace(problems=[*self.context.missing, *verdict.problems])

    def _check(self, path: str, depth: int = 0) -> Verdict:
        try:
            resolved = self._resolve(path)
            shebang = read_shebang(resolved.host)
            if shebang is not None:
                return self._script(path, resolved, shebang, depth)
            program = self._read(path, resolved)
        except ElfError as error:
            return Verdict(path, None, [], [Problem.of(error)])
        libraries: list[Library] = []
        foreign = machine_problem(program.elf, self.host, program.start, program.info is not None)
        problems = [] if foreign is None else [foreign]
        if program.packed:
            problems.append(packed_problem(program.elf))
        if not program.elf.is_library:
            problems += self._start_problems(path, resolved)
            by_file = (self._capabilities(program), self._architecture(program), self._writable_code(program.elf))
            problems += [problem for problem in by_file if problem is not None]
        if foreign is None:
            problems += needs(program.elf, program.info, self.host)
        if foreign is None or program.elf.is_library:
            linked = self._link(program)
            libraries = linked.libraries
            problems += linked.problems
        return Verdict(path, program.elf, libraries, problems)

    def _script(self, path: str, resolved: ResolvedPath, shebang: Shebang, depth: int) -> Verdict:
        """The kernel starts the interpreter, and that reads the script."""
        problems = self._start_problems(path, resolved)
        barrier = self.context.barrier(path, READ)
        if not problems and barrier is not None:
            text = f"{path}: {os.strerror(errno.EACCES)}: {shebang.interpreter} cannot read it"
            problems.append(Problem("unreadable", text, f"let the {self._user} read {barrier.path}"))
        if depth >= DEEPEST:
            text = f"{path}: {os.strerror(errno.ELOOP)}"
            problems.append(Problem("interpreter_invalid", text, "name a program behind #!, and not another script"))
            return Verdict(path, None, [], problems, shebang)
        inner = self._check(shebang.interpreter, depth + 1)
        problems += self._of_interpreter(path, shebang.interpreter, inner)
        command = shebang.command
        if command and not inner.problems:
            found = self._in_path(command)
            if found is None:
                text = f"{path}: {shebang.interpreter}: {command}: {os.strerror(errno.ENOENT)}"
                fix = f"install {command}, or set PATH so that it is found"
                return Verdict(
                    path, inner.elf, inner.libraries, [*problems, Problem("interpreter_missing", text, fix)], shebang
                )
            inner = self._check(found, depth + 1)
            problems += self._of_interpreter(path, found, inner)
        return Verdict(path, inner.elf, inner.libraries, problems, shebang)

    @staticmethod
    def _of_interpreter(path: str, interpreter: str, verdict: Verdict) -> list[Problem]:
        if [problem.code for problem in verdict.problems] != ["not_found"]:
            return verdict.problems
        text = f"{path}: {os.strerror(errno.ENOENT)}: the interpreter {interpreter!r} is missing"
        return [
            Problem(
                "interpreter_missing", text, f"install {posixpath.basename(interpreter)}, or correct the line with #!"
            )
        ]

    def _in_path(self, command: str) -> Optional[str]:
        if "/" in command:
            return command
        directories = self.context.environment.get("PATH", DEFAULT_PATH).split(":")
        for path in (posixpath.join(directory or ".", command) for directory in directories):
            try:
                host = self.context.view.host(path)
                found = os.path.isfile(host) and not self._hides(path)
            except (OSError, ValueError):
                continue
            if found and os.stat(host).st_mode & 0o111 and self.context.barrier(path, EXECUTE) is None:
                return path
        return None

    def _resolve(self, path: str) -> ResolvedPath:
        view = self.context.view
        if self.context.root_image:
            raise ElfError(
                "unit_root_image",
                f"{path}: RootImage={self.context.root_image} of {self.context.unit} cannot be looked into.",
                "unpack the image and name its directory with RootDirectory=",
            )
        try:
            return view.resolve(view.inside(path))
        except ValueError as error:
            raise ElfError("not_found", f"{path!r}: {error}.", "give the path of a file") from error
        except OSError as error:
            code = "not_found" if error.errno in (errno.ENOENT, errno.ENOTDIR) else "unreadable"
            where = f" in {view.root}" if view.root != "/" else ""
            raise ElfError(
                code, f"{path}: {error.strerror}{where}", "correct the path, or upload the file first"
            ) from error

    def _read(self, path: str, resolved: ResolvedPath) -> Program:
        with open_program(resolved.host) as opened:
            elf = opened.elf._replace(path=path)
            start = opened.reader.read(0, min(opened.reader.size, 256))
            tables = read_tables(opened.reader, elf) if elf.interpreter is not None else None
            return Program(path, resolved, elf, opened.build_info(), opened.packed, start, opened.reader.status, tables)

    # What the kernel and the unit say before anything is loaded

    def _start_problems(self, path: str, resolved: ResolvedPath) -> list[Problem]:
        problems = [self._hidden(path), self._executable(path, resolved), self._noexec(path, resolved)]
        return [problem for problem in problems if problem is not None]

    def _hidden(self, path: str) -> Optional[Problem]:
        hiding = self._hides(self.context.view.inside(path))
        if hiding is None:
            return None
        text = f"{path}: {os.strerror(errno.ENOENT)}: {hiding.why} of {self.context.unit} hides it"
        return Problem("unit_hidden", text, hiding.fix)

    def _executable(self, path: str, resolved: ResolvedPath) -> Optional[Problem]:
        mode = os.stat(resolved.host).st_mode
        text = f"{path}: {os.strerror(errno.EACCES)}: not executable"
        if not mode & 0o111:
            return Problem("not_executable", f"{text} ({stat.filemode(mode)})", "set its mode to 0755")
        barrier = self.context.barrier(self.context.view.inside(path), EXECUTE, at_start=True)
        if barrier is None:
            return None
        mode = os.stat(barrier.host).st_mode
        if barrier.path == resolved.path:
            fix = f"let the {self._user} execute {path}, for instance with mode 0755"
            return Problem("not_executable", f"{text} ({stat.filemode(mode)})", fix)
        fix = f"let the {self._user} enter {barrier.path}, which has mode {stat.filemode(mode)}"
        return Problem("not_executable", f"{text}: {barrier.path} may not be entered", fix)

    @property
    def _user(self) -> str:
        return f"user of {self.context.unit}" if self.context.unit else "user"

    def _noexec(self, path: str, resolved: ResolvedPath) -> Optional[Problem]:
        text = f"{path}: {os.strerror(errno.EACCES)}: "
        prefix, allowed = self.context.exec_rule(resolved.path)
        if allowed is False:
            directory = posixpath.dirname(resolved.path)
            fix = f"add {directory} to ExecPaths= of {self.context.unit}"
            return Problem("unit_noexec", f"{text}NoExecPaths={prefix} of {self.context.unit}", fix)
        if not allowed and on_noexec_mount(resolved.host):
            mount = mount_point(resolved.host)
            fix = f"install it on another file system, or mount {mount} without noexec"
            return Problem("noexec_mount", text + f"{mount} is mounted noexec", fix)
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
        own = systemd_architecture(goarch)
        also = f", or add {own} to SystemCallArchitectures=" if own else ""
        fix = f"build it for {self.host.goarch}, which this host is{also}: it is built for {goarch}"
        return Problem("unit_architecture", text, fix)

    def _writable_code(self, elf: Elf) -> Optional[Problem]:
        """Newer kernels forbid it to themselves, too, where systemd asks them to and does not filter system calls."""
        asked = self.context.denies_write_execute and (self.context.systemd or NEWEST) >= 254
        if not asked or kernel_version(self.host.kernel) < (6, 3, 0) or not has_writable_code(elf):
            return None
        text = f"{elf.path}: Segmentation fault: a segment is writable and executable"
        fix = f"link it with code apart from its data, or remove MemoryDenyWriteExecute= from {self.context.unit}"
        return Problem("unit_memory", text, fix)

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
            return _Linked(unresolved, [Problem("loader_unknown", text, _another_loader(program.info is not None))])
        linked = linker.link(program.label, program.resolved.path, elf, program.tables)
        problems = linked.problems
        if self.context.denies_write_execute and not elf.is_library:
            problems += write_execute_problems(linked.maps, interpreter.kind, self.context.unit)
        return _Linked(linked.libraries, problems)

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
        advice = Advice(
            view, program.elf.goarch, program.elf.bits, program.info is not None, interpreter.kind == "musl"
        )
        if interpreter.kind == "glibc":
            host = self.host
            return GlibcLinker(view, self.files, interpreter, program.elf, environment, advice, host.cpu, host.machine)
        if interpreter.kind == "musl":
            return MuslLinker(view, self.files, interpreter, program.elf, environment, advice)
        return None

    def _loader_environment(self, program: Program) -> LoaderEnvironment:
        variables = self.context.environment
        return LoaderEnvironment(
            library_path=variables.get("LD_LIBRARY_PATH", ""),
            preload=variables.get("LD_PRELOAD", ""),
            bind_now=bool(variables.get("LD_BIND_NOW")),
            secure=self._is_secure(program),
            barrier=self._barrier,
            unmappable=self._unmappable,
            hidden=self._expose,
        )

    def _barrier(self, path: str) -> str:
        """What keeps the user from reading a path, by name; nothing where it may be read."""
        if self.context.who is None:
            return ""
        barrier = self.context.barrier(path, READ)
        return barrier.path if barrier is not None else ""

    def _unmappable(self, path: str) -> str:
        resolved = self.context.view.resolve(path)
        problem = self._noexec(path, resolved)
        return problem.fix if problem is not None else ""

    def _expose(self, path: str) -> str:
        hiding = self._hides(path)
        return hiding.fix if hiding is not None else ""

    def _hides(self, path: str) -> Optional[_Hiding]:
        """A library may be below /home where ProtectHome= is set, too, or be a symlink that leads there."""
        if not self.context.hidden:
            return None
        for step in self.context.view.way(path):
            why = self.context.hidden_by(step)
            if why:
                return _Hiding(why, self._exposing(step, why))
        return None

    def _exposing(self, step: str, why: str) -> str:
        unit = self.context.unit
        if not removes(why):
            return f"expose {step} with BindReadOnlyPaths=: {why} of {unit} hides it"
        if why.startswith("ProtectHome="):
            return f"set ProtectHome=tmpfs in {unit} and BindReadOnlyPaths={step}, or move it elsewhere: {why} hides it"
        return f"remove what covers {step} from {why} of {unit}, or move it elsewhere"

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
        hiding = self._hides(name)
        if hiding is not None:
            text = f"{program.label}: {os.strerror(errno.ENOENT)}: the interpreter {name} is missing"
            raise ElfError("interpreter_missing", text, hiding.fix)
        try:
            file = self.files.get(view.host(name), program.elf.header)
        except (OSError, ValueError) as error:
            reason = os.strerror(errno.ENOENT)
            if isinstance(error, OSError) and error.errno not in (errno.ENOENT, errno.ENOTDIR):
                reason = error.strerror or reason
            text = f"{program.label}: {reason}: the interpreter {name} is missing"
            go = program.info is not None
            advice = Advice(view, program.elf.goarch, program.elf.bits, go)
            fix = interpreter_fix(program.elf, has_musl(view), go, advice.c_library())
            raise ElfError("interpreter_missing", text, fix) from error
        if file.elf is None or file.elf.header.type not in (2, 3):
            text = f"{program.label}: {os.strerror(errno.ELIBBAD)}: the interpreter {name}"
            raise ElfError("interpreter_invalid", text, f"install {name} for {program.elf.goarch} again")
        self._check_interpreter_rights(program, name, file.host)
        return identify(name, file, self.files)

    def _check_interpreter_rights(self, program: Program, name: str, host: str) -> None:
        text = f"{program.label}: {os.strerror(errno.EACCES)}: the interpreter {name} "
        problem = self._noexec(name, self.context.view.resolve(name))
        if problem is not None:
            directive = problem.code == "unit_noexec"
            fix = problem.fix if directive else f"mount {mount_point(host)} without noexec"
            raise ElfError("noexec_mount", text + "may not be executed", fix)
        real = os.path.realpath(host)
        if not os.stat(host).st_mode & 0o111:
            raise ElfError("interpreter_invalid", text + "is not executable", f"make {real} executable with chmod 0755")
        barrier = self.context.barrier(name, EXECUTE, at_start=True)
        if barrier is not None:
            raise ElfError(
                "interpreter_invalid", text + "is not executable", f"let the {self._user} execute {barrier.path}"
            )


class _Hiding(NamedTuple):
    """why: the setting. fix: what to do so that it does not."""

    why: str
    fix: str


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


def _another_loader(go: bool) -> str:
    return "rebuild with CGO_ENABLED=0" if go else "link it with the interpreter of this host"


def mount_point(host: str) -> str:
    path = os.path.realpath(host)
    while not os.path.ismount(path):
        path = os.path.dirname(path)
    return path


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
