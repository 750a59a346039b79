# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local ports of a service behind HAProxy, and where users are led. This file is PRIVATE to the collection.

A port with its server in HAProxy's backend is a slot, `a` or `b`. A service with several public ports has a local port
for each of them in each slot. What HAProxy does when it starts stands in a file of its configuration, the record, which
is durable before HAProxy is told the same: whenever it is killed, it comes back with the right server.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass, field, replace
from typing import Container, Iterable, Mapping, Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..._units.parser import parse_environment_file
from ..state.layout import Layout

SLOTS = ("a", "b")
FIRST = ""  # the name of the public port that every service has, service_listen
CHOSEN = ".chosen"  # follows the name of a port, or a slot, for the users who meet a new release before all others
_RECORD = re.compile(r"^\s*setenv\s+SLIPWAY_\w+?_(a|b)(_state)?\s+(\S+)\s*$", re.MULTILINE)
_MORE = re.compile(r"^\s*setenv\s+SLIPWAY_\w+?_(a|b)_([A-Z][A-Z0-9]*)\s+(\S+)\s*$", re.MULTILINE)
_UNIT = re.compile(r"^Environment=PORT_([A-Z][A-Z0-9]*)=", re.MULTILINE)


@dataclass(frozen=True)
class LocalPorts:
    """The two local ports behind the first public port, and the two behind each further one, by its name."""

    first: tuple[int, ...] = ()
    more: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def all(self) -> tuple[int, ...]:
        return (*self.first, *(port for name in sorted(self.more) for port in self.more[name]))


@dataclass(frozen=True)
class Record:
    """The address of each slot, and the slot that users are led to; None for neither.

    more: the addresses behind each further public port, by its name; only of the slots whose releases have that port.
    """

    addresses: Mapping[str, str]
    live: Optional[str]
    more: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def render(self, name: str) -> str:
        # No service's name has capital letters, so that no two services have the same variables.
        prefix = f"SLIPWAY_{name.replace('-', 'X')}"
        lines = [f"# Which release of {name} serves. Written by slipway at every swap.", "global"]
        for slot in SLOTS:
            lines.append(f"    setenv {prefix}_{slot} {self.addresses[slot]}")
            state = "enabled" if slot == self.live else "disabled"
            lines.append(f"    setenv {prefix}_{slot}_state {state}")
            # What is not named here is disabled: users of a port that the release does not have get 503 at once.
            for port, addresses in sorted(self.more.items()):
                if slot in addresses:
                    lines.append(f"    setenv {prefix}_{slot}_{port.upper()} {addresses[slot]}")
                    lines.append(f"    setenv {prefix}_{slot}_{port.upper()}_state {state}")
        return "".join(f"{line}\n" for line in lines)


def parse_record(text: str) -> Record:
    """Raise ValueError unless it is whole."""
    values = {slot + (state or ""): value for slot, state, value in _RECORD.findall(text)}
    live = [slot for slot in SLOTS if values.get(f"{slot}_state") == "enabled"]
    if not all(slot in values for slot in SLOTS) or len(live) > 1:
        raise ValueError("not a record of slots")
    more: dict[str, dict[str, str]] = {}
    for slot, port, address in _MORE.findall(text):
        more.setdefault(port.lower(), {})[slot] = address
    return Record({slot: values[slot] for slot in SLOTS}, live[0] if live else None, more)


class Slots:
    """Which slot each release has, and which one users are led to."""

    def __init__(self, layout: Layout, ports: LocalPorts) -> None:
        self._layout = layout
        self._ports = ports
        written = self.written()
        # A port that the service does not have any more may still be that of a release.
        self.names = sorted({*ports.more, *(written.more if written is not None else ())})

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

    def more_addresses(self, release_id: str, rehearsal: bool = False) -> dict[str, str]:
        """Where it answers behind each further public port, by the port's name."""
        told = self.slot_file(release_id, rehearsal)
        return {name: told[_variable(name)] for name in self.names if _variable(name) in told}

    def names_of_next(self) -> list[str]:
        """The further public ports that the next release will have."""
        return self._names_in(self._layout.units)

    def _names_in(self, folder: str) -> list[str]:
        """Those of the service's further ports that the unit in that folder tells its program."""
        unit = files.text(os.path.join(folder, f"{self._layout.name}@.service"))
        return sorted({port.lower() for port in _UNIT.findall(unit)} & set(self._ports.more))

    def local_ports(self, names: Iterable[str]) -> list[int]:
        return [*self._ports.first, *(port for name in names for port in self._ports.more[name])]

    def assign(self, release_id: str, taken: Container[Optional[str]], rehearsal: bool) -> Record:
        """Give the release a slot that is not taken, durably; return the record with its address in it."""
        record = self.record()
        # A release from the time before the proxy would be in the first, see the role's unit.
        order = SLOTS[::-1] if rehearsal else SLOTS
        free = next((slot for slot in order if slot not in taken), SLOTS[0])
        index = SLOTS.index(free)
        port = self._ports.first[index]
        address = f"127.0.0.1:{port}"
        names = self._names_in(self._layout.release_units(release_id))
        told = {FIRST: port, **{name: self._ports.more[name][index] for name in names}}
        self._forget_gone()
        files.make_directory(self._layout.slots, 0o700)
        files.write_atomic(
            self._path(release_id, rehearsal),
            _render_slot_file(free, told),
            0o644,
        )
        more = {name: {s: a for s, a in addresses.items() if s != free} for name, addresses in record.more.items()}
        for name in names:
            more[name][free] = f"127.0.0.1:{told[name]}"
        record = Record({**record.addresses, free: address}, record.live, more)
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
        nothing: dict[str, Mapping[str, str]] = {name: {} for name in self.names}
        written = self.written()
        if written is not None:
            return replace(written, more={**nothing, **written.more})
        addresses = {slot: f"127.0.0.1:{port}" for slot, port in zip(SLOTS, self._ports.first)}
        current = self._layout.current_id()
        live = self.slot(current)
        if current and live:
            addresses[live] = self.address(current)
            more = {name: {live: address} for name, address in self.more_addresses(current).items()}
            return Record(addresses, live, {**nothing, **more})
        return Record(addresses, live, nothing)

    def save(self, record: Record) -> None:
        files.make_directory(os.path.dirname(self._layout.proxy_record), 0o755)
        files.replace_if_different(self._layout.proxy_record, record.render(self._layout.name))


def _variable(name: str) -> str:
    """The variable with the address behind this port."""
    return f"SLIPWAY_ADDRESS_{name.upper()}" if name else "SLIPWAY_ADDRESS"


def _render_slot_file(slot: str, ports: Mapping[str, int]) -> str:
    lines = ["# The local ports of this release.", f"SLIPWAY_SLOT={slot}"]
    for name, port in ports.items():
        lines += [f"{_variable(name)}=127.0.0.1:{port}", f"{port_variable(name)}={port}"]
    return "".join(f"{line}\n" for line in lines)


def port_variable(name: str) -> str:
    """The variable with the local port behind this public port."""
    return f"PORT_{name.upper()}" if name else "PORT"
