# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold on a host before a release may change it; reads only. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import platform
from typing import Callable, Optional

from .._binary.machines import SIBLINGS, host_goarch
from .._core.errors import SlipwayError
from .._core.problems import Problem
from .._host import processes, sockets
from .._host.kernel import read_host
from .._linkage.checker import Checker
from .._units.context import unit_context
from .._units.parser import UNIT_PATH
from . import staged_units
from .state.layout import Layout
from .state.model import Artefact, Spec

# The release itself, and as much again for its journal, its logs and a neighbour's growth while it is written.
DISK_FACTOR = 2
DISK_RESERVE = 16 << 20


def check_architecture(goarch: Optional[str], machine: str) -> None:
    """Fail when the artefact is built for another machine; an amd64 host also runs 386, and so on."""
    host = host_goarch(machine)
    if goarch is None or host is None or goarch in (host, SIBLINGS.get(host)):
        return
    raise SlipwayError(
        "wrong_architecture",
        f"release_src is built for {goarch}, this host is {host}.",
        f"build it with GOOS=linux GOARCH={host}",
    )


def check_space(artefact: Artefact, root: str) -> None:
    """Fail when the file system of the release tree cannot take the artefact and its companions."""
    path = root
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    free = os.statvfs(path)
    available = free.f_bavail * free.f_frsize
    needed = artefact.size * DISK_FACTOR + DISK_RESERVE
    if available < needed:
        raise SlipwayError(
            "disk_full",
            f"{path} has {available >> 20} MiB free, this release needs {needed >> 20} MiB.",
            f"free space on the file system of service_root ({root}), or lower release_keep",
        )


def check_units(layout: Layout) -> None:
    """Fail when somebody else's units, processes or configuration have the service's name."""
    staged_units.refuse_foreign(layout)


def check_ports(name: str, listen: list[str], own_socket_ports: set[int], variable: str = "service_listen") -> None:
    """Fail when a port the service is to listen on belongs to somebody else; variable is where listen comes from.

    own_socket_ports are those that PID 1 holds open for this service's own socket unit.
    """
    listeners = sockets.tcp_listeners()
    for entry in listen:
        port = sockets.tcp_port(entry)
        same = {inode for inode, used in listeners.items() if used == port}
        addresses = sockets.tcp_addresses() if same else {}
        inodes = {inode for inode in same if sockets.overlaps(entry, addresses.get(inode))}
        own = port in own_socket_ports
        who = next(filter(None, (_stranger(name, inode, own) for inode in sorted(inodes))), None)
        if who:
            raise SlipwayError(
                "port_in_use",
                f"port {port} of {variable} is in use by {who}.",
                "take the service out of the proxy first (proxy_state: absent), or choose another port"
                if who.startswith("haproxy ")
                else f"stop that process, or choose another port in {variable}",
            )


def _stranger(name: str, inode: str, own_socket: bool) -> Optional[str]:
    """Who holds this listening socket beside the service; None where it is the service's own."""
    holders = sockets.holders({inode})
    if own_socket and 1 in holders:
        return None  # each child of PID 1 holds all its sockets, too, until it has become another program
    strangers = [pid for pid in holders if not processes.in_unit(pid, f"{name}@")]
    if strangers:
        return f"{processes.name(strangers[0])} (pid {strangers[0]})"
    return None if holders else "another process"


def linkage_problems(layout: Layout, release_id: str) -> list[Problem]:
    """What keeps the kernel or the loader of this host from starting the release in the unit it was staged with."""
    context = unit_context(layout.instance(release_id), (layout.release_units(release_id), *UNIT_PATH))
    # What the unit needs beside the program is partly made when it starts.
    context = context._replace(missing=())
    return Checker(read_host(), context).check(layout.binary(release_id)).problems


def problems(
    spec: Spec,
    layout: Layout,
    listen: list[str],
    own_socket_ports: set[int],
    check_front: Callable[[Spec], None],
) -> list[Problem]:
    """Every reason not to start, so that one run names them all; listen is what the release itself opens."""
    against: list[Problem] = []
    variable = "service_listen" if listen == spec.listen else "service_proxy_ports"
    for check in (
        lambda: check_architecture(spec.artefact.goarch, platform.machine()),
        lambda: check_space(spec.artefact, layout.root),
        lambda: check_ports(layout.name, listen, own_socket_ports, variable),
        lambda: check_front(spec),
        lambda: check_units(layout),
    ):
        try:
            check()
        except SlipwayError as error:
            against.append(Problem.of(error))
    return against
