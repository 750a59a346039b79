# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the engine works on: one service on this host. This file is PRIVATE to the collection."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..._host.systemd import Systemd
from .layout import Layout
from .model import Settings
from .store import Store


@dataclass(frozen=True)
class Service:
    """How the service is treated, where it is, what is remembered of it, and the PID 1 that runs it."""

    settings: Settings
    layout: Layout
    store: Store
    systemd: Systemd


def as_released(service: Service, release_id: str) -> Service:
    """The service with the health check of this release, which may listen elsewhere than the one before or after it."""
    health = service.store.health(release_id)
    return service if health is None else replace(service, settings=replace(service.settings, health=health))
