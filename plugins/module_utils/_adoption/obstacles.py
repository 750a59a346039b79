# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What of a service cannot be taken over, and what will be different. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
from typing import Iterator, NamedTuple

from .._core.paths import UNIT_ROOT
from .._host.sockets import tcp_port
from .._units.parser import expand, is_true
from . import proposal
from .former import Former, Seen, seconds
from .masking import HIDDEN

_INTERPRETERS = ("sh", "bash", "dash", "zsh", "env", "python", "python3", "perl", "java", "node", "ruby", "sudo", "su")
# What nearly every unit is ordered after, as the role's units are.
_COMMON = """
    NetworkManager.service basic.target dbus.service local-fs.target multi-user.target network-online.target
    network.service network.target nss-lookup.target nss-user-lookup.target remote-fs.target rsyslog.service
    sysinit.target syslog.service syslog.target systemd-journald.socket systemd-networkd.service time-sync.target
    """
_LOWEST_FREE_PORT = 1024


class Finding(NamedTuple):
    """setting: what of the unit it is about. blocks: whether the service cannot be taken over as it is."""

    setting: str
    message: str
    fix: str
    blocks: bool


def findings(former: Former, seen: Seen) -> list[Finding]:
    """Those that block first."""
    blocking = [*_start(former, seen), *_type(former), *_root(former), *_user(former)]
    blocking += [*_socket(former), *_place(former, seen)]
    return [Finding(*one, blocks=True) for one in blocking] + [
        Finding(*one, blocks=False)
        for one in [*_values(former), *_surroundings(former), *_sandbox(former, seen), *_listening(former, seen)]
    ]


_Told = Iterator["tuple[str, str, str]"]


def _start(former: Former, seen: Seen) -> _Told:
    starts = former.starts
    if not starts:
        yield "ExecStart=", "the unit starts no program", "give it an ExecStart=, or choose another service"
        return
    if len(starts) > 1:
        yield (
            "ExecStart=",
            f"the unit starts {len(starts)} programs, and a release is one",
            "leave the service itself in ExecStart=, and put the others into ExecStartPre= or units of their own",
        )
    first = starts[0]
    if os.path.basename(first.program) in _INTERPRETERS:
        yield (
            "ExecStart=",
            f"{first.program} starts the program, and a release starts its own binary",
            "name the program itself in ExecStart=, with its variables in Environment=",
        )
    elif seen.problem:
        yield "ExecStart=", seen.problem, "name a program that is built for this host in ExecStart="
    if set(first.prefixes) & set("+!"):
        yield (
            "ExecStart=",
            f"the program is started with rights that its user does not have ({first.prefixes})",
            "remove the prefix, and give the rights that it needs by AmbientCapabilities=",
        )


def _type(former: Former) -> _Told:
    kind, pid_file = proposal.kind_of(former), former.unit.last("PIDFile")
    if kind == "forking":
        yield (
            "Type=forking",
            "the program goes into the background, "
            + (f"with its process in {pid_file}" if pid_file else "and no PIDFile= says which process is the service")
            + "; the role's units start it in the foreground",
            "put the option that keeps it in the foreground into service_arguments, and set adopt_foreground to true",
        )
    elif kind == "oneshot":
        yield "Type=oneshot", "the program ends by itself, and a release is one that stays", "leave it as it is"
    elif kind == "dbus":
        yield (
            "Type=dbus",
            f"it is ready when it has the bus name {former.unit.last('BusName')}, which only one process can have",
            "leave it as it is, or let the program say that it is ready by Type=notify",
        )


def _root(former: Former) -> _Told:
    for key in ("RootDirectory", "RootImage"):
        if former.unit.last(key):
            yield (
                f"{key}=",
                f"the program lives in {former.unit.last(key)}, and a release has only its own folder",
                f"build a program that needs nothing of it, and remove {key}=",
            )


def _user(former: Former) -> _Told:
    account = former.account
    if former.unit.yes("DynamicUser"):
        yield (
            "DynamicUser=",
            "the user is there only while the service runs, and its data is in a folder that belongs to it alone",
            "create a user with no login shell, move the data out of /var/lib/private, and run chown for that user",
        )
    elif account.uid == 0:
        yield (
            "User=",
            "the service runs as root, and a release does not",
            "create a user with no login shell, name it in User=, and run chown on the data for that user",
        )
    elif account.can_log_in:
        yield (
            "User=",
            f"{account.name} can log in, and the role takes only accounts that cannot",
            f"set its shell to /usr/sbin/nologin, or create a user of the service's own in place of {account.name}",
        )


def _socket(former: Former) -> _Told:
    if any(map(is_true, former.of_socket("Accept")[-1:])):
        yield (
            f"{former.name}.socket",
            "Accept=yes starts one process for each connection",
            "let the program accept connections by itself, with Accept=no",
        )
    for key in ("ListenDatagram", "ListenSequentialPacket", "ListenFIFO", "ListenNetlink", "ListenSpecial"):
        for value in former.of_socket(key):
            yield (
                f"{former.name}.socket",
                f"{key}={value} is no stream socket, and service_listen has only those",
                "keep that socket in a unit of another name, or leave the service as it is",
            )


