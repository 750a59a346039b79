# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The context in which a program is started: this process's, or a unit's. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import grp
import os
import posixpath
import pwd
from typing import Iterator, Mapping, Sequence

from .._binary.machines import SYSTEMD_ARCHITECTURES
from .._core.root_view import View
from .._host.kernel import ALL_CAPABILITIES
from .._host.systemd import release_of_systemd
from .credentials import Credentials
from .parser import UNIT_PATH, Unit, expand, is_absolute, parse_environment_file, read_bind, read_unit, specifiers
from .prerequisites import DIRECTORIES, environment_files, in_view, missing
from .surroundings import Context, covers

CAP_DAC_OVERRIDE, CAP_SYS_ADMIN = 1, 21
CAPABILITIES = (
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
    "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
    "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override "
    "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
)
_BITS = {"CAP_" + name.upper(): 1 << number for number, name in enumerate(CAPABILITIES.split())}
# Any of these makes systemd set NoNewPrivileges for a unit that has no CAP_SYS_ADMIN.
_IMPLY_NO_NEW_PRIVILEGES = (
    "PrivateDevices",
    "ProtectKernelTunables",
    "ProtectKernelModules",
    "ProtectKernelLogs",
    "ProtectClock",
    "ProtectHostname",
    "MemoryDenyWriteExecute",
    "RestrictRealtime",
    "RestrictSUIDSGID",
    "LockPersonality",
)
HOMES = ("/home", "/root", "/run/user")
_NO = ("no", "0", "n", "false", "f", "off")
_IMPLY_BY_LIST = ("SystemCallFilter", "SystemCallArchitectures", "RestrictAddressFamilies", "RestrictNamespaces")


def own_context() -> Context:
    """As if started by this process."""
    environment = {key: value for key, value in os.environ.items() if key.startswith("LD_") or key == "PATH"}
    who = None if os.geteuid() == 0 else Credentials(os.geteuid(), frozenset([*os.getgroups(), os.getegid()]), False)
    return Context(View(cwd=_cwd()), environment, who=who)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def unit_context(text: str, unit_path: Sequence[str] = UNIT_PATH) -> Context:
    """As the unit would start it."""
    unit = read_unit(text, unit_path)
    user, uid, gid, home = _account(unit)
    values = specifiers(unit.name, unit.path, user, uid, home)
    bounding = _capability_set(unit)
    cwd = expand(unit.last("WorkingDirectory", "/").lstrip("-"), values)
    root = expand(unit.last("RootDirectory", "/"), values)
    view = View(root, _binds(unit, values, root), cwd=home if cwd == "~" else cwd)
    context = Context(
        view=view,
        environment=_environment(unit, values),
        unit=unit.name.full,
        who=_credentials(unit, values, user, uid, gid, bounding),
        no_new_privileges=_no_new_privileges(unit, uid, bounding),
        bounding=bounding,
        hidden=tuple(_hidden(unit, values, view)),
        exec_rules=_exec_rules(unit, values, view),
        mounts=tuple(_mounts(unit, values, view)),
        architectures=tuple(
            name for name in unit.words("SystemCallArchitectures") if name == "native" or name in SYSTEMD_ARCHITECTURES
        ),
        denies_write_execute=unit.yes("MemoryDenyWriteExecute"),
        systemd=release_of_systemd(),
        root_image=expand(unit.last("RootImage"), values),
    )
    return context._replace(missing=tuple(missing(unit, values, context, home)))


def _account(unit: Unit) -> tuple[str, int, int, str]:
    """DynamicUser= and users not there yet: someone who owns nothing."""
    name = unit.last("User", "root" if not unit.yes("DynamicUser") else unit.name.prefix)
    try:
        entry = pwd.getpwuid(int(name)) if name.isdigit() else pwd.getpwnam(name)
    except KeyError:
        return name, int(name) if name.isdigit() else 65534, 65534, "/"
    gid = entry.pw_gid
    group = unit.last("Group")
    if group:
        try:
            gid = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
        except KeyError:
            gid = 65534
    return entry.pw_name, entry.pw_uid, gid, entry.pw_dir


def _credentials(unit: Unit, values: Mapping[str, str], user: str, uid: int, gid: int, bounding: int) -> Credentials:
    gids = {gid}
    with contextlib.suppress(KeyError, OSError):
        gids.update(os.getgrouplist(user, gid))
    for name in unit.words("SupplementaryGroups"):
        try:
            gids.add(int(name) if name.isdigit() else grp.getgrnam(name).gr_gid)
        except KeyError:
            continue
    overrides = bounding & (1 << CAP_DAC_OVERRIDE)
    return Credentials(uid, frozenset(gids), uid == 0 and bool(overrides), _given(unit, values, uid))


def _given(unit: Unit, values: Mapping[str, str], uid: int) -> tuple[str, ...]:
    """What systemd hands over to the user before it starts the program, with all that is in it."""
    given = (host for path, host in _own_directories(unit, values) if not path.startswith("/etc/"))
    return tuple(host for host in given if os.stat(host).st_uid != uid)


def _own_directories(unit: Unit, values: Mapping[str, str]) -> list[tuple[str, str]]:
    """Of StateDirectory= and its kin those that exist: the path for the unit, and where this host keeps it."""
    own: list[tuple[str, str]] = []
    for kind, folder in DIRECTORIES.items():
        for word in unit.words(f"{kind}Directory"):
            name = expand(word.partition(":")[0], values)
            private = unit.yes("DynamicUser") and kind != "Configuration"
            hosts = [f"{folder}/private/{name}"] if private else []
            host = next((path for path in [*hosts, f"{folder}/{name}"] if os.path.isdir(path)), None)
            if host is not None:
                own += [(path, os.path.realpath(host)) for path in [*hosts, f"{folder}/{name}"]]
    return own


