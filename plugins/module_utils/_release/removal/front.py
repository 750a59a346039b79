# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Takes a service out of HAProxy and nginx, so that its address closes. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import re
from typing import Optional, Sequence

from ..._core import files
from ..._deadman import managed_files
from ..._deadman.model import Argv, System, or_this_host
from .parts import Parts

_LISTENS = re.compile(r"^(frontend|listen)\s", re.MULTILINE)


def haproxy_listens(parts: Parts) -> bool:
    """Whether HAProxy has an address left without the service: with none, it does not start, and keeps the old one."""
    folder, own = parts.at("/etc/haproxy/slipway.d"), f"{parts.layout.name}.cfg"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    texts = [files.text(os.path.join(folder, name)) for name in names if name.endswith(".cfg") and name != own]
    return any(_LISTENS.search(text) for text in [*texts, files.text(parts.at("/etc/haproxy/haproxy.cfg"))])


def close(parts: Parts, system: Optional[System] = None) -> None:
    """Remove the files of each program, all of them or none, and have it see that."""
    system = or_this_host(system)
    leaves = ["try-reload-or-restart"] if haproxy_listens(parts) else ["disable", "--now"]
    _remove(parts.haproxy, [["systemctl", *leaves, "haproxy.service"]], system)
    _remove(parts.nginx, [["systemctl", "try-reload-or-restart", "nginx.service"]], system)


def _remove(paths: Sequence[str], run: Sequence[Argv], system: System) -> None:
    wanted = [managed_files.File(path, secret=path.endswith(".pem")) for path in paths]
    managed_files.apply(managed_files.plan(wanted, system=system), run=run, system=system)
