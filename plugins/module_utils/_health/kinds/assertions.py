# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a response has to say. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Iterator, NamedTuple, Optional, Pattern, Sequence, Union

from ..outcome import FAIL, WARN, CheckFailed
from ..spec import jsonpath
from ..spec.options import Options
from .matching import search

if TYPE_CHECKING:
    from ..deadline import Deadline
    from ..net.http1 import Response
    from ..session import RunningAttempt
    from .fetch import HttpTarget

PRESET_PATHS = {"healthz": "/healthz", "spring": "/actuator/health", "health_json": "/health"}
PRESETS = tuple(PRESET_PATHS)
EXPECTED_OPTIONS = frozenset({"status", "body_contains", "body_regex", "assert_headers", "assert_json", "preset"})
_STATUS = ("200-299",)

_SPRING = {"UP": "pass", "UNKNOWN": "warn", "DOWN": "fail", "OUT_OF_SERVICE": "fail"}
_HEALTH_JSON = {
    "pass": "pass",
    "ok": "pass",
    "up": "pass",
    "warn": "warn",
    "fail": "fail",
    "error": "fail",
    "down": "fail",
}
_PARTS = ("components", "checks")
_OLD_PARTS = ("details",)  # Spring Boot before 2.2; since then it holds anything at all
_DIGITS = 300
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class Comparison:
    """What a header or JSON value has to be; unset parts ask nothing."""

    equals: Any = None
    pattern: Optional[Pattern[str]] = None
    least: Optional[float] = None
    most: Optional[float] = None
    exists: bool = True


@dataclass(frozen=True)
class HeaderAssertion:
    name: str
    wanted: Comparison


@dataclass(frozen=True)
class JsonAssertion:
    path: str
    steps: tuple[Union[str, int, None], ...]
    wanted: Comparison


@dataclass(frozen=True)
class Expected:
    """What a response has to be."""

    status: tuple[tuple[int, int], ...]
    contains: Optional[str] = None
    pattern: Optional[Pattern[str]] = None
    header_assertions: tuple[HeaderAssertion, ...] = ()
    json_assertions: tuple[JsonAssertion, ...] = ()
    preset: Optional[str] = None


def parse_expected(options: Options) -> Expected:
    return Expected(
        status=tuple(_parse_status(options, entry) for entry in options.texts("status") or _STATUS),
        contains=options.text("body_contains"),
        pattern=options.pattern("body_regex"),
        header_assertions=tuple(_parse_header(entry) for entry in options.list_of("assert_headers")),
        json_assertions=tuple(_parse_json(entry) for entry in options.list_of("assert_json")),
        preset=options.text("preset", PRESETS),
    )


def _parse_status(options: Options, text: str) -> tuple[int, int]:
    low, _dash, high = text.partition("-")
    parts = [part.strip() for part in (low, high or low)]
    if not all(part.isascii() and part.isdigit() and 100 <= int(part) <= 599 for part in parts):
        raise options.error("status", f"holds {text!r}", "write a status or a range such as 200-299")
    if int(parts[0]) > int(parts[1]):
        raise options.error("status", f"holds {text!r}", "write the lower number first")
    return int(parts[0]), int(parts[1])


def _parse_header(entry: Options) -> HeaderAssertion:
    entry.only(("name", "equals", "matches", "exists"))
    name = entry.text("name")
    if not name:
        raise entry.error("name", "is missing", "name the header")
    wanted = Comparison(
        equals=entry.text("equals"), pattern=entry.pattern("matches"), exists=entry.flag("exists", True)
    )
    return HeaderAssertion(name.lower(), wanted)


def _parse_json(entry: Options) -> JsonAssertion:
    entry.only(("path", "equals", "matches", "min", "max", "exists"))
    path = entry.text("path")
    if path is None:
        raise entry.error("path", "is missing", "write a path such as $.components.db.status")
    wanted = Comparison(
        equals=entry.raw.get("equals"),
        pattern=entry.pattern("matches"),
        least=entry.number("min", None, float("-inf")),
        most=entry.number("max", None, float("-inf")),
        exists=entry.flag("exists", True),
    )
    return JsonAssertion(path, jsonpath.parse(path, entry.where), wanted)


