# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH connection that a module runs in. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Mapping, Optional

from .._deadman.model import System
from .._host import processes


@dataclass(frozen=True)
class Connection:
    """The SSH connection that this process runs in."""

    client: str
    address: str
    port: int
    interface: str = ""
    user: str = ""


def _login(variables: Mapping[str, str]) -> str:
    """Who logged in. A sudo that keeps SSH_CONNECTION says so in a variable of its own."""
    return variables.get("SUDO_USER") or variables.get("USER") or ""


def connection(system: System, pid: Optional[int] = None) -> Optional[Connection]:
    """sudo removes SSH_CONNECTION, so that the parents have to be asked."""
    pid = pid or os.getpid()
    while pid > 1:
        variables = processes.environment(pid)
        match = re.fullmatch(r"(\S+) \d+ (\S+) (\d+)", variables.get("SSH_CONNECTION", ""))
        if match:
            client, address = (match.group(n).partition("%")[0] for n in (1, 2))
            output = system.run(["ip", "-o", "addr", "show", "to", address])[1]
            interface = output.split()[1].partition("@")[0] if len(output.split()) > 1 else ""
            return Connection(client, address, int(match.group(3)), interface, _login(variables))
        pid = processes.parent(pid)
    return None
