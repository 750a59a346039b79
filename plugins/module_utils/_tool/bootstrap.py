# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The tool's modules as files, so that Python keeps their byte code: from a zip it compiles them each time, which takes
more processor time than a look of the watch. Stands beside the package in the zip. PRIVATE to the collection."""

from __future__ import annotations

import os
import stat
import sys

# It ends with the power: no file in it can be half-written after a cut, and no old one stays for good.
FOLDER = "/run/slipway-tool"


def prefer(archive: str, folder: str) -> None:
    """Import from files below folder what the archive holds. Where they cannot be had, the archive serves as well."""
    try:
        sys.path.insert(0, _unpacked(archive, folder))
    except (OSError, ValueError):
        return


def _unpacked(archive: str, folder: str) -> str:
    found = os.stat(archive)
    # A new tool is always a new file, moved to its place.
    target = os.path.join(folder, f"{found.st_ino}-{found.st_size}-{found.st_mtime_ns}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    told = os.lstat(folder)
    if not stat.S_ISDIR(told.st_mode) or told.st_uid != os.geteuid() or told.st_mode & 0o022:
        raise ValueError(f"others can write to {folder}")
    if not os.path.isdir(target):
        _unpack(archive, folder, target)
    return target


def _unpack(archive: str, folder: str, target: str) -> None:
    import shutil  # these three take as long to import as all else in here, and are needed once in a boot
    import tempfile
    import zipfile

    made = tempfile.mkdtemp(dir=folder)
    try:
        with zipfile.ZipFile(archive) as stream:
            stream.extractall(made)
        os.rename(made, target)
    except OSError:
        shutil.rmtree(made, ignore_errors=True)
        if not os.path.isdir(target):  # else another run was faster
            raise
