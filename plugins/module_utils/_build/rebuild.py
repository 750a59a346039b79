# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Builds an artefact again from its source and says whether it is the same. This file is PRIVATE to the collection.

Nothing of the artefact is executed. What it says of itself only chooses what is built; the bytes that come out decide.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, Iterator, Mapping

from .._core import command, files
from .._core.errors import SlipwayError
from .._core.problems import Problem, ProblemsError
from .._release.artefact.provenance import matches
from . import builder, commands, differences, git, packages, record, source, toolchain
from .differences import Difference
from .record import FROM_ARTEFACT, Record
from .request import OFF, Request

SAME, DIFFERENT, CANNOT = "same", "different", "cannot be rebuilt"
_URL = re.compile(r"(?:https?|ssh|git|file)://[!-~]+|[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+:[!-~]+")
_SECRET = re.compile(r"://[^/@]*:[^/@]*@")
_MODULE = re.compile(r'^module\s+"?([^\s"]+)', re.MULTILINE)
_SHOWN = 4  # differences in the message; the result has all
_NOT_SOURCE = frozenset({".git", "vendor", "node_modules", "testdata"})


@dataclass(frozen=True)
class Rebuild:
    """artefact: the file. source: a folder or a URL; empty for the repository of its provenance, if it is one of
    repositories. ref: what to build where nothing beside the artefact says it."""

    artefact: str
    source: str = ""
    ref: str = ""
    repositories: tuple[str, ...] = ()
    ldflags: str = ""
    cache: str = ""
    go: str = ""
    offline: bool = False
    proxy: str = ""
    private: tuple[str, ...] = field(default_factory=tuple)
    as_root: bool = False
    timeout: float = 1800.0

    @property
    def request(self) -> Request:
        """The same for what builds: where its caches and modules are."""
        return Request(
            self.source,
            "",
            "",
            (),
            self.cache,
            offline=self.offline,
            proxy=self.proxy,
            private=self.private,
            go=self.go,
            as_root=self.as_root,
            timeout=self.timeout,
        )


def rebuild(wanted: Rebuild, check_mode: bool) -> dict[str, Any]:
    """The verdict that both are the same, or in check mode what would be built; raise for every other verdict."""
    try:
        return _rebuild(wanted, check_mode)
    except SlipwayError as error:
        error.details.setdefault("verdict", CANNOT)
        raise


def _rebuild(wanted: Rebuild, check_mode: bool) -> dict[str, Any]:
    check(wanted)
    found = record.read(wanted.artefact, wanted.ldflags)
    place = choose_source(wanted, found)
    go = toolchain.find(wanted.go)
    version = _require_toolchain(wanted, go, found)
    builder.refuse_root(wanted.request)
    told = _told(found, place, version)
    if check_mode:
        commit = _require_folder(wanted, found, place) or wanted.ref or found.commit
        return {**told, "verdict": None, "commit": commit, "text": f"{_named(found)} would be built again from {place}"}
    with source.scratch_folder(wanted.request) as scratch:
        tree, commit = _open_tree(wanted, found, place, os.path.join(scratch, "source"))
        folder = find_module(tree, found.module, place)
        output = os.path.join(scratch, "rebuilt", "artefact")
        _build(wanted, go, version, found, folder, output)
        return judge(found, output, {**told, "commit": commit})


def check(wanted: Rebuild) -> None:
    """Raise with all that is wrong with the variables; nothing has been looked at then."""
    problems = list(_problems(wanted))
    if problems:
        raise ProblemsError(problems)


def _problems(wanted: Rebuild) -> Iterator[Problem]:
    if wanted.ref.startswith("-"):
        message = f"rebuild_ref is {wanted.ref!r}, which is no name of a commit."
        yield Problem("invalid_build", message, "give a tag, a branch or a commit")
    if wanted.source and not os.path.isabs(wanted.source) and not _URL.fullmatch(wanted.source):
        shown = _SECRET.sub("://…@", wanted.source)
        message = f"rebuild_source is {shown!r}, which is neither an absolute path nor the URL of a repository."
        yield Problem("invalid_build", message, "give a folder on the host that builds, or a URL such as https://…")
    if _SECRET.search(wanted.source):
        message = "rebuild_source has a password in it, which git would show to every user of the host."
        fix = "set rebuild_source to the URL alone, and give git the password by a credential helper"
        yield Problem("invalid_build", message, fix)
    if wanted.ldflags and not record.is_plain(f"-ldflags={wanted.ldflags}"):
        message = f"rebuild_ldflags is {wanted.ldflags!r}; -s, -w and -X PACKAGE.NAME=VALUE are passed on."
        yield Problem("invalid_build", message, "give -s, -w and -X alone")
    if wanted.timeout <= 0:
        message = f"build_timeout is {wanted.timeout:g} s."
        yield Problem("invalid_build", message, "set build_timeout to the seconds that one command may take")


