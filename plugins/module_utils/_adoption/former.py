# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service that somebody has set up by hand, as its unit describes it. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass, replace
from typing import Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence, Tuple

from .._binary.abilities import Abilities
from .._core import files
from .._core.errors import SlipwayError
from .._core.problems import Problem
from .._units.parser import (
    UNIT_PATH,
    Unit,
    expand,
    files_of,
    parse_environment_file,
    read_unit,
    settings_of,
    specifiers,
    split_words,
)
from .._units.prerequisites import environment_files

Setting = Tuple[str, str, str]
_PREFIXES = "@-:+!|"
_OF_UNIT = "nNpPiIjJfyY"  # the specifiers of systemd.unit(5) that say something else in another unit
_SECONDS = {
    "us": 1e-6, "ms": 1e-3, "s": 1, "sec": 1, "second": 1, "m": 60, "min": 60, "minute": 60, "h": 3600, "hr": 3600,
    "hour": 3600, "d": 86400, "day": 86400, "w": 604800, "week": 604800,
}  # fmt: skip


class Account(NamedTuple):
    """The user that it runs as. group: its primary one, empty where there is no such user."""

    name: str
    group: str = ""
    uid: int = 65534
    home: str = "/"
    can_log_in: bool = False


class Variable(NamedTuple):
    """source: the file that sets it. public: whether everybody on the host can read it there."""

    name: str
    value: str
    source: str
    public: bool


class Start(NamedTuple):
    """One ExecStart=. prefixes: what systemd reads before the program's path."""

    prefixes: str
    program: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class Former:
    """What is on disk. files: the unit and its drop-ins; socket: the settings of its socket unit, if it has one."""

    name: str
    unit: Unit
    files: tuple[str, ...]
    settings: tuple[Setting, ...]
    socket_files: tuple[str, ...]
    socket: tuple[Setting, ...]
    variables: tuple[Variable, ...]
    environment_files: tuple[str, ...]
    missing_files: tuple[str, ...]
    account: Account

    @property
    def starts(self) -> tuple[Start, ...]:
        return tuple(_start(value, self.values) for value in self.unit.every("ExecStart"))

    @property
    def program(self) -> str:
        return self.starts[0].program if self.starts else ""

    @property
    def values(self) -> dict[str, str]:
        account = self.account
        return specifiers(self.unit.name, self.unit.path, account.name, account.uid, account.home)

    @property
    def streams(self) -> list[str]:
        """What its socket unit listens on."""
        entries: list[str] = []
        for section, key, value in self.socket:
            if (section, key) == ("Socket", "ListenStream"):
                entries = [*entries, expand(value, self.values)] if value else []
        return entries

    def of_socket(self, key: str) -> list[str]:
        return [value for section, name, value in self.socket if section == "Socket" and name == key and value]

    def of_section(self, section: str, *keys: str) -> list[str]:
        """The words of these settings outside of [Service]."""
        found = [value for where, key, value in self.settings if where == section and key in keys]
        return [word for value in found for word in value.split()]


@dataclass(frozen=True)
class Seen:
    """What the host has said at that moment. problem: why the program is none that the role could start.

    abilities: None where the file does not say. triggers: units that start it. others: units in the way.
    occupied: files that have the place of slipway's. owners: folders above the releases that are not root's.
    """

    state: str = ""
    enabled: bool = False
    pid: int = 0
    listen: tuple[str, ...] = ()
    abilities: Optional[Abilities] = None
    problem: str = ""
    triggers: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    occupied: tuple[str, ...] = ()
    owners: tuple[Problem, ...] = ()


