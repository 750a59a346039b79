# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold on a host before a release may change it; reads only. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import errno
import glob
import grp
import hashlib
import ipaddress
import os
import platform
import pwd
import re
import socket
from typing import Any, Callable, Iterator, Mapping, Optional, Sequence

from .._binary.abilities import Abilities
from .._binary.machines import SIBLINGS, host_goarch
from .._core import files
from .._core.errors import SlipwayError
from .._core.paths import SERVICES_ROOT
from .._core.problems import Problem
from .._host import processes, sockets
from .._host.kernel import read_host
from .._host.systemd import Systemd
from .._linkage.checker import Checker, on_noexec_mount
from .._units.context import unit_context
from .._units.parser import UNIT_PATH, parse_environment_file, read_unit
from . import configuration, stage, staged_units
from .artefact import semver
from .meant import version_of
from .state.layout import Layout, read_object
from .state.model import PAUSE, Artefact, Content, Settings, Spec, parse_proxy
from .strategies import reserved_ports
from .takeover import Takeover

# The release itself, and as much again for its journal, its logs and a neighbour's growth while it is written.
DISK_FACTOR = 2
DISK_RESERVE = 16 << 20
# Files and folders that a release of one program needs, with its journal and its records.
INODES = 64
STATE_RESERVE = 1 << 20
_LOCAL_PORT = re.compile(r"(?:https?://)?(?:127\.[0-9.]+|localhost|\[::1\]):([0-9]{1,5})(?![0-9])")
_FREE_BIND = re.compile(r"^FreeBind=(yes|true|on|1)$", re.MULTILINE)
# SHOP.socket, SHOP.service, and the instance of a release, whose id has dots.
_UNIT_NAME = re.compile(r"([a-z][a-z0-9-]*)(?:@\S*)?\.(?:socket|service)\b")


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
    _require_space(root, artefact.size * DISK_FACTOR + DISK_RESERVE, f"service_root ({root}), or lower release_keep")


def check_state_space(layout: Layout) -> None:
    """Fail when the file system of slipway's own records cannot take those of a release."""
    _require_space(layout.state_root, STATE_RESERVE, layout.state_root)


def _same_device(one: str, other: str) -> bool:
    return os.stat(_existing(one)).st_dev == os.stat(_existing(other)).st_dev


def _require_space(wanted: str, needed: int, what: str) -> None:
    path = _existing(wanted)
    free = os.statvfs(path)
    available = free.f_bavail * free.f_frsize
    if available < needed:
        raise SlipwayError(
            "disk_full",
            f"{path} has {available >> 20} MiB free, this release needs {needed >> 20} MiB.",
            f"free space on the file system of {what}",
        )
    if free.f_files and free.f_favail < INODES:  # some file systems have no fixed number, and say 0
        raise SlipwayError(
            "disk_full",
            f"{path} has {free.f_favail} free inodes of {free.f_files}, this release needs {INODES}.",
            f"remove files, many small ones use up inodes (see df -i), on the file system of {what}",
        )


