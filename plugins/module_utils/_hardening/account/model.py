# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An account by which a host is administered: what it is, and what it should be. PRIVATE to the collection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Optional, Sequence

from ..._core.paths import TOOL

# Exact commands only: a wildcard in sudoers also matches spaces, and with them further arguments.
SERVICE_COMMANDS = (
    "/usr/bin/systemctl start",
    "/usr/bin/systemctl stop",
    "/usr/bin/systemctl restart",
    "/usr/bin/systemctl reload",
    f"{TOOL} status",
    f"{TOOL} history",
    f"{TOOL} rollback",
)
DAY = 86400
NEVER = 99999


@dataclass(frozen=True)
class Account:
    """As the host has it. shadow is empty for one that another source than /etc/shadow knows."""

    name: str
    uid: int
    gid: int
    home: str
    shell: str
    groups: frozenset[str]
    shadow: Sequence[str] = ()

    @property
    def is_local(self) -> bool:
        return bool(self.shadow)

    def is_expired(self, today: int) -> bool:
        expires = _day(self.shadow, 7)
        return expires is not None and expires <= today

    def must_change_password(self, today: int) -> bool:
        """Whether PAM asks for another password, which also keeps keys out."""
        changed, longest = _day(self.shadow, 2), _day(self.shadow, 4)
        if changed is None:
            return False
        return changed == 0 or (longest is not None and longest < NEVER and changed + longest < today)

    def ends(self) -> dict[str, int]:
        """The days from which PAM refuses its keys. That of the password counts even if none can be typed."""
        changed, longest, expires = (_day(self.shadow, number) for number in (2, 4, 7))
        days = {}
        if changed is not None and longest is not None and longest < NEVER:
            days["password"] = changed + longest
        if expires is not None:
            days["account"] = expires
        return days

    @property
    def has_password(self) -> bool:
        return bool(self.shadow) and not self.shadow[1].startswith(("*", "!"))


@dataclass(frozen=True)
class WantedAccount:
    """An empty shell or home is the one that the account has, or that a new one gets."""

    name: str
    keys: Sequence[str]
    exclusive: bool = True
    shell: str = ""
    home: str = ""
    groups: Sequence[str] = ()
    sudo: str = "limited"
    services: Sequence[str] = ()
    commands: Sequence[str] = ()

    def allowed_commands(self) -> list[str]:
        of_services = [f"{verb} {service}" for verb in SERVICE_COMMANDS for service in self.services]
        return [*of_services, *self.commands]

    def proof(self) -> dict[str, Any]:
        """The login that must work afterwards, as confirm_login takes it."""
        allowed = self.allowed_commands()
        sudo = "none" if self.sudo == "limited" and not allowed else self.sudo
        command = allowed[0].split(" ") if sudo == "limited" else []
        return {"user": self.name, "sudo": sudo, "command": command}


def _day(shadow: Sequence[str], number: int) -> Optional[int]:
    text = shadow[number] if len(shadow) > number else ""
    return int(text) if text.isdigit() else None


def today() -> int:
    return int(time.time() // DAY)


def date(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * DAY))
