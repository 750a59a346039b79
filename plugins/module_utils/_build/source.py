# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The source as it lies on the disk, and which state of it this is. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from typing import Any, Iterable, Iterator, NamedTuple, Optional

from .._core.errors import SlipwayError
from . import git, packages
from .commands import Stamp
from .packages import Package
from .request import AUTO, OFF, REFUSE, Request, is_word, read_time


class Tree(NamedTuple):
    """The source as it lies on the disk. top: all that belongs to it. folder: the module in it."""

    top: str
    folder: str
    checkout: Optional[git.Checkout]


@contextlib.contextmanager
def open_tree(request: Request) -> Iterator[Tree]:
    """The folder as it is, or the commit that was asked for in a working tree of its own."""
    source = os.path.normpath(request.source)
    if not os.path.isdir(source):
        raise SlipwayError(
            "build_no_source",
            f"build_source is {source}, and there is no such folder on the host that builds.",
            "set build_source to the folder of the module on that host",
        )
    if not request.ref:
        checkout = git.read(source)
        yield Tree(checkout.top if checkout else packages.find_module(source), source, checkout)
        return
    checkout = git.read(source)
    if checkout is None:
        raise SlipwayError(
            "build_unknown_ref",
            f"build_ref is set, and {source} is in no repository of git.",
            "leave build_ref out, or set build_source to a folder in a repository",
        )
    commit = git.require_commit(source, request.ref)
    with scratch_folder(request) as scratch:
        copy = os.path.join(scratch, "source")
        yield _cloned(request, checkout.top, commit, copy)


def _cloned(request: Request, top: str, commit: str, copy: str) -> Tree:
    git.clone(top, commit, copy)
    folder = _same_place(request.source, top, copy)
    if not os.path.isdir(folder):
        raise SlipwayError(
            "build_no_source",
            f"build_source is {request.source}, and the commit {request.ref} has no such folder.",
            "name a commit that has it in build_ref, or correct build_source",
        )
    checkout = git.read(copy)
    branch = request.ref if git.is_branch(top, request.ref) else ""
    return Tree(copy, folder, checkout._replace(branch=branch) if checkout else None)


@contextlib.contextmanager
def scratch_folder(request: Request) -> Iterator[str]:
    folder = os.path.join(request.cache, "work")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as scratch:
        yield os.path.realpath(scratch)


def require_usable(request: Request, tree: Tree) -> None:
    module = packages.find_module(tree.folder)
    if not module:
        raise SlipwayError(
            "build_no_source",
            f"build_source is {request.source}, and neither it nor a folder above it has a go.mod.",
            "set build_source to the folder of a Go module",
        )
    if request.mod == "vendor" and not _is_vendored(tree.top, module):
        raise SlipwayError(
            "build_no_vendor",
            f"build_mod is vendor, and {module} has no vendor/modules.txt.",
            "run go mod vendor and commit what it writes, or leave build_mod out",
        )
    if request.pgo not in (AUTO, OFF) and not os.path.isfile(os.path.join(tree.folder, request.pgo)):
        raise SlipwayError(
            "build_no_source",
            f"build_pgo is {request.pgo}, and build_source has no such file.",
            "give the profile's path below build_source, or leave build_pgo out",
        )
    if tree.checkout is not None:
        _require_clean(request, tree.checkout)
    elif request.vcs == "true":
        raise SlipwayError(
            "build_no_git",
            f"build_vcs is true, and {request.source} is in no repository of git with a commit.",
            "build from a repository, or leave build_vcs out",
        )


def _require_clean(request: Request, checkout: git.Checkout) -> None:
    dest = os.path.realpath(request.dest)
    top = os.path.join(os.path.realpath(checkout.top), "")
    if dest.startswith(top) and not git.is_ignored(checkout.top, os.path.join(dest, "artefact")):
        raise SlipwayError(
            "build_dest_in_source",
            f"build_dest is {request.dest}, in the repository, which git does not ignore: the artefacts would make "
            "it differ from its commit.",
            "add that folder to .gitignore and commit that, or set build_dest to a folder elsewhere",
        )
    if checkout.modified and request.dirty == REFUSE:
        raise SlipwayError(
            "build_dirty",
            f"the repository {checkout.top} has changes that are in no commit.",
            "commit or remove what git status lists, name a commit in build_ref, or set build_dirty: accept",
        )


def read_stamp(request: Request, tree: Tree) -> Stamp:
    checkout = tree.checkout
    version = request.version or (checkout.described if checkout else "")
    if not version:
        raise SlipwayError(
            "build_no_stamp",
            f"build_version is empty, and {request.source} is in no repository of git that tells one.",
            "set build_version or release_version",
        )
    if not is_word(version):
        raise SlipwayError(
            "build_no_stamp",
            f"the tag {version!r} cannot be a version: it is written into the program as one word.",
            "set build_version or release_version",
        )
    stated = request.time or os.environ.get("SOURCE_DATE_EPOCH", "")
    time = read_time(stated) if stated else checkout.time if checkout else None
    commit = request.commit or (checkout.commit if checkout else "")
    stamp = Stamp(version, commit, time, checkout.branch if checkout else "", bool(checkout and checkout.modified))
    for name in request.variables:
        if not stamp.value(name):
            raise SlipwayError(
                "build_no_stamp",
                f"build_variables has {name}, and {request.source} is in no repository of git that tells it.",
                f"set build_{name}, or take {name} out of build_variables",
            )
    return stamp


def copy_tree(request: Request, tree: Tree, used: Iterable[Package], place: str) -> str:
    """Put the same source at another path; return the folder of the module in it. used: what the program needs."""
    known = (tree.top, os.path.join(request.cache, "modules"))
    apart = packages.outside(used, known)
    if apart:
        raise SlipwayError(
            "build_outside_source",
            f"build_verify builds a copy of {tree.top}, and {apart[0]}, which the program needs, is outside of it.",
            "move it into the repository, or leave build_verify out",
        )
    if tree.checkout is not None and not tree.checkout.modified:
        git.clone(tree.top, tree.checkout.commit, place)
    else:
        shutil.copytree(tree.top, place, symlinks=True, ignore=_leave_out(request))
    return _same_place(tree.folder, tree.top, place)


def _same_place(folder: str, top: str, other: str) -> str:
    """Where the folder, which is below top, is below the other one."""
    return os.path.normpath(os.path.join(other, os.path.relpath(os.path.realpath(folder), os.path.realpath(top))))


def _is_vendored(top: str, module: str) -> bool:
    """A workspace has its folder vendor beside go.work."""
    return any(os.path.isfile(os.path.join(folder, "vendor", "modules.txt")) for folder in (module, top))


def _leave_out(request: Request) -> Any:
    """What is not source, where it lies inside of it: the artefacts and the caches."""
    skipped = {os.path.realpath(request.dest), os.path.realpath(request.cache)}

    def ignore(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if os.path.realpath(os.path.join(folder, name)) in skipped]

    return ignore
