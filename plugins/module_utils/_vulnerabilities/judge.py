# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Judges a Go program's build information by a vulnerability database. This file is PRIVATE to the collection.

Pure: the program has been read, the database too, and the day is handed in.
"""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .._binary.functions import Functions
from .._binary.versions import Key, go_key, module_key
from .._core.errors import SlipwayError
from .osv import STDLIB, TOOLCHAIN, Affected, Import
from .severity import rank

OPEN, INCONCLUSIVE, IGNORED, RECENT, MINOR = "open", "inconclusive", "ignored", "recent", "minor"
ACCEPT, REFUSE = "accept", "refuse"
SYMBOLS, PACKAGES, MODULE = "symbols", "packages", "module"
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LOCAL = (".", "/")


class Ignored(NamedTuple):
    """id: of the entry, or one of its aliases. until: the last day on which it is ignored."""

    id: str
    reason: str
    until: date


class Rules(NamedTuple):
    """severity: the lowest that counts; what names none always counts. grace: days since a vulnerability was published
    in which it does not count. toolchain: whether what is known of Go's own commands counts, too.
    """

    today: date
    severity: str = ""
    grace: float = 0
    ignored: tuple[Ignored, ...] = ()
    inconclusive: str = REFUSE
    toolchain: bool = False


class Finding(NamedTuple):
    """One vulnerability of one module.

    basis: what it is known by: the module's version alone, the packages that are linked in, or their symbols.
    not_narrowed: why not by more than the version, where the entry names more. symbols: those that are linked in.
    """

    id: str
    aliases: tuple[str, ...]
    module: str
    version: str
    fixed: str
    severity: str
    published: str
    summary: str
    state: str
    basis: str
    not_narrowed: str
    packages: tuple[str, ...]
    symbols: tuple[str, ...]
    reason: str = ""
    until: str = ""


class Judgement(NamedTuple):
    """not_linked: ids of entries that affect a module's version in code that is not linked in. unjudged: what else
    could not be judged, one sentence each. unused: ignored ids that were not found.
    """

    findings: tuple[Finding, ...]
    not_linked: tuple[str, ...] = ()
    unjudged: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()

    def in_state(self, state: str) -> list[Finding]:
        return [one for one in self.findings if one.state == state]

    def is_refused(self, rules: Rules) -> bool:
        doubtful = bool(self.unjudged or self.in_state(INCONCLUSIVE))
        return bool(self.in_state(OPEN)) or (doubtful and rules.inconclusive == REFUSE)


class _Subject(NamedTuple):
    """A module to judge. key: None where its version cannot be ordered. imported: as what its packages are imported."""

    module: str
    version: str
    key: Optional[Key]
    imported: str


class _Candidate(NamedTuple):
    subject: _Subject
    affected: Affected
    imports: tuple[Import, ...]


def parse_ignored(value: Any) -> tuple[Ignored, ...]:
    if not isinstance(value, (list, tuple)):
        raise _bad_ignore("it is no list")
    return tuple(_ignored(one) for one in value)


def _ignored(one: Any) -> Ignored:
    if not isinstance(one, Mapping):
        raise _bad_ignore("an element is no dictionary")
    unknown = sorted(set(map(str, one)) - set(Ignored._fields))
    texts = {name: str(one.get(name) or "").strip() for name in Ignored._fields}
    missing = [name for name, text in texts.items() if not text]
    if unknown or missing:
        wrong = f"has {', '.join(unknown)}" if unknown else f"lacks {', '.join(missing)}"
        raise _bad_ignore(f"the element for {texts['id'] or 'no id'} {wrong}")
    try:
        if not _DAY.fullmatch(texts["until"]):
            raise ValueError
        until = date(*map(int, texts["until"].split("-")))
    except ValueError:
        raise _bad_ignore(f"until of {texts['id']} is {texts['until']!r}, which is no date") from None
    return Ignored(texts["id"], texts["reason"], until)


def _bad_ignore(what: str) -> SlipwayError:
    return SlipwayError(
        "vulnerability_ignore_syntax",
        f"release_vulnerability_ignore cannot be read: {what}.",
        "give each element id, reason and until, the last day as YYYY-MM-DD",
    )


def judge(
    facts: Mapping[str, Any], functions: Functions, modules: Mapping[str, Sequence[Affected]], rules: Rules
) -> Judgement:
    """facts: what binary_info returns. modules: what the database says of each."""
    go = facts.get("go")
    if not go:
        return Judgement((), unjudged=("it has no Go build info: not built by Go, packed, or stripped of it",))
    unjudged = ["its Go build info is damaged"] if go.get("damaged") else []
    subjects = list(_subjects(go))
    if _has_no_modules(go):
        if functions.unknown:
            unjudged.append(f"it names no modules, and {functions.unknown}")
        else:
            subjects += _subjects_by_package(functions, modules)
    candidates = list(_candidates(subjects, modules, facts, rules))
    linked = _linked(candidates, functions, str(go.get("path") or ""))
    findings, absent = [], set()
    for candidate in candidates:
        finding = _finding(candidate, linked, functions, rules)
        if finding is None:
            absent.add(candidate.affected.id)
        elif finding not in findings:
            findings.append(finding)
    findings.sort(key=lambda one: (one.module, -rank(one.severity), one.id))
    absent -= {one.id for one in findings}
    return Judgement(tuple(findings), tuple(sorted(absent)), tuple(unjudged), _unused(findings, rules))


def _unused(findings: Iterable[Finding], rules: Rules) -> tuple[str, ...]:
    known = {name for one in findings for name in (one.id, *one.aliases)}
    return tuple(one.id for one in rules.ignored if one.id not in known)


def _has_no_modules(go: Mapping[str, Any]) -> bool:
    """As where it was built from GOPATH, or from one file without dependencies."""
    return not go.get("deps") and not (go.get("main") or {}).get("path")


def _subjects(go: Mapping[str, Any]) -> Iterator[_Subject]:
    """A replacement counts, what it replaces does not; a folder on the builder's disk has no version."""
    version = str(go["version"])
    key = None if "devel" in version else go_key(version)
    for name in (STDLIB, TOOLCHAIN):
        yield _Subject(name, version, key, name)
    for module in [go.get("main") or {}, *go.get("deps", ())]:
        path = str(module.get("path") or "")
        used = module.get("replace") or module
        if str(used.get("path") or "").startswith(_LOCAL):
            yield _Subject(path, "", None, path)
        elif used.get("path"):
            text = str(used.get("version") or "")
            yield _Subject(used["path"], text, module_key(text), path)


