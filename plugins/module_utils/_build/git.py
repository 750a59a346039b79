# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What git says of the source. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import NamedTuple, Optional

from .._core import command
from .._core.errors import SlipwayError
from .commands import NETWORK

_DESCRIBE = ("describe", "--tags", "--always", "--match", "v[0-9]*", "--match", "[0-9]*")


class Checkout(NamedTuple):
    """top: the folder of the working tree. described: its version as `git describe` says it."""

    top: str
    commit: str
    time: int
    branch: str
    modified: bool
    described: str


def _git(folder: str, *arguments: str) -> command.Finished:
    return command.run(["git", "-C", folder, *arguments], variables=_variables())


def _variables() -> dict[str, str]:
    return {"GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "HOME": os.environ.get("HOME", "/")}


def _network() -> dict[str, str]:
    """SSH must not ask either: nobody would answer."""
    given = {name: os.environ[name] for name in NETWORK if os.environ.get(name)}
    return {"GIT_SSH_COMMAND": "ssh -o BatchMode=yes", **given}


def _answer(folder: str, *arguments: str) -> str:
    done = _git(folder, *arguments)
    return done.text.strip() if done.code == 0 else ""


def is_below_repository(folder: str) -> bool:
    """Whether the folder or one above it has the look of a working tree."""
    while not os.path.exists(os.path.join(folder, ".git")):
        above = os.path.dirname(folder)
        if above == folder:
            return False
        folder = above
    return True


def read(folder: str) -> Optional[Checkout]:
    """None where the folder belongs to no repository, or to one without a commit."""
    if not is_below_repository(folder):
        return None
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
    except command.MissingProgram:
        raise SlipwayError(
            "build_no_git",
            f"{folder} is in a repository of git, and this host has no git to read it.",
            "install git on the host that builds",
        ) from None
    if top.code != 0:
        raise SlipwayError(
            "build_no_git",
            f"git does not read the repository of {folder}: {_last_line(top.complaint)}.",
            "let the user who builds own the repository, or list it as safe.directory in that user's ~/.gitconfig",
        )
    commit = _answer(folder, "rev-parse", "--verify", "-q", "HEAD^{commit}")
    if not commit:
        return None
    return Checkout(
        top.text.rstrip("\n"),
        commit,
        int(_answer(folder, "show", "-s", "--format=%ct", commit) or 0),
        _answer(folder, "symbolic-ref", "-q", "--short", "HEAD"),
        bool(_answer(folder, "status", "--porcelain")),
        _answer(folder, *_DESCRIBE),
    )


def _last_line(text: str) -> str:
    return (text.splitlines() or ["no reason given"])[0].rstrip(".")


def find_commit(folder: str, ref: str) -> str:
    """The commit that a tag, a branch or a commit's name means; empty where the repository has none of that name."""
    return _answer(folder, "rev-parse", "--verify", "-q", f"{ref}^{{commit}}")


def require_commit(folder: str, ref: str) -> str:
    """The same, where build_ref has to be one."""
    commit = find_commit(folder, ref)
    if not commit:
        raise SlipwayError(
            "build_unknown_ref",
            f"build_ref is {ref!r}, which is no commit in the repository of {folder}.",
            "fetch it into that repository, or name a tag, a branch or a commit that it has",
        )
    return commit


def is_branch(folder: str, ref: str) -> bool:
    return bool(_answer(folder, "rev-parse", "--verify", "-q", f"refs/heads/{ref}"))


def is_tag(folder: str, ref: str) -> bool:
    return bool(ref and _answer(folder, "rev-parse", "--verify", "-q", f"refs/tags/{ref}"))


def tag_here(folder: str) -> str:
    """The tag of the commit that is checked out; empty where it has none."""
    return _answer(folder, "describe", "--tags", "--exact-match", "HEAD")


def origin(folder: str) -> str:
    """The URL that the repository was cloned from; empty where there is none."""
    return _answer(folder, "remote", "get-url", "origin")


def is_ignored(folder: str, path: str) -> bool:
    return _git(folder, "check-ignore", "-q", "--", path).code == 0


def clone(top: str, commit: str, target: str) -> None:
    """A working tree of its own at that commit; the repository itself is only read."""
    _git("/", "clone", "-q", "--shared", "--no-checkout", "--", top, target).require_success()
    check_out(target, commit)


def fetch(url: str, target: str, seconds: float) -> command.Finished:
    """The repository at that URL without a working tree yet; nobody is asked for a password."""
    return command.run(
        ["git", "clone", "-q", "--no-checkout", "--", url, target], seconds, variables={**_variables(), **_network()}
    )


def check_out(folder: str, commit: str) -> None:
    _git(folder, "checkout", "-q", "--detach", commit).require_success()
