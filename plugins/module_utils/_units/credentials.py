# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which files somebody may read and execute. This file is PRIVATE to the collection."""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

READ, EXECUTE = 4, 1


class Credentials(NamedTuple):
    """privileged: may read what the mode bits forbid. given: host directories that become this user's at start."""

    uid: int
    gids: frozenset[int]
    privileged: bool
    given: tuple[str, ...] = ()

    def has(self, host: str, bit: int) -> bool:
        """Whether the mode of this one file or directory grants it."""
        try:
            status = os.stat(host)
        except OSError:
            return False
        mode = status.st_mode
        if self.privileged:
            return bit == READ or bool(mode & 0o111) or stat.S_ISDIR(mode)
        if host in self.given:
            return True
        if _has_acl(host):
            return True  # an ACL may say either; only the mode bits are judged here
        if status.st_uid == self.uid or any(host.startswith(directory + "/") for directory in self.given):
            return bool(mode >> 6 & bit)
        return bool(mode >> (3 if status.st_gid in self.gids else 0) & bit)


def _has_acl(host: str) -> bool:
    try:
        return bool(os.getxattr(host, "system.posix_acl_access"))
    except OSError:
        return False