def _capability_set(unit: Unit) -> int:
    values = unit.every("CapabilityBoundingSet")
    if not values and not any(key == "CapabilityBoundingSet" for key, _ignored in unit.service):
        return ALL_CAPABILITIES
    allowed = ALL_CAPABILITIES if values and values[0].startswith("~") else 0
    for value in values:
        bits = 0
        for name in value.lstrip("~").split():
            bits |= _BITS.get(name.upper(), 0)
        allowed = allowed & ~bits if value.startswith("~") else allowed | bits
    return allowed


def _no_new_privileges(unit: Unit, uid: int, bounding: int) -> bool:
    if unit.yes("NoNewPrivileges") or unit.yes("DynamicUser"):
        return True
    if uid == 0 and bounding & (1 << CAP_SYS_ADMIN):
        return False
    return any(unit.yes(key) for key in _IMPLY_NO_NEW_PRIVILEGES) or any(unit.every(key) for key in _IMPLY_BY_LIST)


def _environment(unit: Unit, values: Mapping[str, str]) -> dict[str, str]:
    variables: dict[str, str] = {}
    for word in unit.words("Environment"):
        key, equals, value = expand(word, values).partition("=")
        if equals:
            variables[key] = value
    for name in filter(is_absolute, unit.every("EnvironmentFile")):
        for path in environment_files(name, values):
            try:
                with open(path, encoding="utf-8", errors="surrogateescape") as file:
                    variables.update(parse_environment_file(file.read(1 << 20)))
            except OSError:
                continue
    for word in unit.words("UnsetEnvironment"):
        key, equals, value = word.partition("=")
        if not equals or variables.get(key) == value:
            variables.pop(key, None)
    return variables


def _clean(path: str, values: Mapping[str, str]) -> str:
    return posixpath.normpath(expand(path.lstrip("-+"), values))


def _binds(unit: Unit, values: Mapping[str, str], root: str) -> dict[str, str]:
    """What is mounted where, by the path behind all symlinks that the unit sees: that is where systemd mounts."""
    binds: dict[str, str] = {}
    if root != "/" or unit.yes("DynamicUser"):
        binds.update(_own_directories(unit, values))
    empty = _empty_directories(unit, values)
    for bind in map(read_bind, (expand(word, values) for word in unit.words("BindPaths", "BindReadOnlyPaths"))):
        if bind is None:
            continue
        host, inside = (posixpath.normpath(path.lstrip("-")) for path in bind[:2])
        if os.path.exists(host):
            covered = any(covers(prefix, inside) for prefix in empty)
            binds[inside if covered else View(root).canonical(inside)] = host
    return binds


def _empty_directories(unit: Unit, values: Mapping[str, str]) -> list[str]:
    return [_clean(word.partition(":")[0], values) for word in unit.paths("TemporaryFileSystem")]


def _listed(unit: Unit, key: str, values: Mapping[str, str], view: View) -> list[str]:
    """The paths of ReadOnlyPaths= and its kin, as the unit sees them, behind all symlinks."""
    paths = (in_view(expand(word, values), view.root) for word in unit.paths(key))
    return [view.canonical(path) for path in paths if path is not None]


def _hidden(unit: Unit, values: Mapping[str, str], view: View) -> list[tuple[str, str]]:
    prefixes = [(path, "InaccessiblePaths=") for path in _listed(unit, "InaccessiblePaths", values, view)]
    prefixes += [(view.canonical(path), "TemporaryFileSystem=") for path in _empty_directories(unit, values)]
    home = unit.last("ProtectHome").lower()
    if home == "tmpfs" or unit.yes("ProtectHome"):
        prefixes += [(path, f"ProtectHome={home}") for path in HOMES]
    if unit.yes("PrivateTmp") or unit.yes("DynamicUser") or unit.last("PrivateTmp") == "disconnected":
        prefixes += [(path, "PrivateTmp=") for path in ("/tmp", "/var/tmp")]  # noqa: S108
    if unit.yes("DynamicUser"):
        kinds = [kind for kind in DIRECTORIES if kind != "Configuration" and unit.words(f"{kind}Directory")]
        prefixes += [(f"{DIRECTORIES[kind]}/private", "DynamicUser=") for kind in kinds]
    return prefixes


def _exec_rules(unit: Unit, values: Mapping[str, str], view: View) -> tuple[tuple[str, bool], ...]:
    allowed = [(path, True) for path in _listed(unit, "ExecPaths", values, view)]
    denied = [(path, False) for path in _listed(unit, "NoExecPaths", values, view)]
    return (*allowed, *denied)


def _mounts(unit: Unit, values: Mapping[str, str], view: View) -> Iterator[str]:
    for key in ("ReadWritePaths", "ReadOnlyPaths"):
        yield from _listed(unit, key, values, view)
    yield from view.binds
    if unit.last("ProtectHome", "no").lower() not in _NO:
        yield from HOMES
    system = unit.last("ProtectSystem", "no").lower()
    if system == "strict":
        yield from ("/", *HOMES)
    elif system not in _NO:
        yield from ("/usr", "/boot", "/efi")
        if system == "full":
            yield "/etc"
