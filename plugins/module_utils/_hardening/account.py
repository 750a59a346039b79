# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An account by which a host is administered: what it is, what it should be, and what makes it so. PRIVATE."""

from __future__ import annotations

import contextlib
import errno
import grp
import json
import os
import pwd
import re
import shutil
import stat
import time
from dataclasses import dataclass
from typing import Any, Iterable, Optional, Sequence

from .._core import files, safe_paths
from .._core.errors import SlipwayError
from .._deadman import managed_files
from .._deadman.model import Argv, RevertPlan, System

SHELL = "/bin/bash"
HOMES = "/home"
REMOVED = "/var/lib/slipway/removed-accounts"
MAIL = "/var/mail"
SUDO_LEVELS = ("full", "limited", "none")
# Exact commands only: a wildcard in sudoers also matches spaces, and with them further arguments.
SERVICE_COMMANDS = (
    "/usr/bin/systemctl start",
    "/usr/bin/systemctl stop",
    "/usr/bin/systemctl restart",
    "/usr/bin/systemctl reload",
    "/usr/local/sbin/slipway status",
    "/usr/local/sbin/slipway history",
    "/usr/local/sbin/slipway rollback",
)
_NO_LOGIN = ("nologin", "false", "true")
_TELLS = "41"
_DAY = 86400
_NEVER = 99999
_KEY_LINE = re.compile(r"""\s*(?:((?:[^\s"]|"(?:\\.|[^"\\])*")+)\s+)?(?:ssh|ecdsa|sk)-\S+\s+(AAAA[0-9A-Za-z+/]+=*)""")


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
        return changed == 0 or (longest is not None and longest < _NEVER and changed + longest < today)

    def ends(self) -> dict[str, int]:
        """The days from which PAM refuses its keys. That of the password counts even if none can be typed."""
        changed, longest, expires = (_day(self.shadow, number) for number in (2, 4, 7))
        found = {}
        if changed is not None and longest is not None and longest < _NEVER:
            found["password"] = changed + longest
        if expires is not None:
            found["account"] = expires
        return found

    @property
    def has_password(self) -> bool:
        return bool(self.shadow) and not self.shadow[1].startswith(("*", "!"))


@dataclass(frozen=True)
class Wanted:
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

    @property
    def sudoers(self) -> str:
        return sudoers_path(self.name)

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


def sudoers_path(name: str) -> str:
    return f"/etc/sudoers.d/90-slipway-{name}"


def sudoers(wanted: Wanted) -> Optional[str]:
    """The content of the file of sudo rules; None where there is to be none."""
    if wanted.sudo == "none":
        return None
    head = f"# Written by slipway.go (deploy_user_sudo: {wanted.sudo}).\n"
    if wanted.sudo == "full":
        return f"{head}{wanted.name} ALL=(ALL:ALL) NOPASSWD: ALL\n"
    return head + "".join(f"{wanted.name} ALL=(root) NOPASSWD: {one}\n" for one in wanted.allowed_commands())


def sudoers_file(name: str, content: Optional[str]) -> managed_files.File:
    return managed_files.File(sudoers_path(name), content, 0o440, validate=["visudo", "-cf", "%s"])


# --- the host -------------------------------------------------------------------------------------------------------


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


def today() -> int:
    return int(time.time() // _DAY)


def complete(wanted: Wanted, now: Optional[Account]) -> Wanted:
    """With the shell and the home that are meant where none is asked for."""
    shell = wanted.shell or (now.shell if now else SHELL)
    home = wanted.home or (now.home if now else os.path.join(HOMES, wanted.name))
    values = {**wanted.__dict__, "shell": shell, "home": home}
    return Wanted(**values)


def refuse_unusable(wanted: Wanted, now: Optional[Account], system: System) -> None:
    """Raise where the account could not log in, or could not be made so, before anything changes."""
    refuse_shell(wanted.shell, system)
    _refuse_home(wanted, now)
    missing = [group for group in wanted.groups if not _has_group(group)]
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
            f"change the password of {now.name} on the host, or lock it there with `usermod --lock`",
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
            f"run `chage -M {_NEVER} {now.name}` on the host, lock the password there with `usermod --lock {now.name}`,"
            " or choose another deploy_user_name",
        )
    if "account" in ends and not now.is_expired(today()):
        raise SlipwayError(
            "account_expires",
            f"the account {now.name} expires on {date(ends['account'])}, and lets nobody in from then on;"
            " nothing was changed.",
            f"run `chage -E -1 {now.name}` on the host, or choose another deploy_user_name",
        )


