# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One pull: fetch, verify, choose, remember, and run Ansible on this host. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from dataclasses import dataclass
from typing import Callable, Iterator, Mapping, NamedTuple, Optional, Sequence, TypeVar

from .._core import command, files
from .._core.errors import SlipwayError
from . import accepted as state
from . import branches, waves
from .accepted import Accepted
from .repository import Repository, Signed, short
from .settings import Settings

ROOT = "/var/lib/slipway-pull"
IN_USE = "pull_in_use"
_INVENTORY_SECONDS = 120.0
# A host in the tree that ansible-inventory prints; a group begins with an @.
_HOST = re.compile(r"^[ |]*\|--([^@].*)$", re.MULTILINE)
_Found = TypeVar("_Found")

# Starts Ansible with these arguments, in that folder with those variables, and says how it ended.
# kept: an open file that it keeps open as well.
Start = Callable[[Sequence[str], str, Mapping[str, str], int], int]


@dataclass(frozen=True)
class Place:
    root: str = ROOT

    @property
    def lock(self) -> str:
        return os.path.join(self.root, "lock")

    @property
    def repository(self) -> str:
        return os.path.join(self.root, "repository.git")

    @property
    def checkout(self) -> str:
        return os.path.join(self.root, "checkout")

    @property
    def accepted(self) -> str:
        return os.path.join(self.root, "accepted.json")

    @property
    def own_inventory(self) -> str:
        return os.path.join(self.root, "self.yml")


class Found(NamedTuple):
    """head: the newest commit. chosen: the one for this host, where there is one."""

    head: Signed
    chosen: Optional[Signed]


def pull(settings: Settings, say: Callable[[str], None], place: Place, check: bool, start: Start) -> None:
    """Bring this host to the newest signed commit that is for it; raise where that did not come through.

    check: Ansible runs in check mode, and nothing is remembered.
    """
    files.make_directory(place.root, 0o700)
    with _alone(place.lock) as kept:
        repository = Repository(place.repository, settings.environment)
        before = state.load(place.accepted)
        head, chosen = _from_sound_copy(repository, settings, lambda: _find(repository, before, settings))
        where = f"{settings.branch} is at {short(head.commit)}, signed by {head.signer}"
        if chosen is None:
            if not check:
                state.save(place.accepted, Accepted(head.commit, before.commit))
            say(f"{where}; no commit of it is for wave {settings.wave} so far, and nothing was run")
            return
        of_wave = f", which is in wave {settings.wave}" if settings.wave else ""
        say(f"{where}: running {settings.playbook} of {short(chosen.commit)} on {settings.host}{of_wave}")
        if not check:
            state.save(place.accepted, Accepted(head.commit, chosen.commit))
        commit = chosen.commit
        _from_sound_copy(repository, settings, lambda: repository.export(commit, place.checkout))
        _apply(settings, place, chosen, check, start, kept)
        say(f"{short(chosen.commit)} is {'checked' if check else 'applied'}")


