# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line that says what to do. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from typing import Iterable, NamedTuple, Optional, Sequence

from .._binary.elf import ElfError, Reader, read_header
from .._binary.machines import goarch_of
from .._core.root_view import View
from .debian import read_packages

STRAY = ("/usr/local/lib", "/usr/local/lib64", "/usr/lib64", "/usr/lib", "/lib64", "/lib")
_MANAGERS = (
    ("/usr/bin/dnf", "dnf"),
    ("/usr/bin/microdnf", "microdnf"),
    ("/usr/bin/zypper", "zypper"),
    ("/usr/bin/yum", "yum"),
)


class Advice(NamedTuple):
    """What a fix depends on. goarch, bits: the program's. go: it has Go's build info, so that Go can build it anew."""

    view: View
    goarch: Optional[str]
    bits: int
    go: bool
    musl: bool = False

    def library(self, name: str) -> str:
        base = os.path.basename(name)
        if self.musl:
            return f"{self._musl_package(base)}{self.or_static}"
        for directory in STRAY:
            path = f"{directory}/{base}"
            if self._fits(path):
                return f"list {directory} in /etc/ld.so.conf.d, then run ldconfig: {path} is there and not used"
        return f"{self.package(base)}{self.or_static}"

    def package(self, base: str) -> str:
        """In the words of the host's package manager."""
        packages = read_packages(self.view)
        if packages is not None:
            name = packages.name(base, self.goarch)
            if not name:
                search = f"apt install apt-file, apt-file update, then apt-file search {base}"
                return f"install the Debian package that has {base} ({search})"
            foreign = packages.lacks(self.goarch)
            after = f" after dpkg --add-architecture {foreign}" if foreign else ""
            return f"install {base}: apt install {name}{after}"
        for path, manager in _MANAGERS:
            if _exists(self.view, path):
                package = f"'{base}()(64bit)'" if self.bits == 64 else base
                return f"install {base}: {manager} install {package}"
        return f"install {base}"

    def c_library(self) -> str:
        """How glibc for the program's architecture comes onto this host; nothing where that is not known."""
        packages = read_packages(self.view)
        if packages is not None:
            return self.package("libc.so.6").replace("install libc.so.6", f"install the {self.bits}-bit C library")
        if self.goarch == "386" and _exists(self.view, "/usr/bin/dnf"):
            return "install the 32-bit C library: dnf install glibc.i686"
        return ""

    def _musl_package(self, base: str) -> str:
        if _exists(self.view, "/sbin/apk"):
            return f"install {base}: apk add so:{base}"
        return f"build {base} with musl-gcc and install it where musl looks: the packages of this host are for glibc"

    @property
    def or_static(self) -> str:
        return ", or rebuild with CGO_ENABLED=0" if self.go else ""

    def _fits(self, path: str) -> bool:
        try:
            with Reader(self.view.host(path)) as reader:
                header = read_header(reader)
        except (ElfError, OSError):
            return False
        return goarch_of(header.machine, header.bits, header.endian) == self.goarch

    def refused(self, path: str) -> str:
        return f"replace {path} by a shared library for {self.goarch or 'this program'}"

    def other_class(self, name: str) -> str:
        other = 32 if self.bits == 64 else 64
        return f"{self.package(os.path.basename(name))}: the {name} found is for {other}-bit programs"

    def version(self, version: str, provider: str, provided: Iterable[str], libc: str = "") -> str:
        """libc: what is known of the C library here."""
        family = version.split("_")[0]
        if family == "GLIBC":
            also = ", or with CGO_ENABLED=0" if self.go else ""
            here = libc or f"the libc here provides up to {newest_version(provided, family)}"
            return f"rebuild on a host as old as this one{also}: it needs {version}, and {here}"
        newest = newest_version(provided, family)
        offer = f"provides up to {newest}" if newest else f"provides no {family} version"
        return f"install a newer library, or build against this one: it needs {version}, and {provider} {offer}"


def _exists(view: View, path: str) -> bool:
    try:
        return os.path.exists(view.host(path))
    except OSError:
        return False


def symbol_fix(names: Sequence[str], wanting: str) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"install a newer library, or build on this host: the one here lacks {names[0]}{more}, which {wanting} needs"


def newest_version(provided: Iterable[str], family: str) -> str:
    """Only to inform: names are never compared to decide."""
    versions = [name for name in provided if re.fullmatch(re.escape(family) + r"_\d+(\.\d+)*", name)]
    return max(versions, key=lambda name: [int(part) for part in name.split("_")[1].split(".")], default="")
