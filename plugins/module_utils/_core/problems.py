# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong, where more than one thing can be. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from .errors import SlipwayError, sentence, with_fix


class Problem(NamedTuple):
    """code: stable, for playbooks compare with it. fix: one line.

    message: of a program that will not start, in the kernel's or the loader's own words.
    """

    code: str
    message: str
    fix: str

    @classmethod
    def of(cls, error: SlipwayError) -> Problem:
        return cls(error.code, error.message, error.fix)

    def __str__(self) -> str:
        return with_fix(self.message, self.fix)


class ProblemsError(SlipwayError):
    """One error that names every problem; the first one's code is the failure's."""

    def __init__(self, problems: Sequence[Problem], **details: Any) -> None:
        *texts, last = map(str, problems)
        message = " ".join([*map(sentence, texts), last])
        super().__init__(problems[0].code, message, problems=[problem._asdict() for problem in problems], **details)
        self.problems = list(problems)
