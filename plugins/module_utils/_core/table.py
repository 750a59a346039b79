# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Tables as a terminal shows them. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

from typing import Sequence


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """The lines, each cell as wide as the widest one of its column."""
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def plain(text: str) -> str:
    """The text on one line: whatever a host has put into it, nothing commands the operator's terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
