# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The local ports of the services behind HAProxy: no two have the same. This file is PRIVATE to the collection.

A service keeps its ports for as long as it is there, also those that none of its releases has at the moment, and those
behind a public port that it does not have any more: a release of before may come back.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
from typing import Any, Collection, Iterator, Mapping, Optional, Sequence

from ..._core import files
from ..._core.errors import SlipwayError
from ..._core.paths import SERVICES_ROOT
from ..._host import sockets
from ..state.layout import Layout
from ..state.model import PROXY_PORTS
from .slots import SLOTS, LocalPorts, parse_record

LAST = 18999
_SUFFIX = ".json"


def of_service(layout: Layout) -> LocalPorts:
    """The ports of this service; empty where it has none."""
    return _of(layout, layout.name)


def _of(layout: Layout, name: str) -> LocalPorts:
    reserved = _reserved(layout, name)
    if reserved.first:
        return reserved
    return LocalPorts(_recorded(os.path.join(layout.proxy_root, f"{name}.cfg")))


def of_others(layout: Layout) -> dict[int, str]:
    """Each port that another service of this host has, with its name."""
    names = {name[: -len(_SUFFIX)] for name in _names_in(layout.ports_root) if name.endswith(_SUFFIX)}
    names |= {name[: -len(".cfg")] for name in _names_in(layout.proxy_root) if re.match(r"[a-z].*\.cfg\Z", name)}
    found: dict[int, str] = {}
    for name in sorted(names - {layout.name}):
        found.update((port, name) for port in _of(layout, name).all)
    return found


def choose(layout: Layout, wanted: Sequence[int], names: Sequence[str] = (), public: Sequence[str] = ()) -> LocalPorts:
    """The ports of this service: those that are wanted, or else those that it has, or the first that are free.

    names: its public ports beside the first, whose local ports the host chooses. public: what the host's services are
    to listen on, this one among them.
    """
    others, listened = of_others(layout), {port for port in map(sockets.tcp_port, public) if port}
    for port in wanted:
        if port in others:
            raise SlipwayError(
                "port_reserved",
                f"service_proxy_ports has {port}, which belongs to {others[port]} on this host.",
                "choose another port, or leave service_proxy_ports empty",
            )
    own = of_service(layout)
    first = tuple(wanted) or own.first
    more = {name: ports for name, ports in own.more.items() if not {*ports} & {*first}}
    more = {name: ports for name, ports in more.items() if name in names or not {*ports} & listened}
    _refuse_public(layout.name, LocalPorts(first, more), listened)
    if not first or not set(names) <= set(more):
        taken = {*others, *listened, *_in_use(layout.name), *own.all}
        first = first or _free(taken)
        for name in names:
            if name not in more:
                more[name] = _free(taken.union(first, *more.values()))
    return LocalPorts(first, more)


def _refuse_public(name: str, local: LocalPorts, listened: Collection[int]) -> None:
    """Raise where a port that it has, or is to have, is one that a service is to listen on."""
    for port in local.all:
        if port in listened:
            moves = ", or set service_proxy_ports to two other ports" if port in local.first else ""
            raise SlipwayError(
                "port_reserved",
                f"a service of this host is to listen on port {port}, which is one of the local ports of {name}.",
                f"choose another port to listen on{moves}",
            )


def reserve(
    layout: Layout,
    wanted: Sequence[int],
    check_mode: bool,
    names: Sequence[str] = (),
    public: Sequence[str] = (),
) -> tuple[LocalPorts, bool]:
    """Choose them, for good; the second is whether that is new."""
    if check_mode:
        ports = choose(layout, wanted, names, public)
        return ports, _reserved(layout, layout.name) != ports
    with _alone(layout.ports_root):
        ports = choose(layout, wanted, names, public)
        kept = {"ports": ports.first, **({"more": ports.more} if ports.more else {})}
        return ports, files.replace_if_different(_path(layout, layout.name), json.dumps(kept, sort_keys=True) + "\n")


def refuse_reserved(layout: Layout, listen: Sequence[str], variable: str = "service_listen") -> None:
    """Raise where a service is to listen on a port that another one has, be nobody there at the moment."""
    others = of_others(layout)
    for entry in listen:
        port = sockets.tcp_port(entry)
        if port in others:
            raise SlipwayError(
                "port_reserved",
                f"port {port} of {variable} belongs to {others[port]} on this host, which has it in "
                "service_proxy_ports.",
                f"choose another port, or give {others[port]} other service_proxy_ports",
            )


def _path(layout: Layout, name: str) -> str:
    return os.path.join(layout.ports_root, f"{name}{_SUFFIX}")


def _reserved(layout: Layout, name: str) -> LocalPorts:
    path = _path(layout, name)
    text = files.text(path)
    if not text:
        return LocalPorts()
    try:
        kept = json.loads(text)
        more = {str(port): _pair(ports) for port, ports in kept.get("more", {}).items()}
        return LocalPorts(_pair(kept["ports"]), more)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SlipwayError(
            "damaged_record",
            f"{path} does not say which local ports its service has.",
            "remove that file and apply the role service for that service again",
        ) from None


def _pair(ports: Any) -> tuple[int, ...]:
    first, second = map(int, ports)
    return first, second


def _recorded(path: str) -> tuple[int, ...]:
    """What HAProxy's record says, of a service that was set up before ports were reserved."""
    try:
        addresses: Mapping[str, str] = parse_record(files.text(path)).addresses
        return tuple(int(addresses[slot].rpartition(":")[2]) for slot in SLOTS)
    except ValueError:
        return ()


def _in_use(name: str) -> set[int]:
    """What programs listen on, and what the host's other services are to listen on."""
    listen = [entry for one in _names_in(SERVICES_ROOT) if one != f"{name}{_SUFFIX}" for entry in _listens(one)]
    return {*sockets.tcp_listeners().values(), *(port for port in map(sockets.tcp_port, listen) if port)}


def _listens(record: str) -> list[str]:
    try:
        return [str(one) for one in json.loads(files.text(os.path.join(SERVICES_ROOT, record)))["listen"]]
    except (ValueError, TypeError, KeyError):
        return []


def _free(taken: Collection[int]) -> tuple[int, ...]:
    first = PROXY_PORTS[0]
    pairs = ((port, port + 1) for port in range(first, LAST, 2))
    free: Optional[tuple[int, int]] = next((pair for pair in pairs if not set(pair) & set(taken)), None)
    if free is None:
        raise SlipwayError(
            "no_free_port",
            f"no two ports from {first} to {LAST} are free on this host.",
            "give two free ports in service_proxy_ports",
        )
    return free


def _names_in(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    files.make_directory(os.path.dirname(folder), 0o755)
    files.make_directory(folder, 0o755)
    descriptor = os.open(os.path.join(folder, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
