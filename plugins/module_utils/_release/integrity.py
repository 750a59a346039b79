# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a release is still on the disk as it was staged. This file is PRIVATE to the collection.

The digests of its files are kept beside the service's state and not in the release, where whoever changes the one could
change the other. They are in the format of sha256sum(1), for the unit of a release has that check them before each
start; what the engine does itself is checked here. A check and a start are two moments: in between, only root can
change what was read, for all of it is root's and nobody else may write there, and that is checked, too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat as modes
from typing import Any, Iterator, Mapping, Optional

from .._core import files as _files
from .._core.errors import SlipwayError
from .._core.problems import Problem
from .state.layout import Layout
from .state.model import Content
from .state.store import Store

MANIFEST = "release.json"
# What the template unit has before a start, in the words of the role `service`.
_VERIFIES = re.compile(r"^ExecStartPre=.*sha256sum", re.MULTILINE)
# What is written beside the content of a release, also by versions before this one, or left there by a power cut.
_BESIDE = (MANIFEST, "health.json")
_MOST = 5  # differences that one message tells
_PLAIN = {"\\": "\\", "n": "\n", "r": "\r"}
_ESCAPED = {plain: f"\\{letter}" for letter, plain in _PLAIN.items()}


def keep(layout: Layout, release_id: str, digests: Mapping[str, str], manifest: Mapping[str, Any]) -> None:
    """Remember what a release consists of: the digest of each file by its name in the release, and its manifest."""
    _files.make_directory(layout.released, 0o700)
    folder = layout.release(release_id)
    lines = [_line(os.path.join(folder, name), digest) for name, digest in sorted(digests.items())]
    _files.write_atomic(layout.kept_manifest(release_id), json.dumps(dict(manifest)) + "\n", 0o600)
    _files.write_atomic(layout.sums(release_id), "".join(lines), 0o600)


