# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is to be built, and what cannot be right about it. This file is PRIVATE to the collection."""

from __future__ import annotations

import datetime
import os
import re
import string
from dataclasses import dataclass, field
from typing import Iterator, Mapping, Optional

from .._core.errors import SlipwayError
from .._core.problems import Problem, ProblemsError
from .targets import GOOS, Target

AUTO, OFF = "auto", "off"
MOD = (AUTO, "vendor", "readonly")
VCS = (AUTO, "true", "false")
REFUSE, ACCEPT, WITHOUT = "refuse", "accept", "without"
STAMPS = ("version", "commit", "time")
PATTERN = "{name}-{goos}-{goarch}{level}"
_FIELDS = frozenset(("name", "version", "goos", "goarch", "level"))
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+:@~-]*")  # what needs no quotes in -ldflags and fits into a file name
_VARIABLE = re.compile(r"(?:[A-Za-z0-9._~-]+/)*[A-Za-z0-9._~-]+\.[^\W\d]\w*")
_TAG = re.compile(r"[A-Za-z0-9_.]+")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")
_PRINTABLE = re.compile(r"[!-~]+")
_TOOLCHAIN = re.compile(r"(?:go)?[0-9]+\.[0-9]+(?:\.[0-9]+|rc[0-9]+|beta[0-9]+)?")


@dataclass(frozen=True)
class Request:
    """source: the folder of the module. ref: what of its repository to build, else the folder as it is.

    provenance_builder: the URI of who builds; without one, no provenance is written.
    variables: the Go variable for each of STAMPS. pgo: a path below source, or AUTO or OFF.
    """

    source: str
    dest: str
    name: str
    targets: tuple[Target, ...]
    cache: str = ""
    package: str = "."
    ref: str = ""
    pattern: str = PATTERN
    version: str = ""
    commit: str = ""
    time: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)
    mod: str = AUTO
    vcs: str = AUTO
    pgo: str = AUTO
    tags: tuple[str, ...] = ()
    strip: bool = True
    offline: bool = False
    proxy: str = ""
    private: tuple[str, ...] = ()
    dirty: str = REFUSE
    cgo: str = REFUSE
    go: str = ""
    toolchain: str = ""
    vet: bool = False
    test: bool = False
    verify: bool = False
    as_root: bool = False
    provenance_builder: str = ""
    provenance_repository: str = ""
    timeout: float = 1800.0

    def file_name(self, target: Target, version: str) -> str:
        """What the artefact for that target is called."""
        level = target.suffix
        return self.pattern.format(name=self.name, version=version, goos=GOOS, goarch=target.goarch, level=level)


def check(request: Request) -> None:
    """Raise with all that is wrong with it; nothing has been looked at then."""
    problems = list(_problems(request))
    if problems:
        raise ProblemsError(problems)


def _problems(request: Request) -> Iterator[Problem]:
    for variable in ("source", "dest", "cache"):
        path = getattr(request, variable)
        if not os.path.isabs(path):
            message = f"build_{variable} is {path!r}, which is no absolute path."
            yield Problem("invalid_build", message, f"set build_{variable} to a path that begins with /")
    if not _NAME.fullmatch(request.name):
        message = f"build_name is {request.name!r}, which is no name for a file."
        yield Problem("invalid_build", message, "give letters, digits and . _ + - only, a letter or a digit first")
    if not request.targets:
        message = "build_targets is empty, and no architecture of a host is known."
        yield Problem("invalid_build", message, "set build_targets to a list such as [linux/amd64, linux/arm64]")
    if request.ref.startswith("-"):
        message = f"build_ref is {request.ref!r}, which is no name of a commit."
        yield Problem("invalid_build", message, "give a tag, a branch or a commit")
    yield from _provenance_problems(request)
    yield from _package_problems(request)
    yield from _file_name_problems(request)
    yield from _stamp_problems(request)
    yield from _flag_problems(request)


def _provenance_problems(request: Request) -> Iterator[Problem]:
    builder, repository = request.provenance_builder, request.provenance_repository
    if builder and not _URI.fullmatch(builder):
        message = f"build_provenance_builder is {builder!r}, which is no URI."
        yield Problem("invalid_build", message, "name the builder such as https://ci.example.com/builders/release")
    if repository and not _PRINTABLE.fullmatch(repository):
        message = f"build_provenance_repository is {repository!r}, which has a space in it."
        yield Problem("invalid_build", message, "give the repository's URL")


