# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What tells one host from another when a program is built on one and runs on the other. PRIVATE to the collection."""

from __future__ import annotations

import glob
import os
import platform
import re
from typing import NamedTuple

from .._core import files

GLIBC, MUSL = "glibc", "musl"
LOADERS_OF_MUSL = "/lib/ld-musl-*.so.1"


class Fingerprint(NamedTuple):
    """architecture: as `uname -m` says it. libc: its name, and its version where the system tells; empty if unknown."""

    os: str = ""
    kernel: str = ""
    architecture: str = ""
    libc: str = ""


def read_fingerprint() -> Fingerprint:
    """Of this host."""
    named = re.search(r'^PRETTY_NAME="?([^"\n]*)', files.text("/etc/os-release"), re.MULTILINE)
    return Fingerprint(
        os=named.group(1) if named else platform.system(),
        kernel=platform.release(),
        architecture=platform.machine(),
        libc=_libc(),
    )


def _libc() -> str:
    """The one of this process, which has none of glibc's answers where it is musl."""
    try:
        told = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        told = ""
    return told or (MUSL if glob.glob(LOADERS_OF_MUSL) else "")