def date(day: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(day * _DAY))


def _has_group(name: str) -> bool:
    with contextlib.suppress(KeyError):
        return bool(grp.getgrnam(name))
    return False


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
    code, said = system.run([shell, "-c", f"exit {_TELLS}"])
    return "" if str(code) == _TELLS else f"it does not run a command ({said or f'it ended with {code}'})"


def _refuse_home(wanted: Wanted, now: Optional[Account]) -> None:
    why, fix = _why_no_home(wanted, now)
    if why:
        raise SlipwayError("unusable_home", f"the home directory {wanted.home} {why}; nothing was changed.", fix)


def _why_no_home(wanted: Wanted, now: Optional[Account]) -> tuple[str, str]:
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


def entry_commands(wanted: Wanted, now: Optional[Account], day: int) -> list[Argv]:
    """What makes the entries of the account as they should be."""
    if now is None:
        # No password, yet not locked: sshd without PAM refuses users whose password begins with '!'.
        argv = ["useradd", "--create-home", "--home-dir", wanted.home, "--shell", wanted.shell, "--password", "*"]
        # Of login.defs and default/useradd: nobody could change a password that expires, and PAM would refuse the keys.
        argv += ["--expiredate", "", "--inactive", "-1", "--key", f"PASS_MAX_DAYS={_NEVER}"]
        argv += ["--groups", ",".join(wanted.groups)] if wanted.groups else []
        argv += ["--no-user-group"] if _has_group(wanted.name) else []
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
        aging += ["--maxdays", str(_NEVER), "--inactive", "-1", "--expiredate", "-1"]
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


# --- keys -----------------------------------------------------------------------------------------------------------


def key_file(home: str) -> str:
    return os.path.join(home, ".ssh", "authorized_keys")


