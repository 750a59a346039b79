# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths that lead where root meant them to, whatever their owners do meanwhile. This file is PRIVATE to the collection.

Root writes below directories of users, such as ~/.ssh. A user who puts a symbolic link in the way would choose what
root writes: only links that nobody but root can have put there are followed, and what is then open stays the same.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import Iterator, Optional

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40


class UnsafePath(OSError):
    """A link that a user may have put there is part of the path, or something else that is no directory.

    step: the name of that part.
    """

    def __init__(self, path: str, name: str, what: str = "a link") -> None:
        super().__init__(errno.ELOOP, f"{name} is {what} in a directory that is not root's alone", path)
        self.step = name


def _trusted(uid: int) -> bool:
    return uid in (0, os.geteuid())


def _only_roots(folder: int) -> bool:
    status = os.fstat(folder)
    return _trusted(status.st_uid) and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _step(here: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _FOLDER, dir_fd=here)
    except FileNotFoundError:
        if not make:
            raise
    with contextlib.suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=here)
    return os.open(name, _FOLDER, dir_fd=here)


def _link(here: int, name: str) -> Optional[os.stat_result]:
    with contextlib.suppress(FileNotFoundError):
        status = os.stat(name, dir_fd=here, follow_symlinks=False)
        return status if stat.S_ISLNK(status.st_mode) else None
    return None


def open_folder(path: str, make: bool = False) -> int:
    """Open a directory, one component after the other; make those that are missing if asked to."""
    ahead, links = path.split("/")[::-1], 0
    here = os.open("/", _FOLDER)
    try:
        while ahead:
            name = ahead.pop()
            if name in ("", "."):
                continue
            link = _link(here, name)
            if link is None:
                try:
                    here = _replace(here, _step(here, name, make))
                except NotADirectoryError:
                    if _only_roots(here):
                        raise
                    raise UnsafePath(path, name, "no directory") from None
                continue
            links += 1
            if links > _MOST_LINKS or not (_trusted(link.st_uid) and _only_roots(here)):
                raise UnsafePath(path, name)
            target = os.readlink(name, dir_fd=here)
            ahead += target.split("/")[::-1]
            if target.startswith("/"):
                here = _replace(here, os.open("/", _FOLDER))
        return here
    except BaseException:
        os.close(here)
        raise


def _replace(descriptor: int, by: int) -> int:
    os.close(descriptor)
    return by


@contextlib.contextmanager
def opened_folder(path: str) -> Iterator[int]:
    """The directory at path, which must be one and no link to one."""
    descriptor = os.open(path, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def within(folder: int, name: str = "") -> str:
    """A path into this very directory, for what takes no descriptor."""
    return f"/proc/self/fd/{folder}/{name}"