def judge(running: RunningAttempt, target: HttpTarget, expected: Expected, response: Response) -> None:
    """Raise what is wrong with the response, the most telling first."""
    where, deadline = str(target), running.deadline
    page = _judge_page(expected.preset, response, running.details, where)
    _require_status(expected, response, page, target)
    if page is not None and page.state == FAIL:
        raise page
    running.warning = page or running.warning
    _require_body(expected, response, deadline, where)
    _require_headers(expected, response, deadline, where)
    if expected.json_assertions:
        _require_json(expected, document(response, where), deadline, where)
    deadline.require("judging the answer")


def _require_status(expected: Expected, response: Response, page: Optional[CheckFailed], target: HttpTarget) -> None:
    if any(low <= response.status <= high for low, high in expected.status):
        return
    if page is not None:
        raise CheckFailed("status", f"{page.message} (HTTP {response.status})")
    wanted = ", ".join(str(low) if low == high else f"{low}-{high}" for low, high in expected.status)
    message = f"{target} answers {response.status}, wanted {wanted}"
    location = response.header("location")
    if location is not None and 300 <= response.status < 400:
        message += f"; it redirects to {location[:200]} (follow_redirects is {target.request.follow_redirects})"
    raise CheckFailed("status", message)


def _require_body(expected: Expected, response: Response, deadline: Deadline, where: str) -> None:
    if expected.contains is not None and expected.contains.encode() not in response.content:
        raise CheckFailed("body", f"the body from {where} does not contain {expected.contains!r}: {_start(response)}")
    if expected.pattern is not None:
        text = response.content.decode("utf-8", "replace")
        if not search(expected.pattern, text, deadline, "the body"):
            raise CheckFailed(
                "body", f"the body from {where} does not match {expected.pattern.pattern!r}: {_start(response)}"
            )


def _start(response: Response) -> str:
    if response.unread:
        return f"it is encoded as {response.unread[:40]}"
    return f"it begins {response.body[:80].decode('utf-8', 'replace')!r}" if response.body else "it is empty"


def _require_headers(expected: Expected, response: Response, deadline: Deadline, where: str) -> None:
    for assertion in expected.header_assertions:
        value = response.header(assertion.name)
        problem = compare([] if value is None else [value], assertion.wanted, deadline, f"header {assertion.name}")
        if problem:
            raise CheckFailed("assertion", f"{where}: {problem}")


def _require_json(expected: Expected, page: Any, deadline: Deadline, where: str) -> None:
    for assertion in expected.json_assertions:
        values = jsonpath.find(page, assertion.steps)
        problem = compare(values, assertion.wanted, deadline, assertion.path)
        if problem:
            raise CheckFailed("assertion", f"{where}: {problem}")


def compare(values: list[Any], wanted: Comparison, deadline: Deadline, what: str) -> Optional[str]:
    """What is wrong in words; every value found has to be right, and there has to be one."""
    if not wanted.exists:
        return f"{what} is there and should not be" if values else None
    if not values:
        return f"{what} is missing"
    return next((problem for problem in (_wrong(value, wanted, deadline, what) for value in values) if problem), None)


def _wrong(value: Any, wanted: Comparison, deadline: Deadline, what: str) -> Optional[str]:
    shown = f"{what} is {_short(value)}"
    if wanted.equals is not None and not _equal(value, wanted.equals):
        return f"{shown}, wanted {_short(wanted.equals)}"
    if wanted.pattern is not None and not search(wanted.pattern, _text(value), deadline, what):
        return f"{shown}, wanted a match of {wanted.pattern.pattern!r}"
    if wanted.least is None and wanted.most is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{shown}, wanted a number"
    if wanted.least is not None and not value >= wanted.least:
        return f"{shown}, wanted {wanted.least:g} or more"
    if wanted.most is not None and not value <= wanted.most:
        return f"{shown}, wanted {wanted.most:g} or less"
    return None