def _existing(path: str) -> str:
    """The nearest directory above that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def check_mount(root: str) -> None:
    """Fail when the kernel would start nothing from the file system of the release tree."""
    path = _existing(root)
    if on_noexec_mount(path):
        raise SlipwayError(
            "noexec_mount",
            f"{path} of service_root ({root}) is on a file system that is mounted with noexec.",
            "mount it without noexec, or set service_root to a directory on another file system",
        )


def check_account(spec: Spec, layout: Layout) -> None:
    """Fail when the user of the unit could not execute a program that belongs to root and the release's group."""
    unit_path = (layout.units, layout.unit_root)
    if not spec.configured or not any(
        os.path.exists(os.path.join(f, os.path.basename(layout.template_unit))) for f in unit_path
    ):
        return
    instance = layout.instance("next")
    user, who = read_unit(instance, unit_path).last("User"), unit_context(instance, unit_path).who
    if not user or who is None or who.uid == 0 or not _has_user(user):
        return
    gid = None
    with contextlib.suppress(KeyError):
        gid = grp.getgrnam(spec.group).gr_gid
    if gid not in who.gids:
        raise SlipwayError(
            "other_group",
            f"{os.path.basename(layout.template_unit)} runs the service as the user {user}, who is not in the group "
            f"{spec.group} that the release would belong to, and so could not execute it.",
            "set service_user, or service_group, for this playbook as for site.yml, best in the inventory",
        )


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def check_addresses(spec: Spec, layout: Layout) -> None:
    """Fail when the service is to listen on an address that this host has not, or that systemd cannot read."""
    for variable, entry in ((variable, entry) for variable, listen in spec.public.items() for entry in listen):
        if sockets.tcp_port(entry) is None:
            continue
        host = str(entry).strip().rpartition(":")[0].strip("[]")
        if not host:
            continue
        if not _is_address(host):
            _refuse_name(spec, entry)
        elif _is_lacking(host) and not _may_bind_early(layout):
            raise SlipwayError(
                "no_such_address",
                f"{variable} has {entry}, and this host has no address {host}.",
                f"give the host that address (see ip address), or correct {variable}",
            )


