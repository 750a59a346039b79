# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether what was signed or built is the version that is to be released. This file is PRIVATE to the collection.

Everything read here is untrusted text; a claim that was signed is handed in only after its signature was verified.
"""

from __future__ import annotations

import re
import shlex
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Sequence

from ..._core.problems import Problem

LEVELS = ("match", "required", "ignore")
COMMENT = "the trusted comment of release_signature"
ENTRY = "the entry of the signed checksums file"
PROVENANCE = "the signed provenance"
FOLDER = "the folder in the archive"
MODULE = "the main module in the build info"
LDFLAGS = "-ldflags in the build info"
REVISION = "vcs.revision in the build info"

_SHOWN = 100
# How a text is read: a version and nothing else; a version by the signer's own word, whatever it looks like; a name in
# which a version may stand; a commit.
VERSION, STATED, NAME, COMMIT = "version", "stated", "name", "commit"
_KINDS = (VERSION, STATED, NAME, COMMIT)

_CORE = r"[vV]?([0-9]+(?:\.[0-9]+)+)"
_WHOLE = re.compile(rf"{_CORE}(?![0-9])(.*)", re.DOTALL)
_IN_NAME = re.compile(rf"(?<![0-9A-Za-z.]){_CORE}")
_END = r"(?![0-9A-Za-z])"
_PRE = r"(?:(?:rc|alpha|beta|pre|preview|dev|snapshot|nightly|canary)(?:[-._]?[0-9]+)*|[abm][0-9]+)"
_DESCRIBED = r"[0-9]+-g[0-9a-f]{7,40}"
_PSEUDO = r"(?:[0-9A-Za-z.]*\.)?[0-9]{14}-[0-9a-f]{12}"
_SUFFIX = re.compile(rf"(?:-{_DESCRIBED}|-{_PSEUDO}|[-._~]?{_PRE}){_END}", re.IGNORECASE)
_BUILD = re.compile(r"\+[0-9A-Za-z]+")
_IS_PSEUDO = re.compile(rf"-{_PSEUDO}$")
_COMMIT_AT_END = re.compile(r"-g([0-9a-f]{7,40})$|[-.][0-9]{14}-([0-9a-f]{12})$")
_BARE_COMMIT = re.compile(r"(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,40}")
_TREE = re.compile(r"[-+.]dirty$")  # says something of the tree, not of the version
_NO_BUILD = ("", "dirty", "incompatible")
_TOKEN = re.compile(r"version[:=](.*)", re.IGNORECASE)
_VARIABLES = ("version", "appversion", "buildversion", "gitversion", "releaseversion", "tag", "gittag")


class Claim(NamedTuple):
    """What was signed or built, and where. kind: how the text is to be read."""

    where: str
    kind: str
    text: str


class _Version(NamedTuple):
    """core without zeros at the front of numbers and at its end; suffix in one spelling; build without its plus."""

    core: tuple[str, ...]
    suffix: str
    build: str
    text: str


def _core(text: str) -> tuple[str, ...]:
    numbers = [number.lstrip("0") or "0" for number in text.split(".")]
    while numbers and numbers[-1] == "0":
        numbers.pop()
    return tuple(numbers)


def _one_spelling(suffix: str) -> str:
    return re.sub("[-._~]+", ".", suffix.lower()).strip(".")


def _parse(text: str) -> Optional[_Version]:
    """None where it is no version of at least two numbers."""
    bare = _TREE.sub("", text.strip())
    match = _WHOLE.fullmatch(bare)
    if match is None:
        return None
    suffix, _plus, build = match.group(2).partition("+")
    return _Version(_core(match.group(1)), _one_spelling(suffix), build.lower(), bare.lower())


def _bare(text: str) -> str:
    return _TREE.sub("", text.strip().lower())


def _commit(text: str) -> str:
    """The commit that a version names, as git describe and Go's pseudo-versions do; empty where it names none."""
    bare = _bare(text)
    match = _COMMIT_AT_END.search(bare.partition("+")[0])
    if match is not None:
        return str(match.group(1) or match.group(2))
    return bare if _BARE_COMMIT.fullmatch(bare) else ""


