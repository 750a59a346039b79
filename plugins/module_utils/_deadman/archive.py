# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The runner as one file, which needs nothing of this collection any more. PRIVATE to the collection."""

from __future__ import annotations

import functools

from .._core import zipped
from . import runner

_PACKAGE = "slipway_deadman"


@functools.lru_cache(maxsize=None)
def runner_archive() -> bytes:
    """The runner and what it imports, and not a file more."""
    return zipped.program(runner, _PACKAGE)
