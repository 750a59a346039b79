# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Releases that have the port for themselves: the strategy `restart`. This file is PRIVATE to the collection."""

from __future__ import annotations

from ..phases import IN_TURN
from .base import Strategy, has_own_port


class RestartStrategy(Strategy):
    """One release ends before the next begins; the downtime is measured."""

    name = "restart"
    phases = IN_TURN

    def _in_own_units(self, main_pid: int) -> bool:
        return has_own_port(main_pid)
