# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a change ends: it is confirmed, or taken back. PRIVATE to the collection.

A revert marks that it has begun: a confirmation and a revert cannot both win. What was taken back stays known until
the name is armed again: whoever comes to confirm it after all may have changed the host since, and then it is taken
back once more. Not so where the change was made inside hold(), for that cannot have gone on, nor where somebody has
armed or confirmed a change of the same paths since.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shlex
import time
from typing import Optional

from .._core.errors import SlipwayError
from . import account_entries, journal, snapshot, store, timer
from .model import KEPT, NOT_RUN, Argv, ArmedChange, Line, Reason, State, System, or_this_host, validate_name
from .snapshot import Restored

# A firewall's or a package manager's lock is held for a moment by others.
TRIES, PAUSE = 3, 2.0


def confirm(name: str, token: str, system: Optional[System] = None) -> None:
    """Let the change stand; raise if it was taken back, or if somebody else's change is armed by now."""
    validate_name(name)
    system = or_this_host(system)
    with store.locked(system, name) as change:
        own = change is not None and secrets.compare_digest(change.token, token)
        if own and change and change.state is not State.REVERTING:
            store.supersede(system, change.paths, change.account_name)
            store.disappear(system, name)
            return
    line = taken_back(name, token, system)
    if own or line:
        reason = line["reason"] if line else "not to its end"
        again = None if own else _take_back_again(system, name, token)
        raise SlipwayError(
            "reverted",
            f"the change of {name} was taken back ({reason}) before it was confirmed{_since(again)}.",
            "see what kept the confirmation from coming in time, then run again",
            reverted=again,
        )
    raise SlipwayError("not_armed", f"no change of {name} with this token waits to be confirmed.", "run again")


def revert(
    name: str, token: Optional[str] = None, reason: Reason = Reason.ASKED, system: Optional[System] = None
) -> Optional[Line]:
    """Take the change back now and return the line that was journaled; None if there is nothing to take back.

    One that was taken back before, whose token is given, is taken back once more: the run that asks may have gone on.
    """
    validate_name(name)
    system = or_this_host(system)
    with store.locked(system, name) as change:
        if change is not None and (token is None or change.token == token):
            return _take_back(system, change, reason)
    return None if token is None else _take_back_again(system, name, token)


def revert_at_boot(name: str, token: str, system: Optional[System] = None) -> Optional[Line]:
    """Unless its timer is in charge: one target that isolates another stops timers, and a soft reboot keeps /run."""
    system = or_this_host(system)
    with store.locked(system, name) as change:
        if change is None or change.token != token or timer.is_in_charge(system, name):
            return None
        return _take_back(system, change, Reason.BOOT)


def revert_abandoned(name: str, token: str, system: Optional[System] = None) -> Optional[Line]:
    """Unless a timer or a unit of the boot is going to do so."""
    system = or_this_host(system)
    with store.locked(system, name) as change:
        # Whoever arms holds the lock until the timer is set.
        if change is None or change.token != token or timer.ends_by_itself(system, name):
            return None
        return _take_back(system, change, Reason.ABANDONED)


def disarm(name: str, token: Optional[str] = None, system: Optional[System] = None) -> bool:
    """Let the change stand, whoever armed it; return whether one was armed, with this token if one is given."""
    validate_name(name)
    system = or_this_host(system)
    with store.locked(system, name) as change:
        if change is None or change.state is State.REVERTING or (token is not None and change.token != token):
            return False
        store.disappear(system, name)
    return True


def last_revert(name: str, system: Optional[System] = None) -> Optional[Line]:
    """The newest line of the journal about this name."""
    return journal.newest(or_this_host(system), lambda line: line.get("name") == name)


def taken_back(name: str, token: str, system: Optional[System] = None) -> Optional[Line]:
    """What is known of the revert of the change with this token; None if it was not taken back."""
    system = or_this_host(system)
    line = journal.newest(system, lambda line: line.get("name") == name and line.get("token") == token)
    kept = None if line else store.load(system.kept(name))
    if kept is not None and secrets.compare_digest(kept.token, token):
        # The disk was too full for the journal.
        return {"name": name, "token": token, "reason": "not journaled", "restored": [], "problems": []}
    return line


