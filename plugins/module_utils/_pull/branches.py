# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which branches a commit is for. Pure. This file is PRIVATE to the collection.

A signature names no branch. A commit may, in its file `branch`, so that the signature covers it.
"""

from __future__ import annotations

from typing import Optional

FILE = "branch"


def parse(content: Optional[bytes]) -> Optional[list[str]]:
    """The branches in the file, one a line; None where there is no such file, and the commit is for any."""
    if content is None:
        return None
    lines = map(str.strip, content.decode(errors="replace").splitlines())
    return [line for line in lines if line]


def is_for(content: Optional[bytes], branch: str) -> bool:
    named = parse(content)
    return named is None or branch in named
