# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads one check's options; every mistake names the option and the fix. This file is PRIVATE to the collection."""

from __future__ import annotations

import math
import re
from typing import Any, Iterable, Mapping, Optional, Pattern, Sequence

from ..._core.errors import SlipwayError

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


def bad(where: str, what: str, fix: str) -> SlipwayError:
    return SlipwayError("health_option", f"{where}: {what}.", fix)


class Options:
    """The raw options of one mapping. An option that is absent or null is unset."""

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, Mapping):
            raise bad(where, "not a mapping of options", "write its options as name: value pairs")
        self.raw: dict[str, Any] = {str(key): value for key, value in raw.items() if value is not None}
        self.where = where

    def error(self, name: str, what: str, fix: str) -> SlipwayError:
        return bad(self.where, f"{name} {what}", fix)

    def only(self, allowed: Iterable[str]) -> None:
        """Refuse options nobody would read."""
        names = sorted(allowed)
        for name in self.raw:
            if name not in names:
                import difflib  # only a misspelt option needs it

                close = difflib.get_close_matches(name, names, 1)
                hint = f"use {close[0]}, or remove it" if close else f"use one of {', '.join(names)}"
                raise self.error(name, "is not an option here", hint)

    def given(self) -> set[str]:
        return set(self.raw)

    def text(self, name: str, choices: Sequence[str] = ()) -> Optional[str]:
        value = self.raw.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise self.error(name, f"is {value!r}, not a text", "quote it as one string")
        if choices and str(value) not in choices:
            raise self.error(name, f"is {value!r}", f"use one of {', '.join(choices)}")
        return str(value)

    def texts(self, name: str) -> Optional[tuple[str, ...]]:
        value = self.raw.get(name)
        if value is None:
            return None
        entries = value if isinstance(value, (list, tuple)) else [value]
        return tuple(str(Options({name: entry}, self.where).text(name)) for entry in entries)

    def number(self, name: str, default: Optional[float], low: float, above: bool = False) -> Optional[float]:
        """A finite number, at least low, or above it."""
        value = self.raw.get(name)
        if value is None:
            return default
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number) or number < low or (above and number <= low):
            least = f"more than {low:g}" if above else f"{low:g} or more"
            raise self.error(name, f"is {value!r}", f"give a number, {least}")
        return number

    def seconds(self, name: str, default: float, low: float = 0.0, above: bool = False) -> float:
        number = self.number(name, default, low, above)
        return default if number is None else number

    def whole(self, name: str, default: Optional[int], low: int) -> Optional[int]:
        number = self.number(name, default, low)
        if number is None:
            return None
        if number != int(number):
            raise self.error(name, f"is {number:g}", f"give a whole number, {low} or more")
        return int(number)

    def flag(self, name: str, default: bool) -> bool:
        value = self.raw.get(name)
        if value is None:
            return default
        if isinstance(value, bool):
            return value
        if str(value).lower() in _TRUE + _FALSE:
            return str(value).lower() in _TRUE
        raise self.error(name, f"is {value!r}", "use true or false")

    def pattern(self, name: str) -> Optional[Pattern[str]]:
        text = self.text(name)
        if text is None:
            return None
        try:
            return re.compile(text)
        except (re.error, OverflowError, RecursionError) as error:
            raise self.error(name, f"is not a regular expression: {error}", "correct the expression") from error

    def pairs(self, name: str) -> tuple[tuple[str, str], ...]:
        value = self.raw.get(name)
        if value is None:
            return ()
        if not isinstance(value, Mapping):
            raise self.error(name, "is not a mapping", "write name: value pairs")
        inner = Options(value, f"{self.where}: {name}")
        return tuple((key, str(inner.text(key))) for key in inner.raw)

    def nested(self, name: str) -> Optional[Options]:
        value = self.raw.get(name)
        return None if value is None else Options(value, f"{self.where}: {name}")

    def list_of(self, name: str) -> list[Options]:
        value = self.raw.get(name)
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            raise self.error(name, "is not a list", "write it as a list")
        return [Options(entry, f"{self.where}: {name}[{number}]") for number, entry in enumerate(value)]
