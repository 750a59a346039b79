# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files of one JSON object a line, which are only ever appended to. This file is PRIVATE to the collection.

A power cut or a full disk can tear the last line. It stays as it is, by itself, and whoever reads skips it.
"""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Optional


def append(descriptor: int, entry: Mapping[str, Any]) -> None:
    """Append an entry, durably; the descriptor is of a file that is open for reading and appending."""
    size = os.fstat(descriptor).st_size
    line = f"{json.dumps(entry)}\n".encode()
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    while line:
        line = line[os.write(descriptor, line) :]
    os.fsync(descriptor)


def parse(line: str) -> Optional[dict[str, Any]]:
    """The entry of one line; None where it is torn or no entry."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
