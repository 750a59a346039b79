# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The on-host tool as one file, a zip of these modules that Python runs. This file is PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import os

from .._core import zipped
from . import bootstrap

PACKAGE = "slipway_go"
# The standard library is all that it imports; whatever else a host or a user has for Python is not read.
INTERPRETER = b"#!/usr/bin/python3 -IS\n"
# What talks to Ansible stays on the controller.
LEFT_OUT = (
    "_module.py",
    "_notices/delivery.py",
    "_notices/mail.py",
    "_notices/program.py",
    "_notices/webhook.py",
    "_release/options.py",
    "_tool/zipapp.py",
)
# Runs before the package is imported, for it decides where that is read from.
BESIDE = "_tool/bootstrap.py"
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
    """The tool built from the modules below folder.

    unpacked: where it keeps its modules with their byte code.
    """
    members = {}
    for name, path in sources(folder).items():
        with open(path, "rb") as stream:
            members[name] = stream.read()
    members[f"{PACKAGE}/__init__.py"] = b""
    members["__main__.py"] = MAIN.format(folder=unpacked, package=PACKAGE).encode()
    return zipped.pack(members, INTERPRETER)


def own() -> bytes:
    """The tool built from the modules that this one is among."""
    return build(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def digest() -> str:
    """Its SHA-256."""
    return hashlib.sha256(own()).hexdigest()
