# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an account may do as root. PRIVATE to the collection."""

from __future__ import annotations

import shutil
from typing import Optional

from ..._deadman.managed_files import File
from ..._deadman.model import Argv
from .model import SERVICE_COMMANDS, WantedAccount


def path(name: str) -> str:
    return f"/etc/sudoers.d/90-slipway-{name}"


def rules(wanted: WantedAccount) -> Optional[str]:
    """The content of the file of sudo rules; None where there is to be none."""
    if wanted.sudo == "none":
        return None
    head = f"# Written by slipway.go (deploy_user_sudo: {wanted.sudo}).\n"
    if wanted.sudo == "full":
        return f"{head}{wanted.name} ALL=(ALL:ALL) NOPASSWD: ALL\n"
    return head + "".join(f"{wanted.name} ALL=(root) NOPASSWD: {one}\n" for one in wanted.allowed_commands())


def file(name: str, content: Optional[str]) -> File:
    return File(path(name), content, 0o440, validate=["visudo", "-cf", "%s"])


def check() -> list[Argv]:
    """What judges all rules of the host together."""
    return [["visudo", "-c"]] if shutil.which("visudo") else []


def without_service(content: str, service: str) -> str:
    """The rules but for those about this service."""
    commands = {f"{verb} {service}" for verb in SERVICE_COMMANDS}
    lines = content.splitlines(keepends=True)
    return "".join(line for line in lines if line.rstrip("\n").partition("NOPASSWD: ")[2] not in commands)
