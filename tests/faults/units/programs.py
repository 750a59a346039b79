"""The programs of the table of units, and the tree of files around them. Needs gcc with 32-bit support and musl-gcc."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

PT_LOAD, PT_GNU_STACK = 1, 0x6474E551
PF_W = 2
LOADER_32 = "/lib/ld-linux.so.2"
START = "void _start(void){{__asm__ volatile({});}}"
EXIT_64 = '"mov $60,%eax; xor %edi,%edi; syscall"'
EXIT_32 = '"mov $1,%eax; xor %ebx,%ebx; int $0x80"'
MAIN = "int main(void){return 0;}"
CALLS = "int f(void); int main(void){return f();}"
LIBRARY = "int f(void){return 0;}"
# Its address is a relocation in the code itself.
TEXT = "extern int away; int away=0; int f(void){return away;}"
SCRIPTS = {
    "sh": "#!/bin/sh\nexit 0\n",
    "env": "#!/usr/bin/env sh\nexit 0\n",
    "env-gone": "#!/usr/bin/env nosuchprogram\n",
    "gone": "#!/opt/none/sh\n",
    "crlf": "#!/bin/sh\r\nexit 0\n",
    "of-script": "#!/opt/bench/bin/sh\nexit 0\n",
    "of-dyn": "#!/opt/bench/bin/dyn\n",
    "of-envlib": "#!/opt/bench/bin/envlib\n",
    "no-line": "exit 0\n",
}


def gcc(folder: Path, output: str, source: str, *flags: str, compiler: str = "gcc") -> None:
    target = folder / output
    target.parent.mkdir(parents=True, exist_ok=True)
    (folder / "source.c").write_text(source + "\n")
    command = [compiler, "-O1", "-o", str(target), str(folder / "source.c"), *flags]
    subprocess.run(command, check=True, capture_output=True)


def header(folder: Path, name: str, copy: str, kind: int, flags: int, writable: bool = False) -> None:
    """A copy whose first program header of that kind (of data, if writable) has other flags."""
    blob = bytearray((folder / name).read_bytes())
    start, size, count = *struct.unpack_from("<Q", blob, 32), *struct.unpack_from("<HH", blob, 54)
    for at in range(start, start + size * count, size):
        found, had = struct.unpack_from("<II", blob, at)
        if found == kind and (not writable or had & PF_W):
            struct.pack_into("<I", blob, at + 4, flags)
            break
    write(folder / copy, bytes(blob))


def entry(folder: Path, name: str, copy: str, address: int) -> None:
    blob = bytearray((folder / name).read_bytes())
    struct.pack_into("<Q", blob, 24, address)
    write(folder / copy, bytes(blob))


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o755)


def build(folder: Path) -> None:
    """bin: the programs. Beside it the directories in which they find libraries, each with one kind of libf.so.1."""
    soname = ("-shared", "-Wl,-soname,libf.so.1")
    gcc(folder, "deps/libf.so.1", LIBRARY, "-fPIC", *soname)
    gcc(folder, "text/libf.so.1", TEXT, "-fno-pic", "-mcmodel=large", "-Wl,-z,notext", *soname)
    header(folder, "deps/libf.so.1", "stack/libf.so.1", PT_GNU_STACK, 7)
    header(folder, "deps/libf.so.1", "rwx/libf.so.1", PT_LOAD, 7, writable=True)
    gcc(folder, "bin/static", START.format(EXIT_64), "-nostdlib", "-static", "-no-pie")
    gcc(folder, "bin/static-pie", MAIN, "-static-pie")
    gcc(folder, "bin/static32", START.format(EXIT_32), "-nostdlib", "-static", "-no-pie", "-m32")
    gcc(
        folder,
        "bin/dyn32",
        START.format(EXIT_32),
        "-nostdlib",
        "-m32",
        "-Wl,-dynamic-linker,/lib/ld-linux.so.2",
        "-pie",
    )
    gcc(folder, "bin/dyn", MAIN)
    gcc(folder, "bin/dyn-fixed", MAIN, "-no-pie")
    link = [str(folder / "deps/libf.so.1")]
    gcc(folder, "bin/envlib", CALLS, *link)
    for kind in ("deps", "text", "stack", "rwx"):
        gcc(folder, f"bin/{kind}-lib", CALLS, *link, f"-Wl,-rpath,/opt/bench/{kind}")
    header(folder, "bin/stack-lib", "bin/stack-both", PT_GNU_STACK, 7)
    header(folder, "bin/dyn", "bin/dyn-stack", PT_GNU_STACK, 7)
    header(folder, "bin/dyn", "bin/dyn-rwx", PT_LOAD, 7, writable=True)
    entry(folder, "bin/static", "bin/entry-nowhere", 0x900000)
    gcc(folder, "bin/with-data", "int data=1;" + START.format(EXIT_64), "-nostdlib", "-static", "-no-pie")
    entry(folder, "bin/with-data", "bin/entry-in-data", 0x404000)
    musl(folder)
    for name, text in SCRIPTS.items():
        write(folder / "bin" / name, text.encode())


def musl(folder: Path) -> None:
    """The loader of this machine goes along: the hosts have none."""
    gcc(folder, "musl/libf.so.1", LIBRARY, "-fPIC", "-shared", "-Wl,-soname,libf.so.1", compiler="musl-gcc")
    gcc(folder, "bin/musl", MAIN, compiler="musl-gcc")
    gcc(folder, "bin/musl-static", MAIN, "-static", compiler="musl-gcc")
    path = "-Wl,-rpath,/opt/bench/musl"
    gcc(folder, "bin/musl-lib", CALLS, str(folder / "musl/libf.so.1"), path, compiler="musl-gcc")
    gcc(folder, "bin/musl-nolib", CALLS, str(folder / "musl/libf.so.1"), compiler="musl-gcc")
    shutil.copy("/lib/ld-musl-x86_64.so.1", folder / "ld-musl-x86_64.so.1")
