# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Reads options as a survey of a job template hands them over: all texts, and "" for what was not answered.

This file is PRIVATE to the collection. What is refused is refused in one sentence that names the variable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from ansible.module_utils.common.yaml import yaml_load
from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError

_SHOWN = 60

Reader = Callable[[Any, str], Any]


def _refuse(value: Any, variable: str, what: str, fix: str) -> NoReturn:
    raise SlipwayError(_code(variable), f"{variable} is {_shown(value)}, not {what}.", fix)


def _code(variable: str) -> str:
    if variable in ("release_max_size", "release_fetch_timeout"):
        return "invalid_limit"
    duration = variable.endswith(("_time", "_timeout", "_confirm"))
    return "invalid_duration" if duration else f"invalid_{variable.partition('_')[2] or variable}"


def _shown(value: Any) -> str:
    text = repr(str(value)) if isinstance(value, str) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def text(value: Any, variable: str) -> str:
    if isinstance(value, (Mapping, list, tuple, bool)):
        raise SlipwayError(_code(variable), f"{variable} is not a text.", f"give {variable} as one text, in quotes")
    return str(value)


def switch(value: Any, variable: str) -> bool:
    try:
        return bool(boolean(value))
    except TypeError:
        _refuse(value, variable, "true or false", f"set {variable} to true or false")


def number(value: Any, variable: str) -> float:
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        _refuse(value, variable, "a number", f"give {variable} as a number without a unit, for example 30")
    return found


def whole(value: Any, variable: str) -> int:
    try:
        found = float(value) if not isinstance(value, bool) and float(value).is_integer() else math.nan
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        _refuse(value, variable, "a whole number", f"give {variable} as a whole number without a unit, for example 5")
    return int(found)


def choice(*choices: str) -> Reader:
    def read(value: Any, variable: str) -> str:
        if str(value) not in choices:
            _refuse(value, variable, f"one of {', '.join(choices)}", f"set {variable} to one of {', '.join(choices)}")
        return str(value)

    return read


def list_of(element: Reader) -> Reader:
    """A list, or a text such as `a, b` or `[a, b]`."""

    def read(value: Any, variable: str) -> list[Any]:
        found = value
        if isinstance(value, str):
            found = _structure(value) if value.strip().startswith("[") else [part.strip() for part in value.split(",")]
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            found = [value]
        if not isinstance(found, Sequence) or isinstance(found, str):
            _refuse(
                value, variable, "a list", f"give {variable} as a list, or as its elements with commas between them"
            )
        return [_read_element(element, part, variable) for part in found if part not in ("", None)]

    return read


def _read_element(element: Reader, part: Any, variable: str) -> Any:
    try:
        return element(part, variable)
    except SlipwayError as error:
        message = error.message.replace(f"{variable} is ", f"{variable} has ", 1)
        raise SlipwayError(error.code, message, f"correct that element of {variable}, or leave it out") from None


def commands(value: Any, variable: str) -> list[Any]:
    """A list of lists; what is in them is for the engine to judge."""
    found = _structure(value) if isinstance(value, str) else value
    if not isinstance(found, Sequence) or isinstance(found, str):
        _refuse(value, variable, "a list", f"give {variable} as a list of commands, each a list of words")
    return list(found)


def records(value: Any, variable: str) -> list[Any]:
    """A list of dictionaries; what is in them is for others to judge."""
    found = _structure(value) if isinstance(value, str) else value
    if not isinstance(found, Sequence) or isinstance(found, str):
        _refuse(value, variable, "a list", f"give {variable} as a list of dictionaries")
    return list(found)


def mapping(value: Any, variable: str) -> dict[Any, Any]:
    """A dictionary, or its text in JSON or YAML. What a value may hold is a secret and is not shown."""
    found = _structure(value) if isinstance(value, str) else value
    if not isinstance(found, Mapping):
        raise SlipwayError(_code(variable), f"{variable} is not a dictionary.", "write it as name: value pairs")
    return dict(found)


def options(table: Mapping[str, tuple[str, Reader]]) -> Reader:
    """A dictionary of options, read by a table of {option: (variable, reader)}."""

    def read(value: Any, variable: str) -> dict[str, Any]:
        return understand(mapping(value, variable), table)

    return read


def understand(given: Mapping[str, Any], table: Mapping[str, tuple[str, Reader]]) -> dict[str, Any]:
    """The options as their types say, without those that were left empty; raise for the first that cannot be read."""
    found: dict[str, Any] = {}
    for option, value in given.items():
        if option not in table:
            found[option] = value
        elif not is_empty(value):
            variable, reader = table[option]
            found[option] = reader(value, variable)
    return found


def is_empty(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _structure(value: str) -> Any:
    """What the text is in YAML, which JSON is part of; None where it is neither."""
    try:
        return yaml_load(value.encode())  # libyaml takes no kind of text but str itself, which variables are not
    except Exception:  # whatever a parser makes of a text that nobody has checked
        return None
