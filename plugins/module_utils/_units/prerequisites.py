# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What systemd must find before it starts a unit's program. This file is PRIVATE to the collection."""

from __future__ import annotations

import glob
import grp
import os
import posixpath
import pwd
from typing import Callable, Iterator, Mapping, Optional

from .._core.problems import Problem
from .credentials import EXECUTE
from .parser import Unit, expand, is_absolute, read_bind
from .surroundings import Context, removes

DIRECTORIES = {
    "Runtime": "/run",
    "State": "/var/lib",
    "Cache": "/var/cache",
    "Logs": "/var/log",
    "Configuration": "/etc",
}
_MOUNT_SOURCES = ("BindPaths", "BindReadOnlyPaths")
_PATHS = ("ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "ExecPaths", "NoExecPaths")
_STREAMS = ("StandardInput", "StandardOutput", "StandardError")


def environment_files(name: str, values: Mapping[str, str]) -> list[str]:
    """systemd expands patterns, in the order of the names."""
    return sorted(glob.glob(expand(name.lstrip("-"), values)))


def missing(unit: Unit, values: Mapping[str, str], context: Context, home: str) -> Iterator[Problem]:
    """What keeps systemd from starting the program, whatever the program is."""
    yield from _accounts(unit)
    yield from _files(unit, values)
    root = expand(unit.last("RootDirectory"), values)
    if root and not os.path.isdir(root):
        yield _absent(unit, f"RootDirectory={root}", f"create {root}, or remove RootDirectory=")
        return
    yield from _mounts(unit, values, context)
    yield from _working_directory(unit, values, context, home)


def _accounts(unit: Unit) -> Iterator[Problem]:
    """A number needs an entry, too, for systemd asks for its name."""
    user, group = unit.last("User"), unit.last("Group")
    if user and not unit.yes("DynamicUser") and not _known(pwd.getpwnam, pwd.getpwuid, user):
        yield _absent(unit, f"User={user}", f"create the user {user}")
    if group and not unit.yes("DynamicUser") and not _known(grp.getgrnam, grp.getgrgid, group):
        yield _absent(unit, f"Group={group}", f"create the group {group}")
    for name in unit.words("SupplementaryGroups"):
        if not _known(grp.getgrnam, grp.getgrgid, name):
            yield _absent(unit, f"SupplementaryGroups={name}", f"create the group {name}")


def _known(by_name: Callable[[str], object], by_number: Callable[[int], object], name: str) -> bool:
    try:
        by_number(int(name)) if name.isdigit() else by_name(name)
    except KeyError:
        return False
    return True


def _files(unit: Unit, values: Mapping[str, str]) -> Iterator[Problem]:
    """systemd itself reads and opens these, before there is a sandbox."""
    for name in filter(is_absolute, unit.every("EnvironmentFile")):
        if not name.startswith("-") and not any(map(os.path.isfile, environment_files(name, values))):
            yield _absent(unit, f"EnvironmentFile={name}", f"create {name}, or write -{name} where it may be absent")
    fallbacks = _fallbacks(unit, values)
    for key in ("LoadCredential", "LoadCredentialEncrypted"):
        for value in unit.every(key):
            name, _ignored, path = expand(value, values).partition(":")
            if path.startswith("/") and name not in fallbacks and not os.path.exists(path):
                yield _absent(unit, f"{key}={name}:{path}", f"create {path}, or remove {key}={name}")
    for key in _STREAMS:
        kind, _ignored, path = expand(unit.last(key), values).partition(":")
        if kind not in ("file", "append", "truncate") or not path.startswith("/") or os.path.exists(path):
            continue
        if key == "StandardInput":
            yield _absent(unit, f"{key}={kind}:{path}", f"create {path}")
        elif not os.path.isdir(posixpath.dirname(path)):
            yield _absent(unit, f"{key}={kind}:{path}", f"create the directory {posixpath.dirname(path)}")


def _fallbacks(unit: Unit, values: Mapping[str, str]) -> set[str]:
    """The credentials with a value that systemd takes where the file is not there."""
    given = [expand(value, values).partition(":") for value in unit.every("SetCredential", "SetCredentialEncrypted")]
    return {name for name, colon, _value in given if colon}


def _mounts(unit: Unit, values: Mapping[str, str], context: Context) -> Iterator[Problem]:
    for key in _MOUNT_SOURCES:
        for word in (expand(word, values) for word in unit.words(key)):
            bind = read_bind(word)
            if bind is None or bind.source.startswith("-") or os.path.exists(bind.source):
                continue
            if bind.ignored:
                yield _absent(unit, f"{key}={word}", f"write the whole path of {bind.ignored.lstrip('-')}")
            else:
                yield _absent(unit, f"{key}={bind.source}", _or_optional(bind.source, key))
    made = _made_at_start(unit, values)
    for key in _PATHS:
        for word in unit.paths(key):
            path = expand(word, values)
            inside = in_view(path, context.view.root)
            if path.startswith("-") or inside is None or inside in made:
                continue
            if not _exists(context, inside):
                yield _absent(unit, f"{key}={path}", _or_optional(path, key))


def in_view(path: str, root: str) -> Optional[str]:
    """A path of ReadOnlyPaths= and its kin as the unit sees it; None where it is outside of its root.

    Only behind a + it is relative to RootDirectory= already.
    """
    path = path.lstrip("-")
    inside = posixpath.normpath(path.lstrip("+"))
    if root == "/" or path.startswith("+"):
        return inside
    if inside == root or inside.startswith(root + "/"):
        return inside[len(root) :] or "/"
    return None


def _or_optional(path: str, key: str) -> str:
    return f"create {path}, or write {key}=-{path} where it may be absent"


def _exists(context: Context, path: str) -> bool:
    """systemd leaves out what is below a path that it closes, and does not look there."""
    above = context._replace(hidden=tuple(entry for entry in context.hidden if entry[0] != path))
    why = above.hidden_by(path)
    if why:
        return removes(why)
    try:
        context.view.resolve(path)
    except (OSError, ValueError):
        return False
    return True


def _working_directory(unit: Unit, values: Mapping[str, str], context: Context, home: str) -> Iterator[Problem]:
    setting = expand(unit.last("WorkingDirectory"), values)
    if not setting or setting.startswith("-"):
        return
    directory = home if setting == "~" else setting
    if posixpath.normpath(directory) in _made_at_start(unit, values):
        return
    if not _is_directory(context, directory):
        fix = f"create {directory}, or remove WorkingDirectory="
        why = next(filter(None, map(context.hidden_by, context.view.way(directory))), "")
        if why:
            fix = f"set another WorkingDirectory=: {why} of {unit.name.full} hides {directory}"
        yield _absent(unit, f"WorkingDirectory={setting}", fix)
        return
    barrier = context.barrier(directory, EXECUTE, at_start=True)
    if barrier is not None:
        text = f"{unit.name.full}: WorkingDirectory={setting}: the user may not enter {barrier.path}: it does not start"
        yield Problem("unit_forbidden", text, f"let the user of {unit.name.full} enter {barrier.path}")


def _made_at_start(unit: Unit, values: Mapping[str, str]) -> set[str]:
    """With the directories above them."""
    made: set[str] = set()
    for kind, folder in DIRECTORIES.items():
        for word in unit.words(f"{kind}Directory"):
            path = posixpath.normpath(posixpath.join(folder, expand(word.partition(":")[0], values)))
            while path.startswith(folder + "/"):
                made.add(path)
                path = posixpath.dirname(path)
    return made


def _absent(unit: Unit, setting: str, fix: str) -> Problem:
    return Problem("unit_missing", f"{unit.name.full}: {setting} is not there: it does not start", fix)


def _is_directory(context: Context, path: str) -> bool:
    why: Optional[str] = next(filter(None, map(context.hidden_by, context.view.way(path))), None)
    if why:
        covered = any(prefix == path for prefix, _setting in context.hidden)
        return covered and (not removes(why) or context.who is None or context.who.uid == 0)
    try:
        return os.path.isdir(context.view.resolve(path).host)
    except (OSError, ValueError):
        return False