def read(name: str, accounts: Mapping[str, Account], unit_path: Sequence[str] = UNIT_PATH) -> Former:
    """The service as its files are. accounts: those of the host, by name and by number."""
    unit = read_unit(f"{name}.service", unit_path)
    paths = files_of(f"{name}.service", unit_path)
    sockets = _socket_files(f"{name}.socket", unit_path)
    user = unit.last("User", "root")
    former = Former(
        name,
        Unit(unit.name, unit.path, tuple((key, clean(value)) for key, value in unit.service)),
        tuple(paths),
        _clean(settings_of(paths)),
        tuple(sockets),
        _clean(settings_of(sockets)),
        (),
        (),
        (),
        accounts.get(user, Account(user)),
    )
    matches = {value: environment_files(value, former.values) for value in unit.every("EnvironmentFile")}
    present = tuple(path for paths in matches.values() for path in paths)
    return replace(
        former,
        variables=_variables(former, present),
        environment_files=present,
        missing_files=tuple(value for value, paths in matches.items() if not paths),
    )


def _socket_files(name: str, unit_path: Sequence[str]) -> list[str]:
    try:
        return files_of(name, unit_path)
    except SlipwayError as error:
        if error.code not in ("unit_not_found", "unit_masked"):
            raise
        return []


def _variables(former: Former, present: Iterable[str]) -> tuple[Variable, ...]:
    """As systemd gives them: what a file says counts before what the unit says."""
    found = {one.name: one for one in [*_from_unit(former), *_from_files(present)]}
    for word in former.unit.words("UnsetEnvironment"):
        name, equals, value = word.partition("=")
        if name in found and (not equals or found[name].value == value):
            del found[name]
    return tuple(found.values())


def _from_unit(former: Former) -> Iterator[Variable]:
    """With the file that has the line, since a drop-in may be closed to others."""
    for path in former.files:
        for section, key, value in _clean(settings_of([path])):
            if (section, key) == ("Service", "Environment"):
                for word in split_words(value):
                    name, equals, content = expand(word, former.values).partition("=")
                    if equals and word in former.unit.words("Environment"):
                        yield Variable(name, content, path, _is_public(path))


def _from_files(paths: Iterable[str]) -> Iterator[Variable]:
    for path in paths:
        for name, value in parse_environment_file(files.text(path)).items():
            yield Variable(clean(name), clean(value), path, public=False)


def _is_public(path: str) -> bool:
    try:
        return bool(os.stat(path).st_mode & stat.S_IROTH)
    except OSError:
        return False


def _start(value: str, values: Mapping[str, str]) -> Start:
    prefixes = value[: len(value) - len(value.lstrip(_PREFIXES))]
    words = split_words(value[len(prefixes) :]) or [""]
    program, *arguments = [words[0], *words[2:]] if "@" in prefixes else words
    return Start(prefixes, expand(program, values), tuple(_argument(one, values, prefixes) for one in arguments))


def _argument(word: str, values: Mapping[str, str], prefixes: str) -> str:
    """As service_arguments writes it: its specifiers are those of another unit, so that they are put in here."""
    text = portable(word, values)
    return text.replace("$", "$$") if ":" in prefixes else text


def portable(text: str, values: Mapping[str, str]) -> str:
    """The same in another unit: what stands for the name of this one is put in, what stands for the host's stays."""

    def value(match: re.Match[str]) -> str:
        letter = match.group(1)
        return values[letter].replace("%", "%%") if letter in _OF_UNIT else match.group(0)

    return re.sub(r"%(.)", value, text)


def seconds(text: str) -> Optional[float]:
    """1min 30s in seconds (systemd.time(7)); None for infinity and for what is no time."""
    parts = re.findall(r"([0-9]+(?:\.[0-9]+)?)\s*([a-z]*)", text)
    if not parts or re.sub(r"[0-9.]+\s*[a-z]*\s*", "", text):
        return None
    units = [_SECONDS.get(unit if unit in _SECONDS else unit[:-1]) if unit else 1 for _number, unit in parts]
    if None in units:
        return None
    return sum(float(number) * (unit or 0) for (number, _name), unit in zip(parts, units))


def clean(text: str) -> str:
    """Without bytes that are no text, which a result could not have."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _clean(settings: Iterable[Setting]) -> tuple[Setting, ...]:
    return tuple((section, clean(key), clean(value)) for section, key, value in settings)
