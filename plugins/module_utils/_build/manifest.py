# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What stands beside an artefact: its manifest, its bill of materials, the checksums. PRIVATE to the collection."""

from __future__ import annotations

import json
from typing import Any, Iterable, Mapping, NamedTuple, Optional

from .._binary.facts import read_binary
from .._binary.sbom import cyclonedx
from .._core import files
from .._release.build_host import FORMAT, SUFFIX
from .commands import Stamp
from .targets import GOOS, Target

MANIFEST, SBOM, CHECKSUMS = SUFFIX, ".cdx.json", "SHA256SUMS"


class Recipe(NamedTuple):
    """All that decides what comes out, and the digest of it (inputs)."""

    target: Target
    toolchain: str
    flags: list[str]
    settings: Mapping[str, str]
    stamp: Stamp
    inputs: str


def describe(
    name: str, artefact: str, recipe: Recipe, sha256: str, size: int, reproducible: Optional[bool], host: dict[str, str]
) -> dict[str, Any]:
    """The manifest. reproducible: whether a second build gave the same bytes; None where there was none."""
    stamp, target = recipe.stamp, recipe.target
    return {
        "format": FORMAT,
        "name": name,
        "artefact": artefact,
        "version": stamp.version,
        "commit": stamp.commit,
        "branch": stamp.branch,
        "modified": stamp.modified,
        "time": stamp.value("time"),
        "toolchain": recipe.toolchain,
        "target": {"goos": GOOS, "goarch": target.goarch, "level": target.level},
        "flags": recipe.flags,
        "environment": dict(recipe.settings),
        "inputs": recipe.inputs,
        "sha256": sha256,
        "size": size,
        "sbom": artefact + SBOM,
        "reproducible": reproducible,
        "build_host": host,
    }


def as_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2) + "\n"


def read(path: str) -> dict[str, Any]:
    """A manifest; nothing where there is none, or it is damaged."""
    try:
        found = json.loads(files.text(path))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def bill_of_materials(path: str, name: str) -> str:
    """From what the toolchain has written into the program at path."""
    binary = read_binary(path)
    if binary.info is None:
        return ""
    return as_text(cyclonedx(binary.info, name, binary.facts["sha256"], binary.facts["size"]))


def checksums(digests: Iterable[tuple[str, str]]) -> str:
    """As sha256sum writes it, of names and digests."""
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests))
