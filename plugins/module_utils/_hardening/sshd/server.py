# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH server of this host, as it is before anything changes. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from typing import Mapping, Optional

from ..._core.errors import SlipwayError
from ..._deadman.model import System
from ..._host import systemd
from ..connection import Connection
from .directives import QUERIES, parse_effective

CONFIG = "/etc/ssh/sshd_config"
# Names that only appear in ssh -Q sig: signatures, not keys.
_SIGNATURES = ("rsa-sha2-256", "rsa-sha2-512", "rsa-sha2-256-cert-v01@openssh.com", "rsa-sha2-512-cert-v01@openssh.com")


@dataclass(frozen=True)
class SshServer:
    """unit listens, unless socket does; socket_accepts: it starts one server per connection."""

    program: str
    version: tuple[int, int]
    unit: str
    socket: str
    socket_accepts: bool
    supported: Mapping[str, frozenset[str]]
    config: str
    effective: Mapping[str, list[str]]


def parse_version(text: str) -> tuple[int, int]:
    version = re.search(r"OpenSSH_(\d+)\.(\d+)", text)
    if not version:
        raise SlipwayError(
            "no_openssh", f"this host's SSH server is not OpenSSH: {text.strip() or 'no answer'}.", "install OpenSSH"
        )
    return int(version.group(1)), int(version.group(2))


def _ask(system: System, *argv: str) -> str:
    return system.run(argv)[1]


def _query(system: System, effective: Mapping[str, list[str]]) -> dict[str, frozenset[str]]:
    """What OpenSSH knows; where the client is not installed to be asked, what the server has in force."""
    supported = {}
    for directive, query in QUERIES.items():
        code, output = system.run(["ssh", "-Q", query])
        names = set(output.split()) if code == 0 else set(",".join(effective.get(directive.lower(), [])).split(","))
        if query == "key" and "ssh-rsa" in names:
            names |= set(_SIGNATURES)
        supported[directive] = frozenset(names)
    return supported


def _show(system: System, unit: str, *names: str) -> dict[str, str]:
    return systemd.parse_properties(_ask(system, "systemctl", "show", f"--property={','.join(names)}", unit))


def _units(system: System) -> tuple[str, str, bool]:
    """The service's name, the socket's name if it is the one that listens, and whether it accepts by itself."""
    service, socket, accepts = "", "", False
    for name in ("ssh", "sshd"):
        unit = _show(system, f"{name}.service", "Id", "LoadState")
        if unit.get("LoadState") == "loaded" and not service:
            service = unit["Id"]
        unit = _show(system, f"{name}.socket", "ActiveState", "Accept")
        if unit.get("ActiveState") == "active" and not socket:
            socket, accepts = f"{name}.socket", unit.get("Accept") == "yes"
    if not service:
        raise SlipwayError("no_sshd", "this host has no ssh.service and no sshd.service.", "install openssh-server")
    return service, socket, accepts


def look(system: System) -> SshServer:
    program = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin:/usr/bin")
    if program is None:
        raise SlipwayError("no_sshd", "this host has no sshd.", "install openssh-server")
    # sshd -t and -T want it; with socket activation it may not be there yet.
    if not os.path.isdir("/run/sshd"):
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    service, socket, accepts = _units(system)
    with open(CONFIG, encoding="utf-8", errors="replace") as stream:
        config = stream.read()
    effective = effective_settings(program, system)
    answer = _ask(system, program, "-V")
    version = parse_version(answer if "OpenSSH_" in answer else _ask(system, "ssh", "-V"))
    return SshServer(program, version, service, socket, accepts, _query(system, effective), config, effective)


def listening_ports(server: SshServer, system: System) -> list[int]:
    """The ports of the socket unit where that is the one that listens, else those of sshd."""
    if server.socket:
        return sorted(systemd.parse_ports(_ask(system, "systemctl", "show", "--property=Listen", server.socket)))
    return sorted(int(port) for port in server.effective.get("port", ["22"]))


def login_from(user: str, connection: Optional[Connection], port: int) -> str:
    """What Match blocks are to be judged by: a new login of this user from where this connection comes from."""
    if connection is None:
        return f"user={user},host=localhost,addr=127.0.0.1,laddr=127.0.0.1,lport={port or 22}"
    here = f"laddr={connection.address},lport={port or connection.port}"
    return f"user={user},host={connection.client},addr={connection.client},{here}"


def effective_settings(program: str, system: System, login: str = "", *options: str) -> dict[str, list[str]]:
    code, output = system.run([program, "-T", *options, *(["-C", login] if login else [])])
    if code != 0 and not login and "connection test specification" in output:
        # A Match block for a port has to be told one; this is a connection that no block can be about.
        code, output = system.run([program, "-T", "-C", login_from("-", None, 1)])
    if code != 0 and options:
        raise SlipwayError(
            "invalid_file",
            f"sshd would not accept these settings: {output}. Nothing was changed.",
            "correct the variable it comes from",
        )
    if code != 0:
        raise SlipwayError(
            "broken_sshd_config",
            f"this host's sshd does not accept its own configuration, so nothing was changed: {output}",
            "correct the line that sshd -t names on the host",
        )
    return parse_effective(output)
