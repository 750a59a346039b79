# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One entry of a vulnerability database in OSV's format, and which versions it affects. PRIVATE to the collection."""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Any, Iterator, NamedTuple, NoReturn, Optional

from .._binary.versions import Key, module_key
from .severity import severity_of

ECOSYSTEM = "Go"
STDLIB, TOOLCHAIN = "stdlib", "toolchain"
_ID = re.compile(r"[A-Za-z0-9][\w.:-]{0,127}", re.ASCII)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_KINDS = ("introduced", "fixed", "last_affected", "limit")
_START = "0"
UNDATED = date.min  # Go's zero time, which entries have until the Go project publishes them
MAX_SUMMARY = 200


class BrokenEntry(Exception):
    """The entry does not follow the format; what it says of a module cannot be judged."""


class Import(NamedTuple):
    """A package that is affected, on these systems (on all where empty), in these symbols (in all where empty)."""

    path: str
    symbols: tuple[str, ...] = ()
    goos: tuple[str, ...] = ()
    goarch: tuple[str, ...] = ()


class Affected(NamedTuple):
    """What one entry says of one module.

    ranges: each its events, (kind, version), in the order of their versions. None: no range is given, which means every
    version but where versions are listed.
    """

    id: str
    module: str
    ranges: Optional[tuple[tuple[tuple[str, str], ...], ...]]
    versions: tuple[str, ...] = ()
    imports: tuple[Import, ...] = ()
    aliases: tuple[str, ...] = ()
    severity: str = ""
    published: str = ""
    summary: str = ""

    def affects(self, version: Optional[Key]) -> bool:
        """Whether the version is affected; one that cannot be ordered may be any."""
        if version is None or (self.ranges is None and not self.versions):
            return True
        listed = any(module_key(f"v{one.lstrip('v')}") == version for one in self.versions)
        return listed or any(_contains(events, version) for events in self.ranges or ())

    def fixed_after(self, version: Optional[Key]) -> str:
        """The lowest version that is no longer affected; empty where none is known."""
        fixes = {event[1] for events in self.ranges or () for event in events if event[0] == "fixed"}
        keyed = sorted((key, text) for text in fixes if (key := module_key(f"v{text}")) is not None)
        return next((t for k, t in keyed if (version is None or k > version) and not self.affects(k)), "")


def _contains(events: tuple[tuple[str, str], ...], version: Key) -> bool:
    """As the specification of OSV evaluates a range."""
    inside = False
    limits = [_bound(text) for kind, text in events if kind == "limit" and text != "*"]
    for kind, text in events:
        bound = _bound(text) if kind != "limit" else version
        if kind == "introduced" and version >= bound:
            inside = True
        elif (kind == "fixed" and version >= bound) or (kind == "last_affected" and version > bound):
            inside = False
    return inside and (not limits or any(version < limit for limit in limits))


def _bound(text: str) -> Key:
    key = (0, 0, 0, -1, ()) if text == _START else module_key(f"v{text.lstrip('v')}")
    if key is None:
        raise BrokenEntry(f"{text!r} is no semantic version")
    return key


def parse(data: Any) -> Entry:
    """Everything of it that is about Go; BrokenEntry where it does not follow the format."""
    if not isinstance(data, dict):
        raise BrokenEntry("it is no JSON object")
    entry_id, modified = data.get("id"), data.get("modified")
    if not isinstance(entry_id, str) or not _ID.fullmatch(entry_id):
        raise BrokenEntry("it has no id")
    return Entry(entry_id, day_of(modified), bool(data.get("withdrawn")), tuple(_affected(data, entry_id)))


def day_of(value: Any) -> date:
    """The day of a time as the format writes it."""
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        return datetime.strptime(match.group(1), "%Y-%m-%d").date() if match else _no_time()
    except ValueError:
        return _no_time()


def _no_time() -> NoReturn:
    raise BrokenEntry("its time of modification is missing or is no time")


class Entry(NamedTuple):
    """affected: what it says of modules of Go; empty where it is about other ecosystems."""

    id: str
    modified: date
    withdrawn: bool
    affected: tuple[Affected, ...]


def _affected(data: dict[str, Any], entry_id: str) -> Iterator[Affected]:
    aliases = _texts(data.get("aliases"), "aliases")
    for one in _objects(data.get("affected"), "affected"):
        package = one.get("package")
        if not isinstance(package, dict):
            raise BrokenEntry("affected names no package")
        if str(package.get("ecosystem")).partition(":")[0] != ECOSYSTEM:
            continue
        module = package.get("name")
        if not isinstance(module, str) or not module:
            raise BrokenEntry("affected names no module")
        yield Affected(
            id=entry_id,
            module=module,
            ranges=_ranges(one.get("ranges")),
            versions=_texts(one.get("versions"), "versions"),
            imports=_imports(one.get("ecosystem_specific")),
            aliases=aliases,
            severity=severity_of(data, one),
            published=_day(data.get("published")),
            summary=_summary(data),
        )


def _ranges(value: Any) -> Optional[tuple[tuple[tuple[str, str], ...], ...]]:
    """Those of semantic versions; where there are only others, such as commits of git, no version can be told apart."""
    semantic = [one for one in _objects(value, "ranges") if one.get("type") in ("SEMVER", "ECOSYSTEM")]
    return tuple(_events(one) for one in semantic) if semantic else None


def _events(one: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for event in _objects(one.get("events"), "events"):
        for kind, text in event.items():
            if kind not in _KINDS or not isinstance(text, str):
                raise BrokenEntry("an event of a range is none that the format knows")
            found.append((kind, text))
    if not any(kind == "introduced" for kind, _text in found):
        raise BrokenEntry("a range does not say where it begins")
    return tuple(sorted(found, key=lambda event: _bound("0" if event[1] == "*" else event[1])))


def _imports(value: Any) -> tuple[Import, ...]:
    specific = value if isinstance(value, dict) else {}
    found = [
        Import(
            str(one.get("path") or ""),
            _texts(one.get("symbols"), "symbols"),
            _texts(one.get("goos"), "goos"),
            _texts(one.get("goarch"), "goarch"),
        )
        for one in _objects(specific.get("imports"), "imports")
    ]
    return tuple(found) if all(one.path for one in found) else ()


def _day(value: Any) -> str:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    return match.group(1) if match and match.group(1) != UNDATED.isoformat() else ""


def _summary(data: dict[str, Any]) -> str:
    text = data.get("summary") or data.get("details")
    words = " ".join(text.split()) if isinstance(text, str) else ""
    return words if len(words) <= MAX_SUMMARY else f"{words[:MAX_SUMMARY]}…"


def _objects(value: Any, what: str) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BrokenEntry(f"{what} is no list of objects")
    return value


def _texts(value: Any, what: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BrokenEntry(f"{what} is no list of texts")
    return tuple(value)
