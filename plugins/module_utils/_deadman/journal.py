# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What was taken back on this host, one line each. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any, Callable, Optional

from .._core import files
from .model import Line, System


def append(path: str, line: Line) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, b"\n" * torn + json.dumps(line).encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    files.fsync_directory(os.path.dirname(path))


def newest(system: System, fits: Callable[[Line], bool]) -> Optional[Line]:
    """The newest line that fits."""
    try:
        with open(system.journal(), encoding="utf-8", errors="replace") as stream:
            lines = [_parse(line) for line in stream]
    except FileNotFoundError:
        return None
    return next((line for line in reversed(lines) if fits(line)), None)


def _parse(text: str) -> dict[str, Any]:
    """Empty for a line that a full disk or a power cut has torn."""
    with contextlib.suppress(ValueError):
        line = json.loads(text)
        if isinstance(line, dict):
            return line
    return {}
