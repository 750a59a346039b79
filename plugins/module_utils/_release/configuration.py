# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the next release takes along, /etc/SHOP, written as one set. This file is PRIVATE to the collection.

A new set is written aside as a whole and then gets the name that counts in one rename(2): from then on it is the
configuration, whatever of it has reached /etc/SHOP. So a run that is killed at any point leaves the old set or the new
one, and the next one finishes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import filecmp
import grp
import os
import stat
from dataclasses import dataclass, replace
from typing import Iterator, Optional, Sequence

from .._core import files as _files
from .._core.errors import SlipwayError
from .state.layout import Layout
from .state.store import remove

# Folders of /etc/SHOP that have no other files than those of the set; what is below their subfolders stays.
FOLDERS = {"config": 0o750, "credentials": 0o750, "units": 0o755}
_PUBLIC = "units"
_NEXT = os.path.join("slipway", "next")


@dataclass(frozen=True)
class File:
    """One file of the set; name is its path below /etc/SHOP, and group is root's where it is empty."""

    name: str
    content: str
    mode: int = 0o640
    group: str = ""
    secret: bool = False


@dataclass(frozen=True)
class Change:
    """None stands for a file that is not there."""

    path: str
    before: Optional[str]
    after: Optional[str]
    secret: bool

    def diff(self) -> dict[str, str]:
        hidden = "(secret)\n" if self.secret else None
        return {
            "before_header": self.path,
            "after_header": self.path,
            "before": hidden or self.before or "",
            "after": hidden or self.after or "",
        }


def source(layout: Layout) -> Layout:
    """Where the configuration is: beside /etc/SHOP as long as it has not reached it as a whole."""
    aside = replace(layout, config_root=os.path.join(layout.config_root, _NEXT))
    return aside if os.path.isdir(aside.config) else layout


def _paths(folder: str) -> Iterator[str]:
    """The regular files below the folder, relative to it."""
    for base, _folders, names in os.walk(folder):
        for name in names:
            path = os.path.join(base, name)
            if os.path.isfile(path) and not os.path.islink(path):
                yield os.path.relpath(path, folder)


def _group(name: str) -> int:
    """-1 where it is not said, or nobody has created it yet, as in check mode."""
    try:
        return grp.getgrnam(name).gr_gid if name else -1
    except KeyError:
        return -1


def members(layout: Layout) -> list[str]:
    """What is in /etc/SHOP that a set would replace or remove."""
    names = ["environment"] if os.path.lexists(os.path.join(layout.config, "environment")) else []
    return [os.path.join(layout.config, name) for name in [*names, *_surplus(layout.config, set())]]


def changes(layout: Layout, files: Sequence[File]) -> list[Change]:
    """What differs in /etc/SHOP; raise where something else than a file has the place of one."""
    found = [_change(os.path.join(layout.config, file.name), file) for file in files]
    wanted = {file.name for file in files}
    removed = [os.path.join(layout.config, name) for name in _surplus(layout.config, wanted)]
    return [
        *(change for change in found if change is not None),
        *(Change(path, _files.text(path), None, secret=True) for path in removed),
    ]


def _change(path: str, file: File) -> Optional[Change]:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return Change(path, None, file.content, file.secret)
    if not stat.S_ISREG(status.st_mode):
        raise SlipwayError("not_a_file", f"{path} is there, and is not a regular file.", "move it away")
    with open(path, encoding="utf-8", errors="replace", newline="") as stream:
        before = stream.read()
    owned = status.st_uid == os.geteuid() and _group(file.group) in (-1, status.st_gid)
    same = owned and (before, stat.S_IMODE(status.st_mode)) == (file.content, file.mode)
    return None if same else Change(path, before, file.content, file.secret)


def _surplus(folder: str, wanted: set[str]) -> list[str]:
    """The files of the set's folders that are none of it."""
    surplus = []
    for name in FOLDERS:
        with contextlib.suppress(FileNotFoundError):
            files_there = [e for e in os.scandir(os.path.join(folder, name)) if not e.is_dir(follow_symlinks=False)]
            surplus += [os.path.join(name, entry.name) for entry in files_there]
    return sorted(set(surplus) - wanted)


