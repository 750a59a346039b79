# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Checks, read from options. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .kinds.kind import Kind
from .kinds.registry import KINDS
from .spec.check import COMMON_OPTIONS, Check, build_check
from .spec.options import Options, bad


def parse_checks(specs: Any) -> tuple[Check, ...]:
    if not isinstance(specs, Sequence) or isinstance(specs, (str, bytes)) or not specs:
        raise bad("checks", "not a list of checks, or empty", "give at least one check")
    checks = tuple(parse_check(spec, f"checks[{number}]") for number, spec in enumerate(specs))
    names = set()
    for check in checks:
        if check.name in names:
            raise bad(f"check {check.name}", "the name is used twice", "give every check a name of its own")
        names.add(check.name)
    return checks


def parse_check(spec: Mapping[str, Any], where: str = "check") -> Check:
    """A check from its options, or a SlipwayError that names the option and the fix."""
    options = Options(spec, where)
    name = options.text("kind", tuple(KINDS))
    if name is None:
        raise options.error("kind", "is missing", f"use one of {', '.join(KINDS)}")
    options.where = f"check {options.text('name') or name}"
    kind = KINDS[name]()
    _refuse_foreign(options, name, kind)
    return build_check(options, options.text("name") or name, name, kind.parse(options))


def _refuse_foreign(options: Options, name: str, kind: Kind) -> None:
    foreign = sorted(options.given() - COMMON_OPTIONS - kind.options)
    if not foreign:
        return
    options.only(every_option())
    owners = [other for other, load in KINDS.items() if foreign[0] in load().options]
    raise options.error(
        foreign[0], f"has no meaning for kind {name}", f"remove it, for it belongs to kind {', '.join(owners)}"
    )


def every_option() -> frozenset[str]:
    """The names that some kind knows."""
    return COMMON_OPTIONS.union(*(load().options for load in KINDS.values()))
