# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The kinds of checks by their names. This file is PRIVATE to the collection.

A kind is imported when a check is of that kind: a host that asks every few seconds pays only for what it asks.
"""

from __future__ import annotations

from typing import Any, Callable

from .kind import Kind


def _http() -> Kind:
    from .http import KIND

    return KIND


def _tcp() -> Kind:
    from .tcp import KIND

    return KIND


def _unix() -> Kind:
    from .unix import KIND

    return KIND


def _grpc() -> Kind:
    from .grpc import KIND

    return KIND


def _exec() -> Kind:
    from .exec import KIND

    return KIND


def _systemd() -> Kind:
    from .systemd import KIND

    return KIND


def _metrics() -> Kind:
    from .metrics import KIND

    return KIND


KINDS: dict[str, Callable[[], Kind]] = {
    "http": _http,
    "https": _http,
    "tcp": _tcp,
    "unix": _unix,
    "grpc": _grpc,
    "exec": _exec,
    "systemd": _systemd,
    "metrics": _metrics,
}


def has_address(kind: Any) -> bool:
    """Whether such checks are sent to an address, so that the answer can be traced to a process."""
    return isinstance(kind, str) and kind in KINDS and "address" in KINDS[kind]().options
