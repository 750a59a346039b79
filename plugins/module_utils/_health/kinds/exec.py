# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exec kind: a program whose exit status is the answer. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Sequence

from ..._core import command
from ..deadline import Deadline
from ..outcome import WARN, Attempt, CheckFailed
from ..session import RunningAttempt, healthy
from ..spec.check import Target
from ..spec.options import Options
from .kind import Kind
from .matching import ExpectedText, parse_expected_text

_OPTIONS = frozenset({"command", "warn_rc", "expect", "expect_regex"})


@dataclass(frozen=True)
class ExecTarget(Target):
    command: tuple[str, ...]
    expected: ExpectedText
    warn_rc: tuple[int, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        return " ".join(self.command)

    def with_variables(self, variables: Sequence[tuple[str, str]]) -> ExecTarget:
        return replace(self, variables=tuple(variables))


def _parse(options: Options) -> ExecTarget:
    given = options.raw.get("command")
    if not isinstance(given, (list, tuple)) or not given:
        raise options.error(
            "command", "is not a list", "give the program and its arguments as a list, for no shell is used"
        )
    return ExecTarget(
        command=options.texts("command") or (),
        expected=parse_expected_text(options),
        warn_rc=tuple(_parse_code(options, text) for text in options.texts("warn_rc") or ()),
    )


def _parse_code(options: Options, text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 255):
        raise options.error("warn_rc", f"holds {text!r}", "give exit statuses from 1 to 255")
    return int(text)


def _attempt(running: RunningAttempt, target: ExecTarget) -> Attempt:
    program = target.command[0]
    finished = _execute(target.command, running.deadline, target.variables)
    running.status = finished.code
    last = _last_line(finished.output)
    if finished.code in target.warn_rc:
        running.warning = CheckFailed("degraded", f"{program} exits with {finished.code}{last}", WARN)
    elif finished.code != 0:
        raise CheckFailed("exec", f"{program} {_ended(finished.code)}{last}")
    if target.expected.is_given and not target.expected.is_in(finished.output, running.deadline):
        raise CheckFailed("body", f"{program} does not print {target.expected}{last}")
    return healthy(running, f"{program} exits with 0")


def _execute(argv: Sequence[str], deadline: Deadline, variables: Sequence[tuple[str, str]]) -> command.Finished:
    """Run it, with variables added to this process's own; nothing that it has started outlives it."""
    seconds = deadline.require(f"starting {argv[0]}")
    try:
        return command.run_in_group(argv, seconds, dict(variables))
    except command.MissingProgram as error:
        raise CheckFailed("exec", f"{argv[0]} cannot be run: {error.message}") from error
    except command.TimeLimitPassed as error:
        raise CheckFailed("timeout", f"{argv[0]} did not end within {deadline.seconds:g} s and was killed") from error
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or error
        raise CheckFailed("exec", f"{argv[0]} cannot be run: {words}") from error


def _ended(code: int) -> str:
    return f"exits with {code}" if code > 0 else f"was ended by signal {-code}"


def _last_line(output: bytes) -> str:
    """Where programs put what matters."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()[:200]}" if lines else ""


KIND = Kind(_OPTIONS, _parse, _attempt)
