# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a change that reverts itself is: its plan, its states, and where they are on disk. PRIVATE to the collection."""

from __future__ import annotations

import enum
import os
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from .._core import command
from .._core.errors import SlipwayError
from .._core.paths import STATE_ROOT, UNIT_ROOT
from . import account_entries

ROOT = f"{STATE_ROOT}/deadman"
RUNTIME = "/run"
RUNNER = "revert.pyz"
PLAN, BEGUN = "plan.json", "reverting.json"
TICKING = "ticking"  # is there once the timer is set: before that, nothing has been changed
STALE = "stale"  # is there where what was taken back must not be taken back again
KEPT = ".kept"
LONGEST = 86400
EARLY, LATE = "early", "late"
_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,47}$")

Entry = Dict[str, Any]
Line = Dict[str, Any]
Argv = List[str]
Run = Callable[[Sequence[str]], Tuple[int, str]]


class State(enum.Enum):
    """SAVED: no timer is set yet, and nothing has been changed. REVERTING: nobody can confirm it any more."""

    SAVED = "saved"
    ARMED = "armed"
    REVERTING = "reverting"


class Reason(enum.Enum):
    """Why a change is taken back, as the journal says it."""

    ASKED = "asked"
    FAILED = "failed"
    DEADLINE = "deadline"
    BOOT = "boot"
    ABANDONED = "abandoned"
    AGAIN = "again"


NOT_RUN = 127  # the code of a command that could not be started


def run(argv: Sequence[str], seconds: float = command.SECONDS) -> tuple[int, str]:
    """Return the exit code of a command and what it said, and never raise.

    What a change has begun must not go on when its process is killed: the revert would come before its end.
    """
    try:
        done = command.run(argv, seconds, merged=True, ends_with_parent=True)
    except SlipwayError as error:
        return NOT_RUN, error.message
    except OSError as error:
        return NOT_RUN, str(error)
    return done.code, done.complaint


@dataclass(frozen=True)
class System:
    """This host: where the state of armed changes is, and how commands are run."""

    root: str = ROOT
    units: str = UNIT_ROOT
    runtime: str = RUNTIME
    run: Run = field(default=run)
    accounts: str = account_entries.FOLDER

    def folder(self, name: str) -> str:
        return os.path.join(self.root, name)

    def marker(self, name: str) -> str:
        """A file that a reboot removes, but for one that keeps /run. It does not say that a timer runs."""
        return os.path.join(self.runtime, f"slipway-deadman-{name}")

    def lock(self, name: str) -> str:
        return os.path.join(self.runtime, f"slipway-deadman-{name}.lock")

    def kept(self, name: str) -> str:
        """What was taken back last, until this name is armed again."""
        return os.path.join(self.root, f".{name}{KEPT}")

    def boot_unit(self, name: str) -> str:
        return os.path.join(self.units, f"slipway-boot-revert-{name}.service")

    def boot_link(self, name: str) -> str:
        return os.path.join(self.units, "multi-user.target.wants", f"slipway-boot-revert-{name}.service")

    def journal(self) -> str:
        return os.path.join(self.root, "journal.jsonl")


def or_this_host(system: Optional[System]) -> System:
    """The given one, else the host that this runs on."""
    return system or System()


@dataclass(frozen=True)
class RevertPlan:
    """What a revert does: restore these paths as they were when it was armed, then run these commands.

    account is one whose entries in passwd and its companions are restored, those of others not.
    run_at_boot replaces run after a reboot, when services have not started yet and will read the restored files.
    stage late is for commands that need the network and started services.
    held: whoever arms it changes the host inside hold() only, so that nothing of it comes after the revert.
    """

    paths: Sequence[str] = ()
    run: Sequence[Argv] = ()
    run_at_boot: Sequence[Argv] = ()
    stage: str = EARLY
    account: str = ""
    held: bool = False

    def validate(self) -> None:
        for path in self.paths:
            if not os.path.isabs(path) or os.path.normpath(path) != path or path == "/":
                raise SlipwayError("invalid_path", f"{path!r} is not a plain absolute path.", "name files in full")
        for argv in [*self.run, *self.run_at_boot]:
            if not argv or not all(isinstance(word, str) for word in argv):
                raise SlipwayError("invalid_argv", f"{argv!r} is not a command.", "give a list of strings")
        if re.search(r"[:\s/]", self.account):
            raise SlipwayError("invalid_account", f"{self.account!r} is no name of an account.", "name one account")
        if self.stage not in (EARLY, LATE):
            raise SlipwayError("invalid_stage", f"{self.stage!r} is not a stage.", "use early or late")


@dataclass(frozen=True)
class ArmedChange:
    """A change that waits to be confirmed, as it is on disk, with all that its revert needs.

    deadline is in seconds since the epoch, for people: the timer counts by systemd's clock.
    entries are the paths as they were. marks_ticking: whoever armed it has said on disk when the timer was set.
    """

    name: str
    token: str
    seconds: float
    deadline: float
    paths: Sequence[str]
    entries: Sequence[Entry]
    account: Optional[account_entries.Saved]
    run: Sequence[Argv]
    run_at_boot: Sequence[Argv]
    held: bool
    marks_ticking: bool = True
    state: State = State.SAVED

    @property
    def account_name(self) -> str:
        return str((self.account or {}).get("name", ""))

    def as_json(self) -> dict[str, Any]:
        """For the disk, where other versions of the collection read it."""
        return {
            "name": self.name,
            "token": self.token,
            "seconds": self.seconds,
            "deadline": self.deadline,
            "paths": list(self.paths),
            "entries": list(self.entries),
            "account": self.account,
            "run": [list(argv) for argv in self.run],
            "run_at_boot": [list(argv) for argv in self.run_at_boot],
            "held": self.held,
            "marks_ticking": self.marks_ticking,
        }


def from_json(saved: Mapping[str, Any], has_begun: bool, is_ticking: bool) -> ArmedChange:
    """Earlier versions did not write down who is held, when the timer was set, and the time to confirm."""
    marks = bool(saved.get("marks_ticking"))
    state = State.REVERTING if has_begun else State.ARMED if is_ticking or not marks else State.SAVED
    return ArmedChange(
        name=saved["name"],
        token=saved["token"],
        seconds=float(saved.get("seconds", 0.0)),
        deadline=saved["deadline"],
        paths=saved["paths"],
        entries=saved["entries"],
        account=saved.get("account"),
        run=saved["run"],
        run_at_boot=saved["run_at_boot"],
        held=bool(saved.get("held")),
        marks_ticking=marks,
        state=state,
    )


def validate_name(name: str) -> None:
    if not _NAME.match(name):
        raise SlipwayError(
            "invalid_name", f"{name!r} is not a usable name.", "use at most 48 of a-z, 0-9, '-', '_', a letter first"
        )
