# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The context in which a program is started: this process's, or a unit's. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import glob
import grp
import os
import posixpath
import pwd
import stat
from typing import Callable, Iterator, Mapping, NamedTuple, Optional, Sequence

from .._core.problems import Problem
from .._core.root_view import View
from .._host.kernel import ALL_CAPABILITIES
from .parser import UNIT_PATH, Unit, expand, parse_environment_file, read_unit, specifiers

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
_IMPLY_BY_LIST = ("SystemCallFilter", "SystemCallArchitectures", "RestrictAddressFamilies", "RestrictNamespaces")


class Credentials(NamedTuple):
    """privileged: may read what the mode bits forbid."""

    uid: int
    gids: frozenset[int]
    privileged: bool

    def may(self, host: str, bit: int) -> bool:
        """bit: 4 read, 1 execute. The directories on the way count too."""
        return self._has(host, bit) and self._may_enter(os.path.dirname(os.path.realpath(host)))

    def _may_enter(self, directory: str) -> bool:
        if self.privileged:
            return True
        while True:
            if not self._has(directory, 1):
                return False
            if directory in ("/", ""):
                return True
            directory = os.path.dirname(directory)

    def _has(self, host: str, bit: int) -> bool:
        try:
            status = os.stat(host)
        except OSError:
            return False
        mode = status.st_mode
        if self.privileged:
            return bit == 4 or bool(mode & 0o111) or stat.S_ISDIR(mode)
        if _has_acl(host):
            return True  # an ACL may say either; only the mode bits are judged here
        if status.st_uid == self.uid:
            return bool(mode >> 6 & bit)
        return bool(mode >> (3 if status.st_gid in self.gids else 0) & bit)


def _has_acl(host: str) -> bool:
    try:
        return bool(os.getxattr(host, "system.posix_acl_access"))
    except OSError:
        return False


class Context(NamedTuple):
    """who: None where it is not known. hidden: prefixes with the setting that hides them."""

    view: View
    environment: Mapping[str, str]
    unit: str = ""
    who: Optional[Credentials] = None
    no_new_privileges: bool = False
    bounding: int = ALL_CAPABILITIES
    hidden: tuple[tuple[str, str], ...] = ()
    exec_rules: tuple[tuple[str, bool], ...] = ()
    architectures: tuple[str, ...] = ()
    root_image: str = ""
    missing: tuple[Problem, ...] = ()

    def hidden_by(self, path: str) -> str:
        """The setting that hides a path of the view, or nothing."""
        best, why = "", ""
        for prefix, setting in self.hidden:
            if _covers(prefix, path) and len(prefix) > len(best):
                best, why = prefix, setting
        exposed = any(_covers(inside, path) and len(inside) >= len(best) for inside in self.view.binds)
        return "" if exposed else why

    def may_execute(self, path: str) -> bool:
        """Whether ExecPaths= and NoExecPaths= leave a path of the view executable: the longest prefix decides."""
        verdict, length = True, -1
        for prefix, allowed in self.exec_rules:
            if _covers(prefix, path) and len(prefix) > length:
                verdict, length = allowed, len(prefix)
        return verdict


def _covers(prefix: str, path: str) -> bool:
    return prefix == "/" or path == prefix or path.startswith(prefix + "/")


def own_context() -> Context:
    """As if started by this process."""
    environment = {key: value for key, value in os.environ.items() if key.startswith("LD_")}
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
    root = expand(unit.last("RootDirectory", "/"), values)
    cwd = expand(unit.last("WorkingDirectory", "/").lstrip("-"), values)
    return Context(
        view=View(root, _binds(unit, values), cwd=home if cwd == "~" else cwd),
        environment=_environment(unit, values),
        unit=unit.name.full,
        who=_credentials(unit, user, uid, gid, bounding),
        no_new_privileges=_no_new_privileges(unit, uid, bounding),
        bounding=bounding,
        hidden=tuple(_hidden(unit, values)),
        exec_rules=_exec_rules(unit, values),
        architectures=tuple(unit.words("SystemCallArchitectures")),
        root_image=expand(unit.last("RootImage"), values),
        missing=tuple(_missing(unit, values, View(root, _binds(unit, values)), user)),
    )


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


