# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that ran before slipway had it: out of the way of its first release, and back. PRIVATE to the collection.

Its units are kept, and slipway's units of the same names wait beside them. The first release changes the two sets when
it stops the former service, so that until then a crash, a boot or an operator starts the former one as ever. Each way
compares with what is on disk and can be begun anew at any step, for whoever does it may be killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, Mapping, Optional, Sequence

from .._core import files
from .._core.errors import SlipwayError
from .._host.systemd import Systemd
from .state.layout import Layout, read_object

# How long a run may use what it has prepared, anew with each call of its release: no later run takes a service over
# that nobody has asked for. A run closes it at its end; this is for one that is gone.
OPEN_SECONDS = 600.0
STOP_MARGIN = 15.0
_RUNS = ("active", "activating", "reloading")


@dataclass(frozen=True)
class Entry:
    """One file of the former service. target: where a link leads. copy: the name of a file's content, kept aside.

    moves: whether it is away while a release serves; what does not move only comes back where it is missing.
    """

    path: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    target: str = ""
    copy: str = ""
    digest: str = ""
    moves: bool = True


@dataclass(frozen=True)
class Folder:
    path: str
    mode: int
    uid: int
    gid: int


@dataclass(frozen=True)
class Record:
    """in_force: whether the former service is the one that is to run. up: its units that ran. copies: a folder."""

    in_force: bool
    open_until: float
    copies: str
    entries: tuple[Entry, ...] = ()
    folders: tuple[Folder, ...] = ()
    up: tuple[str, ...] = ()
    since: float = 0.0


