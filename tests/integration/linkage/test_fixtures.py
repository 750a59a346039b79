# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Programs built here to fail, or not to, each in one way. The kernel and the loader decide who is right: every
fixture is started, and our verdict must be theirs.

Needs root, gcc, go and patchelf; musl-gcc and upx where the fixture says so.

pytest tests/integration/linkage/test_fixtures.py
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import MappingProxyType
from typing import Callable, Mapping, NamedTuple

import pytest
from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._core.root_view import View
from ansible_collections.slipway.go.plugins.module_utils._host.kernel import read_host
from ansible_collections.slipway.go.plugins.module_utils._linkage.checker import Checker
from ansible_collections.slipway.go.plugins.module_utils._units.context import own_context
from ansible_collections.slipway.go.plugins.module_utils._units.credentials import Credentials
from ansible_collections.slipway.go.plugins.module_utils._units.surroundings import Context
from ansible_collections.slipway.go.tests.integration.linkage import debian
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import DYN, EXEC, REL, ElfBuilder

if os.geteuid() != 0 or sys.platform != "linux":
    pytest.skip("needs root on Linux", allow_module_level=True)
for tool in ("gcc", "patchelf"):
    if shutil.which(tool) is None:
        pytest.skip(f"needs {tool}", allow_module_level=True)

NOBODY = 65534
PLAIN = "int main(void) { return 0; }\n"
LOADER = "/lib64/ld-linux-x86-64.so.2"


class Case(NamedTuple):
    """What to start and how. code: the problem expected, None where the program starts."""

    program: Path
    code: str | None = None
    env: Mapping[str, str] = MappingProxyType({})
    uid: int = 0
    cwd: str = "/"
    words: str = ""  # in the loader's own output and in our message