def _equal(value: Any, wanted: Any) -> bool:
    """JSON's own equality: 1 is 1.0 but not true, and a text is never a number."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    return bool(value == wanted)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _whole(digits: str) -> float:
    # Turning a very long number into an int takes time without end on Python before 3.11.
    return int(digits) if len(digits) <= _DIGITS else float(digits)


def document(response: Response, where: str) -> Any:
    try:
        return json.loads(response.content.decode("utf-8-sig"), parse_int=_whole)
    except (ValueError, RecursionError) as error:
        raise CheckFailed("body", f"the body from {where} is not JSON: {_start(response)}") from error


def _judge_page(
    preset: Optional[str], response: Response, details: dict[str, Any], where: str
) -> Optional[CheckFailed]:
    """What a health page says of itself; None for healthy, or where the preset knows no page."""
    if preset not in ("spring", "health_json"):
        return None
    try:
        content = document(response, where)
    except CheckFailed:
        content = None
    page = content if isinstance(content, dict) else {}
    status = page.get("status")
    states = _SPRING if preset == "spring" else _HEALTH_JSON
    state = states.get(status if preset == "spring" else status.lower()) if isinstance(status, str) else None
    if state is None:
        return CheckFailed("body", f"{where} does not answer with a {preset} health page: {_start(response)}")
    unwell = _unwell(page, states)
    details.update(status=status, unhealthy=[one.label for one in unwell])
    if state == "pass":
        # Spring calls what has no state of its own UNKNOWN, and does not mind it.
        troubled = [one for one in unwell if one.state == FAIL or preset == "health_json"]
        return _complaint(where, "degraded", WARN, f"calls itself {status} in spite of", troubled) if troubled else None
    reason, severity = ("degraded", WARN) if state == WARN else ("status", FAIL)
    return _complaint(where, reason, severity, f"calls itself {status}" + (" because of" if unwell else ""), unwell)


class _Part(NamedTuple):
    """A component that is not well."""

    label: str
    state: str


def _complaint(where: str, reason: str, severity: str, what: str, parts: list[_Part]) -> CheckFailed:
    names = ", ".join(part.label for part in parts[:_NAMES_SHOWN])
    return CheckFailed(reason, f"{where} {what} {names}".rstrip(), severity)


def _unwell(page: dict[str, Any], states: dict[str, str]) -> list[_Part]:
    """The components that are not well, also those of components."""
    unwell: list[_Part] = []
    keys = _PARTS if any(key in page for key in _PARTS) else _OLD_PARTS
    waiting: list[tuple[str, Any]] = [("", _parts(page, keys))]
    while waiting:
        prefix, level = waiting.pop(0)
        for name, part in _named(level):
            if not isinstance(part, dict):
                continue
            status = part.get("status")
            if isinstance(status, str):
                state = states.get(status, states.get(status.lower(), FAIL))
                if state != "pass":
                    unwell.append(_Part(f"{prefix}{name} ({status})", state))
            waiting.append((f"{prefix}{name}.", _parts(part, keys)))
    return unwell


def _parts(level: dict[str, Any], keys: Sequence[str]) -> Any:
    """The components of a page, or of a component."""
    return next((level[key] for key in keys if isinstance(level.get(key), (dict, list))), None)


def _named(level: Any) -> Iterator[tuple[str, Any]]:
    """Each component with its name: under it, several under one, or in a list as MicroProfile has it."""
    if isinstance(level, list):
        for number, part in enumerate(level):
            yield str(part.get("name", number)) if isinstance(part, dict) else str(number), part
    elif isinstance(level, dict):
        for name, part in level.items():
            for entry in part if isinstance(part, list) else [part]:
                yield name, entry