def _subjects_by_package(functions: Functions, modules: Mapping[str, Any]) -> Iterator[_Subject]:
    """The modules that linked packages may be of; which version it is, nothing tells."""
    named: set[str] = set()
    for package in functions.packages():
        parts = package.split("/")
        named.update("/".join(parts[:count]) for count in range(1, len(parts) + 1))
    for module in sorted(named & set(modules) - {STDLIB, TOOLCHAIN}):
        yield _Subject(module, "", None, module)


def _candidates(
    subjects: Iterable[_Subject], modules: Mapping[str, Sequence[Affected]], facts: Mapping[str, Any], rules: Rules
) -> Iterator[_Candidate]:
    """What affects the versions, on this system."""
    settings = facts["go"].get("settings") or {}
    goos, goarch = settings.get("GOOS") or facts.get("goos"), settings.get("GOARCH") or facts.get("goarch")
    for subject in subjects:
        if subject.module == TOOLCHAIN and not _judges_toolchain(facts["go"], rules):
            continue
        for affected in modules.get(subject.module, ()):
            here = tuple(one for one in affected.imports if _is_for(one, goos, goarch))
            if affected.affects(subject.key) and (here or not affected.imports):
                yield _Candidate(subject, affected, here)


def _judges_toolchain(go: Mapping[str, Any], rules: Rules) -> bool:
    """What is known of the go command is about builds, and about the commands themselves."""
    return rules.toolchain or str(go.get("path") or "").startswith("cmd/")


def _is_for(one: Import, goos: Optional[str], goarch: Optional[str]) -> bool:
    fits_system = not one.goos or not goos or goos in one.goos
    return fits_system and (not one.goarch or not goarch or goarch in one.goarch)


def _linked(candidates: Iterable[_Candidate], functions: Functions, main: str) -> Mapping[str, frozenset[str]]:
    """{package: symbols that are linked in} of all that candidates name."""
    if functions.unknown:
        return {}
    wanted = {_imported_as(one, c.subject) for c in candidates for one in c.imports}
    linked = dict(functions.in_packages(wanted | {"main"}))
    if main:
        linked[main] = linked.get(main, frozenset()) | linked.get("main", frozenset())
    return linked


def _imported_as(one: Import, subject: _Subject) -> str:
    """A module that replaces another one is imported by the other one's path."""
    if one.path == subject.module or one.path.startswith(subject.module + "/"):
        return subject.imported + one.path[len(subject.module) :]
    return one.path


def _finding(
    candidate: _Candidate, linked: Mapping[str, frozenset[str]], functions: Functions, rules: Rules
) -> Optional[Finding]:
    """None where the code is not linked in, as far as the entry and the program say."""
    subject, affected = candidate.subject, candidate.affected
    packages: list[str] = []
    symbols: list[str] = []
    basis, why = MODULE, ""
    if subject.module == TOOLCHAIN and rules.toolchain:
        why = "it is about the commands that built the program"
    elif not candidate.imports:
        why = "the entry names no packages"
    elif functions.unknown:
        why = functions.unknown
    else:
        basis = SYMBOLS if all(one.symbols for one in candidate.imports) else PACKAGES
        for one in candidate.imports:
            there = linked.get(_imported_as(one, subject), frozenset())
            hit = there.intersection(one.symbols) if one.symbols else there
            if hit:
                packages.append(one.path)
                symbols += [f"{one.path}.{name}" for name in sorted(hit)] if one.symbols else []
        if not packages:
            return None
    state, ignored = _state(subject, affected, rules)
    return Finding(
        id=affected.id,
        aliases=affected.aliases,
        module=subject.module,
        version=subject.version,
        fixed=affected.fixed_after(subject.key),
        severity=affected.severity,
        published=affected.published,
        summary=affected.summary,
        state=state,
        basis=basis,
        not_narrowed=why,
        packages=tuple(packages),
        symbols=tuple(symbols),
        reason=ignored.reason if ignored else "",
        until=str(ignored.until) if ignored else "",
    )


def _state(subject: _Subject, affected: Affected, rules: Rules) -> tuple[str, Optional[Ignored]]:
    names = (affected.id, *affected.aliases)
    ignored = max((one for one in rules.ignored if one.id in names), key=lambda one: one.until, default=None)
    if ignored is not None and rules.today <= ignored.until:
        return IGNORED, ignored
    if affected.severity and rank(affected.severity) < rank(rules.severity):
        return MINOR, ignored
    if _is_recent(affected.published, rules):
        return RECENT, ignored
    return (OPEN if subject.key is not None else INCONCLUSIVE), ignored


def _is_recent(published: str, rules: Rules) -> bool:
    """A day of the future is none that grace can be counted from."""
    return rules.grace > 0 and str(rules.today - timedelta(days=rules.grace)) < published <= str(rules.today)
