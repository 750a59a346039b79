# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Go programs with module lists, which Debian's build leaves out: from wheels and npm packages. None is run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from ansible_collections.slipway.go.tests.integration.linkage import debian


def _fetched(target: Path, command: list[str]) -> Path | None:
    """The programs in what the command leaves in its working directory, unpacked; None where it fails."""
    with debian.alone("packages"):
        return target if target.is_dir() else _fetch(target, command)


def _fetch(target: Path, command: list[str]) -> Path | None:
    with tempfile.TemporaryDirectory() as download:
        if subprocess.run(command, cwd=download, capture_output=True, check=False).returncode:
            return None
        partial = debian.emptied(target)
        archive = next(Path(download).iterdir())
        if archive.suffix == ".whl":
            zipfile.ZipFile(archive).extractall(partial)
        else:
            with tarfile.open(archive) as contents:
                # Python before 3.11.4 has no filters.
                contents.extraction_filter = getattr(tarfile, "data_filter", lambda member, _path: member)
                contents.extractall(partial)
    debian.keep_programs(partial)
    return partial.rename(target)


def wheel(name: str, version: str) -> Path | None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", f"{name}=={version}"]
    return _fetched(debian.WORK / "wheels" / f"{name}-{version}", command)


def npm(name: str, version: str) -> Path | None:
    if shutil.which("npm") is None:
        return None
    target = debian.WORK / "npm" / f"{name.replace('/', '_')}-{version}"
    return _fetched(target, ["npm", "pack", "--silent", f"{name}@{version}"])
