# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The account that a service ran as, where nothing else needs it. This file is PRIVATE to the collection."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import re
from typing import Optional

from ..._core import command, files
from ..._units import foreign
from .parts import Parts

# As the role service makes it; another was there before, and stays.
_HOME = "/nonexistent"
_SHELLS = ("nologin", "false")
TIMEOUT = 60.0


def doomed(parts: Parts) -> list[str]:
    """The user and the group of the same name that go with the service's data: made for it, and nobody else's."""
    if not parts.wish.data or not parts.is_known:
        return []
    user, group = parts.wish.user, parts.wish.group
    account, gid = _user(user), _gid(group)
    made = account is not None and account.pw_dir == _HOME and os.path.basename(account.pw_shell) in _SHELLS
    gone = [user] if made and not _is_used(parts, "User", user) else []
    if gid is None or group != user or (account is not None and not gone):
        return [f"user {one}" for one in gone]
    others = [one.pw_name for one in pwd.getpwall() if one.pw_gid == gid and one.pw_name not in gone]
    stays = others or grp.getgrgid(gid).gr_mem or _is_used(parts, "Group", group)
    return [*(f"user {one}" for one in gone), *([] if stays else [f"group {group}"])]


def remove(parts: Parts) -> None:
    """userdel(8) may take the group along."""
    for one in doomed(parts):
        kind, _space, name = one.partition(" ")
        if kind == "user":
            command.run(["userdel", name], TIMEOUT).require_success()
        elif _gid(name) is not None:
            command.run(["groupdel", name], TIMEOUT).require_success()


def _is_used(parts: Parts, key: str, name: str) -> bool:
    """Whether a unit of somebody else runs as it."""
    own = foreign.names_of(parts.layout.name)
    units = glob.glob(os.path.join(glob.escape(parts.layout.unit_root), "**", "*.*"), recursive=True)
    line = re.compile(rf"^{key}={re.escape(name)}\s*$", re.MULTILINE)
    return any(line.search(files.text(path)) for path in units if os.path.basename(path) not in own)


def _user(name: str) -> Optional[pwd.struct_passwd]:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _gid(group: str) -> Optional[int]:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        return None