class Bench:
    """A directory in which programs and libraries are built."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def run(self, *command: object, **options) -> None:
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
        assert done.returncode == 0, done.stderr

    def gcc(self, output: str, source: str, *flags: object) -> Path:
        target = self.path / output
        target.parent.mkdir(parents=True, exist_ok=True)
        code = self.path / (output.replace("/", "_") + ".c")
        code.write_text(source)
        self.run("gcc", "-o", target, code, *flags)
        return target

    def lib(self, output: str, source: str = "int f(void) { return 0; }\n", *flags: object) -> Path:
        return self.gcc(output, source, "-shared", "-fPIC", f"-Wl,-soname,{os.path.basename(output)}", *flags)

    def user(self, *flags: object, name: str = "app", call: str = "f") -> Path:
        source = f"int {call}(void); int main(void) {{ return {call}(); }}\n"
        return self.gcc(name, source, *flags)

    def with_lib(self, *flags: object) -> tuple[Path, Path]:
        library = self.lib("lib/libf.so.1")
        return self.user(library, f"-Wl,-rpath,{self.path}/lib", *flags), library

    def go(self, name: str, *flags: str, **env: str) -> Path:
        if shutil.which("go") is None:
            pytest.skip("needs go")
        source = self.path / "main.go"
        source.write_text('package main\n\nimport _ "net"\n\nfunc main() {}\n')
        target = self.path / name
        self.run("go", "build", "-o", target, *flags, source, env={**os.environ, "CGO_ENABLED": "0", **env})
        return target

    def craft(self, name: str, **spec) -> Path:
        return ElfBuilder(**spec).write(self.path / name)


CASES: list[Callable[[Bench], Case]] = []


def case(function: Callable[[Bench], Case]) -> Callable[[Bench], Case]:
    CASES.append(function)
    return function


# Libraries that are there, or not


@case
def everything_there(b):
    return Case(b.with_lib()[0])


@case
def library_missing(b):
    app, library = b.with_lib()
    library.unlink()
    return Case(app, "library_missing", words="libf.so.1: cannot open shared object file: No such file or directory")


def chain(b, *flags, inner_rpath=False):
    inner = b.lib("lib/libinner.so.1")
    extra = [f"-Wl,-rpath,{b.path}/lib"] if inner_rpath else []
    b.lib("lib/libouter.so.1", "int f(void); int g(void) { return f(); }\n", inner, *extra)
    link = ("-L", b.path / "lib", "-l:libouter.so.1", f"-Wl,-rpath-link,{b.path}/lib", f"-Wl,-rpath,{b.path}/lib")
    return b.user(*link, *flags, call="g"), inner


@case
def transitive_library_missing(b):
    app, inner = chain(b, "-Wl,--disable-new-dtags")
    inner.unlink()
    return Case(app, "library_missing", words="libinner.so.1")


@case
def runpath_is_not_handed_down(b):
    return Case(chain(b, "-Wl,--enable-new-dtags")[0], "library_missing", words="libinner.so.1")


@case
def runpath_of_the_library_itself(b):
    return Case(chain(b, "-Wl,--enable-new-dtags", inner_rpath=True)[0])


@case
def rpath_is_handed_down(b):
    return Case(chain(b, "-Wl,--disable-new-dtags")[0])


@case
def rpath_is_cut_by_a_librarys_runpath(b):
    app, _ignored = chain(b, "-Wl,--disable-new-dtags")
    b.run("patchelf", "--set-rpath", "/nonexistent", b.path / "lib/libouter.so.1")
    return Case(app, "library_missing", words="libinner.so.1")


@case
def library_path_reaches_everything(b):
    app, _ignored = chain(b, "-Wl,--enable-new-dtags")
    return Case(app, env={"LD_LIBRARY_PATH": f"/nonexistent:{b.path}/lib"})


@case
def library_path_comes_before_runpath(b):
    app, _ignored = b.with_lib("-Wl,--enable-new-dtags")
    (b.path / "first").mkdir()
    (b.path / "first/libf.so.1").write_bytes(b"garbage" * 20)
    env = {"LD_LIBRARY_PATH": f"{b.path}/first"}
    return Case(app, "library_invalid", env, words="libf.so.1: invalid ELF header")


@case
def library_path_comes_after_rpath(b):
    app, _ignored = b.with_lib("-Wl,--disable-new-dtags")
    (b.path / "first").mkdir()
    (b.path / "first/libf.so.1").write_bytes(b"garbage" * 20)
    return Case(app, env={"LD_LIBRARY_PATH": f"{b.path}/first"})


@case
def semicolons_separate_the_library_path(b):
    app, _ignored = chain(b, "-Wl,--enable-new-dtags")
    return Case(app, env={"LD_LIBRARY_PATH": f"/nonexistent;{b.path}/lib"})


@case
def origin(b):
    library = b.lib("bin/lib/libf.so.1")
    return Case(b.user(library, "-Wl,-rpath,$ORIGIN/lib", name="bin/app"))


@case
def origin_in_braces_and_a_name_that_only_looks_like_it(b):
    library = b.lib("bin/lib/libf.so.1")
    return Case(b.user(library, "-Wl,-rpath,/x/$ORIGINAL:${ORIGIN}/lib", name="bin/app"))


@case
def origin_of_a_program_that_moved(b):
    library = b.lib("bin/lib/libf.so.1")
    app = b.user(library, "-Wl,-rpath,$ORIGIN/lib", name="bin/app")
    app.rename(b.path / "app")
    return Case(b.path / "app", "library_missing", words="libf.so.1")


@case
def origin_through_a_symlink(b):
    library = b.lib("bin/lib/libf.so.1")
    app = b.user(library, "-Wl,-rpath,$ORIGIN/lib", name="bin/app")
    (b.path / "link").symlink_to(app)
    return Case(b.path / "link")


@case
def lib_and_platform(b):
    library = b.lib("x/libf.so.1")
    app = b.user(library, "-Wl,-rpath,$ORIGIN/$LIB:$ORIGIN/$PLATFORM")
    where = b.path / "lib/x86_64-linux-gnu" if os.path.isdir("/lib/x86_64-linux-gnu") else b.path / "lib64"
    where.mkdir(parents=True)
    library.rename(where / "libf.so.1")
    return Case(app)


@case
def rpath_without_effect_beside_runpath(b):
    app, _ignored = b.with_lib("-Wl,--disable-new-dtags")
    b.run("patchelf", "--force-rpath", "--set-rpath", f"{b.path}/lib", app)
    b.run("patchelf", "--add-rpath", "/nonexistent", app)  # as RUNPATH, which hides nothing here
    return Case(app)


@case
def an_empty_element_is_the_working_directory(b):
    app, _ignored = b.with_lib()
    b.run("patchelf", "--set-rpath", "/nonexistent:", app)
    return Case(app, cwd=str(b.path / "lib"))


@case
def an_empty_element_elsewhere(b):
    app, _ignored = b.with_lib()
    b.run("patchelf", "--set-rpath", "/nonexistent:", app)
    return Case(app, "library_missing", cwd="/", words="libf.so.1")


@case
def needed_with_a_slash(b):
    app, library = b.with_lib()
    b.run("patchelf", "--replace-needed", "libf.so.1", library, "--remove-rpath", app)
    return Case(app)


@case
def needed_with_a_slash_missing(b):
    app, library = b.with_lib()
    b.run("patchelf", "--replace-needed", "libf.so.1", library, "--remove-rpath", app)
    library.unlink()
    return Case(app, "library_missing", words="cannot open shared object file")


@case
def needed_with_origin(b):
    app, _ignored = b.with_lib()
    b.run("patchelf", "--replace-needed", "libf.so.1", "$ORIGIN/lib/libf.so.1", "--remove-rpath", app)
    return Case(app)


@case
def satisfied_by_a_soname_already_loaded(b):
    b.lib("lib/libf.so.1")
    b.run("patchelf", "--set-soname", "libother.so.9", b.path / "lib/libf.so.1")
    app = b.user(b.path / "lib/libf.so.1", "-Wl,-rpath,$ORIGIN/lib")
    b.run("patchelf", "--replace-needed", "libother.so.9", "libf.so.1", app)
    b.run("patchelf", "--add-needed", "libother.so.9", app)
    return Case(app, None if order_of_needed(app)[0] == "libf.so.1" else "library_missing")


def order_of_needed(app):
    return [name for name in read_binary(str(app)).elf.needed if name in ("libf.so.1", "libother.so.9")]


@case
def circle(b):
    first = b.lib("lib/liba.so.1", "int a(void) { return 0; }\n")
    b.lib("lib/libf.so.1", "int a(void); int f(void) { return a(); }\n", first)
    b.run("patchelf", "--add-needed", "libf.so.1", first)
    app = b.user(
        b.path / "lib/libf.so.1", f"-Wl,-rpath-link,{b.path}/lib", "-Wl,--disable-new-dtags,-rpath,$ORIGIN/lib"
    )
    return Case(app)


@case
def no_default_directories(b):
    app = b.gcc("app", PLAIN, "-Wl,-z,nodefaultlib")
    return Case(app, "library_missing", words="libc.so.6: cannot open shared object file")


@case
def preload_that_is_missing_is_forgiven(b):
    return Case(b.gcc("app", PLAIN), env={"LD_PRELOAD": "/nonexistent.so libnothere.so"})


@case
def preload_that_needs_what_is_missing(b):
    inner = b.lib("libinner.so.1")
    outer = b.lib("libouter.so.1", "int f(void); int g(void) { return f(); }\n", inner)
    inner.unlink()
    return Case(b.gcc("app", PLAIN), "library_missing", {"LD_PRELOAD": str(outer)}, words="libinner.so.1")


@case
def hwcaps_directory_comes_first(b):
    app, _library = b.with_lib()
    level = read_host().cpu.x86_level
    where = b.path / "lib/glibc-hwcaps" / f"x86-64-v{level}"
    where.mkdir(parents=True)
    (where / "libf.so.1").write_bytes(b"garbage" * 20)
    return Case(
        app, "library_invalid" if level > 1 else None, words="libf.so.1: invalid ELF header" if level > 1 else ""
    )


@case
def hwcaps_directory_for_another_processor(b):
    app, _ignored = b.with_lib()
    where = b.path / "lib/glibc-hwcaps/x86-64-v9"
    where.mkdir(parents=True)
    (where / "libf.so.1").write_bytes(b"garbage" * 20)
    return Case(app)


# Libraries that the loader refuses or passes over


def replaced(b, content: bytes) -> Path:
    app, library = b.with_lib()
    library.write_bytes(content)
    return app


@case
def library_is_garbage(b):
    return Case(replaced(b, b"garbage" * 20), "library_invalid", words="libf.so.1: invalid ELF header")


@case
def library_is_empty(b):
    return Case(replaced(b, b""), "library_invalid", words="libf.so.1: file too short")


@case
def library_is_four_bytes(b):
    return Case(replaced(b, b"\x7fELF"), "library_invalid", words="libf.so.1: file too short")


@case
def library_is_a_linker_script(b):
    return Case(replaced(b, b"GROUP ( libreal.so )\n" + b" " * 80), "library_invalid", words="invalid ELF header")


@case
def library_is_a_directory(b):
    app, library = b.with_lib()
    library.unlink()
    library.mkdir()
    return Case(app, "library_invalid", words="libf.so.1: cannot read file data: Error 21")


@case
def library_of_the_other_class(b):
    app, _ignored = b.with_lib()
    b.craft("lib/libf.so.1", bits=32, machine=3, soname="libf.so.1")
    return Case(app, "library_invalid", words="libf.so.1: wrong ELF class: ELFCLASS32")


@case
def library_of_the_other_class_is_passed_over(b):
    app, library = b.with_lib()
    (b.path / "second").mkdir()
    library.rename(b.path / "second/libf.so.1")
    b.craft("lib/libf.so.1", bits=32, machine=3, soname="libf.so.1")
    return Case(app, env={"LD_LIBRARY_PATH": f"{b.path}/lib:{b.path}/second"})


@case
def library_for_another_machine(b):
    app, _ignored = b.with_lib()
    b.craft("lib/libf.so.1", machine=183, soname="libf.so.1")
    return Case(app, "library_missing", words="libf.so.1: cannot open shared object file")


@case
def library_for_another_machine_is_passed_over(b):
    app, _library = b.with_lib("-Wl,--enable-new-dtags")
    b.craft("first/libf.so.1", machine=183, soname="libf.so.1")
    return Case(app, env={"LD_LIBRARY_PATH": f"{b.path}/first"})


@case
def library_of_the_other_byte_order(b):
    app, _ignored = b.with_lib()
    b.craft("lib/libf.so.1", endian="big", soname="libf.so.1")
    return Case(app, "library_missing", words="libf.so.1: cannot open shared object file")


@case
def library_with_a_wrong_byte_order_mark(b):
    app, library = b.with_lib()
    patch(library, 5, bytes([2]))
    return Case(app, "library_invalid", words="libf.so.1: ELF file data encoding not little-endian")


@case
def library_with_program_headers_of_a_wrong_size(b):
    app, library = b.with_lib()
    patch(library, 54, struct.pack("<H", 57))
    return Case(app, "library_invalid", words="libf.so.1: ELF file's phentsize not the expected size")


@case
def library_with_program_headers_past_its_end(b):
    app, library = b.with_lib()
    patch(library, 32, struct.pack("<Q", 1 << 40))
    return Case(app, "library_invalid", words="libf.so.1: cannot read file data")


@case
def library_is_a_fixed_program(b):
    app, _ignored = b.with_lib()
    b.gcc("lib/libf.so.1", PLAIN, "-no-pie")
    return Case(app, "library_invalid", words="libf.so.1: cannot dynamically load executable")


@case
def library_is_a_pie(b):
    app, _ignored = b.with_lib()
    b.gcc("lib/libf.so.1", PLAIN, "-pie", "-fPIE")
    return Case(app, "library_invalid", words="cannot dynamically load position-independent executable")


@case
def library_is_an_object(b):
    app, library = b.with_lib()
    b.run("gcc", "-c", "-o", library, b.path / "app.c")
    return Case(app, "library_invalid", words="libf.so.1: only ET_DYN and ET_EXEC can be loaded")


@case
def library_without_dynamic_section(b):
    app, _ignored = b.with_lib()
    b.craft("lib/libf.so.1", type=DYN, entry=0)
    return Case(app, "library_invalid", words="libf.so.1: object file has no dynamic section")


@case
def library_of_another_os_abi(b):
    app, library = b.with_lib()
    patch(library, 7, bytes([9]))
    return Case(app, "library_invalid", words="libf.so.1: ELF file OS ABI invalid")


@case
def library_truncated_in_its_header(b):
    app, library = b.with_lib()
    os.truncate(library, 50)
    return Case(app, "library_invalid", words="libf.so.1: file too short")


def patch(path: Path, offset: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


@case
def library_not_readable_for_the_user(b):
    app, library = b.with_lib()
    library.chmod(0o600)
    return Case(app, "library_unreadable", uid=NOBODY, words="libf.so.1: cannot open shared object file: No such file")


@case
def library_with_a_slash_not_readable_for_the_user(b):
    app, library = b.with_lib()
    b.run("patchelf", "--replace-needed", "libf.so.1", library, "--remove-rpath", app)
    library.chmod(0o600)
    return Case(app, "library_unreadable", uid=NOBODY, words="cannot open shared object file: Permission denied")


@case
def directory_not_open_to_the_user(b):
    app, library = b.with_lib()
    library.parent.chmod(0o700)
    return Case(app, "library_unreadable", uid=NOBODY, words="cannot open shared object file")


# Versions and symbols

V1 = "V1 { global: f; };\n"
V2 = "V1 { global: f; };\nV2 { global: g; } V1;\n"
BOTH = "int f(void) { return 0; }\nint g(void) { return 0; }\n"


def versioned(b, name: str, source: str, script: str) -> Path:
    path = b.path / "versions"
    path.write_text(script)
    return b.lib(name, source, f"-Wl,--version-script,{path}")


@case
def version_missing(b):
    library = versioned(b, "lib/libf.so.1", BOTH, V2)
    app = b.user(library, f"-Wl,-rpath,{b.path}/lib", call="g")
    versioned(b, "lib/libf.so.1", BOTH.splitlines()[0] + "\n", V1)
    return Case(app, "version_missing", words="version `V2' not found")


@case
def version_missing_for_a_library(b):
    inner = versioned(b, "lib/libinner.so.1", BOTH, V2)
    b.lib("lib/libf.so.1", "int g(void); int f(void) { return g(); }\n", inner)
    app = b.user(
        b.path / "lib/libf.so.1", f"-Wl,--disable-new-dtags,-rpath,{b.path}/lib", f"-Wl,-rpath-link,{b.path}/lib"
    )
    versioned(b, "lib/libinner.so.1", BOTH.splitlines()[0] + "\n", V1)
    return Case(app, "version_missing", words="version `V2' not found (required by")


def unversioned(b, *flags, call="g() * (c > 9)") -> Path:
    library = versioned(b, "lib/libf.so.1", BOTH, V2)
    source = f"int g(void); int main(int c, char **v) {{ return {call}; }}\n"
    app = b.gcc("app", source, library, f"-Wl,-rpath,{b.path}/lib", *flags)
    b.lib("lib/libf.so.1", BOTH)
    return app


@case
def a_library_without_versions_as_long_as_nobody_looks(b):
    return Case(unversioned(b, "-Wl,-z,lazy", call="c > 9 ? g() : 0"))


@case
def a_library_without_versions_and_symbols_bound_at_once(b):
    words = "Assertion `version->filename == NULL || ! _dl_name_match_p (version->filename, map)' failed!"
    return Case(unversioned(b, "-Wl,-z,now"), "version_missing", words=words)


@case
def a_library_without_own_versions_that_needs_others(b):
    app = unversioned(b, "-Wl,-z,now")
    b.lib("lib/libf.so.1", BOTH + "#include <stdlib.h>\nvoid *h(void) { return malloc(1); }\n")
    return Case(app)


@case
def a_weak_version_is_forgiven(b):
    library = versioned(b, "lib/libf.so.1", BOTH, V2)
    source = "extern int g(void) __attribute__((weak)); int f(void); int main(void) { return g ? f() : 0; }\n"
    app = b.gcc("app", source, library, f"-Wl,-rpath,{b.path}/lib")
    versioned(b, "lib/libf.so.1", BOTH.splitlines()[0] + "\n", V1)
    elf = read_binary(str(app)).elf
    weak = all(w for need in elf.dynamic.verneed for n, w in need.names if n == "V2")
    return Case(app, None if weak else "version_missing")


def other_symbols(b, *flags, call="f", source="int other;\n"):
    library = b.lib("lib/libf.so.1")
    app = b.user(library, f"-Wl,-rpath,{b.path}/lib", *flags, call=call)
    b.lib("lib/libf.so.1", source)
    return app


@case
def symbol_missing_bound_at_once(b):
    return Case(other_symbols(b, "-Wl,-z,now"), "symbol_missing", words="undefined symbol: f")


@case
def symbol_missing_but_never_called(b):
    b.lib("lib/libf.so.1")
    source = "int f(void); int main(int c, char **v) { return c > 9 ? f() : 0; }\n"
    app = b.gcc("app", source, b.path / "lib/libf.so.1", f"-Wl,-rpath,{b.path}/lib", "-Wl,-z,lazy", "-fplt")
    b.lib("lib/libf.so.1", "int other;\n")
    return Case(app)


@case
def symbol_missing_with_bind_now_in_the_environment(b):
    case = symbol_missing_but_never_called(b)
    return case._replace(code="symbol_missing", env={"LD_BIND_NOW": "1"}, words="undefined symbol: f")


@case
def data_missing(b):
    b.lib("lib/libf.so.1", "int value = 1; int f(void) { return 0; }\n")
    source = "extern int value; int main(int c, char **v) { return c > 9 ? value : 0; }\n"
    app = b.gcc("app", source, b.path / "lib/libf.so.1", f"-Wl,-rpath,{b.path}/lib", "-Wl,-z,lazy", "-fPIE", "-pie")
    b.lib("lib/libf.so.1")
    return Case(app, "symbol_missing", words="undefined symbol: value")


@case
def processor_level_above_every_processor(b):
    app = b.gcc("app", PLAIN, "-Wl,-z,x86-64-v4")
    blob = app.read_bytes()
    at = blob.index(struct.pack("<II", 0xC0008002, 4)) + 8
    patch(app, at, struct.pack("<I", 0x1F))
    return Case(app, "cpu_level", words="CPU ISA level is lower than required")


# Interpreters


@case
def interpreter_missing(b):
    app = b.gcc("app", PLAIN, "-Wl,--dynamic-linker,/lib/ld-nowhere.so.7")
    return Case(app, "interpreter_missing", words="No such file or directory")


@case
def interpreter_is_a_text(b):
    (b.path / "ld.so").write_text("not a loader\n" * 20)
    (b.path / "ld.so").chmod(0o755)
    app = b.gcc("app", PLAIN, f"-Wl,--dynamic-linker,{b.path}/ld.so")
    return Case(app, "interpreter_invalid", words="Accessing a corrupted shared library")


@case
def interpreter_for_another_machine(b):
    b.craft("ld.so", machine=183, soname="ld-linux-aarch64.so.1")
    app = b.gcc("app", PLAIN, f"-Wl,--dynamic-linker,{b.path}/ld.so")
    return Case(app, "interpreter_invalid", words="Accessing a corrupted shared library")


@case
def interpreter_not_executable(b):
    shutil.copy(os.path.realpath(LOADER), b.path / "ld.so")
    (b.path / "ld.so").chmod(0o644)
    app = b.gcc("app", PLAIN, f"-Wl,--dynamic-linker,{b.path}/ld.so")
    return Case(app, "interpreter_invalid", words="Permission denied")


@case
def interpreter_elsewhere(b):
    shutil.copy(os.path.realpath(LOADER), b.path / "ld.so")
    (b.path / "ld.so").chmod(0o755)
    return Case(b.gcc("app", PLAIN, f"-Wl,--dynamic-linker,{b.path}/ld.so"))


@case
def go_pie_without_cgo(b):
    app = b.go("app", "-buildmode=pie")
    assert read_binary(str(app)).elf.elf_class == "interpreter-only"
    return Case(app)


@case
def go_pie_without_its_interpreter(b):
    app = b.go("app", "-buildmode=pie", "-ldflags=-I /lib/ld-nowhere.so.2")
    return Case(app, "interpreter_missing", words="No such file or directory")


# musl


def musl(b, output: str, source: str, *flags: object) -> Path:
    if shutil.which("musl-gcc") is None:
        pytest.skip("needs musl-gcc")
    code = b.path / (output.replace("/", "_") + ".c")
    code.write_text(source)
    target = b.path / output
    target.parent.mkdir(parents=True, exist_ok=True)
    b.run("musl-gcc", "-o", target, code, *flags)
    return target


def musl_lib(b, output: str, source: str = "int f(void) { return 0; }\n", *flags: object) -> Path:
    return musl(b, output, source, "-shared", "-fPIC", f"-Wl,-soname,{os.path.basename(output)}", *flags)


USE_F = "int f(void); int main(void) { return f(); }\n"


@case
def musl_plain(b):
    return Case(musl(b, "app", PLAIN))


@case
def musl_static(b):
    return Case(musl(b, "app", PLAIN, "-static"))


@case
def musl_library_missing(b):
    library = musl_lib(b, "lib/libf.so.1")
    app = musl(b, "app", USE_F, library, f"-Wl,-rpath,{b.path}/lib")
    library.unlink()
    return Case(app, "library_missing", words="Error loading shared library libf.so.1: No such file or directory")


@case
def musl_hands_runpath_down(b):
    inner = musl_lib(b, "lib/libinner.so.1")
    outer = musl_lib(b, "lib/libouter.so.1", "int f(void); int g(void) { return f(); }\n", inner)
    source = USE_F.replace("f(", "g(")
    flags = ("-Wl,--enable-new-dtags", f"-Wl,-rpath,{b.path}/lib", f"-Wl,-rpath-link,{b.path}/lib")
    return Case(musl(b, "app", source, outer, *flags))


@case
def musl_origin(b):
    library = musl_lib(b, "lib/libf.so.1")
    return Case(musl(b, "app", USE_F, library, "-Wl,-rpath,$ORIGIN/lib"))


@case
def musl_does_not_know_lib(b):
    library = musl_lib(b, "lib/libf.so.1")
    app = musl(b, "app", USE_F, library, "-Wl,-rpath,$ORIGIN/$LIB:$ORIGIN/lib")
    return Case(app, "library_missing", words="libf.so.1")


@case
def musl_library_path(b):
    library = musl_lib(b, "lib/libf.so.1")
    return Case(musl(b, "app", USE_F, library), env={"LD_LIBRARY_PATH": f"{b.path}/lib"})


@case
def musl_takes_the_first_file_whatever_it_is(b):
    library = musl_lib(b, "lib/libf.so.1")
    (b.path / "first").mkdir()
    (b.path / "first/libf.so.1").write_bytes(b"garbage" * 200)
    app = musl(b, "app", USE_F, library, f"-Wl,-rpath,{b.path}/lib")
    env = {"LD_LIBRARY_PATH": f"{b.path}/first"}
    return Case(app, "library_invalid", env, words="Error loading shared library libf.so.1: Exec format error")


@case
def musl_binds_everything_at_once(b):
    library = musl_lib(b, "lib/libf.so.1")
    source = "int f(void); int main(int c, char **v) { return c > 9 ? f() : 0; }\n"
    app = musl(b, "app", source, library, f"-Wl,-rpath,{b.path}/lib", "-Wl,-z,lazy", "-fplt")
    musl_lib(b, "lib/libf.so.1", "int other;\n")
    return Case(app, "symbol_missing", words="f: symbol not found")


@case
def musl_interpreter_missing(b):
    app = musl(b, "app", PLAIN)
    b.run("patchelf", "--set-interpreter", "/lib/ld-musl-mips.so.1", app)
    return Case(app, "interpreter_missing", words="No such file or directory")


@case
def glibc_program_under_musl(b):
    musl(b, "unused", PLAIN)
    source = "#include <stdio.h>\n#include <gnu/libc-version.h>\nint main(void) { return !gnu_get_libc_version(); }\n"
    app = b.gcc("app", source)
    b.run("patchelf", "--set-interpreter", "/lib/ld-musl-x86_64.so.1", app)
    return Case(app, "symbol_missing", words="gnu_get_libc_version: symbol not found")


# The file itself


@case
def not_executable(b):
    app = b.gcc("app", PLAIN)
    app.chmod(0o644)
    return Case(app, "not_executable", words="Permission denied")


@case
def not_executable_for_the_user(b):
    app = b.gcc("app", PLAIN)
    app.chmod(0o744)
    return Case(app, "not_executable", uid=NOBODY, words="Permission denied")


@case
def below_a_closed_directory(b):
    app = b.gcc("closed/app", PLAIN)
    app.parent.chmod(0o700)
    return Case(app, "not_executable", uid=NOBODY, words="Permission denied")


@case
def truncated_in_the_middle(b):
    app = b.go("app")
    os.truncate(app, app.stat().st_size // 2)
    return Case(app, "truncated")


@case
def truncated_to_its_header(b):
    app = b.gcc("app", PLAIN)
    os.truncate(app, 64)
    return Case(app, "truncated")


@case
def empty(b):
    (b.path / "app").touch(0o755)
    return Case(b.path / "app", "empty")


@case
def absent(b):
    return Case(b.path / "app", "not_found", words="No such file or directory")


@case
def a_directory(b):
    return Case(b.path, "not_regular")


@case
def a_text(b):
    (b.path / "app").write_text("just words\n" * 10)
    (b.path / "app").chmod(0o755)
    return Case(b.path / "app", "not_elf")


@case
def a_library_started(b):
    return Case(b.lib("libf.so.1", "int f(void) { return 0; }\n"), "not_a_program")


@case
def an_object_started(b):
    app = b.craft("app", type=REL)
    return Case(app, "not_a_program", words="Exec format error")


@case
def for_another_architecture(b):
    return Case(b.go("app", GOARCH="arm64"), "wrong_machine", words="Exec format error")


@case
def for_another_byte_order(b):
    return Case(b.go("app", GOARCH="mips64"), "wrong_machine", words="Exec format error")


@case
def for_another_system(b):
    return Case(b.go("app", GOOS="freebsd"), "wrong_os")


@case
def thirty_two_bits(b):
    host = read_host()
    return Case(b.go("app", GOARCH="386"), None if host.starts("386") else "wrong_machine")


@case
def program_headers_of_a_wrong_size(b):
    app = b.craft("app", type=EXEC)
    patch(app, 54, struct.pack("<H", 57))
    return Case(app, "malformed", words="")


@case
def more_program_headers_than_the_kernel_takes(b):
    app = b.go("app")
    patch(app, 56, struct.pack("<H", 5000))
    return Case(app, "too_large_table")


@case
def without_section_headers(b):
    app, _ignored = b.with_lib()
    patch(app, 40, bytes(8))
    patch(app, 60, bytes(4))
    return Case(app)


@case
def without_section_headers_and_library(b):
    app, library = b.with_lib()
    patch(app, 40, bytes(8))
    patch(app, 60, bytes(4))
    library.unlink()
    return Case(app, "library_missing", words="libf.so.1")


@case
def section_headers_that_lie(b):
    app, _ignored = b.with_lib()
    patch(app, 40, struct.pack("<Q", 2**63))
    return Case(app)


@case
def go_static(b):
    app = b.go("app")
    assert read_binary(str(app)).elf.elf_class == "static"
    return Case(app)


@case
def go_with_cgo(b):
    app = b.go("app", CGO_ENABLED="1")
    assert read_binary(str(app)).elf.elf_class == "dynamic"
    return Case(app)


@case
def go_with_cgo_against_a_libc_without_its_version(b):
    app = b.go("app", CGO_ENABLED="1")
    wanted = [
        n for need in read_binary(str(app)).elf.dynamic.verneed for n, _ignored in need.names if n == "GLIBC_2.34"
    ]
    if not wanted:
        pytest.skip("this toolchain links against an older glibc")
    old = b"GLIBC_2.34\0"
    blob = app.read_bytes()
    assert blob.count(old) == 1
    patch(app, blob.index(old), b"GLIBC_9.99\0")
    return Case(app, "version_missing", words="version `GLIBC_9.99' not found")


@case
def static_glibc(b):
    app = b.gcc("app", PLAIN, "-static")
    assert read_binary(str(app)).elf.elf_class == "static"
    return Case(app)


@case
def static_pie_glibc(b):
    app = b.gcc("app", PLAIN, "-static-pie")
    assert read_binary(str(app)).elf.elf_class == "static-pie"
    return Case(app)


@case
def kernel_older_than_its_note_asks(b):
    app = b.gcc("app", PLAIN, "-static")
    blob = app.read_bytes()
    at = blob.index(struct.pack("<III", 4, 16, 1) + b"GNU\0") + 20
    patch(app, at, struct.pack("<I", 99))
    # Only glibc before 2.36 looks at it; we side with the note, which is the program's own word.
    return Case(app, "kernel_too_old", words="?")


# UPX


def upx(b, app: Path, *flags: str) -> Path:
    tree = debian.unpacked("bullseye", "upx-ucl")
    libraries = debian.unpacked("bullseye", "libucl1")
    if tree is None or libraries is None:
        pytest.skip("needs the Debian package upx-ucl")
    packed = app.with_name("packed")
    environment = {"LD_LIBRARY_PATH": str(next(libraries.rglob("libucl.so.1")).parent), "PATH": "/usr/bin:/bin"}
    b.run(tree / "usr/bin/upx-ucl", "-q", *flags, "-o", packed, app, env=environment)
    return packed


PADDED = "".join(f"int padding{n}(int x) {{ return x * {n} + x % 7; }} " for n in range(3000))


@case
def upx_go_static(b):
    return Case(upx(b, b.go("app")), "packed", words="?")


@case
def upx_lzma_go_static(b):
    return Case(upx(b, b.go("app"), "--lzma"), "packed", words="?")


@case
def upx_dynamic(b):
    library = b.lib("lib/libf.so.1")
    app = b.gcc("app", PADDED + USE_F, library, f"-Wl,-rpath,{b.path}/lib")
    return Case(upx(b, app), "packed", words="?")


# Rights


@case
def setuid_drops_origin(b):
    library = b.lib("lib/libf.so.1")
    app = b.user(library, "-Wl,-rpath,$ORIGIN/lib")
    app.chmod(0o4755)
    return Case(app, "library_missing", uid=NOBODY, words="libf.so.1: cannot open shared object file")


@case
def setuid_drops_the_library_path(b):
    app, _ignored = chain(b, "-Wl,--enable-new-dtags")
    app.chmod(0o4755)
    return Case(app, "library_missing", {"LD_LIBRARY_PATH": f"{b.path}/lib"}, uid=NOBODY, words="libinner.so.1")


@case
def setuid_keeps_an_absolute_runpath(b):
    app, _ignored = b.with_lib()
    app.chmod(0o4755)
    return Case(app, uid=NOBODY)


@case
def setgid_drops_origin(b):
    library = b.lib("lib/libf.so.1")
    app = b.user(library, "-Wl,-rpath,$ORIGIN/lib")
    app.chmod(0o2755)
    return Case(app, "library_missing", uid=NOBODY, words="libf.so.1: cannot open shared object file")


def setcap(app: Path, bits: int) -> None:
    data = struct.pack("<IIIII", 0x02000001, bits & 0xFFFFFFFF, 0, bits >> 32, 0)
    os.setxattr(app, "security.capability", data)


@case
def capabilities_drop_origin(b):
    library = b.lib("lib/libf.so.1")
    app = b.user(library, "-Wl,-rpath,$ORIGIN/lib")
    setcap(app, 1 << 10)
    return Case(app, "library_missing", uid=NOBODY, words="libf.so.1: cannot open shared object file")


@case
def capabilities_beyond_the_bounding_set(b):
    lacking = next((n for n in range(41) if not read_host().bounding >> n & 1), None)
    if lacking is None:
        pytest.skip("this process may have every capability")
    app = b.gcc("app", PLAIN)
    setcap(app, 1 << lacking)
    return Case(app, "capabilities", words="Operation not permitted")


@pytest.fixture
def bench():
    # Below /var/tmp and open to everyone: pytest's own directories are closed to the user that some fixtures become.
    path = Path(subprocess.check_output(["mktemp", "-d", "/var/tmp/slipway.XXXXXX"], text=True).strip())
    path.chmod(0o755)
    yield Bench(path)
    shutil.rmtree(path)


def started(case: Case) -> tuple[bool, str]:
    """What really happens. A negative return code is a signal: it did not start well."""
    options = {"user": case.uid, "group": case.uid, "extra_groups": []} if case.uid else {}
    try:
        done = subprocess.run(
            [str(case.program)],
            env={"PATH": "/usr/bin:/bin", **case.env},
            cwd=case.cwd,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
            check=False,
            **options,
        )
    except OSError as error:
        return False, error.strerror or ""
    return done.returncode == 0, done.stderr


def judged(case: Case) -> dict:
    who = Credentials(case.uid, frozenset([case.uid]), False) if case.uid else own_context().who
    context = Context(View(cwd=case.cwd), case.env, who=who)
    return Checker(read_host(), context).check(str(case.program)).as_dict()


@pytest.mark.parametrize("build", CASES, ids=lambda build: build.__name__)
def test_the_kernel_and_the_loader_agree(bench, build):
    fixture = build(bench)
    starts, output = started(fixture)
    verdict = judged(fixture)
    assert verdict["runnable"] == (fixture.code is None), (verdict, output)
    if fixture.words != "?":
        assert starts == verdict["runnable"], (verdict, output)
    if fixture.code is not None:
        assert verdict["problems"][0]["code"] == fixture.code, (verdict, output)
        assert all(problem["fix"] for problem in verdict["problems"])
        if fixture.words and fixture.words != "?":
            assert fixture.words in output, (verdict, output)
            assert fixture.words in verdict["problems"][0]["message"], (verdict, output)


@pytest.fixture
def noexec(bench):
    where = bench.path / "mount"
    where.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "noexec", "tmpfs", where], check=False).returncode:
        pytest.skip("may not mount here")
    yield where
    subprocess.run(["umount", "-l", where], check=True)


def test_program_on_a_noexec_mount(bench, noexec):
    app = bench.gcc("mount/app", PLAIN)
    fixture = Case(app)
    assert started(fixture) == (False, "Permission denied")
    assert [problem["code"] for problem in judged(fixture)["problems"]] == ["noexec_mount"]


def test_library_on_a_noexec_mount(bench, noexec):
    library = bench.lib("mount/libf.so.1")
    fixture = Case(bench.user(library, f"-Wl,-rpath,{noexec}"))
    starts, output = started(fixture)
    assert not starts
    assert "libf.so.1: failed to map segment from shared object" in output
    problem = judged(fixture)["problems"][0]
    assert problem["code"] == "noexec_mount"
    assert "libf.so.1: failed to map segment from shared object" in problem["message"]


def test_interpreter_on_a_noexec_mount(bench, noexec):
    shutil.copy(os.path.realpath(LOADER), noexec / "ld.so")
    (noexec / "ld.so").chmod(0o755)
    fixture = Case(bench.gcc("app", PLAIN, f"-Wl,--dynamic-linker,{noexec}/ld.so"))
    assert started(fixture) == (False, "Permission denied")
    assert judged(fixture)["problems"][0]["code"] == "noexec_mount"


def test_there_are_enough_that_fail():
    failing = [build for build in CASES if "code" not in build.__name__]
    assert len(failing) >= 25
