# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sshd is told, what it makes of it, and who would be locked out by it. PRIVATE to the collection."""

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
import re
import shutil
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from .._core.errors import SlipwayError
from .._deadman.managed_files import File, Guard
from .._deadman.model import Argv, System
from .connection import Connection

CONFIG = "/etc/ssh/sshd_config"
DROP_IN = "/etc/ssh/sshd_config.d/00-slipway.conf"
SOCKET_DROP_IN = "/etc/systemd/system/{}.d/00-slipway.conf"
BEGIN, END = "# BEGIN slipway.go", "# END slipway.go"
_HEADER = "# Written by slipway.go. sshd takes the first value it reads, and reads this file before any other.\n"
# What ssh -Q calls the values of these directives.
QUERIES = {
    "KexAlgorithms": "kex",
    "Ciphers": "cipher",
    "MACs": "mac",
    "HostKeyAlgorithms": "key",
    "PubkeyAcceptedAlgorithms": "key",
}
# OpenSSH 8.5 gave this directive its name; older ones know only the other.
_RENAMED = {"PubkeyAcceptedAlgorithms": "PubkeyAcceptedKeyTypes"}
# Directives with the version that brought them; an older sshd would not start with them.
SINCE = {
    "PerSourceMaxStartups": (8, 5),
    "PerSourceNetBlockSize": (8, 5),
    "RequiredRSASize": (9, 1),
    "ChannelTimeout": (9, 2),
    "UnusedConnectionTimeout": (9, 2),
    "PerSourcePenalties": (9, 8),
    "RefuseConnection": (9, 9),
}
# Names that only appear in ssh -Q sig: signatures, not keys.
_SIGNATURES = ("rsa-sha2-256", "rsa-sha2-512", "rsa-sha2-256-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com")
_SAME = {"without-password": "prohibit-password", "true": "yes", "false": "no"}


@dataclass(frozen=True)
class Host:
    """What is known of this host's sshd before anything changes."""

    sshd: str
    version: tuple[int, int]
    unit: str
    socket: str
    socket_accepts: bool
    supported: Mapping[str, frozenset[str]]
    config: str
    effective: Mapping[str, list[str]]


def parse_version(text: str) -> tuple[int, int]:
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", text)
    if not found:
        raise SlipwayError("no_openssh", f"this host's SSH server is not OpenSSH: {text.strip() or 'no answer'}.", "")
    return int(found.group(1)), int(found.group(2))


def parse_effective(text: str) -> dict[str, list[str]]:
    """The output of `sshd -T`; a directive may have several lines."""
    effective: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _space, value = line.strip().partition(" ")
        if key:
            effective.setdefault(key.lower(), []).append(value.strip())
    return effective


def normal(value: Any) -> str:
    """A value as sshd -T says it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    text = " ".join(str(value).split())
    return _SAME.get(text.lower(), text)


def choose(directive: str, wanted: Sequence[str], supported: frozenset[str]) -> tuple[list[str], list[str]]:
    """Split into what this host's OpenSSH knows and what it does not."""
    usable = [name for name in wanted if name in supported]
    if wanted and not usable:
        raise SlipwayError(
            "unsupported_algorithms",
            f"this host's OpenSSH knows none of {directive} {', '.join(wanted)}, so nobody could log in.",
            f"add one it knows; `ssh -Q {QUERIES.get(directive, 'help')}` on the host lists them",
        )
    return usable, [name for name in wanted if name not in supported]


def known(settings: Mapping[str, Any], version: tuple[int, int]) -> tuple[dict[str, Any], list[str]]:
    """Split into what this version of sshd understands, and the names of what it does not."""
    too_new = [key for key in settings if SINCE.get(key, (0, 0)) > version]
    return {key: value for key, value in settings.items() if key not in too_new}, too_new


def includes_first(config: str) -> bool:
    """Whether the directory of drop-ins is read before any directive, so that a drop-in wins."""
    for line in config.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        return words[0].lower() == "include" and any(
            fnmatch.fnmatch(DROP_IN, os.path.join("/etc/ssh", pattern)) for pattern in words[1:]
        )
    return False


def render(settings: Mapping[str, Any], algorithms: Mapping[str, Sequence[str]], ports: Sequence[int]) -> str:
    lines = [f"Port {port}" for port in ports]
    for key, value in settings.items():
        if not re.match(r"^[A-Za-z0-9]+$", key):
            raise SlipwayError("invalid_directive", f"{key!r} is not a directive of sshd.", "see sshd_config(5)")
        text = normal(value)
        if "\n" in text or not text:
            raise SlipwayError("invalid_value", f"the value of {key} is empty or has a line break.", f"correct {key}")
        lines.append(f"{key} {text}")
    lines += [f"{key} {','.join(names)}" for key, names in algorithms.items() if names]
    return _HEADER + "".join(f"{line}\n" for line in lines)


