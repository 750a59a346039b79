# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A program that a check runs, within the deadline. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Sequence

from ..._core import command
from ..deadline import Deadline
from ..outcome import CheckFailed


def execute(argv: Sequence[str], deadline: Deadline, variables: Sequence[tuple[str, str]] = ()) -> command.Finished:
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
