# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The dead-man revert: a change that nobody confirms in time is taken back. This file is PRIVATE to the collection.

What is to be restored is on disk, synced, before the change begins. A timer of systemd takes the change back at its
deadline, a unit that boots before the network does so after a reboot, and neither needs Ansible or a network.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from dataclasses import replace
from typing import Iterator, Optional, Sequence

from .._core import files
from .._core.errors import SlipwayError
from . import account_entries, archive, ending, snapshot, store, timer
from .model import (
    LONGEST,
    PLAN,
    RUNNER,
    TICKING,
    ArmedChange,
    Line,
    Reason,
    RevertPlan,
    State,
    System,
    or_this_host,
    validate_name,
)

CHANGED_MEANWHILE = "changed_meanwhile"


def armed(name: str, system: Optional[System] = None) -> Optional[ArmedChange]:
    """What is armed under this name, if anything is."""
    validate_name(name)
    return store.load(or_this_host(system).folder(name))


def pending(name: str, token: str, system: Optional[System] = None) -> Optional[float]:
    """When the timer will take back the change with this token, in seconds since the epoch; None if no timer will.

    After a reboot, a soft reboot or the isolation of a target none does: that is for the boot unit then.
    """
    system = or_this_host(system)
    change = armed(name, system)
    if not change or change.token != token or change.state is State.REVERTING or not timer.is_in_charge(system, name):
        return None
    return float(change.deadline)


def arm(
    name: str, seconds: float, plan: RevertPlan, system: Optional[System] = None, token: Optional[str] = None
) -> str:
    """Save what the plan restores, start the clock, and return the token that confirms; a new one if none is given."""
    validate_name(name)
    plan.validate()
    if not 1 <= seconds <= LONGEST:
        raise SlipwayError("invalid_seconds", f"{seconds:g} s is no usable time to confirm.", f"use 1 to {LONGEST}")
    system = or_this_host(system)
    token = token or secrets.token_hex(16)
    files.make_directory(system.root, 0o700)
    with store.alone(system, name):
        store.sweep(system, name)
        store.supersede(system, plan.paths, plan.account)
        _save(system, name, seconds, plan, token)
        _start_clock(system, name, seconds, plan, token)
    return token


def _save(system: System, name: str, seconds: float, plan: RevertPlan, token: str) -> None:
    """What the revert needs, synced, under the name."""
    aside = os.path.join(system.root, f".{name}.{token}")
    os.mkdir(aside, 0o700)
    try:
        change = ArmedChange(
            name=name,
            token=token,
            seconds=seconds,
            deadline=time.time() + seconds,
            paths=plan.paths,
            entries=[entry for path in plan.paths for entry in snapshot.take(path)],
            account=account_entries.save(plan.account, system.accounts) if plan.account else None,
            run=plan.run,
            run_at_boot=plan.run_at_boot,
            held=plan.held,
        )
        _write(os.path.join(aside, PLAN), json.dumps(change.as_json()).encode())
        _write(os.path.join(aside, RUNNER), archive.runner_archive())
        files.fsync_directory(aside)
        store.appear(system, name, aside)
    except BaseException:
        files.remove_tree(aside)
        raise


def _start_clock(system: System, name: str, seconds: float, plan: RevertPlan, token: str) -> None:
    """The unit for a boot, then the timer, then the mark on disk that it ticks; nothing is armed where that fails."""
    try:
        files.write_atomic(system.marker(name), token, 0o600)
        timer.install_boot_unit(system, name, timer.boot_unit(system, name, plan.stage, token))
        timer.start(system, timer.unit(name), name, seconds, token)
        _write(os.path.join(system.folder(name), TICKING), b"")
        files.fsync_directory(system.folder(name))
    except BaseException:
        store.disappear(system, name)
        raise