@contextlib.contextmanager
def _alone(path: str) -> Iterator[int]:
    """No second pull at the same time; the lock ends with this process and with the Ansible that it has started."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SlipwayError(
                IN_USE,
                "another pull of this host is running, or the Ansible that it has started.",
                "wait until it has ended: systemctl status slipway-pull.service",
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def _from_sound_copy(repository: Repository, settings: Settings, step: Callable[[], _Found]) -> _Found:
    """What the step finds in the copy of the repository; if that fails and the copy is damaged, in a new one."""
    try:
        return step()
    except SlipwayError:
        if not repository.is_damaged():
            raise
    repository.remove()
    repository.fetch(settings.repository, settings.branch)
    return step()


def _find(repository: Repository, before: Accepted, settings: Settings) -> Found:
    head = repository.verify(repository.fetch(settings.repository, settings.branch), settings.signers)
    _require_progress(repository, head.commit, before, settings)
    _require_branch(repository, head.commit, settings)
    chosen = _choose(repository, head, before, settings)
    if chosen is not None and chosen != head:
        _require_branch(repository, chosen.commit, settings)
    return Found(head, chosen)


def _require_progress(repository: Repository, head: str, before: Accepted, settings: Settings) -> None:
    """Refuse what was signed once and is older than what this host has, and a history that was written anew."""
    floors = {"accepted before": before.head, "begun last": before.commit, "in pull_at_least": settings.at_least}
    for what, floor in floors.items():
        if not repository.descends(head, floor):
            raise SlipwayError(
                "pull_replayed",
                f"{settings.branch} is at {short(head)}, which does not descend from {short(floor)}, "
                f"the commit {what}.",
                "find out who has moved the branch back, then push a signed commit that descends from "
                f"{short(floor)}: to go back to an earlier state, revert to it in a new commit",
            )


def _require_branch(repository: Repository, commit: str, settings: Settings) -> None:
    """Refuse what was signed for another branch: whoever may push can move this one there."""
    content = repository.content(commit, branches.FILE)
    if not branches.is_for(content, settings.branch):
        named = ", ".join(branches.parse(content) or []) or "no branch"
        raise SlipwayError(
            "pull_other_branch",
            f"commit {short(commit)} is for {named} by its file {branches.FILE}, and this host pulls "
            f"{settings.branch}.",
            f"find out who has moved {settings.branch}, then push a signed commit whose file {branches.FILE} has "
            f"{settings.branch} on a line of its own",
        )


def _choose(repository: Repository, head: Signed, before: Accepted, settings: Settings) -> Optional[Signed]:
    """The commit for this host's wave, and never one before that which it has begun."""
    if not settings.wave:
        return head
    line = list(repository.line(head.commit))
    if line[0].wave is None:
        raise SlipwayError(
            "pull_no_wave",
            f"pull_wave is {settings.wave}, and commit {short(head.commit)} has no number in a file {waves.FILE}.",
            f"push a signed commit whose file {waves.FILE} has the number of the last wave that it is for",
        )
    chosen = waves.choose(line, settings.wave)
    if chosen is None or not repository.descends(chosen, before.commit):
        chosen = before.commit or None
    if chosen == head.commit:
        return head
    return repository.verify(chosen, settings.signers) if chosen else None


def _apply(settings: Settings, place: Place, chosen: Signed, check: bool, start: Start, kept: int) -> None:
    variables = {
        "HOME": "/root",
        "PYTHONUNBUFFERED": "1",
        "SLIPWAY_PULL_JOB": f"pull of {short(chosen.commit)} of {settings.branch}",
        "SLIPWAY_PULL_SIGNER": chosen.signer,
        **settings.environment,
    }
    _require_host(settings, place, chosen, variables)
    # What is said here is for this host alone: a task that is delegated to another one still goes there.
    own = {"ansible_connection": "local", "ansible_python_interpreter": "/usr/bin/python3"}
    files.write_atomic(place.own_inventory, json.dumps({"all": {"hosts": {settings.host: own}}}) + "\n", 0o600)
    argv = [
        *(settings.ansible, "-i", settings.inventory, "-i", place.own_inventory),
        *("--limit", settings.host, *(["--check"] if check else []), "--", settings.playbook),
    ]
    code = start(argv, place.checkout, variables, kept)
    if code != 0:
        raise SlipwayError(
            "pull_failed",
            f"{settings.playbook} of {short(chosen.commit)} ended with {code}.",
            "see above what has failed, and push a signed commit that corrects it",
        )


def _require_host(settings: Settings, place: Place, chosen: Signed, variables: Mapping[str, str]) -> None:
    """A host that the inventory does not have would run the playbook without its variables.

    Ansible makes up a localhost, and takes a group for its hosts: so the name has to be among those of the inventory.
    They are asked for without variables, as those of other hosts may be encrypted with what this host does not have.
    """
    program = os.path.join(os.path.dirname(settings.ansible), "ansible-inventory")
    argv = [program, "-i", settings.inventory, "--graph"]
    done = command.run(argv, _INVENTORY_SECONDS, variables=variables, folder=place.checkout)
    if done.code == 0 and settings.host in _HOST.findall(done.text):
        return
    told = [line.strip() for line in done.errors.decode(errors="replace").splitlines() if line.strip()]
    where = f"{settings.inventory} of {short(chosen.commit)}"
    raise SlipwayError(
        "pull_unknown_host",
        f"{where} has no host {settings.host}, or cannot be read: {told[-1].rstrip('.')}."
        if told
        else f"{where} has no host {settings.host}.",
        f"add {settings.host} to it in a signed commit, or set pull_host to the name that it has there",
    )