def with_block(config: str, block: str) -> str:
    """The configuration with block before everything else; an empty block removes it."""
    rest = re.sub(rf"^{re.escape(BEGIN)}\n.*?^{re.escape(END)}\n", "", config, flags=re.MULTILINE | re.DOTALL)
    return f"{BEGIN}\n{block}{END}\n{rest}" if block else rest


def _matches(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern.rpartition("@")[0] or pattern) for pattern in patterns)


def closes_root(settings: Mapping[str, Any]) -> bool:
    value = next((v for k, v in settings.items() if k.lower() == "permitrootlogin"), "")
    return normal(value) in ("no", "forced-commands-only")


def allowed_before(config: str, drop_in: str) -> list[str]:
    """The users that an earlier run has let in."""
    block = re.search(rf"^{re.escape(BEGIN)}\n(.*?)^{re.escape(END)}\n", config, flags=re.MULTILINE | re.DOTALL)
    ours = f"{drop_in}\n{block.group(1) if block else ''}"
    return [user for line in ours.splitlines() if line.startswith("AllowUsers ") for user in line.split()[1:]]


def keep_allowed(wanted: Sequence[str], before: Sequence[str], own: str) -> list[str]:
    """Those who are wanted, who were let in before and who are connected now, the same whoever runs it; root is last.

    Root is not kept: whether it is let in is for PermitRootLogin to say.
    """
    users = list(dict.fromkeys([*(user for user in before if user != "root"), *wanted]))
    if own and not _matches(users, own):
        users.append(own)
    return sorted(users, key=lambda user: user == "root")


def who_is_refused(
    users: Sequence[str], settings: Mapping[str, Any], groups_of: Callable[[str], Optional[Sequence[str]]]
) -> Optional[str]:
    """Say which of the users these settings would lock out, and why. Users that are not there yet have no groups."""

    def words(key: str) -> list[str]:
        value = next((v for k, v in settings.items() if k.lower() == key), "")
        return normal(value).split()

    for user in users:
        groups = groups_of(user)
        if _matches(words("denyusers"), user):
            return f"DenyUsers would refuse {user}"
        if words("allowusers") and not _matches(words("allowusers"), user):
            return f"AllowUsers {' '.join(words('allowusers'))} would refuse {user}"
        if groups is None:
            continue
        if any(_matches(words("denygroups"), group) for group in groups):
            return f"DenyGroups would refuse {user}"
        if words("allowgroups") and not any(_matches(words("allowgroups"), group) for group in groups):
            return f"AllowGroups {' '.join(words('allowgroups'))} would refuse {user}, who is in {' '.join(groups)}"
    return None


def groups_of(user: str) -> Optional[list[str]]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    found = []
    for gid in os.getgrouplist(user, entry.pw_gid):
        try:
            found.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return found


def overridden(
    settings: Mapping[str, Any],
    algorithms: Mapping[str, Sequence[str]],
    ports: Sequence[int],
    effective: Mapping[str, list[str]],
) -> list[str]:
    """The directives whose effective value is another one than was asked for."""
    wrong = []
    for key, value in settings.items():
        # sshd adds ports to addresses; whether it listens where it should, the proof tells.
        now = effective.get(key.lower()) if key.lower() != "listenaddress" else None
        if now is not None and not _holds(key, _comparable(normal(value)), _comparable(normal(" ".join(now)))):
            wrong.append(f"{key} is {' '.join(now)}, not {normal(value)}")
    for key, names in algorithms.items():
        now = effective.get(key.lower())
        if names and now is not None and ",".join(now) != ",".join(names):
            wrong.append(f"{key} is {','.join(now)}, not {','.join(names)}")
    if ports and sorted(effective.get("port", [])) != sorted(map(str, ports)):
        wrong.append(f"Port is {' '.join(effective.get('port', []))}, not {' '.join(map(str, ports))}")
    return wrong


def _holds(key: str, wanted: list[str], now: list[str]) -> bool:
    """sshd completes its penalties with those that were not given."""
    return set(wanted) <= set(now) if key.lower() == "persourcepenalties" else wanted == now


def _comparable(text: str) -> list[str]:
    """Values that sshd -T says in another way: seconds for times, and the order of lists."""
    seconds = {"s": 1, "m": 60, "h": 3600, "d": 86400}

    def word(part: str) -> str:
        found = re.match(r"^(.*?:)?(\d+)([smhd])$", part)
        return f"{found.group(1) or ''}{int(found.group(2)) * seconds[found.group(3)]}" if found else part

    return sorted(word(part) for part in text.lower().split())


# --- the host -------------------------------------------------------------------------------------------------------


def _ask(system: System, *argv: str) -> str:
    return system.run(argv)[1]


