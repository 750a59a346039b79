# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a vulnerability database, a folder or a zip of entries in OSV's format. This file is PRIVATE to the collection.

The entries are read one after the other and kept as far as they are about Go. Nothing of them is believed before it
has been read: sizes, depths and counts are limited, and one entry that cannot be read makes the database unfit.
"""

from __future__ import annotations

import json
import os
import stat
import zipfile
import zlib
from datetime import date
from typing import Any, Callable, Iterator, NamedTuple, Optional

from .._core.errors import SlipwayError
from .osv import UNDATED, Affected, BrokenEntry, Entry, day_of, parse
from .severity import rank

MAX_ARCHIVE = 128 << 20
MAX_ENTRY = 8 << 20
MAX_TOTAL = 1 << 30
MAX_FILES = 200_000
_SHOWN = 3
_INDEX = "index"  # the folder of the Go vulnerability database with what is no entry
_INDEX_TIME = "db.json"
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_FETCH = "fetch the vulnerability database again"
_UNREADABLE = (ValueError, RecursionError, OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError)

Read = Callable[[], bytes]


class Database(NamedTuple):
    """modules: what is said of each. newest: the day of the latest change, UNDATED if no entry names one.

    withdrawn: entries that were taken back.
    """

    modules: dict[str, list[Affected]]
    newest: date
    entries: int = 0
    withdrawn: int = 0


def read_database(path: str) -> Database:
    builder = _Builder(path)
    for name, read in _files(path):
        builder.add(name, read)
    return builder.finish()


def check_age(database: Database, today: date, max_days: float, label: str) -> None:
    """Raise where the database is too old to tell what is known today. max_days: 0 for any age."""
    if database.newest == UNDATED:
        _require_no_age(max_days, label)
        return
    age = (today - database.newest).days
    if age < -1:
        raise SlipwayError(
            "vulnerability_database_future",
            f"{label}: its latest change is of {database.newest}, and the controller's clock says {today}.",
            "correct the controller's clock, or take a database from a source that you trust",
        )
    if 0 < max_days < age:
        raise SlipwayError(
            "vulnerability_database_stale",
            f"{label}: its latest change is of {database.newest}, {age} days ago; "
            f"release_vulnerability_max_age allows {max_days:g}.",
            _FETCH,
        )


def _require_no_age(max_days: float, label: str) -> None:
    if max_days > 0:
        raise SlipwayError(
            "vulnerability_database_undated",
            f"{label}: none of its entries says when it was changed, so its age is unknown; "
            f"release_vulnerability_max_age allows {max_days:g} days.",
            "give vulndb.zip as Go publishes it, or set release_vulnerability_max_age to 0",
        )


class _Builder:
    def __init__(self, path: str) -> None:
        self._path = path
        self._modules: dict[str, list[Affected]] = {}
        self._severities: dict[str, str] = {}
        self._newest: Optional[date] = None
        self._entries = self._withdrawn = self._files = self._bytes = 0
        self._broken: list[str] = []
        self._broken_count = 0

    def add(self, name: str, read: Read) -> None:
        self._files += 1
        if self._files > MAX_FILES:
            raise _too_large(self._path, f"more than {MAX_FILES} files")
        try:
            data = read()
            self._count(len(data))
            self._take(name, json.loads(data.decode("utf-8")))
        except BrokenEntry as error:
            self._note(f"{name}: {error}")
        except _UNREADABLE:
            self._note(f"{name}: it cannot be read as JSON")

    def _count(self, size: int) -> None:
        self._bytes += size
        if size > MAX_ENTRY:
            raise BrokenEntry(f"it has more than {MAX_ENTRY >> 20} MiB")
        if self._bytes > MAX_TOTAL:
            raise _too_large(self._path, f"more than {MAX_TOTAL >> 20} MiB when unpacked")

    def _note(self, text: str) -> None:
        self._broken_count += 1
        if len(self._broken) < _SHOWN:
            self._broken.append(text)

    def _take(self, name: str, data: Any) -> None:
        folder, _slash, base = name.rpartition("/")
        if folder.rpartition("/")[2] == _INDEX:
            if base == _INDEX_TIME and isinstance(data, dict):
                self._see(day_of(data.get("modified")))
            return
        entry = parse(data)
        if entry.affected:
            self._see(entry.modified)
            self._keep(entry)
        if entry.withdrawn:
            self._withdrawn += 1

    def _see(self, day: date) -> None:
        self._newest = day if self._newest is None else max(self._newest, day)

    def _keep(self, entry: Entry) -> None:
        self._entries += 1
        for affected in () if entry.withdrawn else entry.affected:
            self._modules.setdefault(affected.module, []).append(affected)
            self._severities[entry.id] = max(self._severities.get(entry.id, ""), affected.severity, key=rank)

    def finish(self) -> Database:
        if self._broken:
            more = self._broken_count - len(self._broken)
            listed = "; ".join(self._broken) + (f"; and {more} more" if more else "")
            raise SlipwayError(
                "vulnerability_database_broken",
                f"{self._path}: {self._broken_count} of {self._files} entries cannot be judged: {listed}.",
                "fetch the vulnerability database again, and give the folder or zip with its entries alone",
            )
        if not self._entries or self._newest is None:
            what = f"none of its {self._files} JSON files is an entry about Go" if self._files else "it has no entries"
            raise SlipwayError(
                "vulnerability_database_empty", f"{self._path}: {what}.", "give a database in the format of the Go one"
            )
        return Database(self._with_severities(), self._newest, self._entries, self._withdrawn)

    def _with_severities(self) -> dict[str, list[Affected]]:
        """Go's own entries name no severity; those of other sources about the same vulnerability do."""
        return {module: [self._rated(one) for one in entries] for module, entries in self._modules.items()}

    def _rated(self, one: Affected) -> Affected:
        if one.severity:
            return one
        return one._replace(
            severity=max((self._severities.get(alias, "") for alias in one.aliases), key=rank, default="")
        )


