# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of an account: compared, refused or made, and left armed. PRIVATE to the collection."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, replace
from typing import Any, Iterable, Optional, Sequence

from ..._core import command
from ..._deadman import change as deadman
from ..._deadman import ending, managed_files
from ..._deadman.model import Argv, RevertPlan, System
from ..services import services
from . import entries, keys, refusals, removal, sudo
from .model import Account, WantedAccount, today

NAME = "access"


@dataclass(frozen=True)
class Done:
    """What was changed, or would be. login has to work now, token confirms it."""

    changes: Sequence[str]
    diff: Sequence[dict[str, str]]
    token: Optional[str] = None
    login: Optional[dict[str, Any]] = None
    services: Sequence[str] = ()

    def as_dict(self) -> dict[str, Any]:
        return {
            "changed": bool(self.changes),
            "changes": list(self.changes),
            "diff": list(self.diff),
            "token": self.token,
            "login": self.login,
            "services": list(self.services),
        }


@dataclass(frozen=True)
class Difference:
    """What is not as it should be; keys is None where they are."""

    now: Optional[Account]
    wanted: WantedAccount
    commands: Sequence[Argv]
    keys: Optional[str]
    sudo: Sequence[managed_files.FileChange]

    def changes(self) -> list[str]:
        differs = {"account": self.commands, "keys": self.keys is not None, "sudo": self.sudo}
        return [name for name, does in differs.items() if does]

    def diff(self) -> list[dict[str, str]]:
        parts = []
        if self.commands:
            after = entries.describe(self.now, self.wanted)
            parts.append(_diff(f"account {self.wanted.name}", entries.describe(self.now), after))
        if self.keys is not None:
            before = keys.read_keys(self.wanted.home) or ""
            parts.append(_diff(keys.key_file(self.wanted.home), before, self.keys))
        return [*parts, *(change.diff() for change in self.sudo)]


def _diff(header: str, before: str, after: str) -> dict[str, str]:
    return {"before_header": header, "after_header": header, "before": before, "after": after}


def make_present(asked: WantedAccount, seconds: float, stays_armed: bool, check: bool, system: System) -> Done:
    """Make the account what it should be, armed on return unless it is to stand at once."""
    return managed_files.from_the_start(lambda: _present(asked, seconds, stays_armed, check, system))


def make_absent(name: str, seconds: float, stays_armed: bool, check: bool, system: System) -> Done:
    """Remove the account and its sudo rules, armed on return unless that is to stand at once; then what is left."""
    return managed_files.from_the_start(lambda: _absent(name, seconds, stays_armed, check, system))


def with_services_of_host(asked: WantedAccount) -> WantedAccount:
    """Limited sudo is about the services that the host has already, too."""
    on_host = [service.name for service in services()] if asked.sudo == "limited" else []
    return replace(asked, services=sorted({*asked.services, *on_host}))


def _present(asked: WantedAccount, seconds: float, stays_armed: bool, check: bool, system: System) -> Done:
    deadman.wait_until_free(NAME, system, not check)
    asked = with_services_of_host(asked)
    difference = compare(asked, system)
    wanted, changes = difference.wanted, difference.changes()
    done = Done(changes, difference.diff(), login=wanted.proof(), services=wanted.services)
    if shutil.which("visudo"):
        managed_files.validate(difference.sudo, system)
    if check or not changes:
        return done
    with deadman.transaction(NAME, seconds, _revert_plan(wanted, difference.now), system) as token:
        # Another run may have ended between the look and the lock.
        again = compare(asked, system)
        if (again.now is None) != (difference.now is None) or again.wanted.home != wanted.home:
            raise deadman.changed_meanwhile(f"somebody else has made, moved or removed {asked.name}")
        _make(again, system)
    return replace(done, token=_armed_or_stands(token, stays_armed, system))


def compare(asked: WantedAccount, system: System) -> Difference:
    now = entries.look(asked.name)
    wanted = entries.complete(asked, now)
    refusals.refuse_unusable(wanted, now, system)
    before = keys.read_keys(wanted.home)
    after = keys.wanted_keys(before, wanted.keys, wanted.exclusive)
    same = after == before and now is not None and keys.keys_are_safe(now, wanted.home)
    rules = managed_files.plan([sudo.file(wanted.name, sudo.rules(wanted))], system=system)
    commands = entries.entry_commands(wanted, now, today())
    return Difference(now, wanted, commands, None if same else after, rules)


def _make(difference: Difference, system: System) -> None:
    """Keys first where there is a home directory: sudo comes last, when all else is as it should be."""
    _run(difference.commands, system)
    if difference.keys is not None:
        account = entries.look(difference.wanted.name)
        if account:
            keys.write_keys(account, difference.keys)
            _restorecon([account.home + "/.ssh"], system)
    if difference.sudo:
        managed_files.apply(difference.sudo, sudo.check(), system=system)


def _revert_plan(wanted: WantedAccount, now: Optional[Account]) -> RevertPlan:
    return RevertPlan(paths_of(wanted, now), account=wanted.name)


def paths_of(wanted: WantedAccount, now: Optional[Account]) -> list[str]:
    """What a revert restores beside the entries. What is not there yet is named by its topmost directory."""
    paths = [sudo.path(wanted.name)]
    mail = os.path.join(os.path.realpath(removal.MAIL), wanted.name)
    if now is None and not os.path.lexists(wanted.home):
        return [*paths, wanted.home, *([] if os.path.lexists(mail) else [mail])]
    folder = os.path.dirname(keys.key_file(wanted.home))
    return [*paths, keys.key_file(wanted.home) if os.path.lexists(folder) else folder]


def _absent(name: str, seconds: float, stays_armed: bool, check: bool, system: System) -> Done:
    deadman.wait_until_free(NAME, system, not check)
    now, rules = entries.look(name), managed_files.plan([sudo.file(name, None)], system=system)
    if now is None and not rules:
        gone = removal.remains(name) if check else removal.remove_remains(name)
        return Done(gone, [_diff(path, "there\n", "") for path in gone])
    if now:
        removal.refuse_removal(now)
    diff = [_diff(f"account {name}", entries.describe(now), "")] if now else []
    changes = (["account"] if now else []) + (["sudo"] if rules else [])
    done = Done(changes, [*diff, *(change.diff() for change in rules)])
    if check:
        return done
    plan = RevertPlan([sudo.path(name), removal.record(name)], account=name)
    with deadman.transaction(NAME, seconds, plan, system) as token:
        if entries.look(name) != now:
            raise deadman.changed_meanwhile(f"somebody else has changed {name}")
        if now:
            removal.write_record(now)
            _run([["userdel", "--force", name]], system)
        managed_files.apply(rules, sudo.check(), system=system)
    return replace(done, token=_armed_or_stands(token, stays_armed, system))


def _armed_or_stands(token: str, stays_armed: bool, system: System) -> Optional[str]:
    if stays_armed:
        return token
    ending.confirm(NAME, token, system)
    return None


def _restorecon(paths: Sequence[str], system: System) -> None:
    if os.path.exists("/sys/fs/selinux/enforce") and shutil.which("restorecon"):
        system.run(["restorecon", "-RF", *paths])


def _run(commands: Iterable[Argv], system: System) -> None:
    fix = "remove what the command complains of, then run again"
    command.run_each(system.run, commands, fix, ", and the change was taken back")
