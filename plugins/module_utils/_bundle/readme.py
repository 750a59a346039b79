# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The text in a bundle for whoever receives it: how it is used where there is no network. PRIVATE to the collection."""

from __future__ import annotations

import shlex
from typing import Sequence

from .manifest import Entry

NAME = "README.txt"


def text(name: str, version: str, entries: Sequence[Entry], requirements: Sequence[str]) -> str:
    """With the commands for exactly these files."""
    kinds = {entry.kind for entry in entries}
    parts = [_head(name, version)]
    if "wheel" in kinds:
        parts.append(_wheels(requirements))
    if "collection" in kinds:
        parts.append(_collections([entry.path for entry in entries if entry.kind == "collection"]))
    if "artefact" in kinds:
        parts.append(_release(version, [entry for entry in entries if entry.kind in ("artefact", "checksums")]))
    return "\n".join(parts)


def _head(name: str, version: str) -> str:
    return f"""\
{name}
{"=" * len(name)}

Version {version}. MANIFEST.json lists every file with its size and its SHA-256, and is signed. Whoever sees this text
as a file in a folder {name} has unpacked the bundle with slipway.go, which has verified all of it.

Run the commands in this folder. They need no network. Keep it as it is: what they make belongs elsewhere.
"""


def _wheels(requirements: Sequence[str]) -> str:
    wanted = " ".join(f"'{one}'" for one in requirements)
    return f"""\
Ansible for the controller, from wheels/

    python3 -m venv ~/slipway
    ~/slipway/bin/pip install --no-index --find-links wheels {wanted}
    . ~/slipway/bin/activate
"""


def _collections(paths: Sequence[str]) -> str:
    return f"""\
The collections

    ansible-galaxy collection install --offline -p ~/slipway-collections {" ".join(map(shlex.quote, paths))}
    export ANSIBLE_COLLECTIONS_PATH=~/slipway-collections
"""


def _release(version: str, entries: Sequence[Entry]) -> str:
    paths = [entry.path for entry in entries if entry.kind == "artefact"]
    checksums = next((entry.path for entry in entries if entry.kind == "checksums"), "")
    with_checksum = f" \\\n      -e release_checksum=$PWD/{shlex.quote(checksums)}" if checksums else ""
    return f"""\
A release of one of the artefacts; docs/guide/artefacts.md of the collection says how hosts of several architectures get
each its own

    ansible-playbook -i INVENTORY slipway.go.release -e release_version={version} \\
      -e release_src=$PWD/{shlex.quote(paths[0])}{with_checksum}

The artefacts:
{"".join(f"    {path}{chr(10)}" for path in paths)}"""
