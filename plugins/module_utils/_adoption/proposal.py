# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A service of somebody's own as variables of the role service. Pure. This file is PRIVATE to the collection."""

from __future__ import annotations

import math
import re
from typing import Any, Iterator

from .._units.parser import expand, is_true
from .former import Former, Seen, Variable, portable, seconds
from .masking import HIDDEN, hides_one, is_secret, shown_arguments
from .strategies import chosen

# What the role sets itself; a value of the unit that differs goes into service_sandbox.
SANDBOX = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "AmbientCapabilities": "",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "PrivateUsers": "yes",
    "DevicePolicy": "closed",
    "ProtectHostname": "yes",
    "ProtectClock": "yes",
    "ProtectKernelTunables": "yes",
    "ProtectKernelModules": "yes",
    "ProtectKernelLogs": "yes",
    "ProtectControlGroups": "yes",
    "ProtectProc": "invisible",
    "ProcSubset": "pid",
    "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    "RestrictNamespaces": "yes",
    "RestrictRealtime": "yes",
    "RestrictSUIDSGID": "yes",
    "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes",
    "RemoveIPC": "yes",
    "KeyringMode": "private",
    "UMask": "0077",
    "SystemCallArchitectures": "native",
    "SystemCallErrorNumber": "EPERM",
    "SystemCallFilter": "@system-service",
}
_OF_SANDBOX = re.compile(
    r"\A((Read(Write|Only)|Inaccessible|Exec|NoExec|Bind|BindReadOnly)Paths|TemporaryFileSystem|DeviceAllow"
    r"|SystemCall\w+|Restrict\w+|Protect\w+|Private\w+)\Z"
)
_LIMITS = re.compile(r"\A(Limit[A-Z]+|TasksMax|Memory(Max|High|Low|Min|SwapMax)|CPU(Quota|Weight)|IOWeight)\Z")
# What has a variable of its own, what the role decides, and what an obstacle or a remark is about.
_ELSEWHERE = """
    BusName DynamicUser Environment EnvironmentFile ExecStart Group GuessMainPID ImportCredential LoadCredential
    LoadCredentialEncrypted NonBlocking PIDFile PermissionsStartOnly RemainAfterExit Restart RestartSec RootDirectory
    RootImage SetCredential SetCredentialEncrypted Sockets StandardError StandardInput StandardOutput StartLimitBurst
    StartLimitInterval TimeoutSec TimeoutStartSec TimeoutStopSec Type UnsetEnvironment User WorkingDirectory
    """
CREDENTIALS = ("LoadCredential", "LoadCredentialEncrypted", "SetCredential", "SetCredentialEncrypted")
TIMEOUTS = {"TimeoutStartSec": "service_start_timeout", "TimeoutStopSec": "service_drain_timeout"}
_TYPES = {"simple": "simple", "exec": "exec", "idle": "exec", "notify": "notify", "notify-reload": "notify"}


def propose(former: Former, seen: Seen) -> dict[str, Any]:
    """The variables, for the inventory. A secret is a variable that is still to be set."""
    proposal: dict[str, Any] = {
        "service_name": former.name,
        "service_swap": chosen(former, seen),
        "service_listen": listen(former, seen),
        "service_type": service_type(former),
        **dict(_account(former)),
        "service_arguments": arguments(former),
        "service_environment": {one.name: shown_value(former.name, one) for one in former.variables},
        "service_credentials": {name: to_be_set(former.name, name) for name in credentials(former)},
        **dict(_times(former)),
        "service_limits": dict(_settings(former, "limits")),
        "service_sandbox": dict(_settings(former, "sandbox")),
        "service_directives": directives(former),
    }
    return {name: value for name, value in proposal.items() if value not in ("", [], {})}


def listen(former: Former, seen: Seen) -> list[str]:
    return former.streams or list(seen.listen)


def service_type(former: Former) -> str:
    """Those that the role does not have become exec, once the program stays in the foreground."""
    return _TYPES.get(kind_of(former), "exec")


def kind_of(former: Former) -> str:
    return former.unit.last("Type", "simple")


def _account(former: Former) -> Iterator[tuple[str, str]]:
    """Left to the role where it has none of its own."""
    account, group = former.account, former.unit.last("Group")
    if account.uid != 0 and not former.unit.yes("DynamicUser"):
        yield "service_user", account.name
        group = group or account.group
        if group and group != account.name:
            yield "service_group", group


def arguments(former: Former) -> list[str]:
    return shown_arguments(former.starts[0].arguments) if former.starts else []


def shown_value(service: str, one: Variable) -> str:
    return one.value if is_shown(one) else to_be_set(service, one.name)


def is_shown(one: Variable) -> bool:
    return one.public and not is_secret(one.name, one.value)


def to_be_set(service: str, name: str) -> str:
    """A variable that the inventory does not have yet, so that a run stops until it is there."""
    return "{{ vault_" + re.sub(r"[^a-z0-9]+", "_", f"{service}_{name}".lower()) + " }}"


def credentials(former: Former) -> list[str]:
    values = former.unit.every(*CREDENTIALS)
    return list(dict.fromkeys(expand(value.partition(":")[0], former.values) for value in values))


def _times(former: Former) -> Iterator[tuple[str, Any]]:
    unit = former.unit
    restart, both = unit.last("Restart"), unit.last("TimeoutSec")
    if restart:
        yield "service_restart", restart
    delay = seconds(unit.last("RestartSec"))
    if delay is not None:
        yield "service_restart_delay", int(delay) if delay == int(delay) else delay
    for key, name in TIMEOUTS.items():
        found = seconds(unit.last(key) or both)
        if found:
            yield name, math.ceil(found)


def directives(former: Former) -> dict[str, Any]:
    return dict(_settings(former, "directives"))


def _settings(former: Former, place: str) -> Iterator[tuple[str, Any]]:
    """The settings for one of the role's dictionaries: a text, or a list where there are several."""
    for name in dict.fromkeys(key for key, _value in former.unit.service):
        values = [portable(value, former.values) for value in former.unit.every(name)]
        values = values[-1:] if place == "limits" else values
        if place == _place(name) and values and not _is_the_roles(former.name, name, values):
            shown = [HIDDEN if hides_one(name, value) else value for value in values]
            yield name, shown[0] if len(shown) == 1 else shown


def _place(name: str) -> str:
    if name in _ELSEWHERE.split():
        return ""
    if _LIMITS.match(name):
        return "limits"
    return "sandbox" if name in SANDBOX or _OF_SANDBOX.match(name) else "directives"


def _is_the_roles(service: str, name: str, values: list[str]) -> bool:
    """Whether the role writes the same by itself."""
    own = {**SANDBOX, "KillMode": "mixed", "StateDirectory": service, "SyslogIdentifier": service}.get(name)
    if own is None or len(values) != 1:
        return False
    return values[0] == own or (own == "yes" and is_true(values[0]))
