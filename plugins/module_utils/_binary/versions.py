# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Orders module versions and Go releases as Go does. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import Optional, Tuple

Identifier = Tuple[int, int, str]
Key = Tuple[int, int, int, int, Tuple[Identifier, ...]]

# The oldest kernel that a Go release supports, newest first. Go says it in release notes, not in the binary.
_GO_KERNELS: tuple[tuple[tuple[int, int], tuple[int, int, int]], ...] = (
    ((1, 24), (3, 2, 0)),
    ((1, 19), (2, 6, 32)),
    ((1, 0), (2, 6, 23)),
)
_MODULE = re.compile(r"v(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$", re.ASCII)
_GO = re.compile(r"(?:devel )?go(\d+)(?:\.(\d+))?(?:\.(\d+))?(?:(alpha|beta|rc)(\d+))?", re.ASCII)
_MAX_VERSION = 256  # characters; numbers of any length could not be read


def module_key(text: str) -> Optional[Key]:
    """A sortable key of a semantic version; None for (devel) and whatever else is not one."""
    match = _MODULE.match(text) if len(text) <= _MAX_VERSION else None
    if match is None:
        return None
    major, minor, patch, pre = match.groups()
    return int(major), int(minor or 0), int(patch or 0), 0 if pre else 1, _identifiers(pre)


def _identifiers(text: Optional[str]) -> tuple[Identifier, ...]:
    """Numbers before words, as the standard says."""
    parts = text.split(".") if text else []
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


def go_key(text: str) -> Optional[Key]:
    """A sortable key of go1.22.3, 1.22.3, go1.21rc2 or what a toolchain adds to them."""
    match = _GO.match(text if "go" in text else f"go{text}") if len(text) <= _MAX_VERSION else None
    if match is None:
        return None
    major, minor, patch, kind, number = match.groups()
    pre: tuple[Identifier, ...] = ((1, 0, kind), (0, int(number), "")) if kind else ()
    return int(major), int(minor or 0), int(patch or 0), 0 if kind else 1, pre


def go_kernel(version: str) -> Optional[tuple[int, int, int]]:
    """The oldest kernel that programs of this Go release run on; None where the release is not known."""
    release = go_key(version)
    if release is None:
        return None
    return next((kernel for first, kernel in _GO_KERNELS if release[:2] >= first), None)
