# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The host's copy of the repository, without a working tree. This file is PRIVATE to the collection.

Whatever was fetched is untrusted until its signature has been verified: nothing of it is written to a file before, and
git runs no hook, no filter of the repository and no program but SSH's own for signatures.
"""

from __future__ import annotations

import contextlib
import os
import re
from typing import Iterator, Mapping, NamedTuple, Optional

from .._core import command, files
from .._core.errors import SlipwayError
from .settings import shown
from .waves import FILE, Candidate, parse

FETCHED = "refs/slipway/fetched"
# Only SSH keys count: the keyring of GPG holds keys that somebody has imported for something else.
_SAFE = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.fsync": "all",
    "fetch.recurseSubmodules": "false",
    "gc.autoDetach": "false",
    "gpg.minTrustLevel": "fully",
    "gpg.program": "false",
    "gpg.ssh.program": "ssh-keygen",
    "gpg.x509.program": "false",
    "maintenance.autoDetach": "false",
    "http.lowSpeedLimit": "100",
    "http.lowSpeedTime": "60",
}
_ENVIRONMENT = {
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_SSH_COMMAND": "ssh -o BatchMode=yes -o ConnectTimeout=30 -o ServerAliveInterval=15",
    "GIT_TERMINAL_PROMPT": "0",
    "HOME": "/root",
}
_FETCH_SECONDS = 900.0
# Of a branch with waves, so many commits are looked at.
_FAR = 1000
_SIGNER = re.compile(r'^Good "git" signature for (.+) with \S+ key \S+$', re.MULTILINE)
_ENTRY = re.compile(rb"[0-9a-f]+ (\w+) (\d+)")


class Signed(NamedTuple):
    """A commit whose signature holds. signer: the name that the file of allowed signers gives its key."""

    commit: str
    signer: str


class Repository:
    def __init__(self, path: str, environment: Optional[Mapping[str, str]] = None) -> None:
        self._path = path
        self._variables = {**_ENVIRONMENT, **(environment or {})}

    def _git(
        self,
        *arguments: str,
        seconds: float = command.SECONDS,
        source: bytes = b"",
        more: Optional[Mapping[str, str]] = None,
        index: str = "",
    ) -> command.Finished:
        options = [part for item in {**_SAFE, **(more or {})}.items() for part in ("-c", "=".join(item))]
        variables = {**self._variables, **({"GIT_INDEX_FILE": index} if index else {})}
        argv = ["git", *options, f"--git-dir={self._path}", *arguments]
        try:
            return command.run(argv, seconds, variables=variables, source=source)
        except command.TimeLimitPassed:
            raise command.TimeLimitPassed(argv[:1], seconds) from None

    def fetch(self, url: str, branch: str) -> str:
        """The newest commit of the branch, with its history."""
        if not os.path.isdir(self._path):
            self._create()
        self._forget_locks()
        refspec = f"+refs/heads/{branch}:{FETCHED}"
        done = self._git("fetch", "--quiet", "--no-tags", "--", url, refspec, seconds=_FETCH_SECONDS)
        if done.code != 0:
            complaint = _first_line(done.complaint).replace(url, shown(url))
            raise SlipwayError(
                "pull_not_fetched",
                f"branch {branch} of {shown(url)} could not be fetched: {complaint}.",
                "see that this host reaches that address and may read the repository, then run sudo slipway pull",
            )
        found = self._git("rev-parse", "--verify", f"{FETCHED}^{{commit}}")
        return _require(found, f"the newest commit of {branch}").text.strip()

    def _create(self) -> None:
        argv = ["git", "init", "--quiet", "--bare", "--template=", self._path]
        command.run(argv, variables=self._variables).require_success()

    def _forget_locks(self) -> None:
        """Those of a git that was killed; no other runs here, as this run has the lock of all pulls."""
        for folder, _folders, names in os.walk(self._path):
            for name in names:
                if name.endswith(".lock"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(os.path.join(folder, name))

    def is_damaged(self) -> bool:
        """Whether an object of the copy is lost or is not what its name says, as after a power cut."""
        if not os.path.isdir(self._path):
            return False
        try:
            done = self._git("fsck", "--no-dangling", "--no-progress", seconds=_FETCH_SECONDS)
        except command.TimeLimitPassed:
            return False
        return done.code != 0

    def remove(self) -> None:
        files.remove_tree(self._path)

    def verify(self, commit: str, signers: str) -> Signed:
        """Refuse a commit that no allowed key has signed."""
        done = self._git("verify-commit", commit, more={"gpg.ssh.allowedSignersFile": signers})
        found = _SIGNER.search(done.errors.decode(errors="replace"))
        if done.code != 0 or found is None:
            raise SlipwayError(
                "pull_not_signed",
                f"commit {short(commit)} has no valid signature by a key of {signers}: "
                f"{_first_line(done.complaint, 'it is not signed')}.",
                "sign the newest commit of the branch with an SSH key that pull_signers lists, and push it",
            )
        return Signed(commit, found.group(1))

    def descends(self, commit: str, ancestor: str) -> bool:
        """Whether the commit is that one, or comes after it. One that this repository does not have is no ancestor."""
        return not ancestor or self._git("merge-base", "--is-ancestor", ancestor, commit).code == 0

    def line(self, head: str) -> Iterator[Candidate]:
        """The branch from its newest commit backwards, each with the wave that it is for. Merges count as one step."""
        what = f"the line of commits before {short(head)}"
        told = _require(self._git("rev-list", "--first-parent", f"--max-count={_FAR}", head), what)
        commits = told.text.split()
        wanted = "".join(f"{commit}:{FILE}\n" for commit in commits).encode()
        answers = _require(self._git("cat-file", "--batch", source=wanted), what)
        return map(Candidate, commits, map(parse, _contents(answers.output)))

    def content(self, commit: str, name: str) -> Optional[bytes]:
        """What the file has in that commit; None where there is no such file."""
        what = f"the file {name} of commit {short(commit)}"
        answers = _require(self._git("cat-file", "--batch", source=f"{commit}:{name}\n".encode()), what)
        return next(_contents(answers.output), None)

    def export(self, commit: str, folder: str) -> None:
        """The files of that commit in a folder that holds nothing else."""
        made, index = f"{folder}.new", f"{self._path}/slipway-index"
        for old in (made, folder):
            files.remove_tree(old)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(index)
        files.make_directory(made, 0o700)
        what = f"the files of commit {short(commit)}"
        _require(self._git("read-tree", commit, index=index), what)
        _require(self._git(f"--work-tree={made}", "checkout-index", "--all", "--force", index=index), what)
        os.rename(made, folder)


def short(commit: str) -> str:
    return commit[:12]


def _first_line(text: str, otherwise: str = "no reason given") -> str:
    lines = [line.strip() for line in text.splitlines()]
    told = [line for line in lines if line and not line.startswith(("Good ", "warning:"))]
    return (told or [otherwise])[0].rstrip(".")


def _require(done: command.Finished, what: str) -> command.Finished:
    """Raise unless git has ended well. What it cannot read of the copy, it answers as if it had never been there."""
    told = done.errors.decode(errors="replace").splitlines()
    if done.code != 0 or any(line.startswith("error: ") for line in told):
        raise SlipwayError(
            "command_failed",
            f"git could not read {what}: {_first_line(done.complaint)}.",
            "see that the disk of this host is sound and has space, then run sudo slipway pull",
        )
    return done


def _contents(answers: bytes) -> Iterator[Optional[bytes]]:
    """What `git cat-file --batch` says of each object: its content, or None where there is no file.

    Any other answer, such as that a name is missing or ambiguous, is one line.
    """
    while answers:
        head, _newline, answers = answers.partition(b"\n")
        found = _ENTRY.fullmatch(head)
        if found is None:
            yield None
            continue
        size = int(found.group(2))
        yield answers[:size] if found.group(1) == b"blob" else None
        answers = answers[size + 1 :]