class Takeover:
    """The former service of one name on this host; most services have none.

    Its record is read once, so that all that happens in one run goes by the same one, also where the time to take the
    service over ends meanwhile. Who has waited for the service's lock makes a new one of these.
    """

    _record: Optional[Record] = None
    _read_at: Optional[float] = None

    def __init__(self, layout: Layout, systemd: Optional[Systemd] = None) -> None:
        self.layout = layout
        self.systemd = systemd or Systemd()
        self.service, self.socket = f"{layout.name}.service", f"{layout.name}.socket"

    @property
    def folder(self) -> str:
        return os.path.join(self.layout.state, "former")

    @property
    def waiting(self) -> str:
        """The folder with slipway's units that take the names of the former ones."""
        return os.path.join(self.folder, "units")

    def record(self) -> Optional[Record]:
        if self._read_at is None:
            self._record, self._read_at = self._read(), time.time()
        return self._record

    def _read(self) -> Optional[Record]:
        path = os.path.join(self.folder, "former.json")
        loaded = read_object(path)
        if loaded is None and not os.path.lexists(path):
            return None
        try:
            return _parse(loaded or {})
        except (TypeError, ValueError, AttributeError):
            raise SlipwayError(
                "damaged_former",
                f"{path} is not readable, and it says what the service was before slipway had it.",
                f"replace it from a backup of the host, or remove {self.folder} if {self.service} is slipway's",
            ) from None

    @property
    def exists(self) -> bool:
        return self.record() is not None

    @property
    def in_force(self) -> bool:
        """Whether the former service runs, or is to run again."""
        record = self.record()
        return record is not None and record.in_force

    @property
    def is_open(self) -> bool:
        """Whether a run has just asked for its first release."""
        record = self.record()
        return record is not None and record.in_force and (self._read_at or 0.0) < record.open_until

    @property
    def names(self) -> tuple[str, str]:
        """The units whose names both have."""
        return self.service, self.socket

    def paths(self) -> list[str]:
        """The former service's units, drop-ins and links."""
        record = self.record()
        return [entry.path for entry in record.entries if entry.moves] if record is not None else []

    # Before the switch.

    def keep(self, moved: Sequence[str], kept: Sequence[str]) -> None:
        """Keep a copy of all that is the former service's, and let a run have its first release. It goes on running."""
        now = time.time()
        files.make_directory(self.layout.state, 0o700)
        files.make_directory(self.folder, 0o700)
        copies = os.path.join(self.folder, f"copies-{os.urandom(4).hex()}")
        files.make_directory(copies, 0o700)
        moving = list(dict.fromkeys([*moved, *self._links()]))
        staying = [path for path in dict.fromkeys(kept) if path not in moving and os.path.isfile(path)]
        entries = [_keep(path, copies, number, path in moving) for number, path in enumerate([*moving, *staying])]
        files.fsync_directory(copies)
        folders = dict.fromkeys(os.path.dirname(path) for path in moving)
        up = [unit for unit in (self.socket, self.service) if self.systemd.show(unit).active in _RUNS]
        self._save(
            Record(
                True,
                now + OPEN_SECONDS,
                os.path.basename(copies),
                tuple(entries),
                tuple(_folder(path) for path in folders if path != self.layout.unit_root),
                tuple(up),
                now,
            )
        )
        for name in os.listdir(self.folder):
            if name.startswith("copies-") and name != os.path.basename(copies):
                files.remove_tree(os.path.join(self.folder, name))

    def renew(self) -> None:
        """The run goes on, such as with bringing its artefact here. Under the service's lock."""
        record = self.record()
        if record is not None and self.is_open:
            self._save(replace(record, open_until=time.time() + OPEN_SECONDS))

    def close(self) -> None:
        """No release takes the service over any more, unless a run asks for it anew."""
        record = self.record()
        if record is not None and record.open_until:
            self._save(replace(record, open_until=0.0))

    def hold(self, units: Mapping[str, str]) -> bool:
        """Have these units of slipway's wait, and no others; return whether they did not."""
        files.make_directory(self.waiting, 0o700)
        surplus = [name for name in os.listdir(self.waiting) if name not in units]
        for name in surplus:
            os.unlink(os.path.join(self.waiting, name))
        changed = [files.replace_if_different(os.path.join(self.waiting, name), text) for name, text in units.items()]
        return bool(surplus) or any(changed)

    def held(self) -> dict[str, str]:
        try:
            names = sorted(name for name in os.listdir(self.waiting) if name in self.names)
        except FileNotFoundError:
            return {}
        return {name: files.text(os.path.join(self.waiting, name)) for name in names}

    def require_ready(self) -> None:
        """Raise unless the former service is as it was kept, and slipway's unit waits."""
        changed = self._differences()
        if changed:
            raise SlipwayError(
                "former_changed",
                f"{', '.join(changed)} {'is' if len(changed) == 1 else 'are'} not as when it was looked at.",
                "run slipway.go.adopt again, which looks anew",
            )
        if self.service not in self.held():
            raise SlipwayError(
                "units_missing",
                f"no unit {self.service} of slipway's waits in {self.waiting}.",
                "run slipway.go.adopt with adopt_switch, which applies the role service",
            )

    # The switch and the way back.

    def step_aside(self, stop_timeout: float) -> None:
        """Stop the former service, and have slipway's units in the place of its own."""
        self._stop(stop_timeout)
        for path in self.paths():
            files.remove_link(path)
        for folder in self._required().folders:
            with contextlib.suppress(OSError):  # something else is in it
                os.rmdir(folder.path)
        held = self.held()
        for name, text in held.items():
            files.replace_if_different(os.path.join(self.layout.unit_root, name), text)
        self.systemd.call("daemon-reload")
        self.systemd.call("enable", "--quiet", *held)

    def settle(self) -> None:
        """The release has come to stay."""
        record = self.record()
        if record is not None and record.in_force:
            self._save(replace(record, in_force=False, open_until=0.0))

    def reclaim(self) -> None:
        """The former service is the one that is to run, though a release does now."""
        self._save(replace(self._required(), in_force=True, open_until=0.0))

    def come_back(self, stop_timeout: float, start_timeout: float) -> Optional[SlipwayError]:
        """Have the former service as it was, and running where it ran; return what speaks against that it runs."""
        record = self._required()
        if self._differences():
            self._stop(stop_timeout)
            self._restore_units(record)
        self._restore_missing(record)
        self.systemd.call("daemon-reload")
        if record.open_until:
            self._save(replace(record, open_until=0.0))
        return self.start(stop_timeout, start_timeout)

    def start(self, stop_timeout: float, start_timeout: float) -> Optional[SlipwayError]:
        """Have it running where it ran; return what speaks against that it runs."""
        record = self._required()
        try:
            if self.socket in record.up and not self.systemd.show(self.socket).up:
                self._stop(stop_timeout)  # PID 1 opens no socket of a service that runs
            for unit in record.up:
                self._start_unit(unit, start_timeout)
        except SlipwayError as error:
            return error
        return None

    def _restore_units(self, record: Record) -> None:
        for path in self._surplus():
            files.remove_link(path)
        for folder in record.folders:
            _make(folder)
        for entry in self._moving():
            if not _is_as_kept(entry):
                self._restore(entry, record)

    def _restore_missing(self, record: Record) -> None:
        """What somebody has deleted meanwhile. Its place may be gone on purpose, and then the start tells."""
        for entry in record.entries:
            if not entry.moves and not os.path.lexists(entry.path):
                with contextlib.suppress(OSError):
                    self._restore(entry, record)

    def _start_unit(self, unit: str, timeout: float) -> None:
        if not self.systemd.show(unit).up:
            self.systemd.call("reset-failed", unit, check=False)
            self.systemd.start(unit)
        self.systemd.wait_active(unit, timeout)

    def _stop(self, timeout: float) -> None:
        """Whichever of the two is loaded."""
        if not self.systemd.show(self.socket).settled_down:
            self.systemd.call("stop", self.socket, timeout=timeout)
        if not self.systemd.show(self.service).settled_down:
            self.systemd.end(self.service, timeout, STOP_MARGIN)

    def _moving(self) -> list[Entry]:
        return [entry for entry in self._required().entries if entry.moves]

    def _differences(self) -> list[str]:
        """What is not as the former service had it."""
        return [*(entry.path for entry in self._moving() if not _is_as_kept(entry)), *self._surplus()]

    def _surplus(self) -> list[str]:
        """Units and links of these names that the former service had not."""
        own = set(self.paths())
        units = [os.path.join(self.layout.unit_root, name) for name in self.names]
        return [path for path in [*units, *self._links()] if path not in own and os.path.lexists(path)]

    def _links(self) -> list[str]:
        """What has PID 1 start it at boot or with others, and its other names."""
        root = self.layout.unit_root
        found = [os.path.join(root, name) for name in sorted(os.listdir(root))]
        aliases = [path for path in found if os.path.basename(path) not in self.names and self._leads_to_it(path)]
        folders = [path for path in found if path.endswith((".wants", ".requires", ".upholds"))]
        wanted = [os.path.join(folder, name) for folder in folders for name in self.names]
        return [*aliases, *(path for path in wanted if os.path.islink(path))]

    def _leads_to_it(self, path: str) -> bool:
        return os.path.islink(path) and files.link_name(path) in self.names

    def _restore(self, entry: Entry, record: Record) -> None:
        """In one rename(2), so that no boot meets half of it."""
        if entry.target:
            files.flip_symlink(entry.path, entry.target)
            return
        draft = f"{entry.path}.tmp-{os.getpid()}"
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        files.copy_hashed(os.path.join(self.folder, record.copies, entry.copy), draft, entry.mode, entry.gid)
        os.chown(draft, entry.uid, -1)
        os.rename(draft, entry.path)
        files.fsync_directory(os.path.dirname(entry.path))

    def require_kept(self) -> None:
        """Raise where there is no former service."""
        self._required()

    def _required(self) -> Record:
        record = self.record()
        if record is None:
            raise SlipwayError(
                "not_adopted",
                f"slipway keeps no former unit of {self.layout.name} on this host.",
                "choose a service and a host that slipway.go.adopt has taken over",
            )
        return record

    def _save(self, record: Record) -> None:
        self._read_at = None  # where this fails, nobody knows what is on disk
        files.write_atomic(os.path.join(self.folder, "former.json"), json.dumps(asdict(record)) + "\n", 0o600)
        self._record, self._read_at = record, time.time()


