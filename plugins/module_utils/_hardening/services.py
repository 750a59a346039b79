# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which services this host has, and what they listen on, read from the host. PRIVATE to the collection."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Iterable

from .._core import files
from .._core.errors import SlipwayError

# The role service writes one file per service here.
RECORDS = "etc/slipway/services"
_STATE = "var/lib/slipway"
_UNITS = "etc/systemd/system"
_HAPROXY = "etc/haproxy/slipway.d"
NAME = re.compile(r"^[a-z][a-z0-9_-]{0,30}$")
_LISTEN_STREAM = re.compile(r"^ListenStream=[ \t]*(\S+)", re.MULTILINE)
_BIND = re.compile(r"^[ \t]+bind[ \t]+(\S+)", re.MULTILINE)
_PUBLIC_PORT = re.compile(r"^(?!127\.|localhost:|\[::1\]|/|@)(?:.+:)?([0-9]{1,5})$")


@dataclass(frozen=True, order=True)
class Service:
    """listen is in the notation of ListenStream=."""

    name: str
    listen: tuple[str, ...] = ()


def services(root: str = "/") -> list[Service]:
    """Every service that the role service has set up here, or that has been released here."""
    names = {*_recorded(root), *_released(root)}
    return [Service(name, tuple(dict.fromkeys(_listens(root, name)))) for name in sorted(names)]


def in_haproxy(root: str = "/") -> dict[str, list[str]]:
    """Where HAProxy listens for each service that it has, as its configuration says it."""
    found = {}
    for name in sorted(_names_in(os.path.join(root, _HAPROXY))):
        stem, extension = os.path.splitext(name)
        if extension == ".cfg" and NAME.match(stem):
            found[stem] = _BIND.findall(files.text(os.path.join(root, _HAPROXY, name)))
    return found


def public_ports(listen: Iterable[str]) -> list[str]:
    """The ports that others than this host itself can reach."""
    return [match.group(1) for match in map(_PUBLIC_PORT.match, listen) if match]


def _recorded(root: str) -> list[str]:
    names = [os.path.splitext(name) for name in _names_in(os.path.join(root, RECORDS))]
    return [name for name, extension in names if extension == ".json" and NAME.match(name)]


def _released(root: str) -> list[str]:
    """A host that was set up by an earlier version has no records."""
    state = os.path.join(root, _STATE)
    names = [name for name in _names_in(state) if NAME.match(name)]
    return [name for name in names if os.path.exists(os.path.join(state, name, "settings.json"))]


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _listens(root: str, name: str) -> list[str]:
    """What HAProxy listens on for it may be more, such as a port with TLS."""
    units = files.text(os.path.join(root, _UNITS, f"{name}.socket"))
    binds = _BIND.findall(files.text(os.path.join(root, _HAPROXY, f"{name}.cfg")))
    return [
        *_record(os.path.join(root, RECORDS, f"{name}.json")),
        *_LISTEN_STREAM.findall(units),
        *(bind[3:] if bind.startswith(":::") else bind for bind in binds),
    ]


def _record(path: str) -> list[str]:
    text = files.text(path)
    if not text:
        return []
    try:
        listen = json.loads(text)["listen"]
    except (ValueError, TypeError, KeyError):
        listen = None
    if not isinstance(listen, list):
        raise SlipwayError(
            "damaged_record",
            f"{path} does not say what its service listens on.",
            "remove that file and run the role service for that service again",
        )
    return [str(one) for one in listen]
