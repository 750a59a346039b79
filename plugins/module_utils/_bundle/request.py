# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is asked for in a bundle, and its defects. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Iterator

from .._build.signing import Keys
from .._core.problems import Problem, ProblemsError
from . import manifest

# As pip names packages and versions. An address could hold a password, which would stand in the bundle's README.
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9,._-]+\])? *([<>=!~]=?=?[A-Za-z0-9.,<>=!~*+ -]+)?")
_TAG = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(frozen=True)
class Request:
    """Paths are those of the host that makes the bundle.

    artefacts, files: files and folders. collections: paths and NAMESPACE.NAME:VERSIONS. requirements: packages for the
    controller. python: the interpreter whose pip fetches them; python_version and platforms: those that they are for,
    where these differ from its own.
    """

    name: str
    version: str
    dest: str
    cache: str
    artefacts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    python: str = ""
    python_version: str = ""
    platforms: tuple[str, ...] = ()
    galaxy: str = ""
    base: str = ""
    most: int = 4 << 30
    timeout: float = 1800.0
    keys: Keys = field(default_factory=lambda: Keys(prefix="bundle"))

    @property
    def path(self) -> str:
        return os.path.join(self.dest, f"{self.name}.tar")


def check(request: Request) -> None:
    """Raise with all that is wrong with it, before anything is fetched."""
    problems = list(_problems(request))
    if problems:
        raise ProblemsError(problems)


def _problems(request: Request) -> Iterator[Problem]:
    for variable, text in (("bundle_name", request.name), ("bundle_version", request.version)):
        if not manifest.is_name(text):
            message = f"{variable} is {text!r}, which cannot be the name of a folder."
            yield Problem("invalid_bundle", message, f"set {variable} to letters, digits and . _ + -")
    if not os.path.isabs(request.dest):
        message = f"bundle_dest is {request.dest!r}, which is no absolute path."
        yield Problem("invalid_bundle", message, "set bundle_dest to the folder for the bundle")
    if request.timeout <= 0 or request.most <= 0:
        message = f"bundle_timeout is {request.timeout:g} s and bundle_max_size {request.most >> 20} MiB."
        yield Problem("invalid_bundle", message, "set both to more than 0")
    for variable, paths in (("bundle_artefacts", request.artefacts), ("bundle_files", request.files)):
        for path in paths:
            yield from _problems_of_path(request, variable, path)
    yield from _problems_of_pip(request)


def _problems_of_pip(request: Request) -> Iterator[Problem]:
    for text in request.requirements:
        if not _REQUIREMENT.fullmatch(text):
            message = f"bundle_requirements has {text!r}, which is no package with a version."
            fix = "give packages such as ansible-core==2.19.14, and put addresses into pip.conf"
            yield Problem("invalid_bundle", message, fix)
    words = [("bundle_platforms", word) for word in request.platforms]
    for variable, word in [*words, ("bundle_python_version", request.python_version)]:
        if word and not _TAG.fullmatch(word):
            message = f"{variable} has {word!r}, which is none that pip knows."
            fix = "give platforms such as manylinux2014_x86_64, and a version such as 3.12"
            yield Problem("invalid_bundle", message, fix)


def _problems_of_path(request: Request, variable: str, path: str) -> Iterator[Problem]:
    if not os.path.isabs(path) or not os.path.exists(path):
        message = f"{variable} has {path!r}, which is not there."
        yield Problem("invalid_bundle", message, f"give absolute paths of files and folders in {variable}")
    elif os.path.isabs(request.dest) and _is_below(request.dest, path):
        message = f"bundle_dest is {request.dest}, which is in {path}: the bundle would be in itself."
        yield Problem("invalid_bundle", message, "set bundle_dest to a folder elsewhere")


def _is_below(path: str, folder: str) -> bool:
    return os.path.join(os.path.realpath(path), "").startswith(os.path.join(os.path.realpath(folder), ""))
