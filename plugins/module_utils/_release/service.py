# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine works on: one service on this host. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass

from .._systemd import Systemd
from .model import Settings
from .store import Layout, Store


@dataclass(frozen=True)
class Service:
    """How the service is treated, where it is, what is remembered of it, and the PID 1 that runs it."""

    settings: Settings
    layout: Layout
    store: Store
    systemd: Systemd
