# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a release that failed has said: the end of its log, and its answer. This file is PRIVATE to the collection.

It goes to people who have no shell on the host. So it is bounded, printable, and without the secrets that are known.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Iterable, Iterator, Mapping, Sequence
from urllib.parse import quote, quote_plus, unquote, urlsplit

from .._core import files
from .._core.errors import sentence
from .._health.outcome import excerpt, printable
from .._host import journald
from . import stage
from .gate import Unhealthy
from .state.layout import Layout

LINES = 10
IN_MESSAGE = 3
MARGIN = 0.2  # seconds in which the log takes in what was written before the failure was seen
SHORTEST_SECRET = 4
MASK = "********"
# What a value may be that hides nothing, and that a reader needs: switches, levels, numbers, addresses, paths.
_PLAIN = re.compile(
    r"(?i:true|false|none|null|debug|info|notice|warn(?:ing)?|error|trace|localhost|production|staging|development)"
    r"|[0-9]{1,5}|(?:[0-9]{1,3}\.){3}[0-9]{1,3}(?::[0-9]{1,5})?"
    r"|\[?(?=(?:[0-9a-fA-F]*:){2})[0-9a-fA-F:]+\]?(?::[0-9]{1,5})?"
    r"|/(?:etc|usr|var|opt|srv|run|home|tmp)/[A-Za-z0-9._/@-]*"
)
_NAMED_SECRET = re.compile(r"(?i)(?:password|passwd|pwd|pass|secret|token|key)\s*[=:]\s*['\"]?([^\s;&'\"]+)")
_GO_ESCAPES = str.maketrans({"&": "\\u0026", "<": "\\u003c", ">": "\\u003e"})


@dataclass(frozen=True)
class Diagnostics:
    """log: the last lines of the unit's log, the oldest first. answer: the body of the last answer that was refused."""

    log: tuple[str, ...] = ()
    answer: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The keys of a result and of an event; what is not known has none."""
        said: dict[str, Any] = {"log": list(self.log), "answer": self.answer}
        return {key: value for key, value in said.items() if value}

    def sentences(self) -> str:
        """What a message ends with; empty where nothing is known."""
        log = f" Its log ends: {sentence(' | '.join(self.log[-IN_MESSAGE:]))}" if self.log else ""
        return log + (f" It answered: {sentence(self.answer)}" if self.answer else "")


@dataclass(frozen=True)
class Failure:
    """A release that failed in its unit; times are of the wall clock.

    health: the checks that it was asked by. has_log: whether the log of the unit in that time is its own.
    """

    release_id: str
    unit: str
    begun: float
    failed: float
    error: Exception
    health: Sequence[Mapping[str, Any]] = ()
    has_log: bool = True


def diagnose(layout: Layout, failure: Failure) -> Diagnostics:
    """What the release has said. Nothing where it cannot be read, or where it is not known what of it is secret.

    Whatever goes wrong here, the failure itself goes on being told.
    """
    try:
        secrets = [*stage.secrets(layout, failure.release_id), *_secrets_of_checks(failure.health)]
    except Exception:
        return Diagnostics()
    answer = failure.error.answer if isinstance(failure.error, Unhealthy) else b""
    try:
        until = failure.failed + MARGIN
        lines = journald.last_lines(failure.unit, failure.begun, until, LINES) if failure.has_log else []
    except Exception:
        lines = []
    return Diagnostics(
        tuple(printable(masked(line, secrets)) for line in lines[-LINES:]),
        excerpt(masked(answer.decode(errors="replace"), secrets)),
    )


def masked(text: str, secrets: Sequence[str]) -> str:
    """The text without these values, also as JSON and URLs write them; very short ones would mask half of a text."""
    forms = {form for secret in secrets for part in _parts(secret) for form in _forms(part)}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, MASK)
    return text


def _parts(value: str) -> Iterator[str]:
    """A value, and what in it is secret by itself; nothing of a value that hides nothing."""
    if _PLAIN.fullmatch(value):
        return
    yield value
    yield from _NAMED_SECRET.findall(value)
    yield from _texts_of(_json(value))
    if "://" in value:
        password = _password(value)
        yield from (password, unquote(password))


def _forms(secret: str) -> Iterable[str]:
    if len(secret) < SHORTEST_SECRET:
        return ()
    in_json = json.dumps(secret)[1:-1]
    plain_json = json.dumps(secret, ensure_ascii=False)[1:-1]
    escaped = (in_json, plain_json, in_json.translate(_GO_ESCAPES), plain_json.translate(_GO_ESCAPES))
    return (secret, *escaped, quote(secret, safe="", errors="replace"), quote_plus(secret, errors="replace"))


def _secrets_of_checks(checks: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """What headers, a URL and a file say of who asks; of a header also what follows its scheme, such as Bearer."""
    for check in checks:
        headers = check.get("headers")
        given = [str(value) for value in headers.values()] if isinstance(headers, Mapping) else []
        given += [files.text(str(check["authorization_file"])).strip()] if check.get("authorization_file") else []
        yield from (word for value in given for word in (value, value.partition(" ")[2]))
        yield _password(str(check.get("url") or ""))


def _password(url: str) -> str:
    try:
        return urlsplit(url).password or ""
    except ValueError:
        return ""


def _json(text: str) -> Any:
    try:
        return json.loads(text) if text[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts_of(one)
