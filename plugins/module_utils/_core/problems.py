# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is wrong, where more than one thing can be. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

from .errors import SlipwayError

# Why a program will not start. Stable: operators and playbooks compare with them; the guide lists the same codes.
CODES: dict[str, str] = {
    "not_found": "There is no such file.",
    "unreadable": "The file cannot be read.",
    "not_regular": "A directory, fifo or device.",
    "empty": "The file has no bytes.",
    "truncated": "The file ends before its segments do.",
    "not_elf": "Not a Linux program.",
    "malformed": "The kernel or the loader would refuse its headers.",
    "too_large_table": "A table in the file is larger than the kernel or the loader takes.",
    "not_a_program": "A shared library, an object file or a core dump.",
    "wrong_os": "Built for another operating system.",
    "wrong_machine": "Built for another processor family.",
    "page_size": "Its segments do not fit this kernel's page size.",
    "kernel_too_old": "Needs a newer kernel.",
    "cpu_level": "Needs instructions that this processor lacks.",
    "not_executable": "Who starts it may not execute it.",
    "noexec_mount": "It, its interpreter or a library is on a file system mounted noexec.",
    "unit_missing": "A file, directory, user or group that the unit names does not exist.",
    "capabilities": "It carries file capabilities that the bounding set forbids.",
    "interpreter_missing": "The dynamic loader it names does not exist here.",
    "interpreter_invalid": "The dynamic loader it names is not one for this program.",
    "loader_unknown": "Its dynamic loader is neither glibc's nor musl's: nothing can be said about libraries.",
    "library_missing": "A library it needs, or one of those needs, is not found.",
    "library_invalid": "A library is found that the loader refuses.",
    "library_unreadable": "A library is found that who starts it may not read.",
    "version_missing": "The library found does not provide a symbol version.",
    "symbol_missing": "No library found defines a symbol that is bound at start.",
    "packed": "Packed by UPX: what it needs cannot be read.",
    "unit_hidden": "The unit's sandbox hides it.",
    "unit_noexec": "The unit's NoExecPaths= covers it.",
    "unit_architecture": "The unit's SystemCallArchitectures= forbids it.",
    "unit_root_image": "The unit's RootImage= cannot be looked into.",
}


class Problem(NamedTuple):
    """message: of a program that will not start, in the kernel's or the loader's own words. fix: one line."""

    code: str
    message: str
    fix: str

    @classmethod
    def of(cls, error: SlipwayError) -> Problem:
        return cls(error.code, error.message, error.fix)

    def __str__(self) -> str:
        return f"{self.message} Fix: {self.fix}" if self.fix else self.message


class ProblemsError(SlipwayError):
    """One error that names every problem; the first one's code is the failure's."""

    def __init__(self, problems: Sequence[Problem], **details: Any) -> None:
        message = " ".join(str(problem) for problem in problems)
        super().__init__(problems[0].code, message, problems=[problem._asdict() for problem in problems], **details)
        self.problems = list(problems)