def read_keys(home: str) -> Optional[str]:
    """None where there is no file. Never through a link that a user can have put there."""
    try:
        folder = safe_paths.open_folder(os.path.dirname(key_file(home)))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except safe_paths.UnsafePath as error:
        raise _unsafe(home, error) from None
    try:
        descriptor = os.open("authorized_keys", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unsafe(home, error) from None
    finally:
        os.close(folder)
    with os.fdopen(descriptor, encoding="utf-8", errors="replace") as stream:
        return stream.read()


def _unsafe(home: str, error: OSError) -> SlipwayError:
    why = (
        "it is a link"
        if error.errno == errno.ELOOP and not isinstance(error, safe_paths.UnsafePath)
        else error.strerror
    )
    return SlipwayError(
        "bent_path", f"{key_file(home)} is not safe to write as root: {why}; nothing was changed.", "put a file there"
    )


def wanted_keys(before: Optional[str], keys: Iterable[str], exclusive: bool) -> str:
    """The content of the file; as it is where it says the same."""
    wanted = list(dict.fromkeys(line for key in keys for line in map(str.strip, key.splitlines()) if line))
    there = (before or "").splitlines()
    if not exclusive:
        after = list(there)
        for key in wanted:
            _let_in(after, key)
        return "".join(f"{line}\n" for line in after) if after != there else (before or "")
    if {line.strip() for line in there if _is_key(line)} == {key for key in wanted if _is_key(key)}:
        return before or ""
    return "".join(f"{key}\n" for key in wanted)


def _let_in(lines: list[str], wanted: str) -> None:
    """Add the line, unless it is in force: sshd takes the options of the first line that has the key."""
    if not _is_key(wanted):
        return
    options, key = _key_of(wanted)
    same = [(at, _key_of(line)[0]) for at, line in enumerate(lines) if _is_key(line) and _key_of(line)[1] == key]
    if not same:
        lines.append(wanted)
    elif same[0][1] != options:
        lines.insert(same[0][0], wanted)


def _is_key(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _key_of(line: str) -> tuple[str, str]:
    """Its options and the key itself, whatever its comment."""
    found = _KEY_LINE.match(line)
    return (found.group(1) or "", found.group(2)) if found else ("", line.strip())


def keys_are_safe(account: Account, home: str) -> bool:
    """Whether sshd would read them: StrictModes wants them to be the account's own, and nobody else's to change."""
    try:
        found = [os.lstat(os.path.dirname(key_file(home))), os.lstat(key_file(home))]
    except OSError:
        return False
    return all(one.st_uid == account.uid and not one.st_mode & 0o077 for one in found)


def write_keys(account: Account, content: str) -> None:
    """Through directories that stay what they are, whatever the account does meanwhile."""
    home = safe_paths.open_folder(account.home)
    try:
        with contextlib.suppress(FileExistsError):
            os.mkdir(".ssh", 0o700, dir_fd=home)
        folder = os.open(".ssh", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=home)
        try:
            os.fchown(folder, account.uid, account.gid)
            os.fchmod(folder, 0o700)
            _write_in(folder, account, content)
        finally:
            os.close(folder)
        os.fsync(home)
    finally:
        os.close(home)


def _write_in(folder: int, account: Account, content: str) -> None:
    aside = ".authorized_keys.slipway"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside, dir_fd=folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(aside, flags, 0o600, dir_fd=folder), "w", encoding="utf-8") as stream:
        stream.write(content)
        stream.flush()
        os.fchown(stream.fileno(), account.uid, account.gid)
        os.fchmod(stream.fileno(), 0o600)
        os.fsync(stream.fileno())
    os.rename(aside, "authorized_keys", src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)


# --- an account that is to go ---------------------------------------------------------------------------------------


def refuse_removal(account: Account) -> None:
    if account.uid == 0 or not account.is_local:
        why = "has the user ID 0" if account.uid == 0 else "comes from a directory service"
        raise SlipwayError("not_removable", f"{account.name} {why}; nothing was changed.", "remove it by hand")
    others = [one.pw_name for one in pwd.getpwall() if one.pw_gid == account.gid and one.pw_name != account.name]
    if others and _has_group(account.name) and grp.getgrnam(account.name).gr_gid == account.gid:
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
        said = json.loads(files.text(record(name)) or "{}")
        home, uid = str(said["home"]), int(said["uid"])
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


def describe(account: Optional[Account], wanted: Optional[Wanted] = None) -> str:
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


def paths_of(wanted: Wanted, now: Optional[Account]) -> list[str]:
    """What a revert restores beside the entries. What is not there yet is named by its topmost directory."""
    paths = [wanted.sudoers]
    mail = os.path.join(os.path.realpath(MAIL), wanted.name)
    if now is None and not os.path.lexists(wanted.home):
        return [*paths, wanted.home, *([] if os.path.lexists(mail) else [mail])]
    folder = os.path.dirname(key_file(wanted.home))
    return [*paths, key_file(wanted.home) if os.path.lexists(folder) else folder]


def restorecon(paths: Sequence[str], system: System) -> None:
    if os.path.exists("/sys/fs/selinux/enforce") and shutil.which("restorecon"):
        system.run(["restorecon", "-RF", *paths])


def run_or_raise(commands: Iterable[Argv], system: System) -> None:
    for argv in commands:
        code, said = system.run(argv)
        if code != 0:
            raise SlipwayError(
                "command_failed",
                f"{' '.join(argv)} failed ({code}): {said}",
                "see what it says; the change was taken back",
            )


def plan(wanted: Wanted, now: Optional[Account]) -> RevertPlan:
    return RevertPlan(paths_of(wanted, now), account=wanted.name)
