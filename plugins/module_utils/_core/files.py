# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that survive a power cut: written aside, synced, renamed. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from typing import IO, Iterable, Iterator, Optional

CHUNK = 1 << 20


def fsync_directory(path: str) -> None:
    """Make renames and new names inside path durable (fsync(2): a file's own sync does not cover its entry)."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _new_file(path: str, mode: int) -> Iterator[IO[bytes]]:
    """A file that only its owner can read until it is complete and gets its mode."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        yield stream
        stream.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def write_new(path: str, content: str, mode: int, gid: int = -1) -> None:
    """Create path, which must not exist, durably."""
    with _new_file(path, mode) as stream:
        os.fchown(stream.fileno(), -1, gid)
        stream.write(content.encode())


@contextlib.contextmanager
def _aside(path: str) -> Iterator[str]:
    """A name beside path for what is to replace it in one rename(2); nothing stays there when that fails."""
    temporary = f"{path}.tmp-{os.getpid()}"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        yield temporary
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_directory(os.path.dirname(path))


def write_atomic(path: str, content: str, mode: int, gid: int = -1) -> None:
    """Replace path as a whole: readers see the old content or the new, and so does the next boot."""
    with _aside(path) as temporary:
        write_new(temporary, content, mode, gid)


def replace_if_different(path: str, content: str) -> bool:
    """Give a configuration file this content; return whether it had another."""
    try:
        with open(path, encoding="utf-8") as stream:
            if stream.read() == content:
                return False
    except FileNotFoundError:
        pass
    write_atomic(path, content, 0o644)
    return True


def copy_hashed(source: str, target: str, mode: int, gid: int = -1) -> str:
    """Copy source to a new file and return the SHA-256 of the bytes that were written."""
    with open(source, "rb") as read:
        return write_pieces(iter(lambda: read.read(CHUNK), b""), target, mode, gid)


def write_pieces(pieces: Iterable[bytes], target: str, mode: int, gid: int = -1) -> str:
    """Write a new file, durably, and return its SHA-256."""
    digest = hashlib.sha256()
    with _new_file(target, mode) as written:
        os.fchown(written.fileno(), -1, gid)
        for piece in pieces:
            digest.update(piece)
            written.write(piece)
    return digest.hexdigest()


def text(path: str) -> str:
    """What a file says, with what is no UTF-8 replaced; empty where there is none, or it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError:
        return ""


def own_text(path: str) -> str:
    """What a file of this user says, like text(); empty for a link, a pipe, and the file of somebody else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with open(descriptor, encoding="utf-8", errors="replace") as stream:
        told = os.fstat(descriptor)
        is_own = stat.S_ISREG(told.st_mode) and told.st_uid == os.geteuid() and told.st_nlink == 1
        return stream.read() if is_own else ""


def sha256_file(path: str) -> str:
    return digest_file(path, "sha256")


def digest_file(path: str, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(CHUNK), b""):
            digest.update(chunk)
    return digest.hexdigest()


def flip_symlink(link: str, target: str) -> None:
    """Point link at target in one rename(2): no moment without a link."""
    with _aside(link) as temporary:
        os.symlink(target, temporary)


def remove_link(link: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(link)
        fsync_directory(os.path.dirname(link))


def link_name(link: str) -> Optional[str]:
    """The last component of what link points at, or None where there is no link."""
    try:
        return os.path.basename(os.readlink(link))
    except OSError:
        return None


def make_directory(path: str, mode: int, gid: int = -1) -> None:
    """Make path with exactly this mode and group, whatever the umask; an existing directory is corrected."""
    os.makedirs(path, mode=mode, exist_ok=True)
    status = os.stat(path, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(20, "not a directory", path)
    if stat.S_IMODE(status.st_mode) != mode:
        os.chmod(path, mode)
    if gid not in (-1, status.st_gid):
        os.chown(path, -1, gid)


def remove_tree(path: str) -> None:
    import shutil  # with its compressors it takes as long to import as all else in here

    shutil.rmtree(path, ignore_errors=True)
