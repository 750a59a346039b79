# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The two local ports of a service behind HAProxy, and where users are led. This file is PRIVATE to the collection.

A port with its server in HAProxy's backend is a slot, `a` or `b`. What HAProxy does when it starts stands in a file of
its configuration, the record, which is durable before HAProxy is told the same: whenever it is killed, it comes back
with the right server.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from typing import Container, Mapping, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..._units.parser import parse_environment_file
from ..state.layout import Layout

SLOTS = ("a", "b")
_RECORD = re.compile(r"^\s*setenv\s+SLIPWAY_\w+?_(a|b)(_state)?\s+(\S+)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Record:
    """The address of each slot, and the slot that users are led to; None for neither."""

    addresses: Mapping[str, str]
    live: Optional[str]

    def render(self, name: str) -> str:
        # No service's name has capital letters, so that no two services have the same variables.
        prefix = f"SLIPWAY_{name.replace('-', 'X')}"
        lines = [f"# Which release of {name} serves. Written by slipway at every swap.", "global"]
        for slot in SLOTS:
            lines.append(f"    setenv {prefix}_{slot} {self.addresses[slot]}")
            lines.append(f"    setenv {prefix}_{slot}_state {'enabled' if slot == self.live else 'disabled'}")
        return "".join(f"{line}\n" for line in lines)


def parse_record(text: str) -> Record:
    """Raise ValueError unless it is whole."""
    values = {slot + (state or ""): value for slot, state, value in _RECORD.findall(text)}
    live = [slot for slot in SLOTS if values.get(f"{slot}_state") == "enabled"]
    if not all(slot in values for slot in SLOTS) or len(live) > 1:
        raise ValueError("not a record of slots")
    return Record({slot: values[slot] for slot in SLOTS}, live[0] if live else None)


class Slots:
    """Which slot each release has, and which one users are led to."""

    def __init__(self, layout: Layout, ports: tuple[int, ...]) -> None:
        self._layout = layout
        self._ports = ports

    def _path(self, release_id: str, rehearsal: bool) -> str:
        return os.path.join(self._layout.slots, f"{release_id}{'.rehearsal' if rehearsal else ''}.env")

    def slot_file(self, release_id: str, rehearsal: bool = False) -> dict[str, str]:
        """What the units of this release read; empty where it has no slot."""
        try:
            with open(self._path(release_id, rehearsal), encoding="utf-8", errors="replace") as stream:
                variables = parse_environment_file(stream.read())
        except OSError:
            return {}
        return variables if variables.get("SLIPWAY_SLOT") in SLOTS and "SLIPWAY_ADDRESS" in variables else {}

    def slot(self, release_id: Optional[str]) -> Optional[str]:
        return self.slot_file(release_id).get("SLIPWAY_SLOT") if release_id else None

    def address(self, release_id: str, rehearsal: bool = False) -> str:
        try:
            return self.slot_file(release_id, rehearsal)["SLIPWAY_ADDRESS"]
        except KeyError:
            raise SlipwayError(
                "no_slot",
                f"{release_id} has no local port: {self._path(release_id, rehearsal)} is missing or damaged.",
                "release another version, which gets a local port of its own",
            ) from None

    def assign(self, release_id: str, taken: Container[Optional[str]], rehearsal: bool) -> Record:
        """Give the release a slot that is not taken, durably; return the record with its address in it."""
        record = self.record()
        # A release from the time before the proxy would be in the first, see the role's unit.
        order = SLOTS[::-1] if rehearsal else SLOTS
        free = next((slot for slot in order if slot not in taken), SLOTS[0])
        port = self._ports[SLOTS.index(free)]
        address = f"127.0.0.1:{port}"
        self._forget_gone()
        files.make_directory(self._layout.slots, 0o700)
        files.write_atomic(
            self._path(release_id, rehearsal),
            f"# The local port of this release.\nSLIPWAY_SLOT={free}\nSLIPWAY_ADDRESS={address}\nPORT={port}\n",
            0o644,
        )
        record = Record({**record.addresses, free: address}, record.live)
        self.save(record)
        return record

    def _forget_gone(self) -> None:
        """Remove the slots of releases that are gone, and what a run that was cut short has left."""
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(self._layout.slots):
                stem = re.sub(r"(\.rehearsal)?\.env\Z", "", name)
                if stem == name or stem not in self._layout.staged():
                    os.unlink(os.path.join(self._layout.slots, name))

    def written(self) -> Optional[Record]:
        try:
            with open(self._layout.proxy_record, encoding="utf-8", errors="replace") as stream:
                return parse_record(stream.read())
        except (FileNotFoundError, ValueError):
            return None

    def record(self) -> Record:
        """What the record says; where there is none, users are led to the current release, or to nobody yet."""
        written = self.written()
        if written is not None:
            return written
        addresses = {slot: f"127.0.0.1:{port}" for slot, port in zip(SLOTS, self._ports)}
        current = self._layout.current_id()
        live = self.slot(current)
        if current and live:
            addresses[live] = self.address(current)
        return Record(addresses, live)

    def save(self, record: Record) -> None:
        files.make_directory(os.path.dirname(self._layout.proxy_record), 0o755)
        files.replace_if_different(self._layout.proxy_record, record.render(self._layout.name))
