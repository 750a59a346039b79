# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host is like, as items that can be compared, and what two looks at it differ in. Pure. PRIVATE."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Optional, Sequence, Union

# What is compared, such as {"content": a digest, "mode": "0644"}. CONTENT is never shown: it may stand for a secret.
Aspects = Mapping[str, str]
CONTENT = "content"
IS, NOW = "is", "now"
AS_PACKAGED = "as its package has it"
AS_PROXY = "as the role proxy writes it"
MISSING, NONE = "missing", "none"


@dataclass(frozen=True)
class Item:
    """since: when it became so, in seconds since the epoch, where the host can tell.

    settled: NOW is what hardening asks for, though the host may have come to it with a boot after the record.
    """

    aspects: Aspects
    since: Optional[float] = None
    settled: bool = False


@dataclass(frozen=True)
class Unreadable:
    """An area that cannot be read, and why."""

    reason: str


Area = Union[Mapping[str, Item], Unreadable]
Survey = Mapping[str, Area]
Record = Mapping[str, Mapping[str, Aspects]]


@dataclass(frozen=True)
class Finding:
    """One difference. service is empty where it belongs to the host and to none of its services."""

    service: str
    area: str
    what: str
    expected: str
    found: str
    since: Optional[float] = None

    def as_dict(self) -> dict[str, Any]:
        return dict(vars(self))


def recorded(area: Area) -> Optional[dict[str, Aspects]]:
    """What is written down of an area; None where it cannot be read."""
    return None if isinstance(area, Unreadable) else {what: dict(item.aspects) for what, item in area.items()}


def compare(record: Record, found: Survey) -> Iterator[Finding]:
    """Each difference between what was written down of a host and what it is like. Areas without a record have none."""
    for area, expected in record.items():
        look = found.get(area, {})
        if isinstance(look, Unreadable):
            yield Finding("", area, area, "readable", look.reason)
            continue
        for what in sorted({*expected, *look}):
            item = look.get(what)
            difference = _of_item(expected.get(what), item)
            if difference:
                yield Finding("", area, what, *difference, item.since if item else None)


def _of_item(expected: Optional[Aspects], item: Optional[Item]) -> Optional[tuple[str, str]]:
    if item is not None and item.aspects.get(CONTENT) == AS_PROXY:
        return None  # whatever was there when the host was written down
    if expected is not None and item is not None and item.settled:
        return _difference(_but_now(expected), _but_now(item.aspects))
    return _difference(expected, item.aspects if item else None)


def _but_now(aspects: Aspects) -> Aspects:
    return {name: value for name, value in aspects.items() if name != NOW}


def _difference(expected: Optional[Aspects], found: Optional[Aspects]) -> Optional[tuple[str, str]]:
    if expected == found or (None in (expected, found) and _may_go(expected or found or {})):
        return None  # packages and services come and go, and bring their files
    if expected is None or found is None:
        return _whole(expected, NONE), _whole(found, MISSING)
    names = [name for name in dict.fromkeys((*expected, *found)) if expected.get(name) != found.get(name)]
    return _told(expected, names, "as recorded"), _told(found, names, "another content")


def _may_go(aspects: Aspects) -> bool:
    return aspects.get(CONTENT) in (AS_PACKAGED, AS_PROXY)


def _whole(aspects: Optional[Aspects], otherwise: str) -> str:
    if aspects is None:
        return otherwise
    return _told(aspects, [name for name in aspects if name != CONTENT], "") or "there"


def _told(aspects: Aspects, names: Sequence[str], content: str) -> str:
    return ", ".join(_aspect(name, aspects.get(name, ""), content) for name in names if name in aspects) or NONE


def _aspect(name: str, value: str, content: str) -> str:
    if name == CONTENT:
        return value if value in (AS_PACKAGED, AS_PROXY) else content
    return value if name == IS else f"{name} {value}"
