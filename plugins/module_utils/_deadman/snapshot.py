# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Paths as they are, and put back as they were, by root below directories of users. PRIVATE to the collection."""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import shutil
import stat
from dataclasses import dataclass
from typing import Sequence, Union

from .._core import safe_paths
from .._core.errors import SlipwayError
from .model import Entry


def _xattrs(path: str) -> dict[str, str]:
    """Labels and access lists: a file that lost its SELinux label is as good as gone."""
    attributes: dict[str, str] = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(path, follow_symlinks=False):
            with contextlib.suppress(OSError):
                attributes[name] = base64.b64encode(os.getxattr(path, name, follow_symlinks=False)).decode()
    return attributes


def take(path: str) -> list[Entry]:
    """Describe path and, for a directory, all that is in it; parents come first."""
    try:
        folder = safe_paths.open_folder(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError):
        return [{"path": path, "kind": "absent"}]
    except safe_paths.UnsafePath as error:
        raise SlipwayError(
            "bent_path",
            f"{path} is not safe to write as root: {error.strerror}.",
            f"replace {error.step} by a directory",
        ) from None
    try:
        return _describe(path, safe_paths.within(folder, os.path.basename(path)))
    finally:
        os.close(folder)


def _describe(path: str, safe_path: str) -> list[Entry]:
    """safe_path leads to the very directory that is open; only path is for the record."""
    try:
        status = os.lstat(safe_path)
    except FileNotFoundError:
        return [{"path": path, "kind": "absent"}]
    entry: Entry = {"path": path, "uid": status.st_uid, "gid": status.st_gid, "xattrs": _xattrs(safe_path)}
    entry["mode"] = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode):
        return [{**entry, "kind": "link", "target": os.readlink(safe_path)}]
    if stat.S_ISREG(status.st_mode):
        return [{**entry, "kind": "file", "content": base64.b64encode(_content(safe_path, status)).decode()}]
    if stat.S_ISDIR(status.st_mode):
        with safe_paths.opened_folder(safe_path) as folder:
            inside = safe_paths.within(folder)
            below = [_describe(os.path.join(path, n), os.path.join(inside, n)) for n in sorted(os.listdir(inside))]
        return [{**entry, "kind": "directory"}, *(e for entries in below for e in entries)]
    raise SlipwayError("not_a_file", f"{path} is neither a file, a link nor a directory.", "leave it out")


def _content(safe_path: str, status: os.stat_result) -> bytes:
    """Of the very file that the status is of: another one in its place could be anybody's."""
    descriptor = os.open(safe_path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as stream:
        if not os.path.samestat(os.fstat(descriptor), status):
            raise OSError(errno.EAGAIN, "it was exchanged while it was read")
        return stream.read()


def _remove(safe_path: str) -> None:
    if os.path.isdir(safe_path) and not os.path.islink(safe_path):
        shutil.rmtree(safe_path)
    elif os.path.lexists(safe_path):
        os.unlink(safe_path)


def _label(target: Union[str, int], entry: Entry) -> None:
    for name, value in entry["xattrs"].items():
        with contextlib.suppress(OSError):
            os.setxattr(target, name, base64.b64decode(value), follow_symlinks=isinstance(target, int))


def _apply_metadata(descriptor: int, entry: Entry) -> None:
    os.fchown(descriptor, entry["uid"], entry["gid"])
    os.fchmod(descriptor, entry["mode"])
    _label(descriptor, entry)


def _restore_directory(entry: Entry, safe_path: str, expected: set[str]) -> bool:
    """Return whether it was missing or had what it is not to have."""
    missing = os.path.islink(safe_path) or not os.path.isdir(safe_path)
    if missing:
        _remove(safe_path)
        os.mkdir(safe_path, 0o700)
    with safe_paths.opened_folder(safe_path) as folder:
        surplus = [n for n in os.listdir(safe_paths.within(folder)) if os.path.join(entry["path"], n) not in expected]
        for name in surplus:
            _remove(safe_paths.within(folder, name))
        _apply_metadata(folder, entry)
    return missing or bool(surplus)


def _restore_file(entry: Entry, safe_path: str) -> None:
    if os.path.isdir(safe_path) and not os.path.islink(safe_path):
        shutil.rmtree(safe_path)
    # The dot keeps the name from being read: sudo, sshd, run-parts and others skip or do not match such files.
    aside = f"{safe_path}.slipway-revert"
    _remove(aside)
    if entry["kind"] == "link":
        os.symlink(entry["target"], aside)
        os.chown(aside, entry["uid"], entry["gid"], follow_symlinks=False)
        _label(aside, entry)
    else:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(base64.b64decode(entry["content"]))
            stream.flush()
            _apply_metadata(descriptor, entry)
            os.fsync(descriptor)
    os.rename(aside, safe_path)


def _is_as_it_was(entry: Entry, safe_path: str) -> bool:
    try:
        return _describe(entry["path"], safe_path)[0] == entry
    except SlipwayError:
        return False


def _restore_entry(entry: Entry, expected: set[str]) -> bool:
    """Return whether anything had to be changed."""
    if entry["kind"] == "absent":
        return _remove_path(entry["path"])
    folder = safe_paths.open_folder(os.path.dirname(entry["path"]), make=True)
    try:
        safe_path = safe_paths.within(folder, os.path.basename(entry["path"]))
        if entry["kind"] == "directory":
            changed = _restore_directory(entry, safe_path, expected)
        else:
            changed = not _is_as_it_was(entry, safe_path)
            if changed:
                _restore_file(entry, safe_path)
        if changed:
            os.fsync(folder)
        return changed
    finally:
        os.close(folder)


def _remove_path(path: str) -> bool:
    try:
        folder = safe_paths.open_folder(os.path.dirname(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        safe_path = safe_paths.within(folder, os.path.basename(path))
        exists = os.path.lexists(safe_path)
        if exists:
            _remove(safe_path)
            os.fsync(folder)
        return exists
    finally:
        os.close(folder)


@dataclass(frozen=True)
class Restored:
    """Paths that had to be changed, that could not be, and that a user has made lead elsewhere."""

    changed: Sequence[str]
    problems: Sequence[str]
    unsafe: Sequence[str]


def restore(entries: Sequence[Entry]) -> Restored:
    """Put every path back as it was."""
    expected = {entry["path"] for entry in entries}
    changed: list[str] = []
    problems: list[str] = []
    unsafe: list[str] = []
    for entry in entries:
        path = entry["path"]
        try:
            if _restore_entry(entry, expected):
                changed.append(path)
        except safe_paths.UnsafePath as error:
            unsafe.append(f"{path}: {error.strerror}")
        except OSError as error:
            problems.append(f"{path}: {error.strerror or error}")
    return Restored(changed, problems, unsafe)