def _refuse_name(spec: Spec, entry: str) -> None:
    """A program may look a name up; systemd does not."""
    if spec.strategy == "socket":
        port = sockets.tcp_port(entry)
        raise SlipwayError(
            "invalid_listen",
            f"service_listen entry {entry!r} has a name where systemd takes only an address.",
            f"use for example 127.0.0.1:{port} or [::1]:{port}",
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_lacking(host: str) -> bool:
    """Whether nobody can listen there; the kernel says it, which knows of net.ipv4.ip_nonlocal_bind, too."""
    try:
        family, kind, protocol, _name, address = socket.getaddrinfo(
            host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
        )[0]
        with socket.socket(family, kind, protocol) as one:
            one.bind(address)
    except OSError as error:
        return error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return False


def _may_bind_early(layout: Layout) -> bool:
    """Whether the operator has told the socket unit that its addresses may come later."""
    own = os.path.basename(layout.socket_unit)
    places = [os.path.join(layout.units, own), layout.socket_unit, *glob.glob(f"{layout.socket_unit}.d/*.conf")]
    return any(_FREE_BIND.search(files.text(path)) for path in places)


def check_root(layout: Layout) -> None:
    """Fail when the service's releases are below another folder, or another service has this one.

    From another folder it could never go back to them. In one folder, two services would have one release.
    """
    roots = _roots(layout.state_root)
    known = roots.pop(layout.name, layout.root)
    for other, root in sorted(roots.items()):
        if os.path.realpath(root) == os.path.realpath(layout.root):
            raise SlipwayError(
                "root_taken",
                f"service_root is {layout.root}, where the service {other} has its releases on this host.",
                f"choose another service_root for {layout.name}",
            )
    if os.path.realpath(known) != os.path.realpath(layout.root) and os.path.lexists(os.path.join(known, "current")):
        raise SlipwayError(
            "root_changed",
            f"service_root is {layout.root}, and the releases of {layout.name} on this host are in {known}.",
            f"set service_root to {known}, or remove the service first (slipway.go.remove)",
        )


def _roots(state_root: str) -> dict[str, str]:
    """Where each service of this host has its releases, as its settings say."""
    told = {path: read_object(path) or {} for path in glob.glob(os.path.join(state_root, "*", "settings.json"))}
    return {path.split("/")[-2]: str(settings["root"]) for path, settings in told.items() if settings.get("root")}


def check_units(layout: Layout, takeover: Takeover) -> None:
    """Fail when somebody else's units, processes or configuration have the service's name."""
    staged_units.refuse_foreign(layout, takeover=takeover)


def check_ports(
    name: str,
    listen: list[str],
    own_socket_ports: set[int],
    variable: str = "service_listen",
    former: bool = False,
) -> None:
    """Fail when a port the service is to listen on belongs to somebody else; variable is where listen comes from.

    own_socket_ports are those that PID 1 holds open for this service's own socket unit. former: whether the service
    that has its name until now ends before the release begins.
    """
    units = (f"{name}@", f"{name}.service") if former else (f"{name}@",)
    listeners = sockets.tcp_listeners()
    for entry in listen:
        port = sockets.tcp_port(entry)
        same = {inode for inode, used in listeners.items() if used == port}
        addresses = sockets.tcp_addresses() if same else {}
        inodes = {inode for inode in same if sockets.overlaps(entry, addresses.get(inode))}
        own = port in own_socket_ports
        who = next(filter(None, (_stranger(units, inode, own, port) for inode in sorted(inodes))), None)
        if who:
            message = f"port {port} of {variable} is in use by {who}."
            raise SlipwayError("port_in_use", message, _port_fix(name, who, variable))


def _port_fix(name: str, who: str, variable: str) -> str:
    elsewhere = f"choose another port in {variable}"
    other = _service_named(who)
    if other:
        return f"remove the service {other} first (slipway.go.remove) if {name} replaces it, or {elsewhere}"
    if who.startswith("haproxy "):
        return "take the service out of the proxy first (proxy_state: absent), or choose another port"
    if ".socket (" in who:
        return f"run systemctl disable --now {who.partition(' ')[0]}, or {elsewhere}"
    return f"stop that process, or {elsewhere}"


def _stranger(units: Sequence[str], inode: str, own_socket: bool, port: Optional[int]) -> Optional[str]:
    """Who holds this listening socket beside the service; None where it is the service's own."""
    holders = sockets.holders({inode})
    if own_socket and 1 in holders:
        return None  # each child of PID 1 holds all its sockets, too, until it has become another program
    strangers = [pid for pid in holders if not any(processes.in_unit(pid, unit) for unit in units)]
    if strangers:
        unit = next((one for one in processes.units(strangers[0]) if _service_named(one)), "")
        named = f"{unit or processes.name(strangers[0])} (pid {strangers[0]})"
        return _socket_of_systemd(port, named) if strangers[0] == 1 else named
    return None if holders else "another process"


def _service_named(who: str) -> str:
    """The service of this host that a unit belongs to; empty where it is none of slipway's."""
    name = _UNIT_NAME.match(who)
    known = name and os.path.exists(os.path.join(SERVICES_ROOT, f"{name[1]}.json"))
    return str(name[1]) if name and known else ""


def _socket_of_systemd(port: Optional[int], otherwise: str) -> str:
    """The socket unit that PID 1 holds a port for."""
    with contextlib.suppress(SlipwayError):
        unit = next((unit for unit, ports in Systemd().listening_sockets() if port in ports), None)
        return f"{unit} (systemd, pid 1)" if unit else otherwise
    return otherwise


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
    takeover: Takeover,
) -> list[Problem]:
    """Every reason not to start, so that one run names them all; listen is what the release itself opens."""
    against: list[Problem] = []
    variable = "service_listen" if listen == spec.listen else "service_proxy_ports"
    for check in (
        lambda: check_architecture(spec.artefact.goarch, platform.machine()),
        lambda: check_space(spec.artefact, layout.root),
        lambda: check_ports(layout.name, listen, own_socket_ports, variable, former=takeover.is_open),
        lambda: reserved_ports.refuse_reserved(layout, spec.listen),
        lambda: reserved_ports.refuse_reserved(layout, spec.more_listen, "service_more_ports"),
        lambda: check_front(spec),
        lambda: check_units(layout, takeover),
        lambda: check_root(layout),
        lambda: None if _same_device(layout.state_root, layout.root) else check_state_space(layout),
        lambda: check_mount(layout.root),
        lambda: check_addresses(spec, layout),
        lambda: check_account(spec, layout),
    ):
        try:
            check()
        except SlipwayError as error:
            against.append(Problem.of(error))
    return list(dict.fromkeys(against))  # two checks may meet the same


