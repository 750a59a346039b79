# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Looks at what hardening, and the roles after it, decide on a host. Reads only. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fnmatch
import glob
import grp
import os
import pwd
import re
import stat as modes
from typing import Callable, Iterator, Mapping, Optional

from .._core import command, files
from .._core.errors import SlipwayError
from .._core.paths import UNIT_ROOT
from .._hardening import services
from .._hardening import survey as hardening
from .._host.systemd import Systemd
from .._units import foreign
from . import written
from .item import AS_PACKAGED, AS_PROXY, CONTENT, IS, MISSING, NOW, Area, Item, Survey, Unreadable

# Who may log in and how, what runs at boot and by the clock, and how the kernel and the firewall are set.
FILES = (
    "/etc/apt/apt.conf.d/*",
    "/etc/apt/sources.list",
    "/etc/apt/sources.list.d/*",
    "/etc/audit/auditd.conf",
    "/etc/audit/rules.d/*.rules",
    "/etc/chrony/chrony.conf",
    "/etc/cron.*/*",
    "/etc/crontab",
    "/etc/default/ufw",
    "/etc/dnf/*.conf",
    "/etc/firewalld/*.conf",
    "/etc/firewalld/*/*.xml",
    "/etc/fstab",
    "/etc/hosts.allow",
    "/etc/hosts.deny",
    "/etc/ld.so.preload",
    "/etc/login.defs",
    "/etc/logrotate.d/*",
    "/etc/modprobe.d/*.conf",
    "/etc/pam.d/*",
    "/etc/profile.d/*",
    "/etc/security/*.conf",
    "/etc/security/limits.d/*.conf",
    "/etc/selinux/config",
    "/etc/ssh/sshd_config",
    "/etc/ssh/sshd_config.d/*.conf",
    "/etc/sudoers",
    "/etc/sudoers.d/*",
    "/etc/sysctl.conf",
    "/etc/sysctl.d/*.conf",
    "/etc/systemd/*.conf",
    "/etc/systemd/*.conf.d/*.conf",
    "/etc/systemd/system/*.*",
    "/etc/systemd/system/*.d/*.conf",
    "/etc/ufw/*.rules",
    "/etc/ufw/ufw.conf",
    "/etc/yum.repos.d/*",
    "/var/spool/cron/crontabs/*",
)
LOG_ROTATION = "/etc/logrotate.d"
# Units that come with the first service of a host, and those that are enabled with it.
OF_ALL_SERVICES = ("slipway-recover.service", "slipway-watch.service")
FRONTS = ("haproxy.service", "nginx.service")
HAPROXY_DROP_IN = "haproxy.service.d/slipway.conf"
DPKG_STATUS = "/var/lib/dpkg/status"
# Groups whose members may do what root does, or read what it reads.
GROUPS = ("root", "sudo", "wheel", "adm", "docker", "lxd", "disk", "shadow")
NO_LOGIN = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync")
GUARDS = (
    "apparmor.service",
    "auditd.service",
    "chrony.service",
    "chronyd.service",
    "fail2ban.service",
    "firewalld.service",
    "ssh.service",
    "ssh.socket",
    "sshd.service",
    "systemd-journald.service",
    "systemd-timesyncd.service",
    "ufw.service",
)
_SETTING = re.compile(r"^\s*-?\s*([\w./-]+)\s*=", re.MULTILINE)
SECONDS = 300.0  # systemd lists its units for twenty seconds on a machine without KVM, and for longer on a busy one


def survey() -> Survey:
    """Every area; one that cannot be read says why, and does not keep the others from being told."""
    return {area: _area(look) for area, look in AREAS.items()}


def _area(look: Callable[[], Mapping[str, Item]]) -> Area:
    try:
        return look()
    except SlipwayError as error:
        return Unreadable(error.message)
    except OSError as error:
        return Unreadable(f"{error.strerror or error} {error.filename or ''}".rstrip())


def files_() -> dict[str, Item]:
    """Those of FILES and the keys of who can log in; not what the role `service` and its releases bring."""
    packaged = conffiles(files.text(DPKG_STATUS))
    patterns = [*FILES, *map(glob.escape, _authorized_keys())]
    present = {path for pattern in patterns for path in glob.glob(pattern)}
    known = {path for path in packaged if any(fnmatch.fnmatch(path, pattern) for pattern in FILES)}
    found = {path: _file(path, packaged.get(path, "")) for path in sorted((present | known) - _of_services())}
    return {path: item for path, item in found.items() if item is not None}


