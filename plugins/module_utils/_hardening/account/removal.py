# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An account that is to go, and what is left of it. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import pwd
import shutil

from ..._core import files
from ..._core.errors import SlipwayError
from ..._core.paths import STATE_ROOT
from .entries import has_group
from .model import Account

REMOVED = f"{STATE_ROOT}/removed-accounts"
MAIL = "/var/mail"


def refuse_removal(account: Account) -> None:
    if account.uid == 0 or not account.is_local:
        why = "has the user ID 0" if account.uid == 0 else "comes from a directory service"
        raise SlipwayError("not_removable", f"{account.name} {why}; nothing was changed.", "remove it by hand")
    others = [one.pw_name for one in pwd.getpwall() if one.pw_gid == account.gid and one.pw_name != account.name]
    if others and has_group(account.name) and grp.getgrnam(account.name).gr_gid == account.gid:
        raise SlipwayError(
            "group_in_use",
            f"the group {account.name} is the primary group of {', '.join(others)}; nothing was changed.",
            "give them another primary group first",
        )


def record(name: str) -> str:
    """Says where the home directory of a removed account is, until the removal is confirmed."""
    return os.path.join(REMOVED, f"{name}.json")


def write_record(account: Account) -> None:
    files.make_directory(os.path.dirname(REMOVED), 0o755)
    files.make_directory(REMOVED, 0o700)
    files.write_atomic(record(account.name), json.dumps({"home": account.home, "uid": account.uid}), 0o600)


def remains(name: str) -> list[str]:
    """What is left of an account whose removal was confirmed: its home directory and its mail."""
    try:
        saved = json.loads(files.text(record(name)) or "{}")
        home, uid = str(saved["home"]), int(saved["uid"])
    except (ValueError, KeyError, TypeError):
        return []
    used = {one.pw_dir for one in pwd.getpwall()}
    candidates = [home] if home.count("/") > 1 and home not in used else []
    return [path for path in [*candidates, os.path.join(MAIL, name)] if _belongs_to(path, uid)]


def _belongs_to(path: str, uid: int) -> bool:
    with contextlib.suppress(OSError):
        return os.lstat(path).st_uid == uid
    return False


def remove_remains(name: str) -> list[str]:
    paths = remains(name)
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(record(name))
    return paths
