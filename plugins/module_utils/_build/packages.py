# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a program is made of, and the digest of it. This file is PRIVATE to the collection."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import Any, Iterable, Iterator, Mapping, NamedTuple, Sequence

from .._core import files
from .._core.errors import SlipwayError
from . import commands
from .request import AUTO, OFF, Request
from .targets import Target

_CXX = "a C++ compiler"


class Package(NamedTuple):
    """files: paths of what goes into the program. module: of a module that was fetched, its path and version.

    needs: what its C code is compiled with or linked to, beside a C compiler and the C library.
    """

    path: str
    name: str
    folder: str
    files: Sequence[str]
    module: str
    uses_c: bool
    needs: Sequence[str] = ()


def parse(text: str) -> list[Package]:
    """Those of `go list -json` that are not of Go itself."""
    return [_package(found) for found in _documents(text) if not found.get("Standard")]


def _documents(text: str) -> Iterator[dict[str, Any]]:
    decoder, position = json.JSONDecoder(), 0
    while True:
        position = next((at for at in range(position, len(text)) if not text[at].isspace()), len(text))
        if position == len(text):
            return
        document, position = decoder.raw_decode(text, position)
        yield document


def _package(found: Mapping[str, Any]) -> Package:
    folder = found["Dir"]
    names = [name for field in commands.FILES for name in found.get(field) or []]
    module = found.get("Module") or {}
    used = module.get("Replace") or module
    version = f"{used.get('Path', '')} {used['Version']}" if used.get("Version") else ""
    return Package(
        found["ImportPath"],
        found.get("Name", ""),
        folder,
        [os.path.join(folder, name) for name in names],
        version,
        bool(found.get("CgoFiles") or found.get("SwigFiles") or found.get("SwigCXXFiles")),
        tuple(_needs(found)),
    )


def _needs(found: Mapping[str, Any]) -> Iterator[str]:
    if found.get("CXXFiles") or found.get("SwigCXXFiles"):
        yield _CXX
    yield from (flag for flag in found.get("CgoLDFLAGS") or () if flag.startswith("-l"))
    yield from (f"{name} (pkg-config)" for name in found.get("CgoPkgConfig") or () if not name.startswith("-"))


def inputs(packages: Iterable[Package], folder: str, request: Request) -> Iterator[tuple[str, str]]:
    """What each file is called, wherever the source lies, and its SHA-256."""
    for package in sorted(packages):
        for path in package.files:
            yield f"{package.path} {package.module} {os.path.relpath(path, package.folder)}", files.sha256_file(path)
        if package.name == "main" and request.pgo == AUTO:
            yield from _digests(package.folder, "default.pgo")
    yield from _digests(folder, *(() if request.pgo in (AUTO, OFF) else (request.pgo,)))
    yield from _digests(find_module(folder), "go.mod", "go.sum", "vendor/modules.txt")


def _digests(folder: str, *names: str) -> Iterator[tuple[str, str]]:
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            yield name, files.sha256_file(path)


def find_module(folder: str) -> str:
    """The folder of the module that a folder belongs to; empty where there is none."""
    while not os.path.isfile(os.path.join(folder, "go.mod")):
        above = os.path.dirname(folder)
        if above == folder:
            return ""
        folder = above
    return folder


def digest(found: Iterable[tuple[str, str]], parameters: Mapping[str, Any]) -> str:
    """One SHA-256 over all that decides what comes out."""
    text = json.dumps([sorted(found), parameters], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def require_no_cgo(packages: Iterable[Package], target: Target) -> None:
    """packages: as they would be with cgo."""
    using = [package for package in packages if package.uses_c]
    if using:
        paths = [package.path for package in using]
        shown = ", ".join(paths[:5]) + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
        raise SlipwayError(
            "build_cgo",
            f"{shown} calls C through cgo. That needs a C compiler for {target} such as {target.compiler}, "
            f"{_with(using)}; programs built here are made without them.",
            "use a package in Go alone, or set build_cgo to without if these packages work when cgo is off",
        )


def _with(using: Iterable[Package]) -> str:
    """Each need once, in the order of the packages."""
    needs = list(dict.fromkeys(need for package in using for need in package.needs))
    compiler = f"{_CXX}, " if _CXX in needs else ""
    *others, last = ["its C library", *(need for need in needs if need != _CXX)]
    libraries = f"{', '.join(others)} and {last}" if others else last
    return f"{compiler}and headers and libraries of that architecture: {libraries}"


def require_variables(packages: Sequence[Package], request: Request) -> None:
    """The linker says nothing where a variable that it is to set is not there."""
    for stamp, variable in request.variables.items():
        path, _dot, name = variable.rpartition(".")
        package = next((one for one in packages if path in (one.path, one.name == "main" and "main")), None)
        if package is None or not any(_names(file, name) for file in package.files):
            raise SlipwayError(
                "build_unknown_variable",
                f"build_variables names {variable} for {stamp}, and the program has no such variable.",
                f"write var {name} string in that package, or correct build_variables",
            )


def _names(path: str, name: str) -> bool:
    return path.endswith(".go") and re.search(rf"\b{re.escape(name)}\b", files.text(path)) is not None


def outside(packages: Iterable[Package], tops: Sequence[str]) -> list[str]:
    """Folders of packages that are below none of these."""
    below = tuple(os.path.join(os.path.realpath(top), "") for top in tops)
    return sorted(
        {one.folder for one in packages if not os.path.join(os.path.realpath(one.folder), "").startswith(below)}
    )