def _same_commit(wanted: str, found: str) -> Optional[bool]:
    """Whether the wanted version names this commit; None where one of them is no commit.

    A version that only looks like a commit, as 20260302a does, may be a date: that it is another one says nothing.
    """
    commit = _commit(wanted)
    if not commit or not found:
        return None
    same = commit.startswith(found) or found.startswith(commit)
    return same if same or commit != _bare(wanted) else None


def _is_series(one: _Version, other: _Version, texts: tuple[str, str]) -> bool:
    """Whether the shorter one only names the series that the other one is of, as 2.0 does of 2.0.7."""
    parts = sorted((_numbers(text) for text in texts), key=len)
    return not (one.suffix and other.suffix) and len(parts[0]) < len(parts[1]) and parts[1][: len(parts[0])] == parts[0]


def _numbers(text: str) -> list[str]:
    match = _WHOLE.match(text)
    return [number.lstrip("0") or "0" for number in match.group(1).split(".")] if match else []


def _agrees(wanted: str, found: str) -> Optional[bool]:
    """Whether the version found is the one wanted; None where neither can be said."""
    if _plain(wanted) == _plain(found):
        return True
    if _IS_PSEUDO.search(found.strip().partition("+")[0]):  # it names a commit; its numbers are Go's guess
        return _same_commit(wanted, _commit(found))
    one, other = _parse(wanted), _parse(found)
    if one is None or other is None:
        return _same_commit(wanted, _commit(found)) or None
    if one.core == other.core:
        builds_differ = one.build != other.build and not {one.build, other.build} & set(_NO_BUILD)
        return one.suffix == other.suffix and not builds_differ
    return None if _is_series(one, other, (one.text, other.text)) else False


def _plain(text: str) -> str:
    bare = _bare(text)
    return bare[1:] if bare[:1] == "v" and bare[1:2].isdigit() else bare


def _agrees_in_name(wanted: str, name: str) -> Optional[bool]:
    """Whether one of the versions in the name is the one wanted; False where there are only others."""
    bare = re.escape(_plain(wanted))
    if re.search(rf"(?<![0-9A-Za-z.])v?{bare}(?!\.?[0-9]|[A-Za-z])", name, re.IGNORECASE) and _parse(wanted) is None:
        return True
    verdicts = [_agrees(wanted, found) for found in _versions_in(name, wanted)]
    return True if True in verdicts else (False if False in verdicts else None)


def _versions_in(name: str, wanted: str) -> list[str]:
    """Each version in a name, with what belongs to it: a pre-release, or as much as the wanted one has behind it."""
    version = _parse(wanted)
    found = []
    for match in _IN_NAME.finditer(name):
        tail = name[match.end() :]
        suffix = _SUFFIX.match(tail)
        length = suffix.end() if suffix is not None else 0
        if version is not None and version.suffix:
            length = max(length, _length_of(version.suffix, tail))
        found.append(match.group() + tail[: length + _length_of_build(version, tail[length:])])
    return found


def _length_of_build(version: Optional[_Version], tail: str) -> int:
    """A file name goes on after it with a dot, and build metadata may have some."""
    wanted = version.build if version is not None else ""
    match = re.match(rf"\+{re.escape(wanted)}{_END}", tail, re.IGNORECASE) if wanted else None
    match = match or _BUILD.match(tail)
    return match.end() if match else 0


def _length_of(suffix: str, tail: str) -> int:
    """How many characters of the tail are this suffix, in whatever spelling; 0 where it is another."""
    pattern = "[-._~]?" + "[-._~]+".join(map(re.escape, suffix.split("."))) + _END
    match = re.match(pattern, tail, re.IGNORECASE)
    return match.end() if match else 0


def verdict(wanted: str, claim: Claim) -> Optional[bool]:
    """Whether the claim is about the wanted version: yes, no, or None where it says nothing about it."""
    if claim.kind == NAME:
        return _agrees_in_name(wanted, claim.text)
    if claim.kind == COMMIT:
        return _same_commit(wanted, claim.text.lower())
    found = _agrees(wanted, claim.text)
    return False if found is None and claim.kind == STATED and _parse(claim.text) is None else found


