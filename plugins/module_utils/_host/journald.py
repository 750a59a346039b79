# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What units have logged, through journalctl(1). This file is PRIVATE to the collection."""

from __future__ import annotations

from .._core import command

SECONDS = 5.0  # a journal that is slow to read must not hold up what waits for these lines


def last_lines(unit: str, since: float, until: float, count: int) -> list[str]:
    """The last lines that the unit's processes wrote in that span of the wall clock, the oldest first.

    Where they wrote none, what PID 1 said of the unit: it may never have come to its program.
    """
    by_the_unit = _lines(f"_SYSTEMD_UNIT={unit}", since, until, count)
    return by_the_unit or _lines(f"UNIT={unit}", since, until, count)


def _lines(match: str, since: float, until: float, count: int) -> list[str]:
    span = (f"--since=@{since:.3f}", f"--until=@{until:.3f}")
    argv = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={count}", *span, match]
    finished = command.run(argv, SECONDS).require_success()
    return [line for line in finished.text.splitlines() if line.strip()]
