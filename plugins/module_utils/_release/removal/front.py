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

# What the role proxy writes for all services together.
_COMMON = "00-slipway.cfg"
_LISTENS = re.compile(r"^(frontend|listen)\s", re.MULTILINE)


def haproxy_listens(parts: Parts) -> bool:
    """Whether HAProxy has an address left without the service: with none, it does not start, and keeps the old one."""
    folder, own = parts.at("/etc/haproxy/slipway.d"), f"{parts.layout.name}.cfg"
    names = os.listdir(folder) if os.path.isdir(folder) else []
    texts = [files.text(os.path.join(folder, name)) for name in names if name.endswith(".cfg") and name != own]
    return any(_LISTENS.search(text) for text in [*texts, files.text(parts.at("/etc/haproxy/haproxy.cfg"))])


def commands(parts: Parts, paths: Sequence[str]) -> list[Argv]:
    """What follows once these files are gone."""
    of_nginx = [path for path in paths if "nginx" in os.path.dirname(path)]
    run: list[Argv] = []
    if len(of_nginx) < len(paths):
        leaves = haproxy_listens(parts)
        run.append(["systemctl", *(["try-reload-or-restart"] if leaves else ["disable", "--now"]), "haproxy.service"])
    if of_nginx:
        run.append(["systemctl", "try-reload-or-restart", "nginx.service"])
    return run


def close(parts: Parts, system: Optional[System] = None) -> None:
    """Remove the files, all of them or none, and have both programs see it."""
    system = or_this_host(system)
    for program in ("haproxy", "nginx"):
        paths = [path for path in parts.front if program in os.path.dirname(path)]
        wanted = [managed_files.File(path, secret=path.endswith(".pem")) for path in paths]
        managed_files.apply(managed_files.plan(wanted, system=system), run=commands(parts, paths), system=system)
