# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges licences as far as a CycloneDX bill of materials names them. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
import re
from typing import Any, Iterator, NamedTuple, Sequence

from .._core.errors import SlipwayError
from .._core.problems import Problem

_OPERATORS = {"AND", "OR", "WITH"}
_WORD = re.compile(r"[^\s()]+")


class Licences(NamedTuple):
    """judged: whether there is a bill of materials of this program that names a licence. unnamed: components that have
    none there."""

    judged: bool
    why_not: str = ""
    problems: tuple[Problem, ...] = ()
    unnamed: tuple[str, ...] = ()


def parse_sbom(text: str, label: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("bomFormat") != "CycloneDX":
        raise SlipwayError(
            "sbom_syntax",
            f"{label} is no CycloneDX document in JSON.",
            "give one, or leave sbom empty",
        )
    return found


def judge_licences(sbom: dict[str, Any], sha256: str, denied: Sequence[str]) -> Licences:
    """sha256: of the program; a document that names another one is not about it."""
    if not _is_about(sbom, sha256):
        return Licences(False, "the SBOM names the SHA-256 of another program")
    problems: list[Problem] = []
    unnamed: list[str] = []
    named = 0
    for component in _objects(sbom.get("components")):
        expressions = list(_expressions(component))
        title = f"{component.get('name')} {component.get('version') or ''}".strip()
        if not expressions:
            unnamed.append(title)
            continue
        named += 1
        problems += [_denied(title, one) for one in expressions if _is_denied(one, {name.lower() for name in denied})]
    if not named:
        return Licences(False, "the SBOM names no licence", unnamed=tuple(unnamed))
    return Licences(True, problems=tuple(problems), unnamed=tuple(unnamed))


def _denied(title: str, expression: str) -> Problem:
    return Problem("policy_denied_licence", f"{title} has the licence {expression}", f"remove {title}")


def _is_about(sbom: dict[str, Any], sha256: str) -> bool:
    metadata = sbom.get("metadata")
    component = metadata.get("component") if isinstance(metadata, dict) else None
    hashes = _objects(component.get("hashes")) if isinstance(component, dict) else []
    named = {str(one.get("content")).lower() for one in hashes if one.get("alg") == "SHA-256"}
    return not named or sha256 in named


def _expressions(component: dict[str, Any]) -> Iterator[str]:
    for one in _objects(component.get("licenses")):
        licence = one.get("license")
        named = licence if isinstance(licence, dict) else {}
        text = one.get("expression") or named.get("id") or named.get("name")
        if isinstance(text, str) and text.strip():
            yield text.strip()


def _is_denied(expression: str, denied: set[str]) -> bool:
    """Of alternatives alone, one that is allowed is enough; of anything else, none may be denied."""
    if expression.lower() in denied:
        return True
    words = _WORD.findall(expression)
    operators = {word for word in words if word in _OPERATORS}
    hits = [word.lower() in denied for word in words if word not in _OPERATORS]
    return all(hits) and bool(hits) if operators == {"OR"} else any(hits)


def _objects(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
