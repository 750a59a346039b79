# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one exception operators see. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any


class SlipwayError(Exception):
    """Something an operator can act on.

    code: stable, lower-case, snake_case; documented where it is raised for users.
    message: what is wrong, naming the variable, file or unit.
    fix: one line that says what to do; may be empty where there is nothing to do.
    details: further keys of the module's result.
    """

    def __init__(self, code: str, message: str, fix: str = "", **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.details = details

    def __str__(self) -> str:
        return f"{self.message} Fix: {self.fix}" if self.fix else self.message
