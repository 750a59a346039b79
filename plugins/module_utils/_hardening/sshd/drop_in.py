# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that sshd reads first, and how it is made to read them. PRIVATE to the collection."""

from __future__ import annotations

import fnmatch
import os
import re
from typing import Sequence

from ..._core.paths import UNIT_ROOT
from ..._deadman.managed_files import File, Guard
from ..._deadman.model import Argv
from .server import CONFIG, SshServer

DROP_IN = "/etc/ssh/sshd_config.d/00-slipway.conf"
SOCKET_DROP_IN = UNIT_ROOT + "/{}.d/00-slipway.conf"
BEGIN, END = "# BEGIN slipway.go", "# END slipway.go"


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


def with_block(config: str, block: str) -> str:
    """The configuration with block before everything else; an empty block removes it."""
    rest = re.sub(rf"^{re.escape(BEGIN)}\n.*?^{re.escape(END)}\n", "", config, flags=re.MULTILINE | re.DOTALL)
    return f"{BEGIN}\n{block}{END}\n{rest}" if block else rest


def allowed_before(config: str, drop_in: str) -> list[str]:
    """The users that an earlier run has let in."""
    block = re.search(rf"^{re.escape(BEGIN)}\n(.*?)^{re.escape(END)}\n", config, flags=re.MULTILINE | re.DOTALL)
    ours = f"{drop_in}\n{block.group(1) if block else ''}"
    return [user for line in ours.splitlines() if line.startswith("AllowUsers ") for user in line.split()[1:]]


def text() -> str:
    """What the drop-in says now; empty where there is none."""
    try:
        with open(DROP_IN, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except FileNotFoundError:
        return ""


def socket_drop_in(ports: Sequence[int], ipv6: bool) -> str:
    lines = ["[Socket]", "ListenStream=", *(f"ListenStream=0.0.0.0:{port}" for port in ports)]
    if ipv6:
        lines += ["BindIPv6Only=ipv6-only", *(f"ListenStream=[::]:{port}" for port in ports)]
    return "# Written by slipway.go\n" + "".join(f"{line}\n" for line in lines)


def files(server: SshServer, content: str, ports: Sequence[int]) -> list[File]:
    """The files that make it so, wherever this version of sshd reads them first."""
    check = [server.program, "-t", "-f", "%s"]
    if includes_first(server.config):
        wanted = [File(DROP_IN, content, 0o600, validate=check)]
        if BEGIN in server.config:
            wanted.append(File(CONFIG, with_block(server.config, ""), _mode(CONFIG)))
    else:
        wanted = [File(CONFIG, with_block(server.config, content), _mode(CONFIG), validate=check)]
    if server.socket and ports:
        ipv6 = os.path.exists("/proc/net/if_inet6")
        wanted.append(File(SOCKET_DROP_IN.format(server.socket), socket_drop_in(ports, ipv6)))
    return wanted


def _mode(path: str) -> int:
    return os.stat(path).st_mode & 0o7777


def reload_commands(server: SshServer, ports_change: bool) -> list[Argv]:
    """Sessions survive both: the unit kills only its main process."""
    if not server.socket:
        return [["systemctl", "reload-or-restart", server.unit]]
    if not ports_change:
        # A server started per connection, or at the next one, reads the new files by itself.
        return [] if server.socket_accepts else [["systemctl", "try-reload-or-restart", server.unit]]
    stop = [] if server.socket_accepts else [["systemctl", "stop", server.unit]]
    return [["systemctl", "daemon-reload"], *stop, ["systemctl", "restart", server.socket]]


def guard(server: SshServer, seconds: float, ports_change: bool) -> Guard:
    at_boot: list[Argv] = [["systemctl", "daemon-reload"]] if server.socket and ports_change else []
    return Guard("ssh", seconds, reload_commands(server, ports_change), at_boot)