def _write(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(descriptor)


def arm_when_free(name: str, seconds: float, plan: RevertPlan, system: Optional[System] = None) -> str:
    """Arm as soon as no other change of this name is armed: of several that have waited for one, one comes first."""
    system = or_this_host(system)
    end = time.monotonic() + timer.PATIENCE
    while True:
        wait_until_free(name, system)
        try:
            return arm(name, seconds, plan, system)
        except SlipwayError as error:
            # What is not free although nothing is armed does not become so.
            if error.code != "already_armed" or (time.monotonic() > end and armed(name, system) is None):
                raise
        time.sleep(0.2)


def wait_until_free(name: str, system: Optional[System] = None, act: bool = True) -> None:
    """Wait for another change under this name to end: its deadline sees to that.

    What a host is to be compared with is only certain then: until it ends, the change looks like the host's own state.
    One that nothing will take back any more, as after its timer was stopped, is taken back here, unless act is False.
    One that was cut short before its timer was set has changed nothing, and is disarmed. Raise when one stays
    armed, as after a revert that could not restore a path.
    """
    system = or_this_host(system)
    while (change := armed(name, system)) is not None:
        if not timer.ends_by_itself(system, name):
            line = ending.revert_abandoned(name, change.token, system) if act else None
            still = armed(name, system)
            if still and still.token == change.token and not timer.ends_by_itself(system, name):
                raise _not_reverted(name, line or ending.last_revert(name, system) or {}, still.token, act)
        time.sleep(0.2)


def wait_for_changes(names: Sequence[str], system: Optional[System] = None, act: bool = True) -> None:
    """Wait until none of these is armed, each as wait_until_free() does."""
    for name in names:
        wait_until_free(name, system, act)


def _not_reverted(name: str, line: Line, token: str, act: bool) -> SlipwayError:
    problems = "; ".join(line.get("problems", ())) if line.get("token") == token else ""
    if not act and not problems:
        return SlipwayError(
            "not_reverted",
            f"a change of {name} was never confirmed, and nothing is going to take it back.",
            "run without check mode, which takes it back first",
        )
    return SlipwayError(
        "not_reverted",
        f"a change of {name} that nobody confirmed could not be taken back{problems and f': {problems}'}.",
        "repair that and run again: the next run takes it back first",
    )


@contextlib.contextmanager
def hold(name: str, token: str, system: Optional[System] = None) -> Iterator[None]:
    """Change the host while the change with this token is armed; a revert that is due meanwhile waits for the end.

    Raise not_armed or reverted, with nothing done, unless a timer is going to take the change back: what is written
    after a revert stays for good. Each command inside should have a time limit, for the revert waits that long.
    """
    validate_name(name)
    system = or_this_host(system)
    with store.locked(system, name) as change:
        own = change is not None and secrets.compare_digest(change.token, token)
        if not own or change is None or change.state is State.REVERTING or not timer.is_ticking(system, name):
            raise _ended(name, token, system)
        yield


def renew(name: str, token: str, system: Optional[System] = None) -> None:
    """Inside hold(), start the clock anew: the time to confirm counts from now. Raise as hold() does."""
    system = or_this_host(system)
    change = _restart_clock(name, token, system)
    store.save_deadline(system, change, time.time() + change.seconds)


def shorten(name: str, token: str, seconds: float, system: Optional[System] = None) -> None:
    """Inside hold(), take the change back in this time from now, if it was armed for longer. Raise as hold() does.

    A second timer does so: while the first one was exchanged for another, nothing would tick.
    """
    system = or_this_host(system)
    change = _restart_clock(name, token, system)
    store.save_deadline(system, change, time.time() + change.seconds)
    if seconds < change.seconds:
        timer.start(system, timer.short_unit(name), name, seconds, token)
        store.save_deadline(system, change, time.time() + seconds)


def _restart_clock(name: str, token: str, system: System) -> ArmedChange:
    restarted = timer.restart(system, name)
    change = armed(name, system)
    if not restarted or change is None or change.state is State.REVERTING or change.token != token:
        raise _ended(name, token, system)
    if not timer.is_ticking(system, name):
        raise _ended(name, token, system)
    return change


def _ended(name: str, token: str, system: System) -> SlipwayError:
    """Why the change with this token is not armed any more."""
    line, change = ending.taken_back(name, token, system), armed(name, system)
    if line or (change and change.token == token):
        reason = line["reason"] if line else "its time is over"
        return SlipwayError(
            "reverted",
            f"the change of {name} was taken back ({reason}) before all of it was made; nothing more was changed.",
            "see what kept the run from going on in time, or raise the confirm_timeout of the role, then run again",
        )
    return SlipwayError("not_armed", f"no change of {name} with this token is armed; nothing was changed.", "run again")


def changed_meanwhile(what: str) -> SlipwayError:
    """For a transaction that has changed nothing yet: what it was planned for is not so any more."""
    return SlipwayError(CHANGED_MEANWHILE, f"{what} while this run waited; nothing was changed.", "run again")


@contextlib.contextmanager
def transaction(name: str, seconds: float, plan: RevertPlan, system: Optional[System] = None) -> Iterator[str]:
    """Arm, and hold what is armed while the caller changes the host; yield the token that confirms it.

    It stays armed afterwards. Where the caller fails, or came too late, it is taken back at once. A caller that raises
    changed_meanwhile has changed nothing yet, and it is only disarmed.
    """
    system = or_this_host(system)
    token = arm_when_free(name, seconds, replace(plan, held=True), system)
    try:
        with hold(name, token, system):
            yield token
    except BaseException as error:
        if isinstance(error, SlipwayError) and error.code == CHANGED_MEANWHILE:
            ending.disarm(name, token, system)
        else:
            ending.revert(name, token, Reason.FAILED, system)
        raise