def _line(path: str, digest: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise SlipwayError(
            "not_utf8", f"the name {path!r} is not UTF-8.", "give that file another name, and release again"
        ) from None
    escaped = re.sub(r"[\\\n\r]", lambda match: _ESCAPED[match.group()], path)
    mark = "" if escaped == path else "\\"
    return f"{mark}{digest}  {escaped}\n"


def kept(layout: Layout, release_id: str) -> Optional[dict[str, str]]:
    """The digests that a release was staged with; None for one of a version that did not keep them."""
    try:
        with open(layout.sums(release_id), encoding="utf-8", errors="replace", newline="\n") as stream:
            lines = stream.read().split("\n")
    except FileNotFoundError:
        return None
    folder, digests = f"/releases/{release_id}/", {}
    for line in filter(None, lines):
        digest, _blank, path = line.lstrip("\\").partition("  ")
        if line.startswith("\\"):
            path = re.sub(r"\\([\\nr])", lambda match: _PLAIN[match.group(1)], path)
        digests[path.partition(folder)[2]] = digest
    return digests


def program_digest(layout: Layout, release_id: str) -> Optional[str]:
    """The SHA-256 of what a release executes."""
    files = kept(layout, release_id) or layout.manifest(release_id).get("files") or {}
    return files.get(f"bin/{layout.name}")


def differences(layout: Layout, release_id: str) -> list[str]:
    """What of a release is not as it was staged, in words."""
    return _inspect(layout, release_id)[0]


def _inspect(layout: Layout, release_id: str) -> tuple[list[str], Optional[dict[str, str]]]:
    """The differences, and the digests of its files where they are lost and its id confirms the files."""
    entries = _entries(layout, release_id)
    problems = [*(f"{path} {problem}" for path, problem, _remedy in _above(layout)), *_exposed(layout, entries)]
    if not modes.S_ISDIR(entries["."].st_mode if "." in entries else 0):
        return [*problems, f"{layout.release(release_id)} is {'no directory' if entries else 'missing'}"], None
    digests = kept(layout, release_id)
    if digests is not None or os.path.exists(layout.kept_manifest(release_id)):
        problem = _kind(entries.get(MANIFEST))
        if not problem and _content(_read(layout, release_id)) != _content(layout.manifest(release_id)):
            problem = "has another content"
        problems += [f"{MANIFEST} {problem}"] if problem else []
    if digests is not None:
        return [*problems, *_differs(layout, release_id, entries, digests)], None
    changes, confirmed = _differs_from_id(layout, release_id, entries)
    if not changes and confirmed is None and _is_verified_by_pid_1(layout, release_id):
        changes = ["its digests are missing"]
    return [*problems, *changes], confirmed


def renew(layout: Layout, release_id: str) -> None:
    """Write the digests of a release again that are lost, where its id confirms them: its unit starts nothing without.

    What cannot be written is found missing by whoever starts it.
    """
    if os.path.exists(layout.sums(release_id)):
        return
    found, confirmed = _inspect(layout, release_id)
    if found or confirmed is None:
        return
    store = Store(layout)
    health = store.health(release_id)
    with contextlib.suppress(OSError):
        if health is not None:  # from where a version before this one has left it
            store.save_health(release_id, health)
        keep(layout, release_id, confirmed, layout.manifest(release_id))


def _is_verified_by_pid_1(layout: Layout, release_id: str) -> bool:
    """Whether the unit that it came with, and runs in, checks digests before a start."""
    own = os.path.join(layout.release_units(release_id), os.path.basename(layout.template_unit))
    return _VERIFIES.search(_files.text(own)) is not None


def _content(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Without who vouches for it, which may be written anew."""
    return {key: value for key, value in manifest.items() if key != "origin"}


def _read(layout: Layout, release_id: str) -> dict[str, Any]:
    try:
        manifest = json.loads(_files.text(os.path.join(layout.release(release_id), MANIFEST)))
    except ValueError:
        return {}
    return manifest if isinstance(manifest, dict) else {}


def _entries(layout: Layout, release_id: str) -> dict[str, os.stat_result]:
    """All that is in a release by its name there, links not followed; its folder is '.'."""
    top = layout.release(release_id)
    entries: dict[str, os.stat_result] = {}

    def walk(folder: str, prefix: str) -> None:
        for entry in os.scandir(folder):
            entries[prefix + entry.name] = entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                walk(entry.path, f"{prefix}{entry.name}/")

    try:
        entries["."] = os.lstat(top)
        if modes.S_ISDIR(entries["."].st_mode):
            walk(top, "")
    except FileNotFoundError:
        pass
    return entries


def _above(layout: Layout) -> Iterator[tuple[str, str, str]]:
    """The folders above all releases that somebody other than root may change, what is wrong, and what mends it."""
    for path in (layout.root, layout.releases):
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(path)
            if status.st_uid not in (0, os.geteuid()):
                yield path, f"belongs to the user {status.st_uid} and not to root", f"run chown root {path}"
            if status.st_mode & 0o022:
                yield path, _writable(status), f"run chmod go-w {path}"


def remedy(layout: Layout) -> str:
    """What makes the folders above all releases root's alone; empty where they are."""
    return ", then ".join(mend for _path, _problem, mend in _above(layout))


def foreign(layout: Layout) -> list[Problem]:
    """The folders above all releases that belong to another user: nothing in them would be started.

    Their modes are corrected with each release. Whether an owner is a mistake, only its operator knows.
    """
    return [
        Problem("foreign_owner", f"{path} {problem}, so that nothing in it would be started.", mend)
        for path, problem, mend in _above(layout)
        if mend.startswith("run chown")
    ]


def _writable(status: os.stat_result) -> str:
    return f"may be written by others than root (mode {modes.S_IMODE(status.st_mode):04o})"


def _exposed(layout: Layout, entries: Mapping[str, os.stat_result]) -> Iterator[str]:
    """What somebody other than root may change, and which folders have another mode than they are staged with."""
    for name, status in entries.items():
        if status.st_uid not in (0, os.geteuid()):
            yield f"{name} belongs to the user {status.st_uid} and not to root"
        elif not modes.S_ISLNK(status.st_mode) and status.st_mode & 0o022:
            yield f"{name} {_writable(status)}"
        elif modes.S_ISDIR(status.st_mode) or name == MANIFEST:
            yield from _has_other_mode(layout, name, status)


def _has_other_mode(layout: Layout, name: str, status: os.stat_result) -> Iterator[str]:
    mode, usual = modes.S_IMODE(status.st_mode), _usual(layout, name, modes.S_ISDIR(status.st_mode))
    if mode not in usual and not mode & 0o022 and not modes.S_ISLNK(status.st_mode):
        yield f"{name} has the mode {mode:04o} and not {usual[0]:04o}"


def _usual(layout: Layout, name: str, folder: bool) -> tuple[int, ...]:
    """The modes that a part of a release is staged with, by every version.

    The rest of an archive has those of its files, and credentials are the group's where PID 1 does not hand them over.
    """
    part = name.partition("/")[0]
    if part == "credentials":
        return (0o750, 0o700) if folder else (0o640, 0o600)
    if folder or name == f"bin/{layout.name}":
        return (0o750,)
    return (0o640, 0o750) if part == "assets" else (0o640,)


def _differs(
    layout: Layout, release_id: str, entries: Mapping[str, os.stat_result], digests: Mapping[str, str]
) -> Iterator[str]:
    for name, digest in digests.items():
        difference = _judge(os.path.join(layout.release(release_id), name), entries.get(name), digest)
        if difference:
            yield f"{name} {difference}"
        else:
            yield from _has_other_mode(layout, name, entries[name])
    for name, status in entries.items():
        beside = _is_beside(name) and modes.S_ISREG(status.st_mode)
        if name not in digests and not modes.S_ISDIR(status.st_mode) and not beside:
            yield f"{name} is not part of the release"


def _is_beside(name: str) -> bool:
    return name in _BESIDE or (name.startswith(tuple(f"{one}.tmp-" for one in _BESIDE)) and "/" not in name)


def _kind(status: Optional[os.stat_result]) -> str:
    """What is wrong before anything is read."""
    if status is None:
        return "is missing"
    if modes.S_ISLNK(status.st_mode):
        return "is a symbolic link"
    return "" if modes.S_ISREG(status.st_mode) else "is no file"


def _judge(path: str, status: Optional[os.stat_result], digest: str) -> str:
    difference = _kind(status)
    if difference:
        return difference
    try:
        return "" if _files.sha256_file(path) == digest else "has another content"
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _differs_from_id(
    layout: Layout, release_id: str, entries: Mapping[str, os.stat_result]
) -> tuple[list[str], Optional[dict[str, str]]]:
    """The same for a release that a version before this one has staged: its manifest, and its id, say what it is.

    The id cannot be computed from what is in an archive, nor that of a release without units of its own. Also the
    digest of each of its files where the id confirms them all, or where nothing else ever did.
    """
    manifest = layout.manifest(release_id)
    own = f"bin/{layout.name}"
    files = manifest.get("files") or {own: manifest.get("sha256")}
    config, units = manifest.get("config") or {}, manifest.get("units") or {}
    if not manifest or not all(isinstance(part, dict) for part in (files, config, units)):
        return [f"{MANIFEST} is not readable"], None
    listed = {
        f"{part}/{name}": digest for part in ("config", "units") for name, digest in manifest.get(part, {}).items()
    }
    unlisted = {
        name: _files.sha256_file(os.path.join(layout.release(release_id), name))
        for name, status in entries.items()
        if modes.S_ISREG(status.st_mode) and (name == "environment" or name.startswith("credentials/"))
    }
    digests = {"environment": "", **files, **listed, **unlisted}
    changes = list(_differs(layout, release_id, entries, digests))
    if not changes and "units" not in manifest:  # of a time when nothing was kept of any release, so nothing is lost
        return [], digests
    if changes or files != {own: manifest.get("sha256")}:
        return changes, None
    prefix = len("credentials/")
    secret = {name[prefix:]: digest for name, digest in unlisted.items() if name != "environment"}
    environment = _files.text(os.path.join(layout.release(release_id), "environment"))
    version, digest = str(manifest.get("version")), str(manifest.get("sha256"))
    whole = Content(version, digest, environment, config, units, credentials=secret)
    if whole.release_id() != release_id:
        return ["its content is not what its id stands for"], None
    return [], digests


def fingerprint(layout: Layout, release_id: str) -> str:
    """Changes when something in a release may have: for who looks so often that reading all of it costs too much.

    A clock that root sets back can hide a change from it, and nothing is ever started on its word.
    """
    rows = [
        (name, s.st_dev, s.st_ino, s.st_mode, s.st_uid, s.st_size, s.st_mtime_ns, s.st_ctime_ns)
        for name, s in sorted(_entries(layout, release_id).items())
    ]
    above = [(path, os.stat(path).st_mode, os.stat(path).st_uid) for path in (layout.root, layout.releases)]
    record = _files.text(layout.sums(release_id)) + _files.text(layout.kept_manifest(release_id))
    return hashlib.sha256(repr((rows, above, record)).encode()).hexdigest()


def usable(layout: Layout, store: Store, *other_than: Optional[str]) -> Optional[str]:
    """The release that was good most recently, of those that are here as they were staged."""
    try:
        good = store.journal.earlier_good(layout.staged(), *other_than)
    except SlipwayError:  # its journal is damaged, too: then nothing is known to have been good
        return None
    return next((i for i in good if not differences(layout, i)), None)


def damage(layout: Layout, store: Store, release_id: str) -> Optional[SlipwayError]:
    """Why a release must not be started, and what to do instead; None where it is as it was staged."""
    changes = differences(layout, release_id)
    return None if not changes else damaged_release(layout, store, release_id, changes)


def damaged_release(layout: Layout, store: Store, release_id: str, changes: list[str]) -> SlipwayError:
    other = usable(layout, store, release_id, layout.current_id())
    mend = remedy(layout)
    if mend:  # nothing else is of any use before
        again = f"{mend}, then sudo slipway verify {layout.name} {release_id}, which says whether that was all"
        return SlipwayError("damaged_release", _message(release_id, changes), again, differences=changes, usable=None)
    again = "release another version, or this one with release_force: true once another serves"
    return SlipwayError(
        "damaged_release",
        _message(release_id, changes),
        f"run sudo slipway rollback {layout.name} {other}, or {again}" if other else again,
        differences=changes,
        usable=other,
    )


def _message(release_id: str, changes: list[str]) -> str:
    more = f", and {len(changes) - _MOST} more" if len(changes) > _MOST else ""
    return f"{release_id} is not on this host's disk as it was released: {', '.join(changes[:_MOST])}{more}."


def verify(layout: Layout, store: Store, release_id: str) -> None:
    """Raise unless it may be started, and have its unit see that, too. For whoever is about to start it, or has it."""
    require(layout, store, release_id)
    renew(layout, release_id)


def require(layout: Layout, store: Store, release_id: str) -> None:
    """Raise unless it may be started."""
    damaged = damage(layout, store, release_id)
    if damaged is not None:
        raise damaged
