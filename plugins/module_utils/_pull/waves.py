# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which commit a host of a wave takes. Pure. This file is PRIVATE to the collection.

The last wave that a commit is for is in the commit itself, in its file `wave`, so that the signature covers it.
"""

from __future__ import annotations

from typing import Iterable, NamedTuple, Optional

FILE = "wave"
_DIGITS = 4


class Candidate(NamedTuple):
    """A commit of the branch. wave: the last wave that it is for; None where it does not say so."""

    commit: str
    wave: Optional[int]


def parse(content: Optional[bytes]) -> Optional[int]:
    """The number in the file; None where there is no such file, or something else in it."""
    text = (content or b"").decode(errors="replace").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def choose(line: Iterable[Candidate], wave: int) -> Optional[str]:
    """The newest commit that is for this wave. line: the branch, the newest commit first."""
    return next((one.commit for one in line if one.wave is not None and one.wave >= wave), None)
