# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the builder says of an artefact, for others to verify: from what, by whom, how. PRIVATE to the collection.

A statement of in-toto with a predicate of SLSA Provenance v1. No clock and no path goes into it, so that the same
inputs give the same statement.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple, Optional

from .._release.artefact.dsse import PAYLOAD_TYPE, Malformed, pae, parse, render
from .._release.artefact.provenance import BUILD_TYPE, PREDICATE, SOURCES, STATEMENT
from . import git, signing
from .git import Checkout
from .manifest import SBOM, Recipe
from .request import Request
from .signing import Keys

_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/@]*@")


class Source(NamedTuple):
    """What of the source can be said truly; empty where nothing can."""

    repository: str = ""
    ref: str = ""
    commit: str = ""


def read_source(request: Request, checkout: Optional[Checkout]) -> Source:
    """The repository that is named, or its origin. Of one with changes in no commit, neither commit nor ref is true."""
    repository = request.provenance_repository
    if checkout is None:
        return Source(repository)
    repository = repository or _USER.sub(r"\1", git.origin(request.source))
    if checkout.modified:
        return Source(repository)
    return Source(repository, _ref(request, checkout), checkout.commit)


def _ref(request: Request, checkout: Checkout) -> str:
    if checkout.branch:
        return f"refs/heads/{checkout.branch}"
    tag = request.ref if git.is_tag(request.source, request.ref) else ""
    if not request.ref:
        tag = git.tag_here(request.source)
    return f"refs/tags/{tag}" if tag else ""


def statement(request: Request, artefact: str, sha256: str, sbom_sha256: str, recipe: Recipe, source: Source) -> bytes:
    """The statement about one artefact, which is called so."""
    from_git: dict[str, Any] = {"digest": {"gitCommit": source.commit}} if source.commit else {}
    if source.repository:
        from_git["uri"] = f"git+{source.repository}{f'@{source.ref}' if source.ref else ''}"
    document = {
        "_type": STATEMENT,
        "subject": [{"name": artefact, "digest": {"sha256": sha256}}],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    SOURCES[BUILD_TYPE]: _without_empty({"repository": source.repository, "ref": source.ref}),
                    "version": recipe.stamp.version,
                    "package": request.package,
                    "target": str(recipe.target),
                    "tags": list(request.tags),
                },
                "internalParameters": {
                    "toolchain": recipe.toolchain,
                    "flags": recipe.flags,
                    "environment": dict(recipe.settings),
                    "inputs": recipe.inputs,
                },
                "resolvedDependencies": [from_git] if from_git else [],
            },
            "runDetails": {
                "builder": {"id": request.provenance_builder},
                "byproducts": [{"name": artefact + SBOM, "digest": {"sha256": sbom_sha256}}],
            },
        },
    }
    return json.dumps(document, separators=(",", ":")).encode()


def _without_empty(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if value}


def envelope(payload: bytes, keys: Keys, scratch: str) -> str:
    """The statement, signed with each key. scratch: a private folder."""
    message = pae(PAYLOAD_TYPE, payload)
    signatures = [signing.sign_message(message, ending, keys, scratch) for ending in keys.endings]
    return render(PAYLOAD_TYPE, payload, signatures)


def is_current(text: str, payload: bytes, keys: Keys, scratch: str) -> bool:
    """Whether the text is that statement, signed with each of these keys and no other."""
    try:
        there = parse(text)
    except Malformed:
        return False
    if there.payload != payload or len(there.signatures) != len(keys.endings):
        return False
    return all(
        signing.is_message_signed(there.message, one, ending, keys, scratch)
        for ending, one in zip(keys.endings, there.signatures)
    )