def _parse(loaded: Mapping[str, Any]) -> Record:
    values = dict(loaded)
    values["entries"] = tuple(Entry(**one) for one in values.get("entries", ()))
    values["folders"] = tuple(Folder(**one) for one in values.get("folders", ()))
    values["up"] = tuple(values.get("up", ()))
    record = Record(**values)
    paths = [*(entry.path for entry in record.entries), *(folder.path for folder in record.folders)]
    texts = [record.copies, *record.up, *paths]
    if not all(isinstance(text, str) for text in texts) or not isinstance(record.in_force, bool):
        raise TypeError("one of its values is of another kind")
    if not all(isinstance(number, (int, float)) for number in (record.open_until, record.since)):
        raise TypeError("one of its times is none")
    return record


def _keep(path: str, copies: str, number: int, moves: bool) -> Entry:
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode):
        return Entry(path, target=os.readlink(path), moves=moves)
    mode, copy = stat.S_IMODE(status.st_mode), str(number)
    digest = files.copy_hashed(path, os.path.join(copies, copy), 0o600)
    return Entry(path, mode, status.st_uid, status.st_gid, copy=copy, digest=digest, moves=moves)


def _folder(path: str) -> Folder:
    status = os.stat(path)
    return Folder(path, stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def _make(folder: Folder) -> None:
    if not os.path.isdir(folder.path):
        files.make_directory(folder.path, folder.mode, folder.gid)
        os.chown(folder.path, folder.uid, -1)


def _is_as_kept(entry: Entry) -> bool:
    try:
        status = os.lstat(entry.path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if entry.target:
        return stat.S_ISLNK(status.st_mode) and os.readlink(entry.path) == entry.target
    same = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (entry.mode, entry.uid, entry.gid)
    return stat.S_ISREG(status.st_mode) and same and files.sha256_file(entry.path) == entry.digest