def notices(
    spec: Spec,
    layout: Layout,
    settings: Settings,
    abilities: Optional[Abilities],
    differences: Sequence[Problem] = (),
) -> list[Problem]:
    """What an operator should know before this release, and what may be a wrong guess: none of it refuses anything.

    differences: between the host that built it and this one.
    """
    current = layout.current_id()
    content = stage.content(spec, layout) if spec.artefact.sha256 and current else None
    if content is not None and content.release_id() == current:
        return []
    found = [*differences, *_health_port(spec, settings), *_never_paused(spec, settings)]
    if abilities is not None:
        found += _abilities_lacking(spec, layout, abilities)
    if current and content is not None and spec.configured:
        found += _restart_ahead(spec, layout, current, content)
    return found


def may_pause(spec: Spec, settings: Settings) -> bool:
    """Whether the release may have to wait for a person."""
    return spec.strategy == "proxy" and parse_proxy(settings.proxy).longest_pause > 0


def _never_paused(spec: Spec, settings: Settings) -> Iterator[Problem]:
    """Where a person is to be asked about durations, and nobody compares them."""
    options = parse_proxy(settings.proxy)
    if options.slow != PAUSE or may_pause(spec, settings):
        return
    because = "release_max_latency_ratio is 0" if not options.max_latency_ratio else "release_weights has no share"
    because = because if spec.strategy == "proxy" else f"service_swap is {spec.strategy}"
    yield Problem(
        "never_paused",
        f"release_slow is {PAUSE}, but {because}, so the durations of users' requests are not compared.",
        "use service_swap: proxy with release_weights such as [5, 25, 100], or leave release_slow out",
    )


def _abilities_lacking(spec: Spec, layout: Layout, abilities: Abilities) -> Iterator[Problem]:
    """What the program's file says against the strategy and the type of the service."""
    kind = _service_type(layout)
    if spec.strategy == "socket" and not abilities.sockets:
        rehearsed = f" In its rehearsal it is given only {spec.rehearsal}." if spec.rehearsal else ""
        yield Problem(
            "no_listen_fds",
            "release_src does not seem to read LISTEN_FDS, and with service_swap socket it would not listen on the "
            f"socket that systemd hands over.{rehearsed}",
            "use service_swap: proxy for a server that listens on PORT, or restart, which has a downtime",
        )
    if spec.strategy == "reload" and not (abilities.readiness and abilities.signals):
        lacking = "NOTIFY_SOCKET" if not abilities.readiness else "signals"
        yield Problem(
            "no_handover",
            f"release_src does not seem to handle {lacking}, and with service_swap reload it hands over on a signal.",
            "use service_swap: proxy for a server that listens on PORT, or restart, which has a downtime",
        )
    if spec.strategy != "reload" and kind == "notify" and not abilities.readiness:
        yield Problem(
            "no_notify_socket",
            "release_src does not seem to read NOTIFY_SOCKET, and with service_type notify systemd waits until the "
            "service says that it is ready.",
            "set service_type: exec, and give release_health a check that says when it is ready",
        )


def _service_type(layout: Layout) -> str:
    """Of the next release's unit; of the role where the unit is not there yet."""
    try:
        return read_unit(layout.instance("next"), (layout.units, layout.unit_root)).last("Type", "simple")
    except SlipwayError:
        return "notify"