def choose_source(wanted: Rebuild, found: Record) -> str:
    """The folder or URL that is given, else the repository that the provenance names, if it is allowed."""
    if wanted.source:
        return os.path.normpath(wanted.source) if os.path.isabs(wanted.source) else wanted.source
    if not found.repository:
        raise SlipwayError(
            "rebuild_no_source",
            f"rebuild_source is empty, and no provenance beside {found.path} names a repository.",
            "set rebuild_source to a clone of the repository or to its URL",
        )
    allowed = any(matches(found.repository, pattern) for pattern in wanted.repositories)
    if not allowed or not _URL.fullmatch(found.repository) or _SECRET.search(found.repository):
        raise SlipwayError(
            "rebuild_no_source",
            f"the provenance of {found.path} names the repository {found.repository[:200]!r}, and rebuild_repositories "
            f"allows {', '.join(wanted.repositories) or 'none'}.",
            "add it to rebuild_repositories if you trust it, or set rebuild_source",
        )
    return found.repository


def _require_toolchain(wanted: Rebuild, go: str, found: Record) -> str:
    experiments = {name: value for name, value in found.settings.items() if name == "GOEXPERIMENT"}
    places = commands.places(wanted.request, wanted.cache, os.environ)
    version = toolchain.read_version(go, {**places, **_FIXED, **experiments})
    if version != found.toolchain:
        release = found.toolchain.split()[0].replace("go", "")
        raise SlipwayError(
            "build_toolchain",
            f"{found.path} was built with {found.toolchain}, and {go} is {version}: another toolchain makes other "
            "bytes.",
            f"install Go {release} and set build_go to it",
        )
    return version


_FIXED = {"CGO_ENABLED": "0", "GOENV": OFF, "GOFLAGS": "", "GOTOOLCHAIN": "local"}


def _open_tree(wanted: Rebuild, found: Record, place: str, copy: str) -> tuple[str, str]:
    """The source in a fresh folder, and its commit; a folder that is in no repository is taken as it is."""
    if not os.path.isabs(place):
        done = git.fetch(place, copy, wanted.timeout)
        if done.code != 0:
            raise SlipwayError(
                "rebuild_no_source",
                f"git does not clone {place}: {done.complaint}.",
                "correct rebuild_source, or let the user who builds read that repository",
            )
        commit = _require_commit(copy, wanted, found, place)
        git.check_out(copy, commit)
        return copy, commit
    commit = _require_folder(wanted, found, place)
    checkout = git.read(place)
    if checkout is None:
        return packages.find_module(place) or place, ""
    git.clone(checkout.top, commit, copy)
    return copy, commit


def _require_folder(wanted: Rebuild, found: Record, place: str) -> str:
    """The commit of a folder in a repository, before anything is copied; empty where there is none, or it is a URL."""
    if not os.path.isabs(place):
        return ""
    if not os.path.isdir(place):
        raise SlipwayError(
            "rebuild_no_source",
            f"rebuild_source is {place}, and there is no such folder on the host that builds.",
            "set rebuild_source to a clone of the repository on that host",
        )
    if git.read(place) is not None:
        return _require_commit(place, wanted, found, place)
    if wanted.ref or found.commit:
        raise SlipwayError(
            "rebuild_no_source",
            f"{found.path} is to be built from {wanted.ref or found.commit}, and {place} is in no repository of git.",
            "set rebuild_source to a clone of the repository, or to its URL",
        )
    return ""


