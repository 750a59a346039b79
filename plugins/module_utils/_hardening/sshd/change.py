# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of sshd: planned, proven to shut out nobody unasked, and left armed. PRIVATE to the collection."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Mapping, Optional, Sequence

from ..._core.errors import SlipwayError
from ..._deadman import change as deadman
from ..._deadman import managed_files
from ..._deadman.model import System
from ..connection import Connection, connection
from ..firewall import ssh_port
from ..firewall import survey as firewalls
from . import access, drop_in, logins, server
from .directives import choose_algorithms, known_directives, normal, overridden, render
from .server import SshServer

NAME = "ssh"
# Root is closed for good on the strength of a login, whose key, sudo and port must not be taken back afterwards.
# Another controller may be about to prove any other change by a login as root.
WAIT_FOR = ("access", "firewall", "kernel", "pam", "selinux", NAME)


@dataclass(frozen=True)
class Options:
    """What the module sshd is given."""

    settings: Mapping[str, Any]
    algorithms: Mapping[str, Sequence[str]]
    fallback: Mapping[str, Sequence[str]]
    ports: Sequence[int]
    allow_users: Sequence[str]
    keep_allowed: bool
    must_allow: Sequence[str]
    shut_out: Sequence[str]
    seconds: float
    open_firewall: bool
    firewall_sources: Sequence[str]
    firewall_limit: bool


@dataclass(frozen=True)
class SshPlan:
    """What sshd is to be told, as it follows from the host as it is."""

    server: SshServer
    settings: Mapping[str, Any]
    algorithms: Mapping[str, Sequence[str]]
    left_out: Sequence[str]
    changes: Sequence[managed_files.FileChange]


@dataclass(frozen=True)
class Configured:
    """What was changed, or would be, and what was found. firewall is the one in force, where the ports change."""

    applied: managed_files.Applied
    plan: SshPlan
    shut_out: Sequence[logins.ShutOut]
    ports_before: Sequence[int]
    ports_after: Sequence[int]
    connection: Optional[Connection]
    firewall: str
    has_selinux: bool


def configure(options: Options, check: bool, system: System) -> Configured:
    """Change what is not in order, armed on return; planned anew where somebody else's change came between."""
    return managed_files.from_the_start(lambda: _attempt(options, check, system))


def _attempt(options: Options, check: bool, system: System) -> Configured:
    deadman.wait_for_changes(WAIT_FOR, system, not check)
    connected = connection(system)
    wanted = plan(options, connected, system)
    shut_out = logins.who_is_shut_out(wanted.server, wanted.settings, connected, system)
    logins.refuse(shut_out, options.shut_out, access.closes_root(wanted.settings))
    before = server.listening_ports(wanted.server, system)
    after = sorted(set(options.ports)) or before
    firewall = firewalls.in_force(system.run) if after != before else ""
    if check or not wanted.changes:
        managed_files.validate(wanted.changes, system)
        if not wanted.changes:
            verify(options, wanted, connected, system)
        applied = managed_files.Applied(wanted.changes)
    else:
        applied = _apply(options, wanted, after != before, connected, system)
    has_selinux = os.path.exists("/sys/fs/selinux/enforce")
    return Configured(applied, wanted, shut_out, before, after, connected, firewall, has_selinux)


def plan(options: Options, connected: Optional[Connection], system: System) -> SshPlan:
    installed = server.look(system)
    settings = _settings_with_users(options, installed, connected.user if connected else "")
    settings, too_new = known_directives(settings, installed.version)
    algorithms, unknown = choose_algorithms(
        options.algorithms, options.fallback, installed.supported, installed.version
    )
    files = drop_in.files(installed, render(settings, algorithms, options.ports), options.ports)
    changes = managed_files.plan(files, system=system)
    return SshPlan(installed, settings, algorithms, [*too_new, *unknown], changes)


def _settings_with_users(options: Options, installed: SshServer, own: str) -> Mapping[str, Any]:
    """The settings with AllowUsers, once it is sure that nobody is shut out who has to get in."""
    settings = options.settings
    if access.closes_root(settings) and own == "root":
        own = ""
    if options.allow_users and "allowusers" not in map(str.lower, settings):
        users = options.allow_users
        if options.keep_allowed:
            users = access.keep_allowed(users, drop_in.allowed_before(installed.config, drop_in.text()), own)
        settings = {**settings, "AllowUsers": users}
    refused = access.who_is_refused([*options.must_allow, *([own] if own else [])], settings, access.groups_of)
    if refused:
        raise SlipwayError("would_lock_out", f"{refused.why}. Nothing was changed.", refused.fix)
    return settings


def _apply(
    options: Options, wanted: SshPlan, ports_change: bool, connected: Optional[Connection], system: System
) -> managed_files.Applied:
    opening = _opening(options, wanted.server, connected, system)
    guard = opening.guarded(drop_in.guard(wanted.server, options.seconds, ports_change))
    return managed_files.apply(
        wanted.changes,
        [[wanted.server.program, "-t"]],
        [*opening.commands, *drop_in.reload_commands(wanted.server, ports_change)],
        guard,
        system,
        verify=lambda: verify(options, wanted, connected, system),
        again=lambda: _plan_again(options, wanted, opening, connected, system),
    )


def _opening(
    options: Options, installed: SshServer, connected: Optional[Connection], system: System
) -> ssh_port.Opening:
    """The firewall lets the new ports in before sshd listens on them."""
    before = server.listening_ports(installed, system)
    if not options.open_firewall or (sorted(set(options.ports)) or before) == before:
        return ssh_port.Opening()
    sources, limit = options.firewall_sources, options.firewall_limit
    return ssh_port.opening(options.ports, sources, limit, connected, system.run)


def _plan_again(
    options: Options, wanted: SshPlan, opening: ssh_port.Opening, connected: Optional[Connection], system: System
) -> Sequence[managed_files.FileChange]:
    """Under the lock. Who would be shut out was asked of the plan before, so it counts for that one alone."""
    others = [name for name in WAIT_FOR if name != NAME and deadman.armed(name, system)]
    now = plan(options, connected, system)
    if others or (now, _opening(options, now.server, connected, system)) != (wanted, opening):
        begun = f"a change of {', '.join(others)} has begun"
        raise deadman.changed_meanwhile(begun if others else "somebody else has changed sshd or the firewall")
    return now.changes


def verify(options: Options, wanted: SshPlan, connected: Optional[Connection], system: System) -> None:
    """Ask sshd itself, for everybody and for each user that has to get in from where this connection comes from."""
    ports = options.ports
    port = ports[0] if ports and connected and connected.port not in ports else 0
    for user in ["", *options.must_allow]:
        login = server.login_from(user, connected, port) if user else ""
        effective = server.effective_settings(wanted.server.program, system, login)
        wrong = overridden(wanted.settings, wanted.algorithms, ports, effective)
        if wrong:
            whom = f" for {user}" + (f" from {connected.client}" if connected else "") if user else ""
            raise SlipwayError(
                "overridden",
                f"another file or Match block of sshd's configuration wins{whom}: {'; '.join(wrong)}. "
                "The change was taken back.",
                "remove that setting from the other file",
            )


def allowed_users(settings: Mapping[str, Any]) -> list[str]:
    """The users of AllowUsers; empty where everybody may log in."""
    return normal(settings.get("AllowUsers", "")).split()