def _health_port(spec: Spec, settings: Settings) -> Iterator[Problem]:
    """A check at a port of this host that the service is not said to listen on."""
    given = str(settings.health.get("url") or settings.health.get("tcp") or "")
    match = _LOCAL_PORT.match(given)
    declared = {sockets.tcp_port(entry) for entry in spec.listen} - {None}
    if match and spec.strategy != "proxy" and declared and int(match.group(1)) not in declared:
        ports = ", ".join(str(port) for port in sorted(filter(None, declared)))
        yield Problem(
            "undeclared_port",
            f"release_health asks port {match.group(1)}, and service_listen has only {ports}.",
            "correct the port, or add it to service_listen, unless the service opens a port of its own there",
        )


def _restart_ahead(spec: Spec, layout: Layout, current: str, content: Content) -> Iterator[Problem]:
    """What of the next release could not reach a process that the current one has started, strategy reload."""
    manifest = layout.manifest(current)
    if spec.strategy != "reload" or not os.path.islink(layout.release("current")):
        return
    differs = {
        "the environment": stage.environment(layout, current) != content.environment,
        "a credential": stage.credentials(layout, current) != content.credentials,
        "the unit": manifest.get("units") != content.units,
    }
    what = ", ".join(name for name, changed in differs.items() if changed)
    if what:
        rehearsed = "" if spec.rehearsal else ", and no rehearsal comes before it"
        yield Problem(
            "restart_ahead",
            f"A handover cannot change what will differ ({what}): this release is a restart, nothing answers between "
            f"the two processes{rehearsed}.",
            "choose the moment of the downtime, or set service_rehearsal where the service can be rehearsed",
        )


def downgrade(version: str, layout: Layout) -> Optional[Problem]:
    """A version that is lower than the one that was good here last, as Semantic Versioning orders them.

    What is in flight and has not proven itself does not count: the version before it is no step back.
    """
    good = layout.last_good_id() or layout.current_id()
    before = version_of(good) if good else ""
    if not semver.is_lower(version, before):
        return None
    return Problem(
        "lower_version",
        f"release_version {version} is lower than {before}, the last good version on this host.",
        "run the playbook rollback to go back, or set release_downgrade: accept if the lower version is meant",
    )


def digests(texts: Mapping[str, str]) -> dict[str, str]:
    """Each text as its SHA-256, to compare what nobody may see."""
    return {name: hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest() for name, text in texts.items()}


def stale(spec: Spec, layout: Layout, expected: Mapping[str, Any]) -> Optional[Problem]:
    """What the inventory says of the service, and this host has otherwise: a release takes what the host has."""
    if not spec.configured:
        return None
    present = _configured(configuration.source(layout), layout)
    differing = [
        f"{variable}{_named(expected[variable], present[variable])}"
        for variable in expected
        if variable in present and expected[variable] != present[variable]
    ]
    if not differing:
        return None
    return Problem(
        "stale_configuration",
        f"This host has another configuration than the inventory: {', '.join(differing)}. The release would take along "
        "what the host has.",
        "run site.yml to apply the inventory with this release",
    )


def _configured(here: Layout, layout: Layout) -> dict[str, dict[str, str]]:
    """What the role service has written, by variable; nothing where it has not."""
    found: dict[str, dict[str, str]] = {}
    path = os.path.join(here.config, "environment")
    if os.path.exists(path):
        found["service_environment"] = digests(parse_environment_file(files.text(path)))
        found["service_credentials"] = stage.next_credentials(layout)
    unit = files.text(os.path.join(here.units, os.path.basename(layout.template_unit)))
    start = f"ExecStart={layout.root}/releases/%i/bin/{layout.name}"
    arguments = [line[len(start) :] for line in unit.splitlines() if line.startswith(start)]
    if len(arguments) == 1:
        found["service_arguments"] = digests({"": arguments[0].rstrip()})
    return found


def _named(wanted: Mapping[str, str], present: Mapping[str, str]) -> str:
    """Which names of a variable differ; never a value."""
    names = sorted(name for name in {*wanted, *present} if name and wanted.get(name) != present.get(name))
    return f" ({', '.join(names)})" if names else ""
