# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The Go toolchain that is asked for, or why it is not there. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import shutil
from typing import Mapping, Optional

from .._binary.versions import go_key
from .._core import command
from .._core.errors import SlipwayError

OLDEST = "go1.21"  # the first that keeps to GOTOOLCHAIN=local
_USUAL = "/usr/local/go/bin/go"
_NEWER = re.compile(r"requires go ?>= ?(\S+)")


def find(path: str, search: Optional[str] = None) -> str:
    """The program go: the one that is named, else the one that is found."""
    if path and not os.access(path, os.X_OK):
        raise SlipwayError("build_no_go", f"build_go is {path}, and there is no program.", _INSTALL)
    found = path or shutil.which("go", path=search) or (_USUAL if os.access(_USUAL, os.X_OK) else "")
    if not found:
        raise SlipwayError("build_no_go", "this host has no Go toolchain on its PATH or in /usr/local/go.", _INSTALL)
    return found


_INSTALL = "install Go on the host that builds, or set build_go to the path of the program go"


def read_version(go: str, variables: Mapping[str, str]) -> str:
    """What it says that it is, such as go1.27.3."""
    done = command.run([go, "env", "-C", "/", "GOVERSION"], variables=variables)
    if done.code != 0:
        raise SlipwayError("build_toolchain", f"{go} does not tell its version: {done.complaint}", _TAKE_NEWER)
    return done.text.strip()


_TAKE_NEWER = f"install {OLDEST} or newer, and set build_go to the path of its program go"


def require(go: str, version: str, wanted: str) -> None:
    """wanted: a release, or a series of them; nothing where any will do."""
    key, oldest = go_key(version), go_key(OLDEST)
    if key is None or oldest is None or key < oldest:
        raise SlipwayError(
            "build_toolchain", f"{go} is {version or 'of no known version'}; {OLDEST} is needed.", _TAKE_NEWER
        )
    if wanted and not is_wanted(version, wanted):
        raise SlipwayError(
            "build_toolchain",
            f"{go} is {version}, and build_toolchain is {wanted}.",
            f"install Go {wanted.replace('go', '')} and set build_go to it, or change build_toolchain",
        )


def is_wanted(version: str, wanted: str) -> bool:
    """A series, such as 1.27, has all its releases; a release is only itself."""
    bare, asked = version.split()[0].split("-")[0], "go" + wanted.replace("go", "")
    is_series = re.fullmatch(r"go[0-9]+\.[0-9]+", asked) is not None
    return bare == asked or (is_series and bare.startswith(f"{asked}."))


def newer_than(complaint: str) -> str:
    """The release of Go that the module demands and this is not; empty where that is not what go complains of."""
    match = _NEWER.search(complaint)
    return match.group(1) if match else ""
