# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a host may be silent before its release counts as lost. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from typing import Any, Mapping

from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._release.artefact import fetch
from ansible_collections.slipway.go.plugins.module_utils._release.gate import PACE
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import (
    Once,
    Proxy,
    Settings,
    Spec,
    parse_proxy,
)

# Reading, verifying and syncing an artefact, pruning, and a slow start of Python.
SLACK = 120.0
# A rehearsal, a swap, its way back, and the way back of a run before this one that was cut short.
SWAPS = 4
# A rehearsal and a swap.
SWAPS_THAT_END_WELL = 2
# Options that may be URLs, which the host fetches, each within the time limit of one file.
PLACES = ("src", "checksum", "signature", "provenance")
FETCH = 300.0


@dataclass(frozen=True)
class Patience:
    """release: seconds for the whole task of the module; command: for one command of the tool that ends a swap.

    well: for a release that ends well.
    """

    release: float
    command: float
    well: float = 0.0


def of(arguments: Mapping[str, Any]) -> Patience:
    """The longest that a run with these options of slipway.go.release takes. An option that is no number is refused
    by the module at once, so it counts with its default."""
    health = arguments.get("health")
    proxy = arguments.get("proxy")
    once = arguments.get("once")
    weights, step = (proxy.get("weights"), proxy.get("step_time")) if isinstance(proxy, Mapping) else (None, None)
    swap = (
        _seconds(arguments.get("start_timeout"), Settings.start_timeout)
        + _seconds(health.get("deadline") if isinstance(health, Mapping) else None, PACE["deadline"])
        + _seconds(arguments.get("drain_timeout"), Settings.drain_timeout)
    )
    urls = [place for place in PLACES if fetch.is_url(str(arguments.get(place) or ""))]
    fetched = len(urls) * _seconds(arguments.get("fetch_timeout"), FETCH)
    waits = (
        _seconds(arguments.get("lock_timeout"), Settings.lock_timeout),
        _seconds(arguments.get("soak_time"), Settings.soak_time),
        _count(arguments.get("smoke")) * _seconds(arguments.get("smoke_timeout"), Spec.smoke_timeout),
        _count(weights) * _seconds(step, Proxy.step_time),
        longest_pause(proxy),
        _seconds(once.get("timeout"), Once.timeout) if isinstance(once, Mapping) and once.get("command") else 0.0,
    )
    once = fetched + sum(waits)
    return Patience(SLACK + once + SWAPS * swap, SLACK + swap, once + SWAPS_THAT_END_WELL * swap)


def _seconds(given: Any, default: float) -> float:
    with contextlib.suppress(TypeError, ValueError):
        if 0 <= float(given) < math.inf:
            return float(given)
    return default


def longest_pause(proxy: Any) -> float:
    """How long a release with these options may wait for a person; 0 where it never does."""
    with contextlib.suppress(TypeError, ValueError, AttributeError, SlipwayError):
        return parse_proxy(proxy).longest_pause
    return 0.0


def _count(given: Any) -> int:
    return len(given) if isinstance(given, (list, tuple)) else 0
