# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judgement on one program, and what it says against a release. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Mapping, Sequence

from .._binary.functions import Functions, read_functions
from .._binary.program import open_program
from .._binary.versions import module_key
from .._core.problems import Problem
from .gate import Gate, unpack
from .judge import INCONCLUSIVE, OPEN, REFUSE, Finding, Judgement, judge
from .osv import STDLIB, TOOLCHAIN

_LISTED = 10


def judge_program(path: str, facts: Mapping[str, Any], gate: Gate) -> Judgement:
    """facts: what binary_info returns of the program at that path."""
    return judge(facts, _functions(path), gate.modules, gate.rules)


def _functions(path: str) -> Functions:
    with open_program(path) as opened:
        if opened.packed:
            return Functions(unknown="it is packed")
        return read_functions(opened.reader, opened.elf, opened.build_info())


def check_vulnerabilities(path: str, facts: Mapping[str, Any], packed: str) -> list[Problem]:
    """What speaks against releasing it. packed: the gate as text; empty where nothing is asked."""
    if not packed:
        return []
    gate = unpack(packed)
    return problems(path, judge_program(path, facts, gate), gate)


def problems(path: str, judgement: Judgement, gate: Gate) -> list[Problem]:
    """One for each module that is vulnerable, and one for each that could not be judged."""
    found = [_vulnerable(path, ones) for ones in _by_module(judgement.in_state(OPEN))]
    if gate.rules.inconclusive == REFUSE:
        found += [_inconclusive(path, ones) for ones in _by_module(judgement.in_state(INCONCLUSIVE))]
        found += [_unjudged(path, why) for why in judgement.unjudged]
    return found


def _by_module(findings: Sequence[Finding]) -> list[list[Finding]]:
    modules: dict[str, list[Finding]] = {}
    for one in findings:
        modules.setdefault(one.module, []).append(one)
    return list(modules.values())


def _vulnerable(path: str, findings: list[Finding]) -> Problem:
    first = findings[0]
    text = f"{path}: contains {first.module} {first.version} with {_listed(findings)}"
    return Problem("policy_vulnerable", text, _upgrade(findings))


def _inconclusive(path: str, findings: list[Finding]) -> Problem:
    first = findings[0]
    text = f"{path}: contains {first.module} in an unknown version, perhaps with {_listed(findings)}"
    fix = "build with a released version of the module, or accept that with release_vulnerability_inconclusive"
    return Problem("policy_vulnerability_unknown", text, fix)


def _unjudged(path: str, why: str) -> Problem:
    fix = "build with go build inside a module, or accept that with release_vulnerability_inconclusive"
    return Problem("policy_vulnerability_unknown", f"{path}: its modules cannot be judged: {why}", fix)


def _listed(findings: list[Finding]) -> str:
    shown = ", ".join(describe(one) for one in findings[:_LISTED])
    more = len(findings) - _LISTED
    return f"{shown} and {more} more" if more > 0 else shown


def describe(one: Finding) -> str:
    """One vulnerability in a list."""
    other = next((alias for alias in one.aliases if alias.startswith("CVE-")), "")
    notes = [text for text in (other, one.severity, _basis(one)) if text]
    if one.until:
        notes.append(f"was ignored until {one.until}")
    return f"{one.id} ({', '.join(notes)})"


def _basis(one: Finding) -> str:
    """What the finding rests on."""
    if one.symbols:
        name = one.symbols[0].rpartition("/")[2]
        return f"linked in: {name}" + (f" and {len(one.symbols) - 1} more" if len(one.symbols) > 1 else "")
    if one.packages:
        return f"linked in: {one.packages[0]}"
    return f"by its version alone: {one.not_narrowed}"


def _upgrade(findings: list[Finding]) -> str:
    module = findings[0].module
    fixes = [one.fixed for one in findings]
    if not all(fixes):
        lasting = next(one.id for one in findings if not one.fixed)
        fix = f"add {lasting} to release_vulnerability_ignore with a reason, as no fixed version is known"
        return fix if module in (STDLIB, TOOLCHAIN) else f"{fix}, or remove {module}"
    newest = max(fixes, key=lambda text: module_key(f"v{text}") or (0, 0, 0, 0, ()))
    if module in (STDLIB, TOOLCHAIN):
        return f"build with Go {newest} or newer"
    return f"run go get {module}@v{newest} or newer, then build"
