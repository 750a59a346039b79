# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which values of a unit may be shown. Pure. This file is PRIVATE to the collection.

In doubt a value is hidden: what is shown stands in logs of runs, which more people read than the host's files.
"""

from __future__ import annotations

import re
from typing import Sequence

HIDDEN = "********"
_NAME = re.compile(r"(?i)pass|pwd|secret|token|key|credential|auth|dsn|private|salt|cookie|session|signature")
# user:password@host, in a URL or without one.
_AT_A_HOST = re.compile(r":\S*@\S")
_OPTION = re.compile(r"\A(--?[A-Za-z0-9_.-]+)=(.*)\Z", re.DOTALL)


def is_secret(name: str, value: str) -> bool:
    """Whether the value of a variable may be a secret, by its name or its form."""
    return bool(value) and bool(_NAME.search(name) or _AT_A_HOST.search(value) or _names_one(value))


def _names_one(value: str) -> bool:
    """host=db password=x, or ?token=x."""
    return any(_NAME.search(name) for name in re.findall(r"([A-Za-z0-9_-]+)\s*[=:]\s*\S", value))


def hides_one(setting: str, value: str) -> bool:
    """Whether the value of a unit's setting is a command with a secret."""
    words = value.split()
    return setting.startswith("Exec") and shown_arguments(words) != words


def shown_arguments(arguments: Sequence[str]) -> list[str]:
    """The arguments with HIDDEN in the place of a secret: --token=x, --token x, or a URL with a password."""
    shown: list[str] = []
    before = ""
    for argument in arguments:
        shown.append(_shown(argument, before))
        before = argument
    return shown


def _shown(argument: str, before: str) -> str:
    option = _OPTION.match(argument)
    if option is not None:
        name, value = option.groups()
        return f"{name}={HIDDEN}" if is_secret(name, value) and not _is_reference(value) else argument
    if _is_reference(argument):
        return argument
    if before.startswith("-") and "=" not in before and _NAME.search(before) and not argument.startswith("-"):
        return HIDDEN
    return HIDDEN if _AT_A_HOST.search(argument) or _names_one(argument) else argument


def _is_reference(value: str) -> bool:
    """A variable, or a file: neither is the secret itself."""
    return bool(re.fullmatch(r"\$\{?[A-Za-z_]\w*\}?|(/|%[a-zA-Z]/)[^\s@:=]*", value))