def _take_back(system: System, change: ArmedChange, reason: Reason) -> Optional[Line]:
    if change.state is State.SAVED:
        store.disappear(system, change.name)
        return None
    store.begin_revert(system.folder(change.name))
    line, complete = _put_back(system, change, reason)
    if complete:
        store.disappear(system, change.name, keep=True)
    return line


def _take_back_again(system: System, name: str, token: str) -> Optional[Line]:
    """Take back once more what was taken back with this token.

    None where it is not known any more, cannot have gone on, or would undo what somebody else has made since.
    """
    if not os.path.isdir(system.kept(name)):
        return None
    with store.alone(system, name), store.alone(system, KEPT):
        kept = store.load(system.kept(name))
        if kept is None or os.path.isdir(system.folder(name)) or not secrets.compare_digest(kept.token, token):
            return None
        if kept.held or store.is_stale(system, name):
            return None
        return _put_back(system, kept, Reason.AGAIN)[0]


def _put_back(system: System, change: ArmedChange, reason: Reason) -> tuple[Line, bool]:
    """Return the line for the journal, and whether every path could be restored.

    A path that could not be keeps the change armed, and the next boot or run tries again. One that a user has made lead
    elsewhere does not: that user could then keep every later change from being made.
    """
    restored = _restore_account(system, change, snapshot.restore(change.entries))
    commands = [*change.run_at_boot, *_after_boot(system, change)] if reason is Reason.BOOT else change.run
    ran: list[Line] = [
        {"argv": argv, "code": code, "said": output}
        for argv in commands
        for code, output in [_run_with_retries(system, argv)]
    ]
    failed = [f"{' '.join(one['argv'])} failed ({one['code']}): {one['said']}" for one in ran if one["code"] != 0]
    line: Line = {
        "time": time.time(),
        "name": change.name,
        "token": change.token,
        "reason": reason.value,
        "restored": list(restored.changed),
        "problems": [*restored.problems, *restored.unsafe, *failed],
        "ran": ran,
    }
    # A disk that is full must not keep armed what has been taken back.
    with contextlib.suppress(OSError):
        journal.append(system.journal(), line)
    return line, not restored.problems


def _restore_account(system: System, change: ArmedChange, restored: Restored) -> Restored:
    if change.account is None:
        return restored
    changed, problems, unsafe = restored.changed, restored.problems, restored.unsafe
    try:
        return Restored([*changed, *account_entries.put_back(change.account, system.accounts)], problems, unsafe)
    except OSError as error:
        problem = f"the account {change.account_name}: {error.strerror or error}"
        return Restored(changed, [*problems, problem], unsafe)


def _after_boot(system: System, change: ArmedChange) -> list[Argv]:
    """Without a reboot, services that still run have read what was changed. The boot unit is not to wait for them."""
    if not change.run or not os.path.exists(system.marker(change.name)):
        return []
    script = "; ".join(shlex.join(argv) for argv in change.run)
    unit = f"{timer.unit(change.name)}-after"
    return [["systemd-run", "--quiet", "--collect", f"--unit={unit}", "--no-block", "/bin/sh", "-c", script]]


def _run_with_retries(system: System, argv: Argv) -> tuple[int, str]:
    """A program that is not there, or that did not end in time, is not tried again."""
    code, output = system.run(argv)
    for _again in range(TRIES - 1):
        if code in (0, NOT_RUN):
            break
        time.sleep(PAUSE)
        code, output = system.run(argv)
    return code, output


def _since(line: Optional[Line]) -> str:
    """What a run that went on after its change was taken back had changed."""
    if not line or not (line["restored"] or line["problems"]):
        return ""
    problems = f", but not all of it: {'; '.join(line['problems'])}" if line["problems"] else ""
    return f"; what was changed after that was put back, too ({', '.join(line['restored']) or 'no file'}){problems}"