def conffiles(status: str) -> dict[str, str]:
    """Each configuration file of a package with the MD5 digest that its package has for it (deb-conffiles(5))."""
    return dict(re.findall(r"^ (/\S+) ([0-9a-f]{32})$", status, re.MULTILINE))


def _file(path: str, packaged: str) -> Optional[Item]:
    """None for what is no file, such as a folder or a device."""
    try:
        told = os.lstat(path)
        if modes.S_ISLNK(told.st_mode):
            return Item({IS: f"a link to {os.readlink(path)}"}, told.st_ctime)
        if not modes.S_ISREG(told.st_mode):
            return None
        if _is_of_proxy(path, told):
            content = AS_PROXY
        else:
            content = AS_PACKAGED if _is_packaged(path, packaged) else files.sha256_file(path)
    except FileNotFoundError:
        return Item({IS: MISSING}) if packaged else None
    mode = f"{modes.S_IMODE(told.st_mode):04o}"
    return Item({CONTENT: content, "mode": mode, "owner": _owner(told)}, told.st_ctime)


def _is_packaged(path: str, packaged: str) -> bool:
    with contextlib.suppress(ValueError):  # a kernel in FIPS mode has no MD5
        return bool(packaged) and files.digest_file(path, "md5") == packaged
    return False


def _is_of_proxy(path: str, told: os.stat_result) -> bool:
    """Whether it is what the role proxy writes after the baseline, and only root can change it."""
    if path != os.path.join(UNIT_ROOT, HAPROXY_DROP_IN) or told.st_uid != os.geteuid() or told.st_mode & 0o022:
        return False
    return written.is_haproxy_drop_in(files.own_text(path))


def _owner(told: os.stat_result) -> str:
    return f"{told.st_uid}:{told.st_gid}"


def _units_of(names: set[str]) -> set[str]:
    return {*(unit for name in names for unit in foreign.names_of(name)), *OF_ALL_SERVICES}


def _services() -> set[str]:
    return {one.name for one in services.services()}


def _of_services() -> set[str]:
    names = _services()
    units = {os.path.join(UNIT_ROOT, unit) for unit in _units_of(names)}
    return units | {os.path.join(LOG_ROTATION, name) for name in names}


def _authorized_keys() -> list[str]:
    homes = [entry.pw_dir for entry in _logins()]
    names = (".ssh/authorized_keys", ".ssh/authorized_keys2")
    return [os.path.join(home, name) for home in homes for name in names]


def _logins() -> list[pwd.struct_passwd]:
    """The accounts that are root, or that could log in."""
    return [entry for entry in pwd.getpwall() if entry.pw_uid == 0 or entry.pw_shell not in NO_LOGIN]


def sshd() -> dict[str, Item]:
    """The directives in force, as `sshd -T` tells them; those that may be given again and again as one."""
    done = command.run(["sshd", "-T"], SECONDS)
    if done.code:
        raise SlipwayError("command_failed", f"sshd -T failed ({done.code}): {done.complaint}")
    found: dict[str, list[str]] = {}
    for line in done.text.splitlines():
        name, _blank, value = line.partition(" ")
        found.setdefault(name, []).append(value)
    return {name: Item({IS: "; ".join(values)}) for name, values in sorted(found.items())}


def kernel() -> dict[str, Item]:
    """Each setting that a file of /etc/sysctl.d names, as the kernel has it."""
    paths = [*glob.glob("/etc/sysctl.d/*.conf"), "/etc/sysctl.conf"]
    names = {name.replace("/", ".") for path in paths for name in _SETTING.findall(files.text(path))}
    return {name: Item({IS: value}) for name in sorted(names) if (value := _setting(name)) is not None}


def _setting(name: str) -> Optional[str]:
    try:
        with open(f"/proc/sys/{name.replace('.', '/')}", encoding="utf-8", errors="replace") as stream:
            return " ".join(stream.read().split())
    except OSError:
        return None


def accounts() -> dict[str, Item]:
    """Who is root or could log in, and who is in a group that gives as much."""
    shadow = {row[0]: row for row in _rows("/etc/shadow") if len(row) > 7}
    found = {f"user {entry.pw_name}": _account(entry, shadow.get(entry.pw_name)) for entry in _logins()}
    for name in GROUPS:
        try:
            members = sorted(grp.getgrnam(name).gr_mem)
        except KeyError:
            continue
        found[f"group {name}"] = Item({"members": " ".join(members) or "nobody"})
    return found


def _rows(path: str) -> list[list[str]]:
    return [line.split(":") for line in files.text(path).splitlines()]


