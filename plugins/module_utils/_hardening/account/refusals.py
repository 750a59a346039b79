# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would let nobody log in, or could not be made, refused before anything changes. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from typing import Optional

from ..._core.errors import SlipwayError
from ..._deadman.model import System
from .entries import has_group
from .model import NEVER, Account, WantedAccount, date, today

_NO_LOGIN = ("nologin", "false", "true")
_TELLS = "41"


def refuse_unusable(wanted: WantedAccount, now: Optional[Account], system: System) -> None:
    """Raise where the account could not log in, or could not be made so, before anything changes."""
    refuse_shell(wanted.shell, system)
    _refuse_home(wanted, now)
    missing = [group for group in wanted.groups if not has_group(group)]
    if missing:
        raise SlipwayError(
            "no_such_group",
            f"deploy_user_groups has {', '.join(missing)}, which this host does not have; nothing was changed.",
            "create the group first, or take it out of deploy_user_groups",
        )
    if now and now.uid == 0:
        raise SlipwayError(
            "not_root", f"{now.name} has the user ID 0; nothing was changed.", "choose another deploy_user_name"
        )
    if now and now.has_password and now.must_change_password(today()):
        raise SlipwayError(
            "password_expired",
            f"the password of {now.name} has expired, and PAM refuses its keys until then; nothing was changed.",
            f"change the password of {now.name} on the host, or run `usermod --lock {now.name}` there",
        )
    if now and now.has_password:
        _refuse_end(now)


def _refuse_end(now: Account) -> None:
    """Who can type a password may be meant to change it, and an account may be meant to end: that is not for a role."""
    ends = now.ends()
    if "password" in ends:
        raise SlipwayError(
            "password_expires",
            f"the password of {now.name} expires on {date(ends['password'])}, and PAM refuses its keys from then on;"
            " nothing was changed.",
            f"run `chage -M {NEVER} {now.name}` on the host, lock the password there with `usermod --lock {now.name}`,"
            " or choose another deploy_user_name",
        )
    if "account" in ends and not now.is_expired(today()):
        raise SlipwayError(
            "account_expires",
            f"the account {now.name} expires on {date(ends['account'])}, and lets nobody in from then on;"
            " nothing was changed.",
            f"run `chage -E -1 {now.name}` on the host, or choose another deploy_user_name",
        )


def refuse_shell(shell: str, system: System) -> None:
    """Raise unless it runs a command as sshd has it do."""
    why = _why_no_shell(shell, system)
    if why:
        raise SlipwayError(
            "unusable_shell",
            f"the shell {shell} lets nobody log in: {why}; nothing was changed.",
            "install it first, or set deploy_user_shell to a shell that is there, for example /bin/bash",
        )


def _why_no_shell(shell: str, system: System) -> str:
    if not os.path.isabs(shell) or os.path.basename(shell) in _NO_LOGIN:
        return "it is no shell"
    try:
        status = os.stat(shell)
    except OSError as error:
        return (error.strerror or "it cannot be read").lower()
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o111 != 0o111:
        return "not everybody may execute it"
    if status.st_uid != 0 or status.st_mode & 0o022:
        return "others than root may change it"
    code, output = system.run([shell, "-c", f"exit {_TELLS}"])
    return "" if str(code) == _TELLS else f"it does not run a command ({output or f'it ended with {code}'})"


def _refuse_home(wanted: WantedAccount, now: Optional[Account]) -> None:
    why, fix = _why_no_home(wanted, now)
    if why:
        raise SlipwayError("unusable_home", f"the home directory {wanted.home} {why}; nothing was changed.", fix)


def _why_no_home(wanted: WantedAccount, now: Optional[Account]) -> tuple[str, str]:
    home = wanted.home
    if not os.path.isabs(home) or os.path.normpath(home) != home or home == "/":
        return "is not a plain absolute path", "name it in full in deploy_user_home"
    if now is None:
        if not os.path.isdir(os.path.dirname(home)):
            return f"cannot be made: {os.path.dirname(home)} is not there", "make that directory first"
        owner = _owner(home)
        if owner and owner != wanted.name:
            return f"belongs to {owner}", "set deploy_user_home to another directory"
        return "", ""
    if not os.path.isdir(home):
        fix = f"move {now.home} there first, with its files, or leave deploy_user_home empty"
        return f"of {now.name} is not there", fix if home != now.home else "make it, and give it to that account"
    if home != now.home and os.stat(home).st_uid != now.uid:
        return f"does not belong to {now.name}", f"give it to {now.name}, or leave deploy_user_home empty"
    return "", ""


def _owner(path: str) -> str:
    """The account that has this directory; empty where it is nobody's or not there."""
    with contextlib.suppress(OSError, KeyError):
        uid = os.stat(path).st_uid
        return "" if uid == 0 else pwd.getpwuid(uid).pw_name
    return ""