@contextlib.contextmanager
def _alone(layout: Layout) -> Iterator[str]:
    """The folder of all sets that are under way, for one run at a time."""
    folder = os.path.join(layout.config_root, _NEXT)
    _files.make_directory(os.path.dirname(folder), 0o755)
    _files.make_directory(folder, 0o700)
    descriptor = os.open(os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        os.close(descriptor)


def write(layout: Layout, files: Sequence[File], group: str) -> list[Change]:
    """Make /etc/SHOP this set, as one step; group may enter it. Return what changed."""
    with _alone(layout) as folder:
        _finish(layout, folder)
        changed = changes(layout, files)
        if changed:
            draft = os.path.join(folder, f".{layout.name}.new")
            remove(draft)
            _draft(layout, draft, files, group)
            os.rename(draft, os.path.join(folder, layout.name))
            _files.fsync_directory(folder)
            _finish(layout, folder)
        return changed


def finish(layout: Layout) -> None:
    """Bring a set that a killed run has left to where it belongs."""
    if source(layout) is not layout:
        with _alone(layout) as folder:
            _finish(layout, folder)


def _draft(layout: Layout, draft: str, files: Sequence[File], group: str) -> None:
    """The whole set aside, with what is not the set's and a release takes along all the same."""
    _files.make_directory(draft, 0o750, known_group(group))
    for name, mode in FOLDERS.items():
        gid = -1 if name == _PUBLIC else known_group(group)
        _files.make_directory(os.path.join(draft, name), mode, gid)
    for file in files:
        _files.write_new(os.path.join(draft, file.name), file.content, file.mode, known_group(file.group))
    for name in _paths(layout.config):
        if name.split(os.sep)[0] in FOLDERS and name.count(os.sep) > 1:
            _copy(os.path.join(layout.config, name), os.path.join(draft, name))
    for base, _folders, _names in os.walk(draft):
        _files.fsync_directory(base)


def known_group(name: str) -> int:
    """Its number, -1 where none is named."""
    gid = _group(name)
    if name and gid == -1:
        raise SlipwayError(
            "no_group",
            f"the group {name!r} of service_group is not on this host.",
            "create it, or correct service_group",
        )
    return gid


def _copy(path: str, target: str) -> None:
    status = os.stat(path)
    parent = os.path.dirname(target)
    if not os.path.isdir(parent):
        above = os.stat(os.path.dirname(path))
        _files.make_directory(parent, stat.S_IMODE(above.st_mode), above.st_gid)
    _files.copy_hashed(path, target, stat.S_IMODE(status.st_mode), status.st_gid)


def _finish(layout: Layout, folder: str) -> None:
    pending, old = os.path.join(folder, layout.name), os.path.join(folder, f".{layout.name}.old")
    if os.path.isdir(pending):
        _admit(layout.config, os.stat(pending))
        for name in FOLDERS:
            status = os.stat(os.path.join(pending, name))
            _files.make_directory(os.path.join(layout.config, name), stat.S_IMODE(status.st_mode), status.st_gid)
        names = set(_paths(pending))
        for name in sorted(names):
            _install(os.path.join(pending, name), os.path.join(layout.config, name))
        for name in [*_surplus(layout.config, names), *_drafts(layout.config)]:
            os.unlink(os.path.join(layout.config, name))
        for name in ("", *FOLDERS):
            _files.fsync_directory(os.path.join(layout.config, name))
        remove(old)
        os.rename(pending, old)
        _files.fsync_directory(folder)
    remove(old)
    remove(os.path.join(folder, f".{layout.name}.new"))


def _admit(path: str, wanted: os.stat_result) -> None:
    """Make the directory; one that is there may be others', too, and keeps rights with which the service can use it."""
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(path, follow_symlinks=False)
        enters = status.st_mode & 0o001 or (status.st_gid == wanted.st_gid and status.st_mode & 0o010)
        if stat.S_ISDIR(status.st_mode) and enters and not status.st_mode & 0o022:
            return
    _files.make_directory(path, stat.S_IMODE(wanted.st_mode), wanted.st_gid)


def _drafts(folder: str) -> list[str]:
    """What a killed run has left half-written outside the set's folders."""
    return [name for name in os.listdir(folder) if name.startswith("environment.tmp-")]


def _install(path: str, target: str) -> None:
    """Replace the target as a whole, where it differs."""
    status = os.stat(path)
    with contextlib.suppress(FileNotFoundError):
        present = os.lstat(target)
        same = (present.st_mode, present.st_uid, present.st_gid) == (status.st_mode, status.st_uid, status.st_gid)
        if same and filecmp.cmp(path, target, shallow=False):
            return
    draft = f"{target}.tmp-{os.getpid()}"
    remove(draft)
    _copy(path, draft)
    os.rename(draft, target)
