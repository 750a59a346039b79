# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whole files that belong together: compared, validated, written under a dead-man revert. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import grp
import hashlib
import os
import pwd
import re
import shutil
import stat
import tempfile
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence, TypeVar

from .._core import command
from .._core import files as _files
from .._core.errors import SlipwayError
from . import change as deadman
from . import snapshot
from .model import NOT_RUN, Argv, RevertPlan, System, or_this_host

Made = TypeVar("Made")
_ATTEMPTS = 3


@dataclass(frozen=True)
class File:
    """A file as it should be; content None means that it must not be there.

    folder: the directory that must have no such file, for one that nobody names any more once it has gone.
    """

    path: str
    content: Optional[str] = None
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    validate: Sequence[str] = ()
    run: Sequence[Argv] = ()
    secret: bool = False
    folder: str = ""

    @property
    def ids(self) -> tuple[int, int]:
        try:
            return pwd.getpwnam(self.owner).pw_uid, grp.getgrnam(self.group).gr_gid
        except KeyError as error:
            raise SlipwayError(
                "no_such_owner",
                f"{self.path} cannot belong to {self.owner}:{self.group}: {error.args[0]}.",
                "create it first, or name another",
            ) from None


def with_settings(text: str, settings: Mapping[str, str], separator: str) -> str:
    """The text with one line per key that says KEY separator VALUE, where the key has been or at the end."""
    lines = text.splitlines()
    for key, value in settings.items():
        line = f"{key}{separator}{value}"
        setting = re.compile(rf"^\s*(#?)\s*{re.escape(key)}(?:\s*=|\s)\s*\S")
        matches = [(bool(m.group(1)), n) for n, m in enumerate(map(setting.match, lines)) if m]
        if not matches:
            lines.append(line)
            continue
        # A line in force before one that is commented out; the others of the same key go.
        _commented, position = min(matches)
        doomed = {n for commented, n in matches if not commented and n != position}
        lines[position] = line
        lines = [kept for n, kept in enumerate(lines) if n not in doomed]
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class FileChange:
    """written: the file is as it should be, but a run that was cut short still owes its commands."""

    file: File
    before: Optional[str]
    written: bool = False

    def diff(self) -> dict[str, str]:
        hidden = "(secret)\n" if self.file.secret else None
        return {
            "before_header": self.file.path,
            "after_header": self.file.path,
            "before": hidden or self.before or "",
            "after": hidden or self.file.content or "",
        }


@dataclass(frozen=True)
class Guard:
    """How long the change may stay unconfirmed, and what follows when it is taken back."""

    name: str
    seconds: float
    run: Sequence[Argv] = ()
    run_at_boot: Sequence[Argv] = ()
    paths: Sequence[str] = ()


@dataclass(frozen=True)
class Applied:
    changes: Sequence[FileChange]
    token: Optional[str] = None

    def as_dict(self) -> dict[str, Any]:
        return {
            "changed": bool(self.changes),
            "paths": [change.file.path for change in self.changes],
            "token": self.token,
            "diff": [change.diff() for change in self.changes],
        }


def compare(file: File) -> Optional[FileChange]:
    try:
        status = os.lstat(file.path)
    except (FileNotFoundError, NotADirectoryError):
        return None if file.content is None else FileChange(file, None)
    if not stat.S_ISREG(status.st_mode):
        if file.content is None and stat.S_ISLNK(status.st_mode):
            return FileChange(file, f"-> {os.readlink(file.path)}\n")
        raise SlipwayError("not_a_file", f"{file.path} is there, and is not a regular file.", "move it away")
    with open(file.path, encoding="utf-8", errors="replace") as stream:
        before = stream.read()
    if file.content is None or before != file.content:
        return FileChange(file, before)
    owned = (status.st_uid, status.st_gid) == file.ids
    return None if owned and stat.S_IMODE(status.st_mode) == file.mode else FileChange(file, before)


def _pending_folder(system: System) -> str:
    """Has one marker per file, from before the first byte is written until the commands have succeeded."""
    return os.path.join(os.path.dirname(system.root), ".owed")


def _marker(file: File, system: System) -> str:
    return os.path.join(_pending_folder(system), hashlib.sha256(os.fsencode(file.folder or file.path)).hexdigest())


def _mark_pending(changes: Sequence[FileChange], system: System) -> None:
    folder = _pending_folder(system)
    _files.make_directory(folder, 0o700)
    _files.fsync_directory(os.path.dirname(folder))
    for change in changes:
        os.close(os.open(_marker(change.file, system), os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600))
    _files.fsync_directory(folder)


