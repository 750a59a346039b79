# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The SSH connection that a module runs in. PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Optional

from .._deadman.model import System


@dataclass(frozen=True)
class Connection:
    """The SSH connection that this process runs in."""

    client: str
    address: str
    port: int
    interface: str = ""
    user: str = ""


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stream:
        return int(stream.read().rpartition(")")[2].split()[1])


def _login(environment: bytes) -> str:
    """Who logged in. A sudo that keeps SSH_CONNECTION says so in a variable of its own."""
    pairs = dict(pair.partition(b"=")[::2] for pair in environment.split(b"\0"))
    return (pairs.get(b"SUDO_USER") or pairs.get(b"USER") or b"").decode(errors="replace")


def connection(system: System, pid: Optional[int] = None) -> Optional[Connection]:
    """sudo removes SSH_CONNECTION, so that the parents have to be asked."""
    pid = pid or os.getpid()
    while pid > 1:
        try:
            with open(f"/proc/{pid}/environ", "rb") as stream:
                environment = stream.read()
            found = re.search(rb"(?:^|\0)SSH_CONNECTION=(\S+) \d+ (\S+) (\d+)(?:\0|$)", environment)
            if found:
                client, address = (found.group(n).decode().partition("%")[0] for n in (1, 2))
                said = system.run(["ip", "-o", "addr", "show", "to", address])[1]
                interface = said.split()[1].partition("@")[0] if len(said.split()) > 1 else ""
                return Connection(client, address, int(found.group(3)), interface, _login(environment))
            pid = _parent(pid)
        except (OSError, ValueError):
            return None
    return None
