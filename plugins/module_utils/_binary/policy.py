# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a user allows to be released, beyond what starts. This file is PRIVATE to the collection."""

from __future__ import annotations

import re
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple, Optional

from .._core.errors import SlipwayError
from .._core.problems import Problem
from .versions import Key, go_key, module_key

STDLIB = "stdlib"
_NUMBER = re.compile(r"\d+(\.\d+)?")
_OLDEST = (1, 13)  # the first Go with build info that is read here
_CONSTRAINT = re.compile(r"(<=|>=|<|>|=)(v?\d\S*)$")
_COMPARE: dict[str, Callable[[Key, Key], bool]] = {
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "=": lambda a, b: a == b,
}


class Denial(NamedTuple):
    """One line of a denylist. below: the pattern ended in /... and covers what is under it too."""

    module: str
    below: bool
    constraints: tuple[tuple[str, str], ...]
    reason: str
    line: int

    def covers(self, module: str) -> bool:
        return module == self.module or (self.below and module.startswith(self.module + "/"))

    def denies(self, module: str, version: str) -> bool:
        """A version that cannot be ordered, such as (devel), is denied: it may be any."""
        if not self.covers(module):
            return False
        key = _key(module, version)
        return key is None or all(
            _COMPARE[operator](key, _key(module, wanted) or key) for operator, wanted in self.constraints
        )


def _key(module: str, version: str) -> Optional[Key]:
    return go_key(version.lstrip("v")) if module == STDLIB else module_key(version)


def parse_denylist(text: str, name: str = "denylist") -> tuple[Denial, ...]:
    """Lines of `module [<v1.2.3] [>=v1.0.0] [# reason]`; `module/...` covers what is below, `stdlib` is Go itself."""
    denials: list[Denial] = []
    for number, line in enumerate(text.splitlines(), 1):
        rule, _ignored, reason = line.partition("#")
        words = rule.split()
        if words:
            denials.append(_denial(words, reason.strip(), number, name))
    return tuple(denials)


def _denial(words: list[str], reason: str, number: int, name: str) -> Denial:
    constraints: list[tuple[str, str]] = []
    for word in words[1:]:
        match = _CONSTRAINT.match(word)
        if match is None or _key(words[0], match.group(2)) is None:
            raise SlipwayError(
                "denylist_syntax",
                f"{name}: line {number}: {word!r} is no version constraint.",
                "write <v1.2.3, <=v1.2.3, >v1.2.3, >=v1.2.3 or =v1.2.3",
            )
        constraints.append((match.group(1), match.group(2)))
    below = words[0].endswith("/...")
    return Denial(words[0][:-4] if below else words[0], below, tuple(constraints), reason, number)


def check_policy(info: Mapping[str, Any], policy: Mapping[str, Any]) -> list[Problem]:
    """info: what binary_info returns. policy: require_static, require_vcs_clean, min_go_version, main_module,
    denied_modules (denials as parse_denylist returns them); what is missing or empty is not asked for."""
    problems: list[Problem] = []
    if policy.get("require_static"):
        problems += _static(info)
    go = info.get("go")
    asks_go = any(policy.get(key) for key in ("require_vcs_clean", "min_go_version", "main_module", "denied_modules"))
    if not asks_go:
        return problems
    if not go:
        text = f"{info['path']}: no Go build info: not built by Go, packed, or stripped of it"
        return [*problems, Problem("policy_not_go", text, "build with go build, and do not pack the program")]
    for check in (_clean, _release, _main, _denied):
        problems += check(str(info["path"]), go, policy)
    return problems


def _static(info: Mapping[str, Any]) -> list[Problem]:
    if info.get("packed"):
        text = f"{info['path']}: packed by UPX, so that nothing tells whether it is static"
        return [Problem("policy_static", text, "release the program without UPX, or unpack it with upx -d")]
    if info["class"] in ("static", "static-pie"):
        return []
    text = f"{info['path']}: {info['class']}, and release_require_static is set"
    return [Problem("policy_static", text, "build with CGO_ENABLED=0 and without -buildmode=pie")]


def _clean(path: str, go: Mapping[str, Any], policy: Mapping[str, Any]) -> Iterator[Problem]:
    if not policy.get("require_vcs_clean"):
        return
    vcs = go.get("vcs") or {}
    if not vcs.get("revision"):
        text = f"{path}: no vcs.revision in the build info"
        yield Problem("policy_vcs_unknown", text, "build inside the repository with -buildvcs=true")
    elif vcs.get("modified") is not False:
        text = f"{path}: built from a modified tree at {vcs['revision']}"
        yield Problem("policy_vcs_modified", text, "commit or drop the changes, then build")


def _release(path: str, go: Mapping[str, Any], policy: Mapping[str, Any]) -> Iterator[Problem]:
    wanted = str(policy.get("min_go_version") or "")
    if not wanted:
        return
    floor, built = go_key(wanted), go_key(go["version"])
    if floor is None:
        raise SlipwayError(
            "policy_syntax", f"min_go_version: {wanted!r} is no Go version.", "write it like 1.22 or 1.22.3"
        )
    if _NUMBER.fullmatch(wanted) and floor[:2] < _OLDEST:
        raise SlipwayError(
            "policy_syntax",
            f"min_go_version: {wanted} is older than any Go whose build info can be read; YAML reads 1.20 as 1.2.",
            'put it in quotes: "1.20"',
        )
    if built is None or built < floor:
        yield Problem("policy_go_version", f"{path}: built with {go['version']}", f"build with Go {wanted} or newer")


def _main(path: str, go: Mapping[str, Any], policy: Mapping[str, Any]) -> Iterator[Problem]:
    wanted = policy.get("main_module")
    main_module = (go.get("main") or {}).get("path") or go.get("path")
    if wanted and main_module != wanted:
        text = f"{path}: its main module is {main_module or 'unknown'}, not {wanted}"
        yield Problem("policy_main_module", text, "release the artefact of this service")


def _denied(path: str, go: Mapping[str, Any], policy: Mapping[str, Any]) -> Iterator[Problem]:
    denials: Iterable[Denial] = policy.get("denied_modules") or ()
    for module, version in _modules(go):
        for denial in denials:
            if denial.denies(module, version):
                reason = f": {denial.reason}" if denial.reason else ""
                text = f"{path}: contains {module} {version}, denied by line {denial.line}{reason}"
                yield Problem("policy_denied_module", text, _way_out(module, denial))


def _modules(go: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What the binary is made of: a replacement counts, what it replaces does not."""
    yield STDLIB, go["version"]
    for module in [go.get("main") or {}, *go.get("deps", ())]:
        used = module.get("replace") or module
        if used.get("path"):
            yield used["path"], used.get("version", "")


def _way_out(module: str, denial: Denial) -> str:
    operator, version = next((one for one in denial.constraints if one[0] in ("<", "<=")), ("", ""))
    if module == STDLIB:
        number = version.lstrip("v")
        return {
            "<": f"build with Go {number} or newer",
            "<=": f"build with a Go that is newer than {number}",
        }.get(operator, "build with another Go release")
    if operator == "<":
        return f"run go get {module}@{version} or newer, then build"
    if operator == "<=":
        return f"run go get {module} with a version newer than {version}, then build"
    return f"remove {module} or take another version, then build"
