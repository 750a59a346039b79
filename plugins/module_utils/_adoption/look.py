# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at a service of somebody's own on this host. Reads only. This file is PRIVATE to the collection."""

from __future__ import annotations

import grp
import os
import pwd
from typing import Any, Iterable, Mapping, Optional, Sequence

from .._binary.abilities import Abilities, read_abilities
from .._core.errors import SlipwayError
from .._host import processes, sockets
from .._host.systemd import Systemd
from .._release import configuration, integrity, staged_units
from .._release.state.layout import Layout
from .._release.state.store import Store
from .._release.takeover import Takeover
from .._units import foreign
from .._units.parser import UNIT_PATH
from . import obstacles, proposal, strategies
from .former import Account, Former, Seen, read

_NO_LOGIN = ("nologin", "false")


def look(layout: Layout, systemd: Optional[Systemd] = None, unit_path: Sequence[str] = UNIT_PATH) -> dict[str, Any]:
    """What is there, and what it would become; raise where there is no unit of that name."""
    name = layout.name
    takeover = Takeover(layout)
    runs_again = takeover.in_force and Store(layout).load() is None
    if foreign.is_managed(staged_units.place(layout)) and not runs_again:
        return {"managed": True, "service": name, "former_kept": takeover.exists}
    _refuse_template(name, unit_path)
    former = read(name, accounts(), unit_path)
    seen = see(former, layout, systemd or Systemd())
    found = obstacles.findings(former, seen)
    return {
        "managed": False,
        "service": name,
        "state": seen.state,
        "enabled": seen.enabled,
        "pid": seen.pid,
        "type": proposal.kind_of(former),
        "pid_file": former.unit.last("PIDFile"),
        "user": former.account.name,
        "group": former.unit.last("Group") or former.account.group,
        "working_directory": former.unit.last("WorkingDirectory"),
        "program": former.program,
        "listen": proposal.listen(former, seen),
        "unit_files": [*former.files, *former.socket_files],
        "environment_files": list(former.environment_files),
        "proposal": proposal.propose(former, seen),
        "strategies": [fit._asdict() for fit in strategies.fits(former, seen)],
        "findings": [one._asdict() for one in found],
        "adoptable": not any(one.blocks for one in found),
        "moved": moved(former, seen),
        "kept": kept(former, seen),
    }


def _refuse_template(name: str, unit_path: Sequence[str]) -> None:
    places = [f"{folder}/{name}" for folder in unit_path]
    template = next((f"{place}@.service" for place in places if os.path.lexists(f"{place}@.service")), None)
    if template and not any(os.path.lexists(f"{place}.service") for place in places):
        raise SlipwayError(
            "unit_not_found",
            f"there is no unit {name}.service, and {template} is a template: each of its instances is another service.",
            "give each instance a unit and a service_name of its own",
        )


def accounts() -> Mapping[str, Account]:
    """Of this host, by name and by number."""
    found: dict[str, Account] = {}
    for one in pwd.getpwall():
        can_log_in = os.path.basename(one.pw_shell) not in _NO_LOGIN
        account = Account(one.pw_name, _group(one.pw_gid), one.pw_uid, one.pw_dir, can_log_in)
        found.setdefault(one.pw_name, account)
        found.setdefault(str(one.pw_uid), account)
    return found


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return ""


def see(former: Former, layout: Layout, systemd: Systemd) -> Seen:
    name = former.name
    state = systemd.show(f"{name}.service")
    abilities, problem = _program(former.program)
    return Seen(
        state=state.describe(),
        enabled=any(_is_enabled(systemd, f"{name}.{kind}") for kind in ("service", "socket")),
        pid=state.main_pid,
        listen=tuple(listening(f"{name}.service")),
        abilities=abilities,
        problem=problem,
        triggers=tuple(unit for unit in (f"{name}.timer", f"{name}.path") if systemd.is_active(unit)),
        others=tuple(_others(former, layout)),
        occupied=tuple(_occupied(layout)),
        owners=tuple(integrity.foreign(layout)),
    )


def _is_enabled(systemd: Systemd, unit: str) -> bool:
    """Not one that is static: nothing but its socket, or a person, starts it."""
    return systemd.properties(unit, "UnitFileState")["UnitFileState"].startswith("enabled")


def _program(path: str) -> tuple[Optional[Abilities], str]:
    if not path.startswith("/"):
        return None, f"{path or 'it'} is no path of a program" if path else ""
    try:
        return read_abilities(path), ""
    except SlipwayError as error:
        return None, f"{path}: {error.message}".rstrip(".")


def _others(former: Former, layout: Layout) -> list[str]:
    """Units in /etc that have names which slipway needs, beside the service's own and what an earlier run has left."""
    own, place = (f"{former.name}.service", f"{former.name}.socket"), staged_units.place(layout)
    names = [name for name in foreign.names_of(former.name) if name not in own and not foreign.is_ours(place, name)]
    return [path for path in (os.path.join(layout.unit_root, name) for name in names) if os.path.lexists(path)]


def _occupied(layout: Layout) -> list[str]:
    """What has the place of slipway's files; where a run before has written them, they are slipway's."""
    members = [] if foreign.is_managed(staged_units.place(layout)) else configuration.members(layout)
    return [*members, *staged_units.foreign_links(layout)]


def listening(unit: str) -> list[str]:
    """Where the processes of a unit listen, in the notation of service_listen; what others can reach first."""
    pids = [pid for pid in processes.every_pid() if processes.service_of(pid) == unit]
    inodes = {inode for pid in pids for inode in processes.socket_inodes(pid)}
    ports, addresses = sockets.tcp_listeners(), sockets.tcp_addresses()
    tcp = {_entry(addresses.get(inode, ""), ports[inode]) for inode in inodes & set(ports)}
    return sorted(tcp, key=lambda entry: (entry.startswith(("127.", "[::1]")), sockets.tcp_port(entry) or 0, entry))


def _entry(address: str, port: int) -> str:
    if address in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return str(port)
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def moved(former: Former, seen: Seen) -> list[str]:
    """What has to be away before slipway takes the name."""
    own = [path for path in [*former.files, *former.socket_files] if _is_own(path, former.name)]
    return list(dict.fromkeys([*own, *seen.occupied]))


def _is_own(path: str, name: str) -> bool:
    """Not a drop-in for more services than this one, which stays."""
    folder, base = os.path.split(path)
    units = (f"{name}.service", f"{name}.socket")
    return base in units or os.path.basename(folder) in tuple(f"{unit}.d" for unit in units)


def kept(former: Former, seen: Seen) -> list[str]:
    """What it needs to run as it does now: to be copied before anything changes."""
    return _present([*moved(former, seen), *former.environment_files, former.program])


def _present(paths: Iterable[str]) -> list[str]:
    """Where they really are, and for a link what it leads to as well: a copy must not go through a link."""
    found: list[str] = []
    for path in paths:
        if path and os.path.lexists(path):
            found.append(os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)))
            found += [os.path.realpath(path)] if os.path.islink(path) and os.path.isfile(path) else []
    return list(dict.fromkeys(found))
