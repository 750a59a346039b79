# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys of an account, written by root below a directory of a user. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from typing import Iterable, Optional

from ..._core import safe_paths
from ..._core.errors import SlipwayError
from .model import Account

_KEY_LINE = re.compile(r"""\s*(?:((?:[^\s"]|"(?:\\.|[^"\\])*")+)\s+)?(?:ssh|ecdsa|sk)-\S+\s+(AAAA[0-9A-Za-z+/]+=*)""")


def key_file(home: str) -> str:
    return os.path.join(home, ".ssh", "authorized_keys")


def read_keys(home: str) -> Optional[str]:
    """None where there is no file. Never through a link that a user can have put there."""
    try:
        folder = safe_paths.open_folder(os.path.dirname(key_file(home)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except safe_paths.UnsafePath as error:
        raise _unsafe(home, error) from None
    try:
        descriptor = os.open("authorized_keys", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unsafe(home, error) from None
    finally:
        os.close(folder)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _unsafe(home: str, error: OSError) -> SlipwayError:
    if isinstance(error, safe_paths.UnsafePath):
        why, fix = error.strerror, f"replace {error.step} by a directory"
    else:
        why, fix = "it is a link" if error.errno == errno.ELOOP else error.strerror, "replace it by a file"
    return SlipwayError("bent_path", f"{key_file(home)} is not safe to write as root: {why}; nothing was changed.", fix)


def wanted_keys(before: Optional[str], keys: Iterable[str], exclusive: bool) -> str:
    """The content of the file; as it is where it says the same."""
    wanted = list(dict.fromkeys(line for key in keys for line in map(str.strip, key.splitlines()) if line))
    lines = (before or "").splitlines()
    if not exclusive:
        after = list(lines)
        for key in wanted:
            _let_in(after, key)
        return "".join(f"{line}\n" for line in after) if after != lines else (before or "")
    if {line.strip() for line in lines if _is_key(line)} == {key for key in wanted if _is_key(key)}:
        return before or ""
    return "".join(f"{key}\n" for key in wanted)


def _let_in(lines: list[str], wanted: str) -> None:
    """Add the line, unless it is in force: sshd takes the options of the first line that has the key."""
    if not _is_key(wanted):
        return
    options, key = _key_of(wanted)
    same = [(at, _key_of(line)[0]) for at, line in enumerate(lines) if _is_key(line) and _key_of(line)[1] == key]
    if not same:
        lines.append(wanted)
    elif same[0][1] != options:
        lines.insert(same[0][0], wanted)


def _is_key(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _key_of(line: str) -> tuple[str, str]:
    """Its options and the key itself, whatever its comment."""
    match = _KEY_LINE.match(line)
    return (match.group(1) or "", match.group(2)) if match else ("", line.strip())


def keys_are_safe(account: Account, home: str) -> bool:
    """Whether sshd would read them: StrictModes wants them to be the account's own, and nobody else's to change."""
    try:
        statuses = [os.lstat(os.path.dirname(key_file(home))), os.lstat(key_file(home))]
    except OSError:
        return False
    return all(one.st_uid == account.uid and not one.st_mode & 0o077 for one in statuses)


def write_keys(account: Account, content: str) -> None:
    """Through directories that stay what they are, whatever the account does meanwhile."""
    home = safe_paths.open_folder(account.home)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(".ssh", 0o700, dir_fd=home)
        folder = os.open(".ssh", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=home)
        try:
            os.fchown(folder, account.uid, account.gid)
            os.fchmod(folder, 0o700)
            _write_in(folder, account, content)
        finally:
            os.close(folder)
        os.fsync(home)
    finally:
        os.close(home)


def _write_in(folder: int, account: Account, content: str) -> None:
    aside = ".authorized_keys.slipway"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(aside, flags, 0o600, dir_fd=folder), "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fchown(stream.fileno(), account.uid, account.gid)
        os.fchmod(stream.fileno(), 0o600)
        os.fsync(stream.fileno())
    os.rename(aside, "authorized_keys", src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