def _clear_pending(changes: Sequence[FileChange], system: System) -> None:
    for change in changes:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_marker(change.file, system))


def plan(
    files: Sequence[File], folders: Sequence[str] = (), system: Optional[System] = None, again: bool = False
) -> list[FileChange]:
    """What differs, or is owed; folders: where no other file may be; again: the commands of every file are owed."""
    system = or_this_host(system)
    changes = []
    for file in files:
        change = compare(file)
        if change is None and (again or os.path.lexists(_marker(file, system))):
            change = FileChange(file, file.content, written=True)
        changes.append(change)
    emptied = [File(folder) for folder in folders]
    changes += [FileChange(file, None, written=True) for file in emptied if os.path.lexists(_marker(file, system))]
    return [change for change in changes if change is not None]


def validate(changes: Sequence[FileChange], system: System) -> None:
    """Let each file's own tool judge the new content before it is anywhere near its place."""
    for change in changes:
        file = change.file
        if not file.validate or file.content is None:
            continue
        with tempfile.TemporaryDirectory(prefix="slipway-validate-") as folder:
            candidate = os.path.join(folder, os.path.basename(file.path))
            _files.write_new(candidate, file.content, 0o440 if file.mode == 0o440 else 0o600)
            code, output = system.run([word.replace("%s", candidate) for word in file.validate])
            if code == NOT_RUN and not command.is_there(file.validate[0]):
                raise command.MissingProgram(file.validate[0])
            if code != 0:
                raise SlipwayError(
                    "invalid_file",
                    f"{file.path} would be invalid, so nothing was changed: {output.replace(candidate, file.path)}",
                    "correct the variable it comes from",
                )


def _write(change: FileChange) -> None:
    file = change.file
    if file.content is None:
        os.unlink(file.path)
        _files.fsync_directory(os.path.dirname(file.path))
        return
    uid, gid = file.ids
    os.makedirs(os.path.dirname(file.path), mode=0o755, exist_ok=True)
    _files.write_atomic(file.path, file.content, file.mode, gid)
    os.chown(file.path, uid, gid)
    os.chmod(file.path, file.mode)


def _relabel(changes: Sequence[FileChange], system: System) -> None:
    present = [change.file.path for change in changes if change.file.content is not None]
    if present and os.path.exists("/sys/fs/selinux/enforce") and shutil.which("restorecon"):
        system.run(["restorecon", "-F", *present])


def _commands(changes: Sequence[FileChange], run: Sequence[Argv]) -> list[Argv]:
    """Each command once, those of the files first."""
    commands: list[Argv] = []
    for argv in [*(argv for change in changes for argv in change.file.run), *run]:
        if argv not in commands:
            commands.append(list(argv))
    return commands


def apply(
    changes: Sequence[FileChange],
    check: Sequence[Argv] = (),
    run: Sequence[Argv] = (),
    guard: Optional[Guard] = None,
    system: Optional[System] = None,
    verify: Callable[[], None] = lambda: None,
    again: Optional[Callable[[], Sequence[FileChange]]] = None,
) -> Applied:
    """Write the changes; with a guard, armed before the first byte and still armed on return.

    again plans once more when nobody else can change anything under the guard's name any more. Where that is another
    plan, somebody else's change came between, and changed_meanwhile is raised with nothing done: see from_the_start().

    A check, verify or command that fails takes everything back at once, guard or not. Where this is cut short, a guard
    takes everything back; without one, the next plan finds what is owed.
    """
    system = or_this_host(system)
    if not changes:
        return Applied(())
    validate(changes, system)
    new = [change for change in changes if not change.written]
    commands = _commands(changes, run)
    paths = [change.file.path for change in new] + list(guard.paths if guard else ())
    token = None
    if guard:
        saved = RevertPlan(paths, guard.run, guard.run_at_boot)
        with deadman.transaction(guard.name, guard.seconds, saved, system) as token:
            _refuse_stale(changes, again)
            _make(changes, [*check], verify, commands, system)
    else:
        _make_or_undo(changes, [*check], verify, commands, system)
    _clear_pending(changes, system)
    return Applied(changes, token)


def _refuse_stale(changes: Sequence[FileChange], again: Optional[Callable[[], Sequence[FileChange]]]) -> None:
    present = [change if change.written else compare(change.file) for change in changes]
    if present != list(changes) or (again is not None and list(again()) != list(changes)):
        names = ", ".join(change.file.path for change in changes)
        raise deadman.changed_meanwhile(f"somebody else has changed what {names} depends on")


def from_the_start(attempt: Callable[[], Made]) -> Made:
    """Look and plan anew where somebody else's change came between the look and the lock."""
    for _time in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except SlipwayError as error:
            if error.code != deadman.CHANGED_MEANWHILE:
                raise
    return attempt()


