# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was taken back on this host, one line each. PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import Callable, Optional

from .._core import files, json_lines
from .model import Line, System


def append(path: str, line: Line) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        json_lines.append(descriptor, line)
    finally:
        os.close(descriptor)
    files.fsync_directory(os.path.dirname(path))


def newest(system: System, fits: Callable[[Line], bool]) -> Optional[Line]:
    """The newest line that fits."""
    try:
        with open(system.journal(), encoding="utf-8", errors="replace") as stream:
            lines = [json_lines.parse(line) or {} for line in stream]
    except FileNotFoundError:
        return None
    return next((line for line in reversed(lines) if fits(line)), None)
