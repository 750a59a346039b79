# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The on-host tool as one file, a zip of these modules that Python runs. This file is PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile

from . import bootstrap

PACKAGE = "slipway_go"
INTERPRETER = b"#!/usr/bin/python3\n"
# What talks to Ansible stays on the controller.
LEFT_OUT = ("_module.py", "_release/options.py", "_tool/zipapp.py")
# Runs before the package is imported, for it decides where that is read from.
BESIDE = "_tool/bootstrap.py"
# The same sources give the same bytes, so that an unchanged tool is not copied again.
TIMESTAMP = (1980, 1, 1, 0, 0, 0)
MAIN = """\
import sys

import bootstrap

bootstrap.prefer(sys.path[0], {folder!r})

from {package}._tool.cli import main

sys.exit(main())
"""


def sources(folder: str) -> dict[str, str]:
    """{name in the archive: path} of every module the tool may need."""
    found = {}
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if f != "__pycache__")
        for name in sorted(names):
            relative = os.path.relpath(os.path.join(base, name), folder)
            if name.endswith(".py") and relative not in LEFT_OUT:
                inside = name if relative == BESIDE else f"{PACKAGE}/{relative}"
                found[inside] = os.path.join(base, name)
    return found


def build(folder: str, unpacked: str = bootstrap.FOLDER) -> bytes:
    """The tool built from the modules below folder (see zipapp in the Python library reference).

    unpacked: where it keeps its modules with their byte code.
    """
    buffer = io.BytesIO(INTERPRETER)
    buffer.seek(0, io.SEEK_END)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        for name, path in sources(folder).items():
            with open(path, "rb") as stream:
                _add(archive, name, stream.read())
        _add(archive, f"{PACKAGE}/__init__.py", b"")
        _add(archive, "__main__.py", MAIN.format(folder=unpacked, package=PACKAGE).encode())
    return buffer.getvalue()


def own() -> bytes:
    """The tool built from the modules that this one is among."""
    return build(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def digest() -> str:
    """Its SHA-256."""
    return hashlib.sha256(own()).hexdigest()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, TIMESTAMP)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, content)
