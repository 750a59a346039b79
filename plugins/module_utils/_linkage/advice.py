# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One line that says what to do. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from typing import Iterable, Sequence

from .._core.root_view import View

STRAY = ("/usr/local/lib", "/usr/local/lib64", "/usr/lib64", "/usr/lib", "/lib64", "/lib")
_MANAGERS = (
    ("/usr/bin/apt-get", "deb"),
    ("/usr/bin/dnf", "dnf"),
    ("/usr/bin/microdnf", "microdnf"),
    ("/usr/bin/zypper", "zypper"),
    ("/usr/bin/yum", "yum"),
    ("/sbin/apk", "apk"),
)


def library_fix(view: View, name: str, bits: int) -> str:
    base = os.path.basename(name)
    for directory in STRAY:
        if _exists(view, f"{directory}/{base}"):
            return f"check the architecture of {directory}/{base}, then run ldconfig: it is there and not used"
    for path, manager in _MANAGERS:
        if _exists(view, path):
            return f"install {base}: {_package(manager, base, bits)}, or rebuild with CGO_ENABLED=0"
    return f"install {base}, or rebuild with CGO_ENABLED=0"


def _exists(view: View, path: str) -> bool:
    try:
        return os.path.exists(view.host(path))
    except OSError:
        return False


def _package(manager: str, base: str, bits: int) -> str:
    if manager == "apk":
        return f"apk add so:{base}"
    if manager == "deb":
        return f"package {debian_name(base)} by Debian's rule for names (apt-file search {base})"
    return f"{manager} install '{base}()(64bit)'" if bits == 64 else f"{manager} install {base}"


def debian_name(soname: str) -> str:
    """Debian names a library's package after its SONAME: libssl.so.3 is in libssl3, libpcre2-8.so.0 in libpcre2-8-0."""
    if re.match(r"lib(c|m|dl|rt|pthread|resolv|util|nsl|anl)\.so\.\d", soname):
        return "libc6"
    stem, _ignored, version = soname.partition(".so")
    version = version.lstrip(".")
    if not version:
        return stem.lower().replace("_", "-")
    joint = "-" if stem[-1:].isdigit() else ""
    return f"{stem}{joint}{version}".lower().replace("_", "-")


def other_class_fix(name: str, bits: int) -> str:
    other = 32 if bits == 64 else 64
    return f"install the {bits}-bit library: the {name} found is for {other}-bit programs"


def symbol_fix(names: Sequence[str], wanting: str) -> str:
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"install a newer library, or build on this host: the one here lacks {names[0]}{more}, which {wanting} needs"


def version_fix(version: str, provider: str, provided: Iterable[str]) -> str:
    family = version.split("_")[0]
    if family == "GLIBC":
        newest = newest_version(provided, family)
        return (
            f"rebuild on a host as old as this one, or with CGO_ENABLED=0: it needs {version}, and the libc here "
            f"provides up to {newest}"
        )
    newest = newest_version(provided, family)
    offer = f"provides up to {newest}" if newest else f"provides no {family} version"
    return f"install a newer library, or build against this one: it needs {version}, and {provider} {offer}"


def newest_version(provided: Iterable[str], family: str) -> str:
    """Only to inform: names are never compared to decide."""
    versions = [name for name in provided if re.fullmatch(re.escape(family) + r"_\d+(\.\d+)*", name)]
    return max(versions, key=lambda name: [int(part) for part in name.split("_")[1].split(".")], default="")
