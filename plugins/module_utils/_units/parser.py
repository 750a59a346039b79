# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads a systemd unit and its drop-ins from disk. This file is PRIVATE to the collection.

From disk, not from the running manager: a unit is judged before `daemon-reload` and where no systemd runs.
"""

from __future__ import annotations

import os
import re
import stat
from typing import Iterable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .._core.errors import SlipwayError
from .._core.paths import UNIT_ROOT

UNIT_PATH = (
    "/etc/systemd/system.control",
    "/run/systemd/system.control",
    "/run/systemd/transient",
    "/run/systemd/generator.early",
    UNIT_ROOT,
    "/etc/systemd/system.attached",
    "/run/systemd/system",
    "/run/systemd/system.attached",
    "/run/systemd/generator",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
    "/run/systemd/generator.late",
)
MAX_UNIT = 1 << 20
_SIMPLE_ESCAPES = {
    "a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11, "\\": 92, '"': 34, "'": 39, "s": 32,
}  # fmt: skip
# What may stand before a path, and a specifier, which may be one.
_ABSOLUTE = re.compile(r"-?\+?[/%]")
_SOURCE, _TARGET = re.compile(r"-?/"), re.compile(r"/")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|(.))", re.DOTALL)


class UnitName(NamedTuple):
    """shop@1.0.service: full name, prefix shop, instance 1.0."""

    full: str
    prefix: str
    instance: str

    @property
    def suffix(self) -> str:
        return "." + self.full.rpartition(".")[2]

    @property
    def template(self) -> str:
        return f"{self.prefix}@{self.suffix}" if self.instance else ""


class Unit(NamedTuple):
    name: UnitName
    path: str
    service: tuple[tuple[str, str], ...]

    def last(self, key: str, default: str = "") -> str:
        last = default
        for name, value in self.service:
            if name == key:
                last = value or default
        return last

    def every(self, *keys: str) -> list[str]:
        """All values in order; an empty one forgets those before it."""
        values: list[str] = []
        for name, value in self.service:
            if name in keys:
                values = [*values, value] if value else []
        return values

    def words(self, *keys: str) -> list[str]:
        return [word for value in self.every(*keys) for word in split_words(value)]

    def paths(self, *keys: str) -> list[str]:
        """The words that are paths. systemd ignores one that is not absolute."""
        return list(filter(is_absolute, self.words(*keys)))

    def yes(self, key: str) -> bool:
        return is_true(self.last(key))


def is_true(text: str) -> bool:
    return text.strip().lower() in ("1", "yes", "y", "true", "t", "on")


class Bind(NamedTuple):
    """What of BindPaths= and its kin counts. ignored: what stands before it and is no whole path, or nothing."""

    source: str
    target: str
    ignored: str = ""


def read_bind(word: str) -> Optional[Bind]:
    """systemd goes on behind a source or a target that is not absolute: of `opt:/srv`, it mounts /srv on itself."""
    pieces, ignored = word.split(":"), ""
    while pieces:
        source, target = pieces[0], (pieces[1:2] or pieces)[0]
        if not _SOURCE.match(source):
            pieces, ignored = pieces[1:], ignored or source
        elif len(pieces) > 1 and not _TARGET.match(target):
            pieces, ignored = pieces[2:], ignored or target
        else:
            return Bind(source, target, ignored)
    return None


def is_absolute(path: str) -> bool:
    return _ABSOLUTE.match(path) is not None


def parse_name(text: str) -> UnitName:
    if not re.search(r"\.[a-z]+$", text):
        text += ".service"
    stem = text.rpartition(".")[0]
    prefix, _ignored, instance = stem.partition("@")
    return UnitName(text, prefix, instance)


def read_unit(text: str, unit_path: Sequence[str] = UNIT_PATH) -> Unit:
    """The unit of that name, or the unit file at that path."""
    name = parse_name(os.path.basename(text))
    paths = files_of(text, unit_path)
    service = tuple((key, value) for section, key, value in settings_of(paths) if section == "Service")
    return Unit(name, paths[0], service)


def files_of(text: str, unit_path: Sequence[str] = UNIT_PATH) -> list[str]:
    """The file of that unit and its drop-ins, in the order in which systemd reads them."""
    name = parse_name(os.path.basename(text))
    path = text if text.startswith("/") else _find(name, unit_path)
    if path is None or not os.path.exists(path):
        raise SlipwayError(
            "unit_not_found", f"unit: {text}: no such unit in {', '.join(unit_path)}.", "install the unit first"
        )
    if os.path.realpath(path) == "/dev/null":
        raise SlipwayError(
            "unit_masked", f"unit: {name.full} is masked ({path}).", f"unmask it with systemctl unmask {name.full}"
        )
    return [path, *_drop_ins(name, path, unit_path)]


def settings_of(paths: Iterable[str]) -> list[tuple[str, str, str]]:
    """(section, key, value) of every setting of a unit, whatever the section."""
    return [setting for path in paths for setting in parse(_read(path))]


def _find(name: UnitName, unit_path: Sequence[str]) -> Optional[str]:
    for wanted in (name.full, name.template):
        for directory in unit_path:
            path = f"{directory}/{wanted}"
            if wanted and os.path.lexists(path):
                return path
    return None


def _drop_ins(name: UnitName, path: str, unit_path: Sequence[str]) -> list[str]:
    """By file name, whatever directory they are in; of equal names the more specific and higher one counts."""
    kinds = [name.suffix[1:]]
    parts = name.prefix.split("-")
    kinds += ["-".join(parts[:count]) + "-" + name.suffix for count in range(1, len(parts))]
    kinds += [name.template, name.full]
    directories = [f"{base}/{kind}.d" for kind in kinds if kind for base in reversed(unit_path)]
    directories.append(path + ".d")
    paths: dict[str, str] = {}
    for directory in directories:
        try:
            entries = os.listdir(directory)
        except OSError:
            continue
        paths.update({entry: f"{directory}/{entry}" for entry in entries if entry.endswith(".conf")})
    return [paths[entry] for entry in sorted(paths) if os.path.realpath(paths[entry]) != "/dev/null"]


def _read(path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise SlipwayError("unit_unreadable", f"unit: {path} is not a regular file.", "give a unit file")
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(MAX_UNIT)
    except OSError as error:
        raise SlipwayError(
            "unit_unreadable", f"unit: {path}: {error.strerror}.", "let the user that Ansible becomes read it"
        ) from error


def parse(text: str) -> Iterator[tuple[str, str, str]]:
    """(section, key, value) of every setting; comments may stand inside a continued line."""
    section = ""
    held = ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith(("#", ";")) or (not line and not held):
            continue
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        line, held = held + line, ""
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif "=" in line:
            key, _ignored, value = line.partition("=")
            yield section, key.strip(), value.strip()


def split_words(text: str) -> list[str]:
    """Words as systemd splits them: quotes group, backslashes escape as in C."""
    words: list[str] = []
    pattern = re.compile(r"""\s*((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\.|[^\s"'\\])+)""", re.DOTALL)
    position = 0
    while True:
        match = pattern.match(text, position)
        if match is None:
            return words
        position = match.end()
        pieces = re.findall(r"""("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?:\\.|[^\s"'\\])+)""", match.group(1), re.DOTALL)
        words.append("".join(_unescape(piece[1:-1] if piece[0] in "\"'" else piece) for piece in pieces))


def _unescape(text: str) -> str:
    def value(match: re.Match[str]) -> str:
        hexadecimal, octal, simple = match.groups()
        if hexadecimal:
            return chr(int(hexadecimal, 16))
        if octal:
            return chr(int(octal, 8) & 255)
        return chr(_SIMPLE_ESCAPES[simple]) if simple in _SIMPLE_ESCAPES else match.group(0)

    return _ESCAPE.sub(value, text)


def specifiers(name: UnitName, path: str, user: str, uid: int, home: str) -> dict[str, str]:
    stem = name.full.rpartition(".")[0]
    system = os.uname()
    return {
        "%": "%",
        "n": name.full,
        "N": stem,
        "p": name.prefix,
        "P": unescape_name(name.prefix),
        "i": name.instance,
        "I": unescape_name(name.instance),
        "j": name.prefix.rpartition("-")[2],
        "J": unescape_name(name.prefix.rpartition("-")[2]),
        "f": "/" + unescape_name(name.instance or name.prefix).lstrip("/"),
        "H": system.nodename,
        "l": system.nodename.split(".")[0],
        "v": system.release,
        "u": user,
        "U": str(uid),
        "h": home,
        "t": "/run",
        "S": "/var/lib",
        "C": "/var/cache",
        "L": "/var/log",
        "E": "/etc",
        "T": "/tmp",  # noqa: S108
        "V": "/var/tmp",  # noqa: S108
        "y": path,
        "Y": os.path.dirname(path),
    }


def expand(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"%(.)", lambda match: values.get(match.group(1), match.group(0)), text)


def unescape_name(text: str) -> str:
    """As `systemd-escape --unescape`."""
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match.group(1), 16)), text.replace("-", "/"))


def parse_environment_file(text: str) -> dict[str, str]:
    """EnvironmentFile=: like a shell's assignments, without expansion."""
    variables: dict[str, str] = {}
    text = re.sub(r"^[ \t]*[#;].*$", "", text, flags=re.MULTILINE)
    pattern = re.compile(
        r"""^[ \t]*([A-Za-z_][A-Za-z0-9_]*)=((?:"(?:[^"\\]|\\.)*"|'[^']*'|\\.|[^\n"'\\])*)""", re.MULTILINE | re.DOTALL
    )
    for key, raw in pattern.findall(text):
        pieces = re.findall(r"""("(?:[^"\\]|\\.)*"|'[^']*'|(?:\\.|[^"'\\])+)""", raw.strip(), re.DOTALL)
        variables[key] = "".join(_environment_piece(piece) for piece in pieces)
    return variables


def _environment_piece(piece: str) -> str:
    if piece[0] == "'":
        return piece[1:-1]
    if piece[0] == '"':
        return re.sub(r'\\(["\\`$])', r"\1", piece[1:-1].replace("\\\n", ""))
    return re.sub(r"\\(.)", r"\1", piece.replace("\\\n", ""), flags=re.DOTALL)
