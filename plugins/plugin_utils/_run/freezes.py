# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Times in which nothing is released (release_freeze). Pure but for the zones' files. PRIVATE to the collection."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import zoneinfo
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.plugin_utils._input import survey

VARIABLE = "release_freeze"
KEYS = ("from", "to", "reason", "weekdays", "zone")
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_CLOCK = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])")
_OFFSET = re.compile(r"([+-])([01][0-9]|2[0-3]):?([0-5][0-9])")
_DAY = datetime.timedelta(days=1)
_MINUTES = 24 * 60
_REASON = 500

Moment = datetime.datetime


@dataclass(frozen=True)
class Window:
    """reason: why. ends: when it ends, where the moment is in it, else None."""

    reason: str
    ends: Callable[[Moment], Moment | None]


@dataclass(frozen=True)
class Frozen:
    """The window that the moment is in. until: with its zone."""

    reason: str
    until: str


def parse(given: Any) -> list[Window]:
    """The windows of the variable, a list or its text; raise for the first entry that says none."""
    if survey.is_empty(given):
        return []
    return [_window(entry, number) for number, entry in enumerate(survey.records(given, VARIABLE), 1)]


def find(windows: Sequence[Window], moment: Moment) -> Frozen | None:
    """The window that ends last, of those that the moment is in."""
    inside = [(end, window.reason) for window in windows for end in [window.ends(moment)] if end is not None]
    if not inside:
        return None
    end, reason = max(inside, key=lambda one: one[0])
    return Frozen(reason, f"{end:%Y-%m-%d %H:%M %z}")


def refusal(frozen: Frozen) -> SlipwayError:
    return SlipwayError(
        "frozen",
        f"release_freeze has a window until {frozen.until}: {frozen.reason}",
        "release after it, or set release_break_glass to the reason why this release cannot wait",
    )


def _refuse(number: int, what: str, fix: str) -> NoReturn:
    raise SlipwayError("invalid_freeze", f"entry {number} of release_freeze {what}.", fix)


def _window(entry: Any, number: int) -> Window:
    if not isinstance(entry, Mapping):
        _refuse(number, "is no dictionary", "give from, to and reason")
    unknown = sorted(map(str, set(entry) - set(KEYS)))
    if unknown:
        _refuse(number, f"has {', '.join(unknown)}, which is unknown", f"use {', '.join(KEYS)}")
    reason = " ".join(str(entry.get("reason") or "").split())[:_REASON]
    if not reason:
        _refuse(number, "has no reason", "say in reason why nothing is released then")
    zone = _zone(entry.get("zone"), number)
    start, end = entry.get("from"), entry.get("to")
    if entry.get("weekdays") or (_minutes(start) is not None and _minutes(end) is not None):
        return _recurring(entry, number, zone, reason)
    return _absolute(start, end, number, zone, reason)


def _zone(given: Any, number: int) -> datetime.tzinfo | None:
    if survey.is_empty(given):
        return None
    text = str(given).strip()
    offset = _OFFSET.fullmatch(text)
    if offset:
        sign = -1 if offset[1] == "-" else 1
        return datetime.timezone(sign * datetime.timedelta(hours=int(offset[2]), minutes=int(offset[3])))
    if text.upper() in ("Z", "UTC"):
        return datetime.timezone.utc
    try:
        return zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        _refuse(number, f"has zone {text!r}, which this controller does not know", "give an offset such as +01:00")


def _absolute(start: Any, end: Any, number: int, zone: datetime.tzinfo | None, reason: str) -> Window:
    begins, over = _time(start, "from", number, zone, 0), _time(end, "to", number, zone, 1)
    if begins >= over:
        _refuse(number, f"ends before it begins ({start} to {end})", "set to to a time after from")
    return Window(reason, lambda moment: over if begins <= moment < over else None)


def _time(given: Any, key: str, number: int, zone: datetime.tzinfo | None, days: int) -> Moment:
    """A time; a date is its beginning, and as the end of a window the end of that day."""
    found: Any = given
    if isinstance(given, str):
        found = _iso(given.strip())
    if isinstance(found, datetime.date) and not isinstance(found, datetime.datetime):
        found = datetime.datetime.combine(found + days * _DAY, datetime.time())
    if not isinstance(found, datetime.datetime):
        _refuse(number, f"has {key} {given!r}, which is no time", "write it like 2026-12-20T18:00:00+01:00")
    if found.tzinfo is None:
        if zone is None:
            _refuse(number, f"has {key} {given} without a zone", "add an offset such as +01:00 in quotes, or set zone")
        found = found.replace(tzinfo=zone)
    return found


def _iso(text: str) -> Any:
    """What Python before 3.11 reads, too: Z is an offset. None where it is no time."""
    text = re.sub("[Zz]$", "+00:00", text)
    text = re.sub(r"([+-][0-9]{2})([0-9]{2})$", r"\1:\2", text) if "T" in text or " " in text else text
    try:
        return datetime.date.fromisoformat(text) if len(text) == 10 else datetime.datetime.fromisoformat(text)
    except ValueError:
        return None


def _recurring(entry: Mapping[str, Any], number: int, zone: datetime.tzinfo | None, reason: str) -> Window:
    if zone is None:
        _refuse(number, "recurs and has no zone", "set zone, for example Europe/Berlin or +01:00")
    days = _days(entry.get("weekdays"), number)
    start, end = _clock(entry.get("from"), "from", number, 0), _clock(entry.get("to"), "to", number, _MINUTES)
    over = end if end > start else end + _MINUTES

    def ends(moment: Moment) -> Moment | None:
        here = moment.astimezone(zone)
        for day in (here.date(), here.date() - _DAY):
            midnight = datetime.datetime.combine(day, datetime.time())
            begins, until = (midnight + datetime.timedelta(minutes=one) for one in (start, over))
            if day.weekday() in days and begins <= here.replace(tzinfo=None) < until:
                return until.replace(tzinfo=zone)
        return None

    return Window(reason, ends)


def _days(given: Any, number: int) -> set[int]:
    """The numbers of the days of the week; all where none is named."""
    if survey.is_empty(given):
        return set(range(len(DAYS)))
    named = given if isinstance(given, (list, tuple)) else re.split(r"[\s,]+", str(given).strip(" []"))
    short = [str(one).strip().lower()[:3] for one in named]
    if not short or any(one not in DAYS for one in short):
        _refuse(number, f"has weekdays {given!r}", f"use some of {', '.join(DAYS)}")
    return {DAYS.index(one) for one in short}


def _clock(given: Any, key: str, number: int, otherwise: int) -> int:
    if survey.is_empty(given):
        return otherwise
    minutes = _minutes(given)
    if minutes is None:
        _refuse(number, f"has {key} {given!r}, and recurs", "write a time of the day in quotes, such as '16:00'")
    return minutes


def _minutes(given: Any) -> int | None:
    """A time of the day. YAML reads 16:00 without quotes as a number to the base of 60, which is the minutes."""
    if isinstance(given, int) and not isinstance(given, bool):
        return given if 0 <= given <= _MINUTES else None
    match = _CLOCK.fullmatch(given.strip()) if isinstance(given, str) else None
    minutes = int(match[1]) * 60 + int(match[2]) if match else None
    return minutes if minutes is not None and minutes <= _MINUTES else None