def _require_commit(folder: str, wanted: Rebuild, found: Record, place: str) -> str:
    ref = wanted.ref or found.commit
    if not ref:
        raise SlipwayError(
            "rebuild_no_commit",
            f"{found.path} names no commit: it was built with -buildvcs=false or outside of a repository, and no "
            "manifest beside it has one.",
            "set rebuild_ref to the commit that it was built from",
        )
    commit = git.find_commit(folder, ref) or (git.find_commit(folder, f"origin/{ref}") if folder != place else "")
    if not commit:
        raise SlipwayError(
            "rebuild_unknown_commit",
            f"{found.path} is to be built from {ref}, which is no commit in {place}.",
            "fetch it into that repository, or set rebuild_source to the repository that has it",
        )
    return commit


def find_module(tree: str, name: str, place: str) -> str:
    """The folder of the module of that name which is nearest to the top."""
    found = []
    for folder, below, names in os.walk(tree):
        below[:] = sorted(set(below) - _NOT_SOURCE)
        if "go.mod" in names:
            declared = _MODULE.search(files.text(os.path.join(folder, "go.mod")))
            if declared and declared.group(1) == name:
                found.append(folder)
    if not found:
        raise SlipwayError(
            "rebuild_no_source",
            f"the artefact is of the module {name}, and no go.mod in {place} is that module's.",
            "set rebuild_source to the repository of that module",
        )
    return min(found, key=lambda folder: (folder.count(os.sep), folder))


def _build(wanted: Rebuild, go: str, version: str, found: Record, folder: str, output: str) -> None:
    variables = {**commands.places(wanted.request, wanted.cache, os.environ), **_FIXED, **found.settings}
    argv = [go, "build", "-C", folder, *found.flags, "-o", output, "--", found.folder]
    done = command.run(argv, wanted.timeout, variables=variables)
    if done.code != 0:
        fix = "correct what it names on the host that builds, and name a commit that compiles"
        raise builder.failure(go, version, "go build", done, "build_failed", fix)


def judge(found: Record, rebuilt: str, told: Mapping[str, Any]) -> dict[str, Any]:
    """The result where both have the same bytes; raise with all that differs where they have not."""
    result = {**told, "rebuilt_sha256": files.sha256_file(rebuilt), "rebuilt_size": os.path.getsize(rebuilt)}
    where = f"commit {told['commit'][:12]} of {told['source']}" if told["commit"] else str(told["source"])
    if result["rebuilt_sha256"] == found.sha256:
        text = f"{_named(found)} is the same as its rebuild from {where} with {found.toolchain}: {found.size:,} bytes"
        return {**result, "verdict": SAME, "text": text, "differences": []}
    differing = differences.find(found.path, rebuilt)
    said, fix = explain(found, differing)
    raise SlipwayError(
        "rebuild_different",
        f"{_named(found)} is not what {where} gives with {found.toolchain}: {said}.",
        fix,
        **{**result, "verdict": DIFFERENT, "differences": [one._asdict() for one in differing]},
    )


def explain(found: Record, differing: list[Difference]) -> tuple[str, str]:
    """The cause as far as it shows, then what differs; and what to do."""
    kinds = {one.kind for one in differing}
    causes, fix = list(found.warnings), "find out what it was built from, or build it again from that commit"
    if not kinds & {"build_id", "module", "setting"}:
        causes.append("both have the same build id, so the file was changed after it was built")
        fix = "release it nowhere, find out who changed it, and build it again"
    elif found.flags_from == FROM_ARTEFACT and kinds.isdisjoint({"module", "setting"}):
        flags = next((flag for flag in found.flags if flag.startswith("-ldflags=")), "no -ldflags")
        causes.append(f"nothing says which -ldflags it was built with, and the rebuild had {flags}")
        fix = "set rebuild_ldflags to those of the build, or put its manifest beside it (NAME.json)"
    shown = [*causes, *(one.text for one in differing)]
    most = len(causes) + _SHOWN
    more = f"; {len(shown) - most} more differences are in the result" if len(shown) > most else ""
    return "; ".join(shown[:most]) + more, fix


def _told(found: Record, place: str, version: str) -> dict[str, Any]:
    return {
        "changed": False,
        "artefact": found.path,
        "sha256": found.sha256,
        "size": found.size,
        "source": place,
        "commit": found.commit,
        "toolchain": version,
        "target": found.target,
        "package": found.package,
        "flags": list(found.flags),
        "flags_from": found.flags_from,
        "warnings_beside": list(found.warnings),
        "rebuilt_sha256": None,
        "rebuilt_size": None,
        "differences": [],
    }


def _named(found: Record) -> str:
    return os.path.basename(found.path)
