# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The weights that Slipway has given to servers here for a share, until they are whole. PRIVATE to the collection.

HAProxy tells what a weight is, and not who has set it. Both are gone after a reboot. The caller holds the lock of this
load balancer.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from .._core import files

FILE = "/run/slipway-balancer-weights.json"


class GivenWeights:
    """Of one server."""

    def __init__(self, socket: str, backend: str, server: str) -> None:
        self._name = f"{os.path.realpath(socket)} {backend}/{server}"

    def has(self, weight: int) -> bool:
        return weight in self._of(_load())

    def add(self, weight: int) -> None:
        """Before it is set; where that is cut short, the server has the one before."""
        known = _load()
        weights = self._of(known)
        if weight not in weights:
            _save({**known, self._name: [*weights, weight]})

    def forget(self) -> None:
        known = _load()
        if known.pop(self._name, None) is not None:
            _save(known)

    def _of(self, known: dict[str, Any]) -> list[Any]:
        weights = known.get(self._name)
        return weights if isinstance(weights, list) else []


def _load() -> dict[str, Any]:
    with contextlib.suppress(ValueError, RecursionError):
        known = json.loads(files.text(FILE))
        if isinstance(known, dict):
            return known
    return {}


def _save(known: dict[str, Any]) -> None:
    files.write_atomic(FILE, json.dumps(known) + "\n", 0o600)
