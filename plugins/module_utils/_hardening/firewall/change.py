# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of the firewall: armed, written and put in force, under the dead-man's lock. PRIVATE to the collection."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Optional, Sequence, Tuple

from ..._core import command, files
from ..._core.errors import SlipwayError
from ..._deadman import change as deadman
from ..._deadman import ending, model
from ..._deadman.model import Reason, RevertPlan, System
from ..connection import connection
from . import service_rules
from .backend import Run
from .survey import Look, Options, choose, look, remembered

NAME = "firewall"
# A change of the port of SSH may have opened that port here, and takes this firewall back as well.
WAIT_FOR = (NAME, "ssh")
# What a command may take on a host that has much else to do, however short the time to confirm is.
WRITING_S = 60.0
# Of the time for writing, what the next command finds at least.
_FRESH = 0.9
RunWithin = Callable[[Sequence[str], float], Tuple[int, str]]


@dataclass(frozen=True)
class Changed:
    """What was found, and the token of the change; None if there was none, or nothing of it needs a proof."""

    look: Look
    changed: bool
    token: Optional[str] = None


class Clock:
    """Time for the next command. As long as the change makes progress, its revert is put off."""

    def __init__(self, token: str, seconds: float, system: System, run: RunWithin) -> None:
        self.token, self.seconds, self.system, self.within = token, seconds, system, run
        self._begun = time.monotonic()

    @property
    def remaining(self) -> float:
        return self._begun + self.seconds - time.monotonic()

    def renew(self) -> None:
        deadman.renew(NAME, self.token, self.system)
        self._begun = time.monotonic()

    def run(self, argv: Sequence[str]) -> tuple[int, str]:
        if self.remaining < _FRESH * self.seconds:
            self.renew()
        return self.within(argv, self.remaining)


def survey(options: Options, run: Run, system: System, root: str = "/") -> Look:
    ask = remembered(run)
    return look(options, choose(options.backend, ask), connection(system), root)


def bring_in_order(
    options: Options,
    seconds: float,
    check: bool,
    system: Optional[System] = None,
    run: RunWithin = model.run,
    root: str = "/",
) -> Changed:
    """Look, and change what is not in order, armed on return. A firewall that is not installed is not changed."""
    system = system or System()
    while True:
        deadman.wait_for_changes(WAIT_FOR, system, not check)
        current = survey(options, system.run, system, root)
        if current.in_order or check or not current.installed:
            return Changed(current, check and not current.in_order)
        if current.survey.in_order:
            _write_records(current)
            return Changed(current, True)
        try:
            writing = max(WRITING_S, seconds)
            token = deadman.arm(NAME, writing, plan(options, current, root), system)
        except SlipwayError as error:
            if error.code != "already_armed":
                raise
            # Another controller has begun since: what it makes of the host is to be looked at first.
            continue
        _change(options, current, Clock(token, writing, system, run), seconds, root)
        return Changed(current, True, token)


def plan(options: Options, current: Look, root: str = "/") -> RevertPlan:
    backend, active = current.backend, current.survey.active
    records = [service_rules.path(service, root) for service in options.rules_by_service()]
    return RevertPlan([*backend.paths, *records], backend.undo(active), backend.undo_at_boot(active), held=True)


def _change(options: Options, before: Look, clock: Clock, seconds: float, root: str) -> None:
    """Make the change, or take all of it back at once."""
    try:
        with deadman.hold(NAME, clock.token, clock.system):
            now = survey(options, clock.run, clock.system, root)
            _refuse_another(clock.system)
            if now.survey.active != before.survey.active or now.backend.name != before.backend.name:
                raise SlipwayError(
                    "changed_meanwhile", f"somebody else has switched {before.backend.name} on or off.", "run again"
                )
            _write(options, now, clock, root)
            deadman.shorten(NAME, clock.token, seconds, clock.system)
    except BaseException as error:
        line = ending.revert(NAME, clock.token, Reason.FAILED, clock.system)
        if isinstance(error, SlipwayError):
            raise SlipwayError(error.code, f"{error.message} {_told(line)}", error.fix, **error.details) from None
        raise


def _refuse_another(system: System) -> None:
    """A change that was armed between the look and this one would restore the firewall as it is now."""
    others = [name for name in WAIT_FOR if name != NAME and deadman.armed(name, system)]
    if others:
        raise SlipwayError("changed_meanwhile", f"a change of {', '.join(others)} has begun meanwhile.", "run again")


def _told(line: Optional[dict[str, Any]]) -> str:
    if line is None:
        return "The host has taken the change back by itself."
    if not line["problems"]:
        return "The change was taken back."
    return f"The change could not be taken back whole: {'; '.join(line['problems'])}."


def _write(options: Options, now: Look, clock: Clock, root: str) -> None:
    _write_records(now)
    for file, content in now.backend.files(now.survey).items():
        files.write_atomic(file, content, 0o644)
    fix = "correct the variable it comes from, or what the firewall complains of"
    command.run_each(clock.run, now.backend.commands(now.survey), fix)
    after = survey(options, clock.run, clock.system, root)
    if not after.survey.in_order:
        raise SlipwayError(
            "not_in_force",
            f"{now.backend.name} has taken every command, and still lacks {_lacking(after)}.",
            "see what else writes the rules of this host's firewall, then run again",
        )


def _lacking(after: Look) -> str:
    state = after.survey
    lacking = [f"{rule.service or rule.port}/{rule.proto}" for rule in state.missing]
    lacking += [f"{one['kind']} {one['value']} in {one['zone']}" for one in state.bindings]
    lacking += [f"the removal of {words['service'] or words['port'] or words['rich']}" for words in state.removals]
    if not state.active:
        lacking.append("being in force")
    elif not state.enabled:
        lacking.append("being in force after the next boot")
    if state.policy != state.target:
        lacking.append(f"{state.target} (it has {state.policy or 'nothing'})")
    return ", ".join([*lacking, *([state.ufw_sysctl] if state.ufw_sysctl else [])])


def _write_records(current: Look) -> None:
    """For the runs of the host's other services, which must not close what these have asked for."""
    for file, record in current.records.items():
        files.make_directory(os.path.dirname(file), 0o755)
        files.write_atomic(file, record, 0o644)


def described(current: Look) -> tuple[str, str]:
    """The firewall before and after, as far as the change is about it, for diff mode."""
    survey, name, policy = current.survey, current.backend.name, current.backend.policy
    until = "" if survey.enabled else " until the next boot"
    before = [f"{name} {'in force' + until if survey.active else 'off'}", f"{policy}: {survey.policy or 'unset'}"]
    after = [f"{name} in force", f"{policy}: {survey.target}"]
    before += [line(words) for words in survey.removals]
    after += [line(rule.as_dict()) for rule in survey.missing]
    after += [f"zone {one['zone']}: {one['kind']} {one['value']}" for one in survey.bindings]
    after += [f"kernel settings: {survey.ufw_sysctl}"] if survey.ufw_sysctl else []
    return "".join(f"{line}\n" for line in before), "".join(f"{line}\n" for line in after)


def line(words: Any) -> str:
    if words.get("rich"):
        return f"zone {words['zone']}: {words['rich']}"
    parts = [words.get("refusal") or ("limit" if words.get("limit") else "allow"), words["service"] or words["port"]]
    parts += [f"{key} {words[key]}" for key in ("proto", "source", "interface", "zone", "protocol") if words.get(key)]
    return " ".join(parts)