def _package_problems(request: Request) -> Iterator[Problem]:
    package = request.package
    if (package != "." and not package.startswith("./")) or "..." in package or ".." in package.split("/"):
        message = f"build_package is {package!r}, which is not one package below build_source."
        yield Problem("invalid_build", message, "give the folder of the program, such as ./cmd/shop")


def _file_name_problems(request: Request) -> Iterator[Problem]:
    try:
        fields = {name for _text, name, _form, _conversion in string.Formatter().parse(request.pattern) if name}
        names = [] if fields - _FIELDS else [request.file_name(target, "1.0") for target in request.targets]
    except (ValueError, IndexError, KeyError):
        fields, names = {"?"}, []
    if fields - _FIELDS or not all(map(_NAME.fullmatch, names)):
        message = f"build_artefact is {request.pattern!r}, which makes no file name."
        yield Problem("invalid_build", message, "use {name}, {version}, {goos}, {goarch} and {level}, and no folder")
    elif len(set(names)) < len(names):
        message = f"build_artefact is {request.pattern!r}, which gives two targets the same file name."
        yield Problem("invalid_build", message, "name each target once, and use {goarch} and {level} in build_artefact")


def _stamp_problems(request: Request) -> Iterator[Problem]:
    for stamp in ("version", "commit"):
        value = getattr(request, stamp)
        if value and not is_word(value):
            message = f"build_{stamp} is {value!r}; it is written into the program as one word."
            yield Problem("invalid_build", message, f"set build_{stamp} to a word without spaces and quotes")
    if request.time:
        try:
            read_time(request.time)
        except SlipwayError as error:
            yield Problem.of(error)
    for stamp, variable in request.variables.items():
        if stamp not in STAMPS:
            message = f"build_variables has {stamp!r}; what is known is {', '.join(STAMPS)}."
            yield Problem("invalid_build", message, f"name only {', '.join(STAMPS)} in build_variables")
        elif not isinstance(variable, str) or not _VARIABLE.fullmatch(variable):
            message = f"build_variables has {variable!r} for {stamp}, which is no variable of a Go package."
            yield Problem("invalid_build", message, "write it as PACKAGE.NAME, such as main.version")


def _flag_problems(request: Request) -> Iterator[Problem]:
    for tag in request.tags:
        if not _TAG.fullmatch(tag):
            message = f"build_tags has {tag!r}, which is no build tag."
            yield Problem("invalid_build", message, "give letters, digits, _ and . only")
    if request.pgo not in (AUTO, OFF) and (not request.pgo or os.path.isabs(request.pgo) or request.pgo[0] == "-"):
        message = f"build_pgo is {request.pgo!r}, which is neither auto nor off nor a file below build_source."
        yield Problem("invalid_build", message, "give the profile's path below build_source")
    if request.toolchain and not _TOOLCHAIN.fullmatch(request.toolchain):
        message = f"build_toolchain is {request.toolchain!r}, which is no release of Go."
        yield Problem("invalid_build", message, "give a release such as 1.27.3, or a series such as 1.27")
    if request.timeout <= 0:
        message = f"build_timeout is {request.timeout:g} s."
        yield Problem("invalid_build", message, "set build_timeout to the seconds that one command may take")


def is_word(text: str) -> bool:
    """Whether it can stand in a program and in a file name as it is."""
    return _WORD.fullmatch(text) is not None


def read_time(text: str) -> int:
    """Seconds since 1970, from such a number or from RFC 3339."""
    if re.fullmatch(r"[0-9]{1,11}", text):
        return int(text)
    parsed = _rfc3339(text)
    if parsed is None or parsed.tzinfo is None or parsed.timestamp() < 0:
        raise SlipwayError(
            "invalid_build",
            f"build_time is {text!r}, which is no time since 1970.",
            "give it as 2026-01-31T12:00:00Z, or in seconds since 1970",
        )
    return int(parsed.timestamp())


def _rfc3339(text: str) -> Optional[datetime.datetime]:
    try:
        return datetime.datetime.fromisoformat(re.sub("[zZ]$", "+00:00", text))
    except ValueError:
        return None


def show_time(seconds: int) -> str:
    """In RFC 3339, UTC."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
