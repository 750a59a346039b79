# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Precedence of versions as Semantic Versioning 2.0.0 says. Pure. This file is PRIVATE to the collection.

A version that is none of Semantic Versioning is neither a pre-release nor lower than any other.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Optional

from ..._core.problems import Problem

_NUMBER = r"(?:0|[1-9][0-9]*)"
_IDENTIFIER = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
# With the v that tags have before it.
_FORM = re.compile(rf"v?({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-({_IDENTIFIER}(?:\.{_IDENTIFIER})*))?(?:\+{_BUILD})?")
_DESCRIBED = re.compile(r"(?:^|-)[0-9]+-g[0-9a-f]{7,40}$")


class SemVer(NamedTuple):
    """core: major, minor and patch. pre: the identifiers of a pre-release. Build metadata has no precedence."""

    core: tuple[int, int, int]
    pre: tuple[str, ...] = ()

    @property
    def is_described(self) -> bool:
        """Whether `git describe` made it: a commit after the tag, which has no place in the order."""
        return bool(self.pre and _DESCRIBED.search(self.pre[-1]))


def parse(text: str) -> Optional[SemVer]:
    """None where it is no such version."""
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    major, minor, patch, pre = match.groups()
    return SemVer((int(major), int(minor), int(patch)), tuple(pre.split(".")) if pre else ())


def is_lower(one: str, other: str) -> bool:
    """Whether one has a lower precedence (section 11) than the other."""
    first, second = parse(one), parse(other)
    if first is None or second is None:
        return False
    if first.core != second.core:
        return first.core < second.core
    if first.is_described or second.is_described:
        return False
    return _pre_key(first) < _pre_key(second)


def _pre_key(version: SemVer) -> tuple[bool, list[tuple[bool, int, str]]]:
    """A release is above its pre-releases; numbers are below words, and fewer identifiers below more."""
    return not version.pre, [
        (not one.isdigit(), int(one) if one.isdigit() else 0, "" if one.isdigit() else one) for one in version.pre
    ]


def prerelease_problems(version: str, allowed: bool) -> list[Problem]:
    """What speaks against releasing this version where pre-releases are not allowed."""
    found = parse(version)
    if allowed or found is None or not found.pre:
        return []
    return [
        Problem(
            "policy_prerelease",
            f"release_version is {version}, a pre-release ({'.'.join(found.pre)}), and release_prerelease is false.",
            "release a version without that suffix, or set release_prerelease: true",
        )
    ]