def _query(system: System, effective: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    """What OpenSSH knows; where the client is not installed to be asked, what the server has in force."""
    supported = {}
    for directive, query in QUERIES.items():
        code, said = system.run(["ssh", "-Q", query])
        names = set(said.split()) if code == 0 else set(",".join(effective.get(directive.lower(), [])).split(","))
        if query == "key" and "ssh-rsa" in names:
            names |= set(_SIGNATURES)
        supported[directive] = frozenset(names)
    return supported


def _units(system: System) -> tuple[str, str, bool]:
    """The service's name, the socket's name if it is the one that listens, and whether it accepts by itself."""
    service, socket, accepts = "", "", False
    for name in ("ssh", "sshd"):
        shown = _ask(system, "systemctl", "show", "--property=Id,LoadState", f"{name}.service")
        if "LoadState=loaded" in shown and not service:
            service = next(line[3:] for line in shown.splitlines() if line.startswith("Id="))
        shown = _ask(system, "systemctl", "show", "--property=Id,ActiveState,Accept", f"{name}.socket")
        if "ActiveState=active" in shown and not socket:
            socket, accepts = f"{name}.socket", "Accept=yes" in shown
    if not service:
        raise SlipwayError("no_sshd", "this host has no ssh.service and no sshd.service.", "install openssh-server")
    return service, socket, accepts


def look(system: System) -> Host:
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")
    if sshd is None:
        raise SlipwayError("no_sshd", "this host has no sshd.", "install openssh-server")
    # sshd -t and -T want it; with socket activation it may not be there yet.
    if not os.path.isdir("/run/sshd"):
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    service, socket, accepts = _units(system)
    with open(CONFIG, encoding="utf-8", errors="replace") as stream:
        config = stream.read()
    effective = effective_settings(sshd, system)
    said = _ask(system, sshd, "-V")
    version = parse_version(said if "OpenSSH_" in said else _ask(system, "ssh", "-V"))
    return Host(sshd, version, service, socket, accepts, _query(system, effective), config, effective)


def seen_from(user: str, connection: Optional[Connection], port: int) -> str:
    """What Match blocks are to be judged by: a new login of this user from where this connection comes from."""
    if connection is None:
        return f"user={user},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport={port or 22}"
    here = f"laddr={connection.address},lport={port or connection.port}"
    return f"user={user},host={connection.client},addr={connection.client},{here}"


def effective_settings(sshd: str, system: System, seen: str = "", *options: str) -> dict[str, list[str]]:
    code, said = system.run([sshd, "-T", *options, *(["-C", seen] if seen else [])])
    if code != 0 and not seen and "connection test specification" in said:
        # A Match block for a port has to be told one; this is a connection that no block can be about.
        code, said = system.run([sshd, "-T", "-C", seen_from("-", None, 1)])
    if code != 0 and options:
        raise SlipwayError(
            "invalid_file",
            f"sshd would not accept these settings: {said}. Nothing was changed.",
            "correct the variable it comes from",
        )
    if code != 0:
        raise SlipwayError(
            "broken_sshd_config",
            f"this host's sshd does not accept its own configuration as it is: {said}",
            "correct it on the host; nothing was changed",
        )
    return parse_effective(said)


def socket_drop_in(ports: Sequence[int], ipv6: bool) -> str:
    lines = ["[Socket]", "ListenStream=", *(f"ListenStream=0.0.0.0:{port}" for port in ports)]
    if ipv6:
        lines += ["BindIPv6Only=ipv6-only", *(f"ListenStream=[::]:{port}" for port in ports)]
    return "# Written by slipway.go\n" + "".join(f"{line}\n" for line in lines)


def files(host: Host, content: str, ports: Sequence[int]) -> list[File]:
    """The files that make it so, wherever this version of sshd reads them first."""
    check = [host.sshd, "-t", "-f", "%s"]
    if includes_first(host.config):
        wanted = [File(DROP_IN, content, 0o600, validate=check)]
        if BEGIN in host.config:
            wanted.append(File(CONFIG, with_block(host.config, ""), _mode(CONFIG)))
    else:
        wanted = [File(CONFIG, with_block(host.config, content), _mode(CONFIG), validate=check)]
    if host.socket and ports:
        ipv6 = os.path.exists("/proc/net/if_inet6")
        wanted.append(File(SOCKET_DROP_IN.format(host.socket), socket_drop_in(ports, ipv6)))
    return wanted


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


def reload_commands(host: Host, ports_change: bool) -> list[Argv]:
    """Sessions survive both: the unit kills only its main process."""
    if not host.socket:
        return [["systemctl", "reload-or-restart", host.unit]]
    if not ports_change:
        # A server started per connection, or at the next one, reads the new files by itself.
        return [] if host.socket_accepts else [["systemctl", "try-reload-or-restart", host.unit]]
    stop = [] if host.socket_accepts else [["systemctl", "stop", host.unit]]
    return [["systemctl", "daemon-reload"], *stop, ["systemctl", "restart", host.socket]]


def guard(host: Host, seconds: float, ports_change: bool) -> Guard:
    at_boot: list[Argv] = [["systemctl", "daemon-reload"]] if host.socket and ports_change else []
    return Guard("ssh", seconds, reload_commands(host, ports_change), at_boot)
