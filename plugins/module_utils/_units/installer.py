# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unit files: compared, verified aside, installed together. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from typing import Mapping, Optional, Sequence

from .._core import command, files
from .._core.errors import SlipwayError
from .._core.paths import UNIT_ROOT
from .._host.systemd import Systemd
from . import directives

PACKAGED = ("/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
VERIFY_TIMEOUT = 60.0
_NAME = re.compile(r"[A-Za-z0-9:_.\\-]+@?\.(service|socket|timer|target|path|slice)")
_EXEC = re.compile(r"^(Exec[A-Za-z]+=[-@:+!]*)(/\S+)", re.MULTILINE)
_TOO_NEW = re.compile(r"Unknown (key name|lvalue|key)\b")
_STAND_IN = "/bin/true"


@dataclass(frozen=True)
class UnitFile:
    """A unit as it should be. enabled None leaves its state alone; started only ever starts it."""

    name: str
    content: str
    enabled: Optional[bool] = None
    started: bool = False


@dataclass(frozen=True)
class UnitChange:
    """One file in a folder: None stands for a file that is not there."""

    name: str
    before: Optional[str]
    after: Optional[str]
    folder: str = UNIT_ROOT

    @property
    def path(self) -> str:
        return os.path.join(self.folder, self.name)


@dataclass(frozen=True)
class UnitPlan:
    """What differs from what is wanted. stale: what PID 1 has not read since its file changed.

    aside: files that PID 1 does not read.
    """

    wanted: Sequence[UnitFile]
    changes: Sequence[UnitChange]
    enable: Sequence[str]
    disable: Sequence[str]
    start: Sequence[str]
    stale: Sequence[str] = ()
    aside: Sequence[UnitChange] = ()

    @property
    def changed(self) -> bool:
        return bool(self.changes or self.enable or self.disable or self.start or self.stale or self.aside)

    @property
    def changed_names(self) -> list[str]:
        names = {c.name for c in [*self.changes, *self.aside]}
        return sorted(names.union(self.enable, self.disable, self.start, self.stale))


def read(name: str, root: str = UNIT_ROOT) -> Optional[str]:
    try:
        with open(os.path.join(root, name), encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def validate_unit_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise SlipwayError(
            "invalid_unit_name", f"{name!r} is not a unit file's name.", "use for example shop.service or shop@.service"
        )


def refuse_taken(name: str, folders: Sequence[str] = PACKAGED) -> None:
    """Raise when a package brings a unit of that name: ours would hide it."""
    for folder in folders:
        if os.path.lexists(os.path.join(folder, name)):
            raise SlipwayError(
                "unit_taken",
                f"{name} belongs to a package of this host ({folder}).",
                "choose another service_name",
            )


def is_enabled(name: str) -> bool:
    return Systemd(VERIFY_TIMEOUT).is_enabled(name)


def is_active(name: str) -> bool:
    return Systemd(VERIFY_TIMEOUT).is_active(name)


def validate(wanted: Sequence[UnitFile], absent: Sequence[str], root: str = UNIT_ROOT) -> None:
    """Raise where a name is none, or not ours."""
    for name in [*(unit.name for unit in wanted), *absent]:
        validate_unit_name(name)
    for unit in wanted:
        if read(unit.name, root) is None:
            refuse_taken(unit.name)


def plan(wanted: Sequence[UnitFile], absent: Sequence[str], root: str = UNIT_ROOT) -> UnitPlan:
    validate(wanted, absent, root)
    switched = [(u, is_enabled(u.name)) for u in wanted if u.enabled is not None]
    return UnitPlan(
        wanted,
        compare(wanted, absent, root),
        enable=[u.name for u, now in switched if u.enabled and not now],
        disable=[u.name for u, now in switched if not u.enabled and now],
        start=[u.name for u in wanted if u.started and not is_active(u.name)],
        stale=Systemd().stale(*(u.name for u in wanted)),
    )


def compare(wanted: Sequence[UnitFile], absent: Sequence[str], folder: str) -> list[UnitChange]:
    """The files of the folder that differ."""
    contents = {**{unit.name: unit.content for unit in wanted}, **dict.fromkeys(absent)}
    present = {name: read(name, folder) for name in contents}
    return [UnitChange(name, present[name], text, folder) for name, text in contents.items() if present[name] != text]


def stand_in(content: str) -> str:
    """The content with programs that are not on this host yet replaced, so that only their absence is forgiven."""
    return _EXEC.sub(lambda m: m.group(0) if os.path.exists(m.group(2)) else m.group(1) + _STAND_IN, content)


def verify(wanted: Sequence[UnitFile], given: Optional[Mapping[str, Sequence[str]]] = None) -> list[str]:
    """Raise what systemd would refuse or ignore; return what this systemd is too old to know.

    given: which of the role's variables has brought which directives, so that a failure names the variable.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-verify-") as folder:
        paths = []
        for unit in wanted:
            path = os.path.join(folder, unit.name)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(stand_in(unit.content))
            paths.append(path)
        complaints, failed = _analyze(paths, folder)
    relevant = [line for line in complaints if any(_names(unit.name, line) for unit in wanted)]
    too_new = [line for line in relevant if _TOO_NEW.search(line) and _may_be_newer(line, given)]
    wrong = [line for line in relevant if line not in too_new]
    if wrong and given is not None:
        _refuse(wrong, wanted, given)
    if failed or wrong:
        reason = _quoted(wrong or complaints, wanted) or "no reason given"
        raise SlipwayError(
            "invalid_unit",
            f"systemd would not take these units as they are: {reason}",
            "correct the variable that this line comes from",
        )
    return too_new


def _may_be_newer(line: str, given: Optional[Mapping[str, Sequence[str]]]) -> bool:
    """Whether a later systemd may know what this one does not; of what an operator has written, the name tells."""
    found = re.search(r"'([A-Za-z0-9-]+)'", line)
    name = found.group(1) if found else ""
    return not any(name in names for names in (given or {}).values()) or name in directives.KNOWN


def _refuse(complaints: Sequence[str], wanted: Sequence[UnitFile], given: Mapping[str, Sequence[str]]) -> None:
    """Raise with the variable, and with what it has put into the unit; return where no line tells."""
    texts = {unit.name: unit.content.splitlines() for unit in wanted}
    variables, reasons = [], []
    for unit, number, why in map(_place, complaints):
        lines = texts.get(unit, [])
        line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
        variable = directives.variable_of(directives.name_of(line), given)
        if variable is None:
            return
        variables.append(variable)
        reasons.append(f"{variable} brings {line}, of which systemd says: {why.rstrip('.')}")
    raise SlipwayError(
        "invalid_unit",
        f"systemd would not take these units as they are. {'; '.join(dict.fromkeys(reasons))}.",
        f"correct {' and '.join(dict.fromkeys(variables))}",
    )


def _place(complaint: str) -> tuple[str, int, str]:
    """The unit and the line that a complaint is about, and the complaint without them."""
    found = re.match(r"\[?(?:.*/)?([^/:]+):(\d+)\]?:? (.*)", complaint)
    return (found.group(1), int(found.group(2)), found.group(3)) if found else ("", 0, complaint)


def _quoted(complaints: Sequence[str], wanted: Sequence[UnitFile]) -> str:
    """What systemd said, once each, with the line of the unit that it means."""
    texts = {unit.name: unit.content.splitlines() for unit in wanted}

    def quote(line: str) -> str:
        where = re.match(r"(?:.*/)?([^/:]+):(\d+): ", line)
        lines = texts.get(where.group(1), []) if where else []
        number = int(where.group(2)) if where else 0
        return f"{line} ({lines[number - 1]})" if 0 < number <= len(lines) else line

    return "; ".join(dict.fromkeys(quote(line) for line in complaints))


def _names(unit: str, line: str) -> bool:
    """Whether the line is about this unit, not about one whose name only ends or begins like it."""
    return re.search(rf"(?<![\w@.:\\-]){re.escape(unit)}(?![\w@-])", line) is not None


def _analyze(paths: Sequence[str], folder: str) -> tuple[list[str], bool]:
    variables = {"SYSTEMD_UNIT_PATH": f"{folder}:", "SYSTEMD_LOG_LEVEL": "warning"}
    try:
        done = command.run(["systemd-analyze", "verify", "--man=no", *paths], VERIFY_TIMEOUT, variables=variables)
    except (command.MissingProgram, command.TimeLimitPassed) as error:
        raise SlipwayError("no_verify", f"the units cannot be verified: {error.message}", error.fix) from None
    text = done.errors.decode(errors="replace").replace(f"{folder}/", "")
    return [line for line in text.splitlines() if line.strip()], done.code != 0


def apply(planned: UnitPlan, systemd: Optional[Systemd] = None) -> None:
    """Write all, reload once, then enable, disable and start."""
    if not planned.changed:
        return
    systemd = systemd or Systemd()
    _write(planned.aside)
    gone = [c.name for c in planned.changes if c.after is None]
    if gone:
        systemd.call("disable", "--quiet", "--now", *gone, check=False)
    _write(planned.changes)
    if planned.changes or planned.stale:
        systemd.call("daemon-reload")
    if planned.enable:
        systemd.call("enable", "--quiet", *planned.enable)
    if planned.disable:
        systemd.call("disable", "--quiet", *planned.disable)
    if planned.start:
        systemd.call("start", *planned.start)


def _write(changes: Sequence[UnitChange]) -> None:
    for change in changes:
        if change.after is None:
            os.unlink(change.path)
        else:
            os.makedirs(change.folder, mode=0o755, exist_ok=True)
            files.write_atomic(change.path, change.after, 0o644)
