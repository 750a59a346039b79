# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whom sshd's lists of users and groups let in. PRIVATE to the collection."""

from __future__ import annotations

import fnmatch
import grp
import os
import pwd
from typing import Any, Callable, Mapping, NamedTuple, Optional, Sequence

from .directives import normal


def _matches(patterns: Sequence[str], name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern.rpartition("@")[0] or pattern) for pattern in patterns)


def closes_root(settings: Mapping[str, Any]) -> bool:
    value = next((v for k, v in settings.items() if k.lower() == "permitrootlogin"), "")
    return normal(value) in ("no", "forced-commands-only")


def keep_allowed(wanted: Sequence[str], before: Sequence[str], own: str) -> list[str]:
    """Those who are wanted, who were let in before and who are connected now, the same whoever runs it; root is last.

    Root is not kept: whether it is let in is for PermitRootLogin to say.
    """
    users = list(dict.fromkeys([*(user for user in before if user != "root"), *wanted]))
    if own and not _matches(users, own):
        users.append(own)
    return sorted(users, key=lambda user: user == "root")


class Lockout(NamedTuple):
    """Why these settings lock a user out, and what lets that user in."""

    why: str
    fix: str


def who_is_refused(
    users: Sequence[str], settings: Mapping[str, Any], groups_of: Callable[[str], Optional[Sequence[str]]]
) -> Optional[Lockout]:
    """The first of the users whom these settings would lock out. Users that are not there yet have no groups."""

    def words(key: str) -> list[str]:
        value = next((v for k, v in settings.items() if k.lower() == key), "")
        return normal(value).split()

    for user in users:
        groups = groups_of(user)
        if _matches(words("denyusers"), user):
            return Lockout(f"DenyUsers would refuse {user}", f"take {user} out of DenyUsers")
        if words("allowusers") and not _matches(words("allowusers"), user):
            return Lockout(
                f"AllowUsers {' '.join(words('allowusers'))} would refuse {user}",
                f"add {user} to ssh_allow_users, or to AllowUsers where ssh_settings has it",
            )
        if groups is None:
            continue
        denied = [group for group in groups if _matches(words("denygroups"), group)]
        if denied:
            return Lockout(f"DenyGroups would refuse {user}", f"take {' and '.join(denied)} out of DenyGroups")
        if words("allowgroups") and not any(_matches(words("allowgroups"), group) for group in groups):
            return Lockout(
                f"AllowGroups {' '.join(words('allowgroups'))} would refuse {user}, who is in {' '.join(groups)}",
                f"add a group of {user} to AllowGroups",
            )
    return None


def groups_of(user: str) -> Optional[list[str]]:
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        return None
    names = []
    for gid in os.getgrouplist(user, entry.pw_gid):
        try:
            names.append(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return names