def _files(path: str) -> Iterator[tuple[str, Read]]:
    """Name and content of each JSON file, in the order of the names."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            yield from _files_of_folder(path)
        elif stat.S_ISREG(mode) and zipfile.is_zipfile(path):
            yield from _files_of_zip(path)
        else:
            raise SlipwayError(
                "vulnerability_database_format", f"{path} is neither a folder nor a zip.", "give a folder or a zip"
            )
    except OSError as error:
        raise SlipwayError(
            "vulnerability_database_missing",
            f"{path} is not readable: {error.strerror}.",
            "correct release_vulnerability_database, or leave it empty",
        ) from error


def _files_of_folder(path: str) -> Iterator[tuple[str, Read]]:
    def stop(error: OSError) -> None:
        raise error

    for base, folders, names in os.walk(path, onerror=stop):
        folders.sort()
        for name in sorted(names):
            if name.endswith(".json"):
                file = os.path.join(base, name)
                yield os.path.relpath(file, path), lambda file=file: _read_file(file)  # type: ignore[misc]


def _read_file(path: str) -> bytes:
    """Never waits for a pipe."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise BrokenEntry("it is no file")
        return stream.read(MAX_ENTRY + 1)


def _files_of_zip(path: str) -> Iterator[tuple[str, Read]]:
    if os.path.getsize(path) > MAX_ARCHIVE:
        raise _too_large(path, f"more than {MAX_ARCHIVE >> 20} MiB")
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise SlipwayError("vulnerability_database_broken", f"{path} is no intact zip: {error}.", _FETCH) from error
    with archive:
        for member in sorted(archive.infolist(), key=lambda one: one.filename):
            if member.filename.endswith(".json"):
                yield member.filename, lambda member=member: _read_member(archive, member)  # type: ignore[misc]


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """No more of it than an entry may have, whatever the zip says of its size."""
    if member.compress_type not in _METHODS:
        raise BrokenEntry("it is packed by a method that is not read")
    with archive.open(member) as stream:
        return stream.read(MAX_ENTRY + 1)


def _too_large(path: str, what: str) -> SlipwayError:
    return SlipwayError(
        "vulnerability_database_too_large", f"{path} has {what}.", "give the database of Go alone, as Go publishes it"
    )