def _make_or_undo(
    changes: Sequence[FileChange],
    check: Sequence[Argv],
    verify: Callable[[], None],
    commands: Sequence[Argv],
    system: System,
) -> None:
    new = [change for change in changes if not change.written]
    saved = [entry for change in new for entry in snapshot.take(change.file.path)]
    if check or commands:
        _mark_pending(new, system)
    try:
        _make(changes, check, verify, commands, system)
    except BaseException:
        if new:
            snapshot.restore(saved)
            codes = [system.run(argv)[0] for argv in commands]
            if not any(codes):
                _clear_pending(changes, system)
        raise


def _make(
    changes: Sequence[FileChange],
    check: Sequence[Argv],
    verify: Callable[[], None],
    commands: Sequence[Argv],
    system: System,
) -> None:
    new = [change for change in changes if not change.written]
    for change in new:
        _write(change)
    _relabel(changes, system)
    undone = "; the change was taken back" if new else ", which an earlier run has written"
    fix = f"correct the variable this comes from{undone}"
    command.run_each(system.run, check, fix)
    verify()
    command.run_each(system.run, commands, fix)


FILE_OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str"},
    "settings": {"type": "dict"},
    "separator": {"type": "str", "default": " "},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "mode": {"type": "str", "default": "0644"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "validate": {"type": "list", "elements": "str", "default": []},
    "run": {"type": "list", "elements": "list", "default": []},
    "secret": {"type": "bool"},
}

EXCLUSIVE_OPTIONS = {
    "path": {"type": "path", "required": True},
    "keep": {"type": "list", "elements": "str", "default": []},
}

GUARD_OPTIONS = {
    "name": {"type": "str", "required": True},
    "seconds": {"type": "float", "default": 60},
    "run": {"type": "list", "elements": "list", "default": []},
    "run_at_boot": {"type": "list", "elements": "list", "default": []},
    "paths": {"type": "list", "elements": "path", "default": []},
}


def _content(values: dict[str, Any], secret: Optional[str]) -> Optional[str]:
    content: Optional[str] = values["content"]
    if secret is not None:
        if content is not None or values["settings"] is not None:
            raise SlipwayError(
                "two_contents", f"{values['path']} is in secrets, and has content or settings.", "leave one of them out"
            )
        return secret
    if values["settings"] is None:
        return content
    try:
        with open(values["path"], encoding="utf-8", errors="surrogateescape") as stream:
            before = stream.read()
    except FileNotFoundError:
        before = ""
    return with_settings(before, {key: str(value) for key, value in values["settings"].items()}, values["separator"])


def parse_files(values: Sequence[dict[str, Any]], secrets: Mapping[str, Any]) -> list[File]:
    """From a module's options files and secrets."""
    unknown = sorted(set(secrets) - {file["path"] for file in values})
    if unknown:
        raise SlipwayError(
            "no_such_file", f"secrets has {', '.join(unknown)}, which is not in files.", "name the path in files, too"
        )
    return [_parse_file(file, secrets.get(file["path"])) for file in values]


def _parse_file(values: dict[str, Any], secret: Any) -> File:
    path = values["path"]
    if not os.path.isabs(path):
        raise SlipwayError("invalid_path", f"{path!r} is not an absolute path.", "name the file in full")
    content = _content(values, None if secret is None else str(secret))
    if values["state"] == "present" and content is None:
        raise SlipwayError("no_content", f"{path} has no content.", "set content or secrets, or state to absent")
    try:
        mode = int(values["mode"], 8)
    except ValueError:
        raise SlipwayError(
            "invalid_mode", f"{path} has the mode {values['mode']!r}.", "give an octal number such as '0644'"
        ) from None
    return File(
        path=path,
        content=content if values["state"] == "present" else None,
        mode=mode,
        owner=values["owner"],
        group=values["group"],
        validate=values["validate"],
        run=[list(map(str, argv)) for argv in values["run"]],
        secret=bool(values["secret"]) or secret is not None,
    )


def surplus(folder: str, keep: Sequence[str], files: Sequence[File]) -> list[File]:
    """The files of the folder that are neither named nor wanted, as files that must not be there."""
    if not os.path.isabs(folder):
        raise SlipwayError("invalid_path", f"{folder!r} is not an absolute path.", "name the directory in full")
    wanted = {file.path for file in files} | {os.path.join(folder, name) for name in keep}
    try:
        present = [entry.path for entry in os.scandir(folder) if not entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return [File(path, secret=True, folder=folder) for path in sorted(present) if path not in wanted]