def _place(former: Former, seen: Seen) -> _Told:
    path = former.unit.path
    if not path.startswith(f"{UNIT_ROOT}/"):
        yield (
            former.unit.name.full,
            f"its unit is {path}, which a package or a program brings, and with it there slipway refuses the name",
            "remove what brings it and keep the program, or choose another service_name",
        )
    for name in seen.triggers:
        yield name, f"{name} starts the service", f"let it start something else, or run systemctl disable --now {name}"
    for path in seen.others:
        yield path, "slipway has a unit of that name", "move it away and run systemctl daemon-reload"
    for problem in seen.owners:
        yield "service_root", problem.message.rstrip("."), f"{problem.fix}, or choose another service_root"


def _values(former: Former) -> _Told:
    hidden = [one.name for one in former.variables if not proposal.is_shown(one)] + proposal.credentials(former)
    if hidden:
        yield (
            "Environment=",
            f"the values of {', '.join(hidden)} may be secrets and are not shown",
            "put them into a vault under the names that the proposal has for them",
        )
    if any(HIDDEN in one for one in proposal.arguments(former)) or HIDDEN in str(proposal.directives(former)):
        yield (
            "ExecStart=",
            f"what stands as {HIDDEN} may be a secret and is not shown, and everybody on the host can read it in ps",
            "give it to the program by service_environment or service_credentials instead",
        )
    for value in former.missing_files:
        if not value.startswith("-"):
            yield "EnvironmentFile=", f"{value} is not there", f"create {value}, or remove the line"


def _surroundings(former: Former) -> _Told:
    folder = expand(former.unit.last("WorkingDirectory"), former.values).lstrip("-")
    if folder not in ("", "/", "~"):
        yield (
            "WorkingDirectory=",
            f"it starts in {folder}, and a release starts in its own folder",
            "write paths in service_arguments and service_environment from / on",
        )
    wanted = former.of_section("Unit", "After", "Wants", "Requires", "BindsTo", "Requisite", "PartOf")
    others = [unit for unit in dict.fromkeys(wanted) if unit not in (*_COMMON.split(), f"{former.name}.socket")]
    if others:
        yield (
            "[Unit]",
            f"it is ordered after or needs {', '.join(others)}, and the role's units do not",
            f"write these lines into /etc/systemd/system/{former.name}@.service.d/units.conf after the first release",
        )
    for key, variable in proposal.TIMEOUTS.items():
        text = former.unit.last(key) or former.unit.last("TimeoutSec")
        if text and not seconds(text):
            yield (
                f"{key}=",
                f"systemd waits for it without an end ({text}), and for a release the role's default time",
                f"set {variable} to the longest time that it needs, in seconds",
            )
    names = former.of_section("Install", "Alias", "Also", "RequiredBy")
    if names:
        yield (
            "[Install]",
            f"{', '.join(names)} would no longer lead to it",
            f"use {former.name}.service in their place",
        )
    logs = [former.unit.last(key) for key in ("StandardOutput", "StandardError")]
    if any(log.startswith(("file:", "append:", "truncate:")) for log in logs):
        yield (
            "StandardOutput=",
            "it writes its output into a file of its own choice",
            f"set service_log: file, which is /var/log/{former.name}/{former.name}.log, or read it in the journal",
        )


def _sandbox(former: Former, seen: Seen) -> _Told:
    own = {key for key, _value in former.unit.service} & set(proposal.SANDBOX)
    if not {"ProtectSystem", "PrivateDevices", "SystemCallFilter"} <= own:
        yield (
            "ProtectSystem=",
            f"the role's sandbox is narrower than this unit: a release can write only to /var/lib/{former.name}",
            "add the other folders that it writes to as ReadWritePaths in service_sandbox",
        )
    entries = proposal.listen(former, seen)
    low = [entry for entry in entries if (tcp_port(entry) or _LOWEST_FREE_PORT) < _LOWEST_FREE_PORT]
    if low and not former.streams and "AmbientCapabilities" not in dict(former.unit.service):
        yield (
            "AmbientCapabilities=",
            f"a release may not open {', '.join(low)} by itself",
            "set AmbientCapabilities and CapabilityBoundingSet to CAP_NET_BIND_SERVICE, and PrivateUsers to false, in "
            "service_sandbox, or use service_swap: proxy",
        )


def _listening(former: Former, seen: Seen) -> _Told:
    entries = proposal.listen(former, seen)
    if not entries:
        yield (
            "service_listen",
            "it listens on no TCP port now" + ("" if seen.pid else ", for it does not run"),
            "start it and look again, or set service_listen by hand",
        )
    elif not former.streams and len(entries) > 1:
        yield (
            "service_listen",
            f"it listens on {', '.join(entries)}",
            "keep in service_listen what users reach, and look for the others with ss -lntp",
        )
    yield "release_health", "no unit says when the service is healthy", "give release_health a check before the switch"
