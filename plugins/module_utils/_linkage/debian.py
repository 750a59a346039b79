# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which Debian package has a library, as this host's own package lists say. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import glob
import gzip
import os
import re
import tempfile
from typing import IO, Iterator, NamedTuple, Optional, Union

from .._core import command
from .._core.errors import SlipwayError
from .._core.root_view import View

INFO = "/var/lib/dpkg/info"
LISTS = "/var/lib/apt/lists"
APT_HELPER = "/usr/lib/apt/apt-helper"
CHUNK = 1 << 20
SECONDS = 20.0
ARCHITECTURES = {
    "386": "i386",
    "amd64": "amd64",
    "arm": "armhf",
    "arm64": "arm64",
    "loong64": "loong64",
    "mips64le": "mips64el",
    "mipsle": "mipsel",
    "ppc64": "ppc64",
    "ppc64le": "ppc64el",
    "riscv64": "riscv64",
    "s390x": "s390x",
}
# Where a loader looks without being told.
_DIRECTORY = rb"(?:usr/)?lib(?:32|64|x32|/[\w.]+-linux-[\w.]+)?"
_LIBC = re.compile(r"(?:ld-linux.*|lib(?:c|m|dl|rt|pthread|resolv|util|nsl|anl))\.so\.\d+\Z")


class Packages(NamedTuple):
    """The package lists below a root. native: dpkg's own architecture. known: all that dpkg takes packages of."""

    root: str
    native: str
    known: frozenset[str]

    def name(self, soname: str, goarch: Optional[str]) -> str:
        """libselinux1, or libselinux1:i386 for programs of another architecture; nothing where no list knows it."""
        architecture = ARCHITECTURES.get(goarch or "", self.native)
        package = (
            self._installed(soname) or self._in_contents(soname, architecture) or self._by_rule(soname, architecture)
        )
        return f"{package}:{architecture}" if package and architecture != self.native else package

    def lacks(self, goarch: Optional[str]) -> str:
        """The architecture, if dpkg has to be told of it first."""
        architecture = ARCHITECTURES.get(goarch or "", self.native)
        return "" if architecture in self.known else architecture

    def _installed(self, soname: str) -> str:
        wanted = re.compile(rb"^/" + _DIRECTORY + b"/" + re.escape(os.fsencode(soname)) + b"$", re.MULTILINE)
        for path in sorted(glob.glob(f"{self.root}{INFO}/*.list")):
            if wanted.search(_content(path)):
                return os.path.basename(path)[: -len(".list")].partition(":")[0]
        return ""

    def _in_contents(self, soname: str, architecture: str) -> str:
        """What apt-file reads: a path, and the sections and packages that have it."""
        line = re.compile(
            rb"^" + _DIRECTORY + b"/" + re.escape(os.fsencode(soname)) + rb"[ \t]+(?:[^\s/,]+/)*([^\s/,]+)",
            re.MULTILINE,
        )
        for path in self._lists(f"Contents-{architecture}", architecture):
            for text in _pieces(path):
                found = line.search(text)
                if found:
                    return found.group(1).decode()
        return ""

    def _by_rule(self, soname: str, architecture: str) -> str:
        """The name that Debian's policy asks for, if there is a package of that name."""
        names = debian_names(soname)
        line = re.compile(
            rb"^Package: (" + b"|".join(re.escape(name.encode()) for name in names) + rb")$", re.MULTILINE
        )
        found: set[str] = set()
        for path in self._lists(f"binary-{architecture}_Packages", architecture):
            for text in _pieces(path):
                found.update(match.decode() for match in line.findall(text))
        return next((name for name in names if name in found), "")

    def _lists(self, kind: str, architecture: str) -> list[str]:
        """Of the architecture, or of this host's own: a library has the same package everywhere."""
        paths = sorted(glob.glob(f"{self.root}{LISTS}/*{kind}*"))
        if not paths and architecture != self.native:
            paths = sorted(glob.glob(f"{self.root}{LISTS}/*{kind.replace(architecture, self.native)}*"))
        return paths


def read_packages(view: View) -> Optional[Packages]:
    """None on a host without dpkg."""
    try:
        root = view.host("/").rstrip("/")
        status = _content(f"{root}/var/lib/dpkg/status")
    except OSError:
        return None
    dpkg = re.search(rb"^Package: dpkg\n(?:.+\n)*?Architecture: (\S+)", status, re.MULTILINE)
    if dpkg is None:
        return None
    native = dpkg.group(1).decode()
    return Packages(root, native, frozenset([native, *_content(f"{root}/var/lib/dpkg/arch").decode().split()]))


def debian_names(soname: str) -> list[str]:
    """Debian names a library's package after its SONAME: libssl.so.3 is in libssl3 or libssl3t64."""
    if _LIBC.match(soname):
        return ["libc6"]
    stem, _ignored, version = soname.partition(".so")
    version = version.lstrip(".")
    joint = "-" if version and stem[-1:].isdigit() else ""
    name = f"{stem}{joint}{version}".lower().replace("_", "-")
    return [name, f"{name}t64"]


def _content(path: str) -> bytes:
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return file.read(64 << 20)
    return b""


def _pieces(path: str) -> Iterator[bytes]:
    """The list in pieces that end with a line. Only apt unpacks every compression that apt uses."""
    try:
        if path.endswith((".gz", ".lz4", ".xz", ".zst", ".bz2")):
            yield from _unpacked(path)
        else:
            with open(path, "rb") as file:
                yield from _whole_lines(file)
    except (OSError, EOFError, SlipwayError):
        return


def _unpacked(path: str) -> Iterator[bytes]:
    if path.endswith(".gz"):
        with gzip.open(path) as file:
            yield from _whole_lines(file)
        return
    with tempfile.TemporaryFile() as output:
        command.run([APT_HELPER, "cat-file", path], SECONDS, output=output)
        output.seek(0)
        yield from _whole_lines(output)


def _whole_lines(file: Union[IO[bytes], gzip.GzipFile]) -> Iterator[bytes]:
    rest = b""
    while True:
        chunk = file.read(CHUNK)
        if not chunk:
            yield rest
            return
        whole, newline, tail = chunk.rpartition(b"\n")
        yield rest + whole + newline
        rest = tail
