# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The audit rules of the controls, as they are written, and which are loaded. Pure. PRIVATE to the collection."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Iterator, Mapping, Sequence, Union

USERS = "-F auid>=1000 -F auid!=unset"
LOGGED_IN = "-F auid!=unset"
BY_PATH = ("chmod", "chown", "lchown", "rename", "unlink", "rmdir", "creat", "open")
# The calls that a machine has not: those that name a file by its path alone, and on newer ones what renameat2 replaces.
LACKS: Mapping[str, Sequence[str]] = {
    "aarch64": BY_PATH,
    **dict.fromkeys(("riscv64", "loongarch64"), (*BY_PATH, "renameat")),
}
BOTH = "x86_64"


@dataclass(frozen=True)
class Calls:
    """System calls that are recorded: filters say of whom. of_32: those that only 32-bit programs have."""

    names: Sequence[str]
    filters: str
    key: str
    of_32: Sequence[str] = ()

    def on(self, machine: str, arch: str = "b64") -> list[str]:
        names = [*self.names, *(self.of_32 if arch == "b32" else ())]
        return [name for name in names if name not in LACKS.get(machine, ())]

    def line(self, arch: str, machine: str) -> str:
        words = [
            "-a always,exit",
            f"-F arch={arch}",
            f"-S {','.join(self.on(machine, arch))}",
            self.filters,
            f"-k {self.key}",
        ]
        return " ".join(filter(None, words))


@dataclass(frozen=True)
class Watch:
    """Who changes a path."""

    path: str
    key: str

    def line(self) -> str:
        return f"-w {self.path} -p wa -k {self.key}"


@dataclass(frozen=True)
class Program:
    """Who starts a program."""

    path: str
    key: str

    def line(self) -> str:
        return f"-a always,exit -F path={self.path} -F perm=x {USERS} -k {self.key}"


# Those that the role base has always written are in its template.
BASE_CALLS = (
    Calls(("init_module", "finit_module", "delete_module"), "", "modules"),
    Calls(("mount", "umount2"), USERS, "mounts"),
    Calls(("adjtimex", "settimeofday"), LOGGED_IN, "time", of_32=("stime",)),
    # Whoever sets the clock of the day: programs that keep the time adjust it, and set it at most at boot.
    Calls(("clock_settime",), "-F a0=0x0", "time"),
    Calls(("sethostname", "setdomainname"), LOGGED_IN, "name"),
    Calls(("execve",), f"-F euid=0 {USERS}", "root"),
)
BASE_WATCHES = (
    *(Watch(f"/etc/{name}", "identity") for name in ("passwd", "group", "shadow", "gshadow")),
    *(Watch(f"/etc/{name}", "privileges") for name in ("sudoers", "sudoers.d", "pam.d", "security")),
    *(Watch(path, key) for path, key in (("/etc/ssh", "sshd"), ("/root/.ssh", "keys"), ("/etc/audit", "audit"))),
    Watch("/etc/security/opasswd", "identity"),
    Watch("/etc/localtime", "time"),
)
CALLS: Mapping[str, Sequence[Calls]] = {
    "audit_perm_mod": (
        Calls(("chmod", "fchmod", "fchmodat"), USERS, "perm_mod"),
        Calls(("chown", "fchown", "fchownat", "lchown"), USERS, "perm_mod"),
        Calls(("setxattr", "lsetxattr", "fsetxattr"), USERS, "perm_mod"),
        Calls(("removexattr", "lremovexattr", "fremovexattr"), USERS, "perm_mod"),
    ),
    "audit_delete": (Calls(("unlink", "unlinkat", "rename", "renameat", "renameat2", "rmdir"), USERS, "delete"),),
    "audit_access": tuple(
        Calls(("creat", "open", "openat", "truncate", "ftruncate"), f"-F exit=-{why} {USERS}", "access")
        for why in ("EACCES", "EPERM")
    ),
}
WATCHES: Mapping[str, Sequence[Watch]] = {
    "audit_session": tuple(Watch(path, "session") for path in ("/var/run/utmp", "/var/log/wtmp", "/var/log/btmp")),
    "audit_login": tuple(Watch(path, "logins") for path in ("/var/log/lastlog", "/var/run/faillock")),
    "audit_network": tuple(
        Watch(f"/etc/{name}", "network") for name in ("hosts", "hostname", "issue", "issue.net", "network", "networks")
    ),
    "sudo_log": (Watch("/var/log/sudo.log", "sudo_log"),),
}
PROGRAMS: Mapping[str, Sequence[Program]] = {
    "audit_programs": (
        Program("/usr/bin/sudo", "privileges"),
        Program("/usr/bin/kmod", "modules"),
        *(Program(f"/usr/sbin/{name}", "modules") for name in ("insmod", "modprobe", "rmmod")),
    ),
}


def _archs(machine: str, both: bool) -> tuple[str, ...]:
    return ("b64", "b32") if machine == BOTH and both else ("b64",)


def rules(wanted: Mapping[str, bool], machine: str) -> list[str]:
    """The lines of the controls that are wanted, but for those of the template."""
    both = wanted["audit_b32"]
    base = [calls.line("b32", machine) for calls in BASE_CALLS] if both and machine == BOTH else []
    of_calls = [
        calls.line(arch, machine)
        for name, group in CALLS.items()
        if wanted[name]
        for calls in group
        for arch in _archs(machine, both)
    ]
    watches = [watch.line() for name, group in WATCHES.items() if wanted[name] for watch in group]
    programs = [program.line() for name, started in PROGRAMS.items() if wanted[name] for program in started]
    return [*base, *of_calls, *watches, *programs]


@dataclass(frozen=True)
class Loaded:
    """What the kernel records: each call by its architecture, and each path."""

    calls: frozenset[tuple[str, str]]
    paths: frozenset[str]


_WATCH = re.compile(r"^-w (\S+) ")
_PATH = re.compile(r"-F (?:path|dir)=(\S+)")
_ARCH, _CALLS = re.compile(r"-F arch=(\w+)"), re.compile(r"-S (\S+)")


def parse(lines: Sequence[str]) -> Loaded:
    """Of what auditctl -l says."""
    calls: set[tuple[str, str]] = set()
    paths: set[str] = set()
    for line in lines:
        paths.update(_WATCH.findall(line))
        paths.update(_PATH.findall(line))
        if line.startswith("-a always,exit "):
            names = [name for group in _CALLS.findall(line) for name in group.split(",")]
            calls.update((arch, name) for arch in _ARCH.findall(line) for name in names)
    return Loaded(frozenset(calls), frozenset(paths))


def missing(control: str, loaded: Loaded, machine: str) -> list[str]:
    """What of a control is not recorded, in a few words."""
    return sorted(set(_missing(control, loaded, machine)))


def _missing(control: str, loaded: Loaded, machine: str) -> Iterator[str]:
    groups: Sequence[Calls] = CALLS.get(control, ())
    watches: Sequence[Union[Watch, Program]] = [*WATCHES.get(control, ()), *PROGRAMS.get(control, ())]
    archs: tuple[str, ...] = ("b64",)
    if control == "audit_base":
        groups, watches = BASE_CALLS, BASE_WATCHES
    elif control == "audit_b32":
        groups, archs = BASE_CALLS, ("b32",)
    for calls in groups:
        for arch in archs:
            yield from (f"{name} ({arch})" for name in calls.on(machine, arch) if (arch, name) not in loaded.calls)
    yield from (watch.path for watch in watches if watch.path not in loaded.paths)
