# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception operators see. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any


class SlipwayError(Exception):
    """Something an operator can act on.

    code: stable, lower-case, snake_case; tests/reference/error_codes.py says what each means.
    message: what was measured and what was allowed, naming the variable, file or unit.
    fix: one imperative clause, lower-case, without a full stop; empty where there is nothing to do.
    details: further keys of the module's result.
    """

    def __init__(self, code: str, message: str, fix: str = "", **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.details = details

    def __str__(self) -> str:
        return with_fix(self.message, self.fix)


def with_fix(message: str, fix: str) -> str:
    return f"{sentence(message)} Fix: {fix}" if fix else message


def without_fix(told: str, fix: str) -> str:
    """What was told, without the fix at its end."""
    ending = f" Fix: {fix}"
    return told[: -len(ending)] if fix and told.endswith(ending) else told


def with_sentence(told: str, fix: str, more: str) -> str:
    """What was told, with one more sentence, which comes before the fix."""
    message = without_fix(told, fix)
    return with_fix(f"{sentence(message)} {more}", fix if message != told else "") if more else told


def sentence(text: str) -> str:
    """With its full stop, which what a program or the kernel says does not have."""
    return text if text.endswith((".", "!", "…")) else f"{text}."
