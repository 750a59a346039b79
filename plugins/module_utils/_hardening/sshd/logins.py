# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which accounts of a host can log in, as sshd is configured and as it would be. Reads only. PRIVATE."""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import tempfile
from dataclasses import dataclass
from typing import Any, Callable, Mapping, Optional, Sequence

from ..._core import files
from ..._core.errors import SlipwayError
from ..._deadman.model import System
from ..connection import Connection
from . import access, drop_in, server
from .directives import normal, render

Effective = Mapping[str, "list[str]"]
# sshd adds up these directives over all files; of every other one it takes the first.
LISTS = ("allowusers", "allowgroups", "denyusers", "denygroups")
EVERYBODY = "*"
_NO_SHELLS = ("nologin", "false", "true", "sync", "halt", "shutdown")
_PEOPLE = 1000  # the first user ID that is not a program's
_CLOSED_ROOT = ("no", "forced-commands-only")
_KEYS_ONLY = ("prohibit-password", "without-password")
_TOKENS = {"%h": "home", "%u": "name", "%U": "uid"}


@dataclass(frozen=True)
class Candidate:
    """An account. groups is None where the host does not say; one without a shell may copy files or forward ports."""

    name: str
    uid: int
    home: str
    groups: Optional[Sequence[str]]
    has_password: bool
    has_shell: bool = True


@dataclass(frozen=True)
class ShutOut:
    """An account that can log in now, by these means, and could not afterwards."""

    name: str
    means: Sequence[str]
    why: str

    def __str__(self) -> str:
        return f"{self.name} (by {' and '.join(self.means)}; {self.why})"


def candidates() -> list[Candidate]:
    """Every account that the host lists and that has a shell to log in to, or without one a password or keys."""
    passwords = dict(line.split(":")[:2] for line in files.text("/etc/shadow").splitlines() if ":" in line)
    accounts = []
    for one in pwd.getpwall():
        shell = os.path.basename(one.pw_shell) not in _NO_SHELLS and os.access(one.pw_shell or "/bin/sh", os.X_OK)
        password = _opens(passwords, one.pw_name)
        if shell or password or os.path.isdir(os.path.join(one.pw_dir, ".ssh")):
            groups = access.groups_of(one.pw_name)
            accounts.append(Candidate(one.pw_name, one.pw_uid, one.pw_dir, groups, password, shell))
    return accounts


def _opens(passwords: Mapping[str, str], name: str) -> bool:
    return passwords.get(name, "*")[:1] not in ("*", "!", "")


def means(candidate: Candidate, effective: Effective) -> list[str]:
    """How this account can log in: by key, by password."""
    if access.who_is_refused([candidate.name], _lists(effective), lambda _name: candidate.groups):
        return []
    root = _word(effective, "permitrootlogin") if candidate.uid == 0 else "yes"
    if root in _CLOSED_ROOT:
        return []
    ways = []
    if _word(effective, "pubkeyauthentication") != "no" and _has_key(candidate, effective):
        ways.append("key")
    passwords = {_word(effective, "passwordauthentication"), _word(effective, "kbdinteractiveauthentication")}
    if candidate.has_password and "yes" in passwords and root not in _KEYS_ONLY:
        ways.append("password")
    return ways


def _lists(effective: Effective) -> dict[str, list[str]]:
    return {key: " ".join(effective[key]).split() for key in LISTS if effective.get(key)}


def _word(effective: Effective, key: str) -> str:
    return (effective.get(key) or [""])[0].lower()


def _has_key(candidate: Candidate, effective: Effective) -> bool:
    """A certificate or a command may let in whoever is no program, without a file of keys."""
    others = [_word(effective, key) for key in ("authorizedkeyscommand", "trustedusercakeys")]
    person = candidate.has_shell and (candidate.uid == 0 or candidate.uid >= _PEOPLE)
    if person and any(word not in ("", "none") for word in others):
        return True
    patterns = " ".join(effective.get("authorizedkeysfile", [".ssh/authorized_keys"])).split()
    return any(_has_keys(_expanded(pattern, candidate)) for pattern in patterns if pattern != "none")


def _expanded(pattern: str, candidate: Candidate) -> str:
    path = re.sub("%[huU]", lambda match: str(getattr(candidate, _TOKENS[match.group()])), pattern)
    return os.path.join(candidate.home, path.replace("%%", "%"))


def _has_keys(path: str) -> bool:
    with contextlib.suppress(OSError):
        return any(line.strip() and not line.lstrip().startswith("#") for line in files.text(path).splitlines())
    return False


def shut_out(
    people: Sequence[Candidate], before: Callable[[str], Effective], after: Callable[[str], Effective]
) -> list[ShutOut]:
    """before and after say what is in force for a user."""
    losing = []
    for one in people:
        now = means(one, before(one.name))
        if now and not means(one, after(one.name)):
            losing.append(ShutOut(one.name, now, _why(one, after(one.name))))
    return losing


def _why(candidate: Candidate, after: Effective) -> str:
    refused = access.who_is_refused([candidate.name], _lists(after), lambda _name: candidate.groups)
    if refused:
        return refused.why.rpartition(", who is in ")[0] or refused.why
    if candidate.uid == 0 and _word(after, "permitrootlogin") in (*_CLOSED_ROOT, *_KEYS_ONLY):
        return f"PermitRootLogin {_word(after, 'permitrootlogin')}"
    return "PasswordAuthentication no" if _word(after, "pubkeyauthentication") != "no" else "PubkeyAuthentication no"


def lists_after(settings: Mapping[str, Any], now: Effective, ours: Sequence[str]) -> dict[str, list[str]]:
    """The directives that sshd adds up, with these settings. ours: who is let in by the file that goes."""
    wanted = {key.lower(): normal(value).split() for key, value in settings.items() if key.lower() in LISTS}
    kept = {key: [word for word in words if word not in ours] for key, words in _lists(now).items()}
    return {**kept, **wanted}


def who_is_shut_out(
    installed: server.SshServer, settings: Mapping[str, Any], connection: Optional[Connection], system: System
) -> list[ShutOut]:
    """Asked of sshd itself, as it is and with the settings before all of its files."""
    ours = drop_in.allowed_before(installed.config, drop_in.text())
    first = {key: value for key, value in settings.items() if key.lower() not in LISTS}

    def effective(user: str, *options: str) -> Effective:
        return server.effective_settings(installed.program, system, server.login_from(user, connection, 0), *options)

    with tempfile.NamedTemporaryFile("w", prefix="slipway-sshd-", encoding="utf-8") as candidate:
        candidate.write(render(first, {}, []) + installed.config)
        candidate.flush()

        def after(user: str) -> Effective:
            lists = lists_after(settings, effective(user), ours)
            return {**effective(user, "-f", candidate.name), **{key: [] for key in LISTS}, **lists}

        return shut_out(candidates(), effective, after)


def refuse(losing: Sequence[ShutOut], accepted: Sequence[str], root_is_closed: bool) -> None:
    """Raise for those whom nobody has said to shut out. Root that is closed is what was asked for."""
    unasked = [
        one
        for one in losing
        if one.name not in accepted and EVERYBODY not in accepted and not (one.name == "root" and root_is_closed)
    ]
    if unasked:
        raise SlipwayError(
            "would_shut_out",
            f"{len(unasked)} of this host's accounts can log in now and could not afterwards:"
            f" {', '.join(map(str, unasked))}. Nothing was changed.",
            "list those who are to stay in ssh_keep_users (with a key), and those who are to go in ssh_shut_out_users",
            shut_out=[one.name for one in unasked],
        )