def _credentials(unit: Unit, user: str, uid: int, gid: int, bounding: int) -> Credentials:
    gids = {gid}
    with contextlib.suppress(KeyError, OSError):
        gids.update(os.getgrouplist(user, gid))
    for name in unit.words("SupplementaryGroups"):
        try:
            gids.add(int(name) if name.isdigit() else grp.getgrnam(name).gr_gid)
        except KeyError:
            continue
    overrides = bounding & (1 << CAP_DAC_OVERRIDE)
    return Credentials(uid, frozenset(gids), uid == 0 and bool(overrides))


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
    for name in unit.every("EnvironmentFile"):
        for path in _environment_files(name, values):
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


def _environment_files(name: str, values: Mapping[str, str]) -> list[str]:
    """systemd expands patterns, in the order of the names."""
    return sorted(glob.glob(expand(name.lstrip("-"), values)))


def _missing(unit: Unit, values: Mapping[str, str], view: View, user: str) -> Iterator[Problem]:
    """What systemd needs before it starts the program, and does not find."""
    for name in unit.every("EnvironmentFile"):
        if not name.startswith("-") and not _environment_files(name, values):
            yield _absent(unit, f"EnvironmentFile={name}", f"create {name}, or write -{name} where it may be absent")
    directory = expand(unit.last("WorkingDirectory"), values)
    made = _made_at_start(unit, values)
    wanted = (
        directory and directory != "~" and not directory.startswith("-") and posixpath.normpath(directory) not in made
    )
    if wanted and not _is_directory(view, directory):
        yield _absent(unit, f"WorkingDirectory={directory}", f"create {directory}, or remove WorkingDirectory=")
    if not unit.yes("DynamicUser"):
        if unit.last("User") and not _known(pwd.getpwnam, unit.last("User")):
            yield _absent(unit, f"User={user}", f"create the user {user}")
        group = unit.last("Group")
        if group and not _known(grp.getgrnam, group):
            yield _absent(unit, f"Group={group}", f"create the group {group}")


def _made_at_start(unit: Unit, values: Mapping[str, str]) -> set[str]:
    folders = {"Runtime": "/run", "State": "/var/lib", "Cache": "/var/cache", "Logs": "/var/log"}
    return {
        posixpath.join(folder, expand(word.partition(":")[0], values))
        for kind, folder in folders.items()
        for word in unit.words(f"{kind}Directory")
    }


def _absent(unit: Unit, setting: str, fix: str) -> Problem:
    return Problem("unit_missing", f"{unit.name.full}: {setting} is not there: it does not start", fix)


def _is_directory(view: View, path: str) -> bool:
    try:
        return os.path.isdir(view.resolve(path).host)
    except (OSError, ValueError):
        return False


def _known(by_name: Callable[[str], object], name: str) -> bool:
    """A number needs no entry."""
    try:
        by_name(name)
    except KeyError:
        return name.isdigit()
    return True


def _clean(path: str, values: Mapping[str, str]) -> str:
    return posixpath.normpath(expand(path.lstrip("-+"), values))


def _binds(unit: Unit, values: Mapping[str, str]) -> dict[str, str]:
    binds: dict[str, str] = {}
    for word in unit.words("BindPaths", "BindReadOnlyPaths"):
        source, _ignored, rest = word.partition(":")
        inside = rest.partition(":")[0] or source
        host = _clean(source, values)
        if os.path.exists(host):
            binds[_clean(inside, values)] = host
    return binds


def _hidden(unit: Unit, values: Mapping[str, str]) -> list[tuple[str, str]]:
    prefixes = [(_clean(word, values), "InaccessiblePaths=") for word in unit.words("InaccessiblePaths")]
    for word in unit.words("TemporaryFileSystem"):
        prefixes.append((_clean(word.partition(":")[0], values), "TemporaryFileSystem="))
    home = unit.last("ProtectHome").lower()
    if home == "tmpfs" or unit.yes("ProtectHome"):
        prefixes += [(path, f"ProtectHome={home}") for path in ("/home", "/root", "/run/user")]
    if unit.yes("PrivateTmp") or unit.yes("DynamicUser") or unit.last("PrivateTmp") == "disconnected":
        prefixes += [(path, "PrivateTmp=") for path in ("/tmp", "/var/tmp")]  # noqa: S108
    return prefixes


def _exec_rules(unit: Unit, values: Mapping[str, str]) -> tuple[tuple[str, bool], ...]:
    allowed = [(_clean(word, values), True) for word in unit.words("ExecPaths")]
    return (*allowed, *((_clean(word, values), False) for word in unit.words("NoExecPaths")))
