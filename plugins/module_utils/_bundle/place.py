# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Folders that a bundle is written to: one run at a time, and nothing half-done in sight. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import stat
from typing import Callable, Iterator, Optional, Sequence

from .._core import files
from .._core.errors import SlipwayError
from . import archive
from .manifest import NAME, Manifest

PREFIX = ".slipway-bundle"  # of all that a run leaves if it is killed, which the next one removes
_LOCK = f"{PREFIX}.lock"
_NEW, _OLD, _PART = f"{PREFIX}-new-", f"{PREFIX}-old-", f"{PREFIX}-part-"
CHUNK = 1 << 20
_FOLDER = 0o755


@contextlib.contextmanager
def only_run(folder: str, variable: str) -> Iterator[None]:
    """No other run writes there meanwhile; what a killed one has left is gone. variable: the one that names it."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    descriptor = os.open(os.path.join(folder, _LOCK), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SlipwayError(
                "bundle_in_use",
                f"another run writes to {folder} ({variable}).",
                "wait until it has ended, then run again",
            ) from None
        _clean(folder)
        yield
    finally:
        os.close(descriptor)


def _clean(folder: str) -> None:
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if name.startswith((_NEW, _OLD)):
            files.remove_tree(path)
        elif name.startswith(_PART):
            os.unlink(path)


def part(folder: str, name: str) -> str:
    """Where a file is written before it has its name."""
    return os.path.join(folder, _PART + name)


@contextlib.contextmanager
def staging(folder: str, name: str) -> Iterator[str]:
    """An empty folder beside the one that it is to become; gone unless publish() has moved it."""
    path = os.path.join(folder, _NEW + name)
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        files.remove_tree(path)


def write(root: str, path: str, pieces: Sequence[bytes], mode: int = archive.MODE) -> None:
    with new_file(root, path, mode) as add:
        for piece in pieces:
            add(piece)


@contextlib.contextmanager
def new_file(root: str, path: str, mode: int) -> Iterator[Callable[[bytes], object]]:
    """A file below a folder that only this run knows. It is synced later, with all others."""
    target = os.path.join(root, path)
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        yield stream.write
        stream.flush()
        os.fchmod(descriptor, mode)


def publish(root: str, target: str) -> None:
    """Make the staged folder durable, then give it its name; a folder that has this name already is replaced."""
    for base, _folders, names in os.walk(root):
        for name in names:
            _sync(os.path.join(base, name), os.O_RDONLY)
        os.chmod(base, _FOLDER)
        _sync(base, os.O_RDONLY | os.O_DIRECTORY)
    above, name = os.path.split(target)
    old = os.path.join(above, _OLD + name)
    if os.path.isdir(target):
        os.rename(target, old)
    os.rename(root, target)
    files.fsync_directory(above)
    files.remove_tree(old)


def _sync(path: str, flags: int) -> None:
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def paths_below(root: str) -> Iterator[tuple[str, Optional[int]]]:
    """Each path that is no folder, with its size; None for what is neither file nor folder, such as a link."""
    for base, folders, names in os.walk(root):
        folders.sort()
        for name in sorted([*names, *(one for one in folders if os.path.islink(os.path.join(base, one)))]):
            path = os.path.join(base, name)
            status = os.lstat(path)
            yield os.path.relpath(path, root), status.st_size if stat.S_ISREG(status.st_mode) else None


def pieces_of(path: str) -> Iterator[bytes]:
    """The content of a file, which must be one and no link to one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise IsADirectoryError(21, "not a file", path)
    with os.fdopen(descriptor, "rb") as stream:
        yield from iter(lambda: stream.read(CHUNK), b"")


def digest_of(path: str) -> str:
    """SHA-256; empty where there is no such file."""
    digest = hashlib.sha256()
    try:
        for piece in pieces_of(path):
            digest.update(piece)
    except OSError:
        return ""
    return digest.hexdigest()


def differing(root: str, manifest: Manifest, texts: Sequence[tuple[str, bytes]]) -> tuple[list[str], list[str]]:
    """Of an unpacked bundle: files that are missing or changed, and those that are not of it.

    texts: the manifest and its signatures.
    """
    wanted = {entry.path: (entry.size, entry.sha256, archive.mode(entry.kind)) for entry in manifest.entries}
    for name, raw in texts:
        wanted[name] = (len(raw), hashlib.sha256(raw).hexdigest(), archive.MODE)
    there = dict(paths_below(root))
    wrong = [
        path
        for path, (size, sha256, mode) in wanted.items()
        if there.get(path) != size
        or stat.S_IMODE(os.lstat(os.path.join(root, path)).st_mode) != mode
        or digest_of(os.path.join(root, path)) != sha256
    ]
    return wrong, [path for path in there if path not in wanted]


def manifest_of(root: str) -> bytes:
    """The bytes of an unpacked bundle's manifest; none where there is none."""
    try:
        return b"".join(pieces_of(os.path.join(root, NAME)))
    except OSError:
        return b""
