# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Delivers a notice to a program, as JSON on its standard input. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Sequence

from .._core import command
from .delivery import Undelivered


def send(argv: Sequence[str], body: bytes, seconds: float) -> None:
    """Run it to its end. What it writes is not shown, for it may be secret."""
    try:
        code = command.feed(argv, body, seconds)
    except command.TimeLimitPassed:
        raise Undelivered("timeout", f"{argv[0]} did not end within {seconds:g} s, and was killed") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "its arguments cannot be passed on"
        raise Undelivered("command", f"{argv[0]} was not started: {why}") from None
    if code < 0:
        raise Undelivered("command", f"{argv[0]} was killed by signal {-code}")
    if code:
        raise Undelivered("command", f"{argv[0]} ended with status {code}")
