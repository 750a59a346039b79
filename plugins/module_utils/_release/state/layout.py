# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where everything of a service is on this host. This file is PRIVATE to the collection."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any, Optional

from ..._core import files
from ..._core.paths import PORTS_ROOT, STATE_ROOT, UNIT_ROOT
from .model import is_release_id

CONFIG_ROOT = "/etc"
PROXY_ROOT = "/etc/haproxy/slipway.live"


@dataclass(frozen=True)
class Layout:
    """Every path of one service."""

    name: str
    root: str
    state_root: str = STATE_ROOT
    config_root: str = CONFIG_ROOT
    unit_root: str = UNIT_ROOT
    proxy_root: str = PROXY_ROOT
    ports_root: str = PORTS_ROOT

    @property
    def releases(self) -> str:
        return os.path.join(self.root, "releases")

    @property
    def current(self) -> str:
        return os.path.join(self.root, "current")

    @property
    def last_good(self) -> str:
        return os.path.join(self.root, "last-good")

    @property
    def state(self) -> str:
        return os.path.join(self.state_root, self.name)

    @property
    def boot_file(self) -> str:
        return os.path.join(self.state, "boot.env")

    @property
    def slots(self) -> str:
        """Which of the local ports each release has, strategy `proxy`; the units read it."""
        return os.path.join(self.state, "slots")

    @property
    def proxy_record(self) -> str:
        """Part of HAProxy's configuration: to which of the local ports it leads users when it starts."""
        return os.path.join(self.proxy_root, f"{self.name}.cfg")

    @property
    def proxy_config(self) -> str:
        """The service in HAProxy's configuration, from the role."""
        return os.path.join(os.path.dirname(self.proxy_root), "slipway.d", f"{self.name}.cfg")

    @property
    def config(self) -> str:
        return os.path.join(self.config_root, self.name)

    @property
    def template_unit(self) -> str:
        return os.path.join(self.unit_root, f"{self.name}@.service")

    @property
    def socket_unit(self) -> str:
        return os.path.join(self.unit_root, f"{self.name}.socket")

    @property
    def guard_unit(self) -> str:
        return os.path.join(self.unit_root, f"{self.name}-guard.service")

    @property
    def own_units(self) -> tuple[str, ...]:
        """The units that a release is staged with, and that come back with it; each needs those before it."""
        return (self.guard_unit, self.socket_unit, self.template_unit)

    @property
    def units(self) -> str:
        """The folder with these units as the next release will take them along."""
        return os.path.join(self.config, "units")

    def release_units(self, release_id: str) -> str:
        """The folder with these units as the release was staged with them."""
        return os.path.join(self.release(release_id), "units")

    def release(self, release_id: str) -> str:
        return os.path.join(self.releases, release_id)

    def binary(self, release_id: str) -> str:
        return os.path.join(self.release(release_id), "bin", self.name)

    @property
    def released(self) -> str:
        """What each release was when it was staged, and how it is asked whether it is healthy."""
        return os.path.join(self.state, "released")

    def sums(self, release_id: str) -> str:
        """The digests of its files, for sha256sum(1)."""
        return os.path.join(self.released, f"{release_id}.sha256")

    def kept_manifest(self, release_id: str) -> str:
        return os.path.join(self.released, f"{release_id}.json")

    def health_file(self, release_id: str) -> str:
        return os.path.join(self.released, f"{release_id}.health.json")

    def instance(self, release_id: str) -> str:
        return f"{self.name}@{release_id}.service"

    def rehearsal(self, release_id: str) -> str:
        return f"{self.name}-rehearsal@{release_id}.service"

    @property
    def rehearsal_socket(self) -> str:
        return f"{self.name}-rehearsal.socket"

    def current_id(self) -> Optional[str]:
        return files.link_name(self.current)

    def last_good_id(self) -> Optional[str]:
        return files.link_name(self.last_good)

    def staged(self) -> list[str]:
        """The ids of all complete releases on this host, oldest first."""
        try:
            entries = list(os.scandir(self.releases))
        except FileNotFoundError:
            return []
        folders = [e for e in entries if is_release_id(e.name) and e.is_dir(follow_symlinks=False)]
        return [e.name for e in sorted(folders, key=lambda e: e.stat().st_mtime)]

    def manifest(self, release_id: str) -> dict[str, Any]:
        """What release.json said when it was staged; empty where the release or its manifest is not readable."""
        kept = self.kept_manifest(release_id)
        path = kept if os.path.exists(kept) else os.path.join(self.release(release_id), "release.json")
        return read_object(path) or {}


def read_object(path: str) -> Optional[dict[str, Any]]:
    """The JSON object in a file; None where there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            loaded = json.load(stream)
    except (OSError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None