def problems(wanted: str, level: str, claims: Sequence[Claim]) -> list[Problem]:
    """What speaks against releasing this as the wanted version; each place may say it several times, once is enough."""
    if level == "ignore":
        return []
    verdicts: dict[str, list[Optional[bool]]] = {}
    for claim in claims:
        verdicts.setdefault(claim.where, []).append(verdict(wanted, claim))
    against = [where for where, said in verdicts.items() if False in said and True not in said]
    if against:
        return [_mismatch(wanted, where, [claim.text for claim in claims if claim.where == where]) for where in against]
    if level == "required" and not any(True in said for said in verdicts.values()):
        return [_not_named(wanted, claims)]
    return []


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def _mismatch(wanted: str, where: str, texts: Sequence[str]) -> Problem:
    told = ", ".join(map(_shown, dict.fromkeys(texts)))
    return Problem(
        "version_mismatch",
        f"release_version is {wanted}, and {where} says {told}.",
        "release the artefact of that version, or correct release_version",
    )


def _not_named(wanted: str, claims: Sequence[Claim]) -> Problem:
    told = "; ".join(f"{claim.where}: {_shown(claim.text)}" for claim in claims[:5])
    return Problem(
        "version_not_named",
        f"nothing that was signed or built names the version {wanted}, and release_version_binding is required"
        f" ({told or 'nothing was found that could'}).",
        f"sign with the trusted comment version:{wanted}, or build with that version",
    )


def comment_claims(comment: str) -> list[Claim]:
    """What a trusted comment says: its version:… where it has one, else all of it. It must have been verified."""
    words = comment.split()
    stated = [match.group(1).strip(",;") for match in map(_TOKEN.fullmatch, words) if match is not None]
    if any(stated):
        return [Claim(COMMENT, STATED, text) for text in stated if text]
    return [Claim(COMMENT, NAME, comment)] if comment.strip() else []


def entry_claims(name: Optional[str]) -> list[Claim]:
    """What the name in a signed checksums file says."""
    return [Claim(ENTRY, NAME, name)] if name else []


def folder_claims(folder: str) -> list[Claim]:
    """What the one folder around everything in an archive says."""
    return [Claim(FOLDER, NAME, folder)] if folder else []


def build_claims(go: Optional[Mapping[str, Any]]) -> list[Claim]:
    """What Go's build info says."""
    if not go:
        return []
    version, settings = (go.get("main") or {}).get("version") or "", go.get("settings") or {}
    found = [Claim(MODULE, VERSION, version)] if version and version != "(devel)" else []
    found += [Claim(LDFLAGS, VERSION, text) for text in _stamps(settings.get("-ldflags") or "")]
    revision = (go.get("vcs") or {}).get("revision")
    return [*found, Claim(REVISION, COMMIT, revision)] if revision else found


def _stamps(flags: str) -> Iterable[str]:
    """The values of -X PACKAGE.version=VALUE and the like."""
    try:
        words = shlex.split(flags)
    except ValueError:
        words = flags.split()
    for before, word in zip(["", *words], words):
        if before not in ("-X", "--X") and not word.startswith(("-X=", "--X=")):
            continue
        assigned = word if before in ("-X", "--X") else word.partition("=")[2]
        name, equals, value = assigned.partition("=")
        if equals and value and name.rpartition(".")[2].lower() in _VARIABLES:
            yield value


def record(claims: Iterable[Claim]) -> list[list[str]]:
    """For release.json and whoever shows it: what was not UTF-8 is replaced."""
    return [[where, kind, text.encode("utf-8", "replace").decode()] for where, kind, text in claims]


def recorded(said: Any) -> Optional[list[Claim]]:
    """What release.json has; None where it has nothing that could be read."""
    if not isinstance(said, list):
        return None
    if not all(isinstance(c, list) and len(c) == 3 and all(isinstance(t, str) for t in c) for c in said):
        return None
    return [Claim(*c) for c in said if c[1] in _KINDS]
