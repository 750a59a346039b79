# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Units that somebody else has given a service's names. This file is PRIVATE to the collection.

A unit is slipway's where the host's record has its digest, where it names what only slipway's units name (for earlier
versions kept no record), or where it is the copy that a release came with.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._core import files
from .._core.errors import SlipwayError, sentence
from .._core.paths import STATE_ROOT, TOOL, UNIT_ROOT
from .._host.systemd import Systemd
from .parser import UNIT_PATH

RECORD = "units.json"
_MARK = re.compile(rf"{re.escape(STATE_ROOT)}/|{re.escape(TOOL)} |\bSLIPWAY_(RELEASE|SERVICE|DIRECTORY)=")
_RUNS = ("active", "activating", "reloading", "deactivating")


def names_of(service: str) -> list[str]:
    """Every unit that a service may have from the role or the engine."""
    kinds = (".service", "@.service", ".socket", "-guard.service", "-rehearsal@.service", "-rehearsal.socket")
    return [f"{service}{kind}" for kind in (*kinds, "-watch.service", "-watch.timer", "-alert.service")]


def _companions(service: str) -> dict[str, str]:
    """Units of earlier versions that name nothing of slipway's, each with one that came with it and does."""
    return {
        f"{service}-rehearsal.socket": f"{service}-rehearsal@.service",
        f"{service}-watch.timer": f"{service}-watch.service",
    }


@dataclass(frozen=True)
class ServiceUnits:
    """Where a service's units, its record and the copies of its units are."""

    service: str
    state: str
    unit_root: str = UNIT_ROOT
    copies: Sequence[str] = ()
    others: Sequence[str] = field(default_factory=lambda: [path for path in UNIT_PATH if path != UNIT_ROOT])

    @property
    def roots(self) -> tuple[str, ...]:
        return (self.unit_root, *self.others)

    @property
    def record(self) -> str:
        return os.path.join(self.state, RECORD)


def _read_record(units: ServiceUnits) -> dict[str, Any]:
    try:
        digests = json.loads(files.text(units.record) or "{}")
    except ValueError:
        digests = {}
    return digests if isinstance(digests, dict) else {}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def note(units: ServiceUnits, contents: Mapping[str, str]) -> None:
    """Write down, before they are written, that units of this content are slipway's, as those are that they replace.

    So are those that are about to go: a run that is cut short must find them again.
    """
    present = {name: of_unit for name in names_of(units.service) if (of_unit := _present(units, name))}
    coming = {name: sorted({_digest(text), *present.get(name, [])}) for name, text in contents.items()}
    digests = {**present, **coming}
    if _read_record(units) != digests:
        files.make_directory(units.state, 0o700)
        files.write_atomic(units.record, json.dumps(digests, sort_keys=True) + "\n", 0o644)


def _present(units: ServiceUnits, name: str) -> list[str]:
    return [_digest(files.text(os.path.join(units.unit_root, name)))] if is_ours(units, name) else []


def is_ours(units: ServiceUnits, name: str) -> bool:
    """Whether the unit in /etc is slipway's; not where there is none."""
    path = os.path.join(units.unit_root, name)
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    text, digests = files.text(path), _read_record(units).get(name)
    if isinstance(digests, list) and _digest(text) in digests:
        return True
    if _MARK.search(text) or any(files.text(os.path.join(folder, name)) == text for folder in units.copies):
        return True
    companion = _companions(units.service).get(name)
    return companion is not None and bool(_MARK.search(files.text(os.path.join(units.unit_root, companion))))


def is_managed(units: ServiceUnits) -> bool:
    """Whether slipway has had a unit of this service on the host, or was about to."""
    return bool(_read_record(units)) or any(is_ours(units, name) for name in names_of(units.service))


def drop_ins(units: ServiceUnits) -> list[str]:
    """The drop-ins that change this service's units, wherever they are."""
    folders = [f"{glob.escape(os.path.join(root, name))}.d" for root in units.roots for name in names_of(units.service)]
    return _distinct(path for folder in folders for path in glob.glob(f"{folder}/*.conf"))


def _distinct(paths: Iterable[str]) -> list[str]:
    """Each file once, though more than one way leads to its folder."""
    return sorted({os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in paths})


def check(units: ServiceUnits, systemd: Optional[Systemd] = None, former: Sequence[str] = ()) -> list[str]:
    """Raise where a unit, drop-in or process of this service's names is somebody else's.

    former: the files of a service that slipway is taking over; they, and what runs from them, are no obstacle.
    Return the drop-ins of a service that is slipway's: they are the operator's own.
    """
    known = _distinct(former)
    names = names_of(units.service)
    ours = [name for name in names if is_ours(units, name)]
    roots = (units.unit_root,) if ours else units.roots
    candidates = [
        os.path.join(root, name) for root in roots for name in names if root != units.unit_root or name not in ours
    ]
    foreign_files = [path for path in _distinct(filter(os.path.lexists, candidates)) if path not in known]
    own = [path for path in drop_ins(units) if path not in known]
    if ours and not foreign_files:
        return own
    adopted = set(map(os.path.basename, known))
    running = [unit for unit in _running(units.service, systemd or Systemd()) if unit.split(" ")[0] not in adopted]
    if not ours:
        foreign_files += own
    if foreign_files or running:
        raise _foreign(units.service, foreign_files, running)
    return []


def _foreign(service: str, paths: Sequence[str], running: Sequence[str]) -> SlipwayError:
    what = [f"{path} -> {os.readlink(path)}" if os.path.islink(path) else path for path in paths]
    sentences = [f"{', '.join(what)} {'is' if len(what) == 1 else 'are'} not slipway's."] if what else []
    sentences += (
        [f"{', '.join(running)} {'runs' if what else 'runs, and is not from a unit of slipway'}."] if running else []
    )
    is_service = f"{service}.service" in map(os.path.basename, paths)
    steps = ["look at it with slipway.go.adopt"] if is_service else []
    steps += [f"stop it with systemctl disable --now {running[0].split(' ', 1)[0]}"] if running else []
    steps += [f"move {'it' if len(what) == 1 else 'them'} away and run systemctl daemon-reload"] if what else []
    return SlipwayError(
        "foreign_unit",
        f"{sentence(' '.join(sentences))} Nothing was changed.",
        f"{', then '.join(steps)}, or choose another service_name",
        files=list(paths),
    )


def _running(service: str, systemd: Systemd) -> list[str]:
    """The units of these names that run, with their main process."""
    plain = [name for name in names_of(service) if "@" not in name]
    shown = systemd.properties_of_each(("Id", "ActiveState", "MainPID"), *plain, f"{service}@*.service")
    return [_with_pid(unit) for unit in shown if unit.get("ActiveState") in _RUNS]


def _with_pid(unit: Mapping[str, str]) -> str:
    pid = unit.get("MainPID", "")
    return unit["Id"] + (f" (pid {pid})" if pid not in ("", "0") else "")
