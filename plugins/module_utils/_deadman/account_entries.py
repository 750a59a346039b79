# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The entries of one account in passwd and its companions, saved and put back line by line. PRIVATE to the collection.

Files put back as a whole would undo what others have changed meanwhile. usermod would show the hash of the password to
every user of the host, as one of its arguments, and does not know every field.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Any, Dict, Iterator, List

Saved = Dict[str, Any]
Lines = List[str]

FOLDER = "/etc"
_FILES = ("passwd", "shadow", "subuid", "subgid", "group", "gshadow")
_GROUPS = ("group", "gshadow")
_PATIENCE = 30.0  # seconds for useradd, usermod, passwd and the like to end


def save(name: str, folder: str = FOLDER) -> Saved:
    """What says something about this account, group by group."""
    files = {file: _read(os.path.join(folder, file)) for file in _FILES}
    return {
        "name": name,
        "own": {file: _own(lines, name) for file, lines in files.items()},
        "groups": {file: [_key(line) for line in files[file] if name in _members(line)] for file in _GROUPS},
    }


def put_back(saved: Saved, folder: str = FOLDER) -> list[str]:
    """Have the account what it had, and nothing that it did not have; return the files that had to be changed."""
    changed = []
    with _locked(folder):
        for file in _FILES:
            path = os.path.join(folder, file)
            before = _read(path)
            after = _restored(before, file, saved)
            if after != before:
                _replace(path, after)
                changed.append(path)
    return changed


def _restored(lines: Lines, file: str, saved: Saved) -> Lines:
    name, had = saved["name"], saved["own"][file]
    now = _own(lines, name)
    # A group may have got other members meanwhile, who keep it.
    wanted = now if file in _GROUPS and had and now else had
    if wanted != now:
        place = next((n for n, line in enumerate(lines) if _key(line) == name), len(lines))
        others = [line for line in lines if _key(line) != name]
        lines = [*others[:place], *wanted, *others[place:]]
    if file in _GROUPS:
        lines = [_with_member(line, name, _key(line) in saved["groups"][file]) for line in lines]
    return lines


def _with_member(line: str, name: str, wanted: bool) -> str:
    members = _members(line)
    if (name in members) == wanted:
        return line
    members = [*members, name] if wanted else [member for member in members if member != name]
    return ":".join([*line.split(":")[:3], ",".join(members)])


def _members(line: str) -> list[str]:
    fields = line.split(":")
    return [member for member in fields[3].split(",") if member] if len(fields) == 4 else []


def _key(line: str) -> str:
    return line.partition(":")[0]


def _own(lines: Lines, name: str) -> Lines:
    return [line for line in lines if _key(line) == name]


def _read(path: str) -> Lines:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as stream:
            return stream.read().splitlines()
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[None]:
    """Hold the lock of lckpwdf(3), which whoever changes accounts takes."""
    descriptor = os.open(os.path.join(folder, ".pwd.lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + _PATIENCE
    try:
        while True:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _replace(path: str, lines: Lines) -> None:
    """As it was but for its lines: shadow must keep its group and its label."""
    aside = f"{path}.slipway-revert"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape"))
        stream.flush()
        with contextlib.suppress(FileNotFoundError):
            _like(path, descriptor)
        os.fsync(descriptor)
    os.rename(aside, path)
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _like(path: str, descriptor: int) -> None:
    status = os.stat(path)
    os.fchown(descriptor, status.st_uid, status.st_gid)
    os.fchmod(descriptor, status.st_mode & 0o7777)
    with contextlib.suppress(OSError):
        for name in os.listxattr(path):
            os.setxattr(descriptor, name, os.getxattr(path, name))
