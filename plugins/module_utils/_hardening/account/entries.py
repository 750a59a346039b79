# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the host says of an account, and the commands that make it so. PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from typing import Optional

from ..._core import files
from ..._core.errors import SlipwayError
from ..._deadman.model import Argv
from .model import NEVER, Account, WantedAccount, date, today

SHELL = "/bin/bash"
HOMES = "/home"


def look(name: str) -> Optional[Account]:
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    groups = []
    for gid in os.getgrouplist(name, entry.pw_gid):
        with contextlib.suppress(KeyError):
            groups.append(grp.getgrgid(gid).gr_name)
    return Account(
        name, entry.pw_uid, entry.pw_gid, entry.pw_dir, entry.pw_shell, frozenset(groups), _shadow_entry(name)
    )


def _shadow_entry(name: str) -> list[str]:
    lines = files.text("/etc/shadow").splitlines()
    return next((line.split(":") for line in lines if line.startswith(f"{name}:")), [])


def complete(wanted: WantedAccount, now: Optional[Account]) -> WantedAccount:
    """With the shell and the home that are meant where none is asked for."""
    shell = wanted.shell or (now.shell if now else SHELL)
    home = wanted.home or (now.home if now else os.path.join(HOMES, wanted.name))
    values = {**wanted.__dict__, "shell": shell, "home": home}
    return WantedAccount(**values)


def has_group(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(grp.getgrnam(name))
    return False


def entry_commands(wanted: WantedAccount, now: Optional[Account], day: int) -> list[Argv]:
    """What makes the entries of the account as they should be."""
    if now is None:
        # No password, yet not locked: sshd without PAM refuses users whose password begins with '!'.
        argv = ["useradd", "--create-home", "--home-dir", wanted.home, "--shell", wanted.shell, "--password", "*"]
        # Of login.defs and default/useradd: nobody could change a password that expires, and PAM would refuse the keys.
        argv += ["--expiredate", "", "--inactive", "-1", "--key", f"PASS_MAX_DAYS={NEVER}"]
        argv += ["--groups", ",".join(wanted.groups)] if wanted.groups else []
        argv += ["--no-user-group"] if has_group(wanted.name) else []
        return [[*argv, wanted.name]]
    words = []
    if wanted.shell != now.shell:
        words += ["--shell", wanted.shell]
    if wanted.home != now.home:
        words += ["--home", wanted.home]
    missing = [group for group in wanted.groups if group not in now.groups]
    if missing:
        words += ["--append", "--groups", ",".join(missing)]
    if now.has_password and now.is_expired(day):
        words += ["--expiredate", ""]
    commands = [["usermod", *words, now.name]] if words else []
    aging = []
    if now.must_change_password(day):
        aging += ["--lastday", str(day)]
    if now.ends() and not now.has_password:
        aging += ["--maxdays", str(NEVER), "--inactive", "-1", "--expiredate", "-1"]
    if aging:
        commands.append(["chage", *aging, now.name])
    if commands and not now.is_local:
        raise SlipwayError(
            "not_local",
            f"{now.name} comes from a directory service, and has another shell, home or group than asked for;"
            " nothing was changed.",
            "change it there, or choose another deploy_user_name",
        )
    return commands


def describe(account: Optional[Account], wanted: Optional[WantedAccount] = None) -> str:
    """For a diff: the entries as they are, or as they will be."""
    if account is None and wanted is None:
        return ""
    shell, home = (wanted.shell, wanted.home) if wanted else (account.shell, account.home) if account else ("", "")
    groups = sorted({*(account.groups if account else ()), *(wanted.groups if wanted else ())})
    lines = [f"shell: {shell}", f"home: {home}", f"groups: {' '.join(groups)}"]
    if account and not wanted:
        lines += [f"the {what} ends on {date(day)}" for what, day in account.ends().items()]
    if account and not wanted and account.must_change_password(today()):
        lines.append("its password must be changed at the next login")
    return "".join(f"{line}\n" for line in lines)
