"""Scenes of programs and libraries that nothing has linked, which no host of the lab could be made to have."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._binary.facts import read_binary
from ansible_collections.slipway.go.plugins.module_utils._host.cpu import Cpu
from ansible_collections.slipway.go.plugins.module_utils._host.kernel import Host
from ansible_collections.slipway.go.plugins.module_utils._linkage import checker, loader, scripts
from ansible_collections.slipway.go.plugins.module_utils._units import context as units
from ansible_collections.slipway.go.tests.faults.fixes.intake import literal
from ansible_collections.slipway.go.tests.faults.fixes.scene import Scenes, Stage
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.elf_builder import (
    EXEC,
    REL,
    ElfBuilder,
    Symbol,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.binary.test_go_build_info import inline
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.fake_root import (
    GLIBC,
    GLIBC_CONSTANTS,
    Root,
    cpu,
    glibc_root,
    host,
)
from ansible_collections.slipway.go.tests.unit.plugins.module_utils.linkage.test_memory import UNIT, change

SCENES = Scenes()
GO = {"body": inline("go1.22.3", "path\tp\n")}
DT_RELR, PT_LOAD = 36, 1
OWN_LOADER = "/opt/lib/ld-own.so.1"


def runs(root: Root, **options: Any) -> Any:
    found = root.check(**options)
    assert found["runnable"], found
    return found


def judged(
    code: str, how: str, says: str, applied: str, wrong: Callable[[Root], Any], right: Callable[[Root], Any]
) -> None:
    """A row of one system of files: as it is made wrong, and as the fix says."""

    def act(stage: Stage) -> None:
        root = glibc_root(stage.folder)
        wrong(root)
        stage.fails(root.check)
        right(root)
        stage.passes(lambda: runs(root))

    SCENES.row(code, how, says, applied)(act)


def plain(root: Root) -> None:
    root.elf("/app", type=EXEC)


def plain_go(root: Root) -> None:
    root.elf("/app", type=EXEC, **GO)


judged(
    "wrong_os",
    "a program in C for FreeBSD",
    literal("build it for Linux: it is built for freebsd"),
    "a build for Linux",
    lambda root: root.elf("/app", type=EXEC, osabi=9),
    plain,
)
for what, right in (("built again", plain), ("of a package for the host", plain)):
    judged(
        "wrong_machine",
        f"a program in C for arm64 ({what})",
        literal("build it for amd64, or install its package for amd64: it is built for arm64"),
        f"a program that is {what}",
        lambda root: root.elf("/app", type=EXEC, machine=183),
        right,
    )
judged(
    "not_a_program",
    "go build was told to make an archive of objects",
    literal("give the program itself, built with -buildmode=exe"),
    "a build with `-buildmode=exe`",
    lambda root: root.elf("/app", type=REL, **GO),
    plain_go,
)
judged(
    "loader_unknown",
    "a Go program with cgo has a loader of its own",
    literal("rebuild with CGO_ENABLED=0"),
    "a build with `CGO_ENABLED=0`",
    lambda root: (root.elf(OWN_LOADER), root.app("libc.so.6", interpreter=OWN_LOADER, **GO)),
    plain_go,
)
BUNDLED = literal("leave /opt/lib/libc.so.6 out of what is bundled, or bundle its loader and link to that")


def banner(release: str) -> bytes:
    return GLIBC_CONSTANTS + f"\0GNU C Library stable release version {release}.\n\0".encode()


def bundled_libc(root: Root) -> None:
    root.glibc(constants=banner("2.36"))
    for folder, release in (("/lib/x86_64-linux-gnu", "2.36"), ("/opt/lib", "2.41")):
        root.lib(f"{folder}/libc.so.6", constants=banner(release), verdef=["libc.so.6", "GLIBC_2.2.5"])
    root.app("libc.so.6", runpath="/opt/lib")


def bundled_loader(root: Root) -> None:
    versions = ["ld-linux-x86-64.so.2", "GLIBC_2.2.5", "GLIBC_PRIVATE"]
    root.elf("/opt/lib/ld.so", soname="ld-linux-x86-64.so.2", constants=banner("2.41"), verdef=versions)
    root.app("libc.so.6", interpreter="/opt/lib/ld.so", runpath="/opt/lib")


judged(
    "library_invalid",
    "a program comes with the C library of another release",
    BUNDLED,
    "that library is left out",
    bundled_libc,
    lambda root: (root.path / "opt/lib/libc.so.6").unlink(),
)
judged(
    "library_invalid",
    "a program comes with a C library and without its loader",
    BUNDLED,
    "its loader is bundled, too, and the program linked to it",
    bundled_libc,
    bundled_loader,
)
judged(
    "library_invalid",
    "a program asks for versions of a library that it does not name",
    literal("link it again with what it needs"),
    "the library is named",
    lambda root: (
        root.lib("/opt/libx.so", verdef=["libx.so", "X_1"]),
        root.app("libc.so.6", runpath="/opt", verneed={"libx.so": ["X_1"]}),
    ),
    lambda root: root.app("libc.so.6", "libx.so", runpath="/opt", verneed={"libx.so": ["X_1"]}),
)


def wants_x(root: Root, *versions: str) -> None:
    """A program that needs x of libx.so when it starts."""
    wanted: dict[str, Any] = {"verneed": {"libx.so": list(versions)}} if versions else {}
    symbols = [Symbol("x", defined=False, version=2 if versions else 0)]
    root.app("libx.so", runpath="/opt", symbols=symbols, bind_now=True, **wanted)


def unversioned(root: Root) -> None:
    root.lib("/opt/libx.so", symbols=[Symbol("x")])
    wants_x(root, "X_1")


UNVERSIONED = literal(
    "install the library that /app was linked to, or link to /opt/libx.so: that one has no symbol versions"
)
judged(
    "version_missing",
    "a library without versions takes the place of one that has them",
    UNVERSIONED,
    "the library with versions is installed",
    unversioned,
    lambda root: root.lib("/opt/libx.so", symbols=[Symbol("x")], verdef=["libx.so", "X_1"]),
)
judged(
    "version_missing",
    "a library without versions is here to stay",
    UNVERSIONED,
    "the program is linked to it",
    unversioned,
    wants_x,
)


def packed_relocations(root: Root, **tags: Any) -> None:
    root.glibc(constants=GLIBC_CONSTANTS + b"GLIBC_ABI_DT_RELR\0")
    root.app("libc.so.6", verneed={"libc.so.6": ["GLIBC_2.34"]}, **tags)


judged(
    "version_missing",
    "an older linker has packed the relocations",
    literal("link it with -Wl,-z,nopack-relative-relocs or a newer linker"),
    "the program is linked with that option",
    lambda root: packed_relocations(root, tags={DT_RELR: 0x400000}),
    packed_relocations,
)


# --- processors and kernels: what the program was built for changes, and the host stays, or the other way round


def go_with(root: Root, settings: str, **spec: Any) -> None:
    body = inline("go1.24.4", f"path\tp\n{''.join(f'build{chr(9)}{one}{chr(10)}' for one in settings.split())}")
    root.elf("/app", type=EXEC, body=body, **spec)


ARM = {"machine": 40, "bits": 32}


def with_features(machine: str, goarch: str, features: str) -> Host:
    return host(machine=machine, goarch=goarch, cpu=Cpu("", frozenset(features.split())))


for how, here, spec, wrong, says in (
    (
        "a Go program for a newer processor of Intel or AMD",
        host(cpu=cpu(2)),
        {},
        "GOAMD64=v3",
        r"rebuild with (?P<setting>GOAMD64=v2): this processor is x86-64-v2, the program needs v3",
    ),
    (
        "a Go program for a processor with SSE2",
        host(cpu=Cpu("", frozenset({"fpu"}))),
        {"machine": 3, "bits": 32},
        "GO386=sse2",
        r"rebuild with (?P<setting>GO386=softfloat)",
    ),
    (
        "a Go program for a newer processor of ARM",
        with_features("aarch64", "arm64", "fp asimd"),
        {"machine": 183},
        "GOARM64=v8.1",
        r"rebuild with (?P<setting>GOARM64=v8\.0): it is built with GOARM64=v8\.1, and this processor has no LSE",
    ),
    (
        "a Go program for a processor of ARM with VFPv3",
        with_features("armv6l", "arm", "half vfp"),
        ARM,
        "GOARM=7",
        r"rebuild with (?P<setting>GOARM=6): it is built with GOARM=7, and this processor has no VFPv3",
    ),
    (
        "a Go program for a processor of ARM with floating point",
        with_features("armv6l", "arm", "half"),
        ARM,
        "GOARM=6",
        r"rebuild with (?P<setting>GOARM=5): this processor has no floating point unit",
    ),
):

    @SCENES.row("cpu_level", how, says, "a build with that setting")
    def _scene(stage: Stage, here: Host = here, specs: tuple[Any, ...] = (spec,), wrong: str = wrong) -> None:
        root, spec = glibc_root(stage.folder), specs[0]
        go_with(root, wrong, **spec)
        setting = stage.fails(lambda: root.check(host=here))["setting"]
        go_with(root, setting, **spec)
        stage.passes(lambda: runs(root, host=here))


def level(needed: int) -> list[tuple[str, int, bytes]]:
    """The note of a program that says which level of x86-64 it needs."""
    return [("GNU", 5, struct.pack("<IIII", 0xC0008002, 4, 1 << (needed - 1), 0))]


@SCENES.row(
    "cpu_level",
    "a program in C for a newer processor",
    r"rebuild it for x86-64-v(?P<level>\d), which this processor is: it needs x86-64-v3",
    "a build with that `-march`",
)
def _scene(stage: Stage) -> None:
    root, here = glibc_root(stage.folder), host(cpu=cpu(2))
    root.app("libc.so.6", notes=level(3))
    found = stage.fails(lambda: root.check(host=here))
    root.app("libc.so.6", notes=level(int(found["level"])))
    stage.passes(lambda: runs(root, host=here))


@SCENES.row(
    "page_size",
    "a program is aligned to smaller pages than those of the host",
    r"link it with -Wl,-z,max-page-size=(?P<size>\d+)",
    "the program is linked with that option",
)
def _scene(stage: Stage) -> None:
    root, here = glibc_root(stage.folder), host(page_size=65536)
    plain(root)
    path = stage.folder / "app"
    blob = bytearray(path.read_bytes())
    struct.pack_into("<Q", blob, 64 + 16, 0x401000)  # the address of the first segment
    path.write_bytes(blob)
    size = int(stage.fails(lambda: root.check(host=here))["size"])
    struct.pack_into("<Q", blob, 64 + 16, 0x400000 // size * size)
    path.write_bytes(blob)
    stage.passes(lambda: runs(root, host=here))


KERNEL = r"upgrade the kernel to (?P<version>[0-9.]+) or newer, or build with an older Go: this host runs 3\.1\.9"
for how, applied in (("and the kernel is upgraded", "a newer kernel"), ("and is built anew", "a build with go1.23")):

    @SCENES.row("kernel_too_old", f"a Go program needs a newer kernel, {how}", KERNEL, applied)
    def _scene(stage: Stage, upgraded: bool = how == "and the kernel is upgraded") -> None:
        root, old = glibc_root(stage.folder), host(kernel="3.1.9")
        go_with(root, "")
        version = stage.fails(lambda: root.check(host=old))["version"]
        if not upgraded:
            root.elf("/app", type=EXEC, body=inline("go1.23.4", "path\tp\n"))
        stage.passes(lambda: runs(root, host=host(kernel=version) if upgraded else old))


@SCENES.row(
    "kernel_too_old",
    "a program asks for a newer kernel",
    r"upgrade the kernel to (?P<version>[0-9.]+) or newer: this host runs 6\.1\.0-30-amd64",
    "a newer kernel",
)
def _scene(stage: Stage) -> None:
    root = glibc_root(stage.folder)
    root.elf("/app", type=EXEC, notes=[("GNU", 1, struct.pack("<IIII", 0, 7, 0, 0))])
    version = stage.fails(root.check)["version"]
    stage.passes(lambda: runs(root, host=host(kernel=version)))


@SCENES.row(
    "library_invalid",
    "a program has too many libraries",
    literal("link it with fewer libraries"),
    "a library is left out",
)
def _scene(stage: Stage) -> None:
    root = glibc_root(stage.folder)
    names = [f"lib{number}.so" for number in range(3)]
    for name in names:
        root.lib(f"/opt/{name}")
    stage.patch.setattr(loader, "MAX_LIBRARIES", 3)
    root.app(*names, runpath="/opt")
    stage.fails(root.check)
    root.app(*names[1:], runpath="/opt")
    stage.passes(lambda: runs(root))


MEMORY = literal("link it with code apart from its data, or remove MemoryDenyWriteExecute= from x.service")
for how, applied in (("is linked again", "code apart from its data"), ("stays", "no `MemoryDenyWriteExecute=`")):

    @SCENES.row("unit_memory", f"a program with a segment that is writable and executable {how}", MEMORY, applied)
    def _scene(stage: Stage, linked: bool = how == "is linked again") -> None:
        root, newer = glibc_root(stage.folder), {"systemd": 257, "host": host(kernel="6.18.1")}
        plain(root)
        change(root, "/app", PT_LOAD, 7)
        stage.fails(lambda: root.check(**UNIT, **newer))
        if linked:
            plain(root)
        stage.passes(lambda: runs(root, **(UNIT if linked else {}), **newer))


def script(path: Path, interpreter: str) -> None:
    path.write_text(f"#!{interpreter}\n")
    path.chmod(0o755)


@SCENES.row(
    "interpreter_invalid",
    "scripts start scripts, more than the kernel follows",
    literal("name a program behind #!, and not another script"),
    "the first script names the program",
)
def _scene(stage: Stage) -> None:
    root = glibc_root(stage.folder)
    root.elf("/bin/sh", type=EXEC)
    names = ["app", *(f"step{number}" for number in range(scripts.DEEPEST))]
    for name, following in zip(names, [*(f"/{other}" for other in names[1:]), "/bin/sh"]):
        script(stage.folder / name, following)
    stage.fails(root.check)
    script(stage.folder / "app", "/bin/sh")
    stage.passes(lambda: runs(root))


@SCENES.row(
    "not_elf",
    "the artefact is a script",
    literal("give the program that this script starts"),
    "another path",
)
def _scene(stage: Stage) -> None:
    program = ElfBuilder(type=EXEC).write(stage.folder / "app")
    script(stage.folder / "start", str(program))
    stage.fails(lambda: read_binary(str(stage.folder / "start")))
    stage.passes(lambda: read_binary(str(program)))


@SCENES.row(
    "noexec_mount",
    "the loader is on a file system that is mounted with noexec",
    r"mount (?P<mount>\S+) without noexec",
    "that file system is mounted again",
)
def _scene(stage: Stage) -> None:
    root, noexec = glibc_root(stage.folder), {os.path.realpath(f"{stage.folder}{GLIBC}")}
    root.app("libc.so.6")
    stage.patch.setattr(checker, "on_noexec_mount", lambda path: os.path.realpath(path) in noexec)
    found = stage.fails(root.check)
    assert f"{stage.folder}{GLIBC}".startswith(found["mount"])
    noexec.clear()
    stage.passes(lambda: runs(root))


# --- units that systemd would not start


def missing(stage: Stage, *lines: str) -> Any:
    """What a unit with these lines names that is not there."""
    folder = stage.folder / "etc"
    folder.mkdir(exist_ok=True)
    (folder / "shop.service").write_text("\n".join(["[Service]", *lines, ""]))
    return units.unit_context("shop.service", (str(folder),)).missing


for how in ("exists", "is not used"):

    @SCENES.row(
        "unit_missing",
        f"RootDirectory= is not there, and then {how}",
        r"create (?P<root>\S+), or remove RootDirectory=",
        "`mkdir`" if how == "exists" else "no `RootDirectory=`",
    )
    def _scene(stage: Stage, made: bool = how == "exists") -> None:
        line = f"RootDirectory={stage.folder}/root"
        root = stage.fails(lambda: missing(stage, line))["root"]
        if made:
            os.mkdir(root)
        stage.passes(lambda: missing(stage, *([line] if made else [])))


@SCENES.row(
    "unit_missing",
    "WorkingDirectory= is below a file system that the unit gets instead",
    literal("set another WorkingDirectory=: TemporaryFileSystem= of shop.service hides /var/lib"),
    "another `WorkingDirectory=`",
)
def _scene(stage: Stage) -> None:
    line = "TemporaryFileSystem=/var"
    stage.fails(lambda: missing(stage, line, "WorkingDirectory=/var/lib"))
    assert stage.passes(lambda: missing(stage, line, "WorkingDirectory=/usr")) == ()