def _account(entry: pwd.struct_passwd, shadow: Optional[list[str]]) -> Item:
    return Item(
        {
            "uid": str(entry.pw_uid),
            "gid": str(entry.pw_gid),
            "home": entry.pw_dir,
            "shell": entry.pw_shell or "/bin/sh",
            "password": hardening.password_state(shadow[1] if shadow else entry.pw_passwd),
            "expires": f"day {shadow[7]}" if shadow and shadow[7] else "never",
        }
    )


def firewall() -> dict[str, Item]:
    """The rules in force, one item each."""
    lines = [*_ufw(), *_firewalld()]
    return {line: Item({IS: "in force"}) for line in lines}


def _ufw() -> Iterator[str]:
    try:
        done = command.run(["ufw", "status", "verbose"], SECONDS).require_success()
    except command.MissingProgram:
        return
    for line in done.text.splitlines():
        words = line.split()
        if words and not line.startswith(("To  ", "--")):
            yield f"ufw {' '.join(words)}"


def _firewalld() -> Iterator[str]:
    try:
        if command.run(["firewall-cmd", "--state"], SECONDS).code:
            yield "firewalld does not run"
            return
        done = command.run(["firewall-cmd", "--list-all-zones"], SECONDS).require_success()
    except command.MissingProgram:
        return
    zone = ""
    for line in done.text.splitlines():
        words = " ".join(line.split())
        if line and not line[0].isspace():
            zone = words
            yield f"firewalld {zone}"
        elif words and not words.endswith(":"):
            yield f"firewalld {zone.split()[0] if zone else '?'} {words}"


def units() -> dict[str, Item]:
    """What is started at boot or may not be, and whether what protects the host runs."""
    argv = ["systemctl", "--no-pager", "list-unit-files", "--no-legend", "--plain", "--full"]
    told = command.run([*argv, "--state=enabled,enabled-runtime,masked,masked-runtime"], SECONDS).require_success()
    rows = [line.split() for line in told.text.splitlines()]
    states = {row[0]: row[1] for row in rows if len(row) > 1}
    own = {*_units_of(_services()), *FRONTS}
    found = {name: {"at boot": state} for name, state in states.items() if name not in own}
    for guard in Systemd(SECONDS).properties_of_each(("Id", "LoadState", "ActiveState"), *GUARDS):
        if guard.get("LoadState") == "loaded":
            found.setdefault(guard["Id"], {})[NOW] = guard.get("ActiveState", "")
    return {name: Item(aspects, settled=aspects.get(NOW) == "active") for name, aspects in sorted(found.items())}


def held_packages() -> dict[str, Item]:
    """Those that no upgrade may touch."""
    found = {}
    for block in files.text(DPKG_STATUS).split("\n\n"):
        name = re.search(r"^Package: (\S+)", block, re.MULTILINE)
        if name and re.search(r"^Status: hold ", block, re.MULTILINE):
            found[name.group(1)] = Item({IS: "held"})
    return found


def confinement() -> dict[str, Item]:
    """SELinux and AppArmor."""
    selinux, apparmor = hardening.selinux(), hardening.apparmor()
    enforcing = selinux["mode"] == selinux["configured"] == "enforcing"
    return {
        "SELinux": Item({NOW: selinux["mode"], "at boot": selinux["configured"]}, settled=enforcing),
        "AppArmor": Item({IS: "enabled" if apparmor["enabled"] else "disabled"}),
        **{path: Item({IS: "complains only"}) for path in [*apparmor["files"], *apparmor["logins"]]},
    }


def mounts() -> dict[str, Item]:
    """How what everybody may write to is mounted."""
    found = hardening.mounts(files.text("/proc/mounts"), files.text("/etc/fstab"))
    return {path: _mount(found[path]["options"] if path in found else None) for path in hardening.WRITABLE}


def _mount(options: Optional[list[str]]) -> Item:
    """Without sizes, which the kernel derives from the memory."""
    if options is None:
        return Item({NOW: "not mounted"})
    shown = sorted(option for option in options if "=" not in option)
    return Item({NOW: ",".join(shown)}, settled={"nosuid", "nodev", "noexec"} <= set(shown))


def clock() -> dict[str, Item]:
    return {"time zone": Item({IS: hardening.timezone() or "UTC"})}


AREAS: dict[str, Callable[[], Mapping[str, Item]]] = {
    "accounts": accounts,
    "clock": clock,
    "confinement": confinement,
    "files": files_,
    "firewall": firewall,
    "kernel": kernel,
    "mounts": mounts,
    "packages": held_packages,
    "sshd": sshd,
    "units": units,
}
