# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a kind of check has to bring. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple

from ..outcome import Attempt
from ..session import RunningAttempt
from ..spec.check import Target
from ..spec.options import Options


class Kind(NamedTuple):
    """The options it knows, how they become its target, and how an attempt at that target is made."""

    options: frozenset[str]
    parse: Callable[[Options], Target]
    attempt: Callable[[RunningAttempt, Any], Attempt]
