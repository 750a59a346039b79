# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The state of armed changes on disk: one directory each, which appears and disappears by rename(2). PRIVATE.

Whoever arms, confirms or takes back holds the flock of the name until all is cleared up.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from dataclasses import replace
from typing import Iterator, Optional, Sequence

from .._core import files
from .._core.errors import SlipwayError
from . import timer
from .model import BEGUN, KEPT, PLAN, RUNNER, STALE, TICKING, ArmedChange, System, from_json


def load(folder: str) -> Optional[ArmedChange]:
    for name in (PLAN, BEGUN):
        path = os.path.join(folder, name)
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), open(path, encoding="utf-8") as stream:
            is_ticking = os.path.exists(os.path.join(folder, TICKING))
            return from_json(json.load(stream), has_begun=name == BEGUN, is_ticking=is_ticking)
    return None


@contextlib.contextmanager
def alone(system: System, name: str) -> Iterator[None]:
    """Nobody else arms this name or ends it meanwhile."""
    descriptor = os.open(system.lock(name), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(system: System, name: str) -> Iterator[Optional[ArmedChange]]:
    """Yield what is armed, alone; None if nothing is."""
    if not os.path.isdir(system.folder(name)):
        yield None
        return
    with alone(system, name):
        yield load(system.folder(name))


def appear(system: System, name: str, aside: str) -> None:
    """What was written aside is armed from here on."""
    try:
        os.rename(aside, system.folder(name))
    except OSError:
        raise SlipwayError(
            "already_armed",
            f"another change of {name} waits to be confirmed, or is being taken back.",
            "wait until it is confirmed or taken back, then run this again",
        ) from None
    files.fsync_directory(system.root)


def disappear(system: System, name: str, keep: bool = False) -> None:
    """End the armed state in one rename, then clear up; what a crash leaves here does nothing any more.

    A boot unit that a power cut brings back has no program to run any more, and its condition says so.
    """
    gone = system.kept(name) if keep else os.path.join(system.root, f".{name}.gone")
    files.remove_tree(gone)
    os.rename(system.folder(name), gone)
    files.fsync_directory(system.root)
    timer.stop(system, name)
    for path in (system.boot_link(name), system.boot_unit(name), system.marker(name)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
            files.fsync_directory(os.path.dirname(path))
    if keep:
        os.unlink(os.path.join(gone, RUNNER))
    else:
        files.remove_tree(gone)


def begin_revert(folder: str) -> None:
    """From here on nobody can confirm it. rename(2) needs no space."""
    with contextlib.suppress(OSError):
        os.rename(os.path.join(folder, PLAN), os.path.join(folder, BEGUN))
        files.fsync_directory(folder)


def save_deadline(system: System, change: ArmedChange, deadline: float) -> None:
    path = os.path.join(system.folder(change.name), PLAN)
    files.write_atomic(path, json.dumps(replace(change, deadline=deadline).as_json()), 0o600)


def sweep(system: System, name: str) -> None:
    """What a crash has left of changes that never were armed, or have ended."""
    for entry in os.listdir(system.root):
        if entry.startswith(f".{name}."):
            files.remove_tree(os.path.join(system.root, entry))


def supersede(system: System, paths: Sequence[str], account: str) -> None:
    """What was taken back of these paths must not be taken back again: it would undo what is made of them now."""
    with alone(system, KEPT):
        for entry in os.listdir(system.root):
            folder = os.path.join(system.root, entry)
            kept = load(folder) if entry.endswith(KEPT) else None
            if kept and (_overlap(kept.paths, paths) or (account and account == kept.account_name)):
                try:
                    os.close(os.open(os.path.join(folder, STALE), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
                except OSError:
                    files.remove_tree(folder)


def is_stale(system: System, name: str) -> bool:
    """Whether somebody has changed since what was taken back."""
    return os.path.lexists(os.path.join(system.kept(name), STALE))


def _overlap(some: Sequence[str], others: Sequence[str]) -> bool:
    """Whether a path is also among the others, or above or below one of them."""
    return any(os.path.commonpath([one, other]) in (one, other) for one in some for other in others)
