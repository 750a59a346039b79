# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exec kind: a program whose exit status is the answer. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Sequence

from ..._core import command
from ..deadline import Deadline
from ..outcome import WARN, Attempt, CheckFailed
from ..session import Probe, healthy
from .tcp import answered, wanted_words


def attempt(probe: Probe) -> Attempt:
    check = probe.check
    finished = _execute(check.command, probe.deadline, check.variables)
    probe.status = finished.code
    said = _said(finished.output)
    if finished.code in check.warn_rc:
        probe.warning = CheckFailed("degraded", f"{check.command[0]} exits with {finished.code}{said}", WARN)
    elif finished.code != 0:
        raise CheckFailed("exec", f"{check.command[0]} {_ended(finished.code)}{said}")
    if check.talk is not None and _expects(probe) and not answered(finished.output, check.talk, probe.deadline):
        raise CheckFailed("body", f"{check.command[0]} does not print {wanted_words(check.talk)}{said}")
    return healthy(probe, f"{check.command[0]} exits with 0")


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


def _expects(probe: Probe) -> bool:
    talk = probe.check.talk
    return talk is not None and (talk.expect is not None or talk.pattern is not None)


def _ended(rc: int) -> str:
    return f"exits with {rc}" if rc > 0 else f"was ended by signal {-rc}"


def _said(output: bytes) -> str:
    """The last line, which is where programs put what matters."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    return f": {lines[-1].strip()[:200]}" if lines else ""
