# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which run may release the service on this host, and until when. This file is PRIVATE to the collection.

A run that releases on many hosts takes the lease of each before it changes the first. Two controllers share nothing but
these hosts, so the host decides. The last lease stays written down when it is over: a run that comes back late must
learn that another one was there in the meantime.
"""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Callable, Mapping, NamedTuple, Optional, Sequence

from ..._core import files
from ..._core.errors import SlipwayError
from ..by import describe_by, parse_by
from .journal import Journal, is_number
from .layout import Layout, read_object
from .store import PAUSED, Store, how_to_decide

BOOT_ID = "/proc/sys/kernel/random/boot_id"
# No arithmetic of a controller keeps a host locked for longer.
LONGEST = 86400.0
HELD, GIVEN_BACK, ENDED = "held", "given back", "ended"
# So many runs before are remembered to be over, for hosts that have not heard of it.
REMEMBERED = 20


class Moment(NamedTuple):
    """A time that nobody sets: seconds since the boot, and which boot that is."""

    boot: str
    seconds: float


def now() -> Moment:
    return Moment(files.text(BOOT_ID).strip(), time.clock_gettime(time.CLOCK_BOOTTIME))


@dataclass(frozen=True)
class Claim:
    """What a run says of itself to the hosts.

    run: its id. seconds: how long it may need a host. held: it has taken the lease of this host. instead: the ids of
    runs that are over. name and version: of the run and of what it releases. process: of its controller.
    """

    run: str
    seconds: float = 0.0
    held: bool = False
    instead: tuple[str, ...] = ()
    name: str = ""
    version: str = ""
    process: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Lease:
    """boot and taken say when it was taken or renewed last, since says it for people. ended_by: who has ended it.

    over: the ids of runs that have given back this lease before, or whose lease was ended.
    """

    run: str
    boot: str
    taken: float
    seconds: float
    since: float
    state: str = HELD
    name: str = ""
    version: str = ""
    process: Mapping[str, Any] = field(default_factory=dict)
    by: Mapping[str, str] = field(default_factory=dict)
    ended_by: Mapping[str, str] = field(default_factory=dict)
    over: Sequence[str] = ()

    def left(self, moment: Moment) -> float:
        """Seconds for which it still holds. One from before the boot is at least as old as the boot."""
        if self.state != HELD:
            return 0.0
        age = moment.seconds - self.taken if self.boot == moment.boot else moment.seconds
        return max(0.0, self.seconds - max(0.0, age))


_FIELDS = frozenset(one.name for one in fields(Lease))


def parse_claim(told: Optional[Mapping[str, Any]]) -> Optional[Claim]:
    """What the controller has told."""
    return Claim(**{**told, "instead": tuple(told.get("instead", ()))}) if told else None


def parse_lease(loaded: Any) -> Optional[Lease]:
    """The lease that a file says, also one that a later version has written; None where it says none."""
    if not isinstance(loaded, dict):
        return None
    try:
        lease = Lease(**{name: value for name, value in loaded.items() if name in _FIELDS})
    except TypeError:
        return None
    numbers = (lease.taken, lease.seconds, lease.since)
    over = lease.over if isinstance(lease.over, (list, tuple)) else (None,)
    texts = (lease.run, lease.boot, lease.state, lease.name, lease.version, *over)
    usable = (
        all(map(is_number, numbers))
        and all(isinstance(one, str) for one in texts)
        and all(isinstance(one, dict) for one in (lease.by, lease.ended_by, lease.process))
    )
    return replace(lease, seconds=min(lease.seconds, LONGEST)) if usable and lease.run else None


class Leases:
    """The lease of one service on this host. Who changes it holds the service's lock."""

    def __init__(self, layout: Layout, journal: Journal, moment: Callable[[], Moment] = now) -> None:
        self._name = layout.name
        self._layout = layout
        self._path = os.path.join(layout.state, "lease.json")
        self._journal = journal
        self._moment = moment

    def last(self) -> Optional[Lease]:
        """The last one, also when it is over. One that cannot be read is nobody's: it must not lock a host for ever."""
        return parse_lease(read_object(self._path))

    def holder(self) -> Optional[Lease]:
        last = self.last()
        return last if last is not None and last.left(self._moment()) > 0 else None

    def objection(self, claim: Optional[Claim]) -> Optional[SlipwayError]:
        """What speaks against a release by this run; without a claim, by one that says nothing of itself."""
        last = self.last()
        holder = last if last is not None and last.left(self._moment()) > 0 else None
        if holder is not None and (claim is None or holder.run not in (claim.run, *claim.instead)):
            return self._leased(holder)
        if claim is None or not claim.held:
            return None
        if last is None or last.run != claim.run:
            return self._lost(last)
        if last.state == ENDED:
            return self._was_ended(last)
        return None

    def check(self, claim: Optional[Claim]) -> None:
        objection = self.objection(claim)
        if objection is not None:
            raise objection

    def admit(self, claim: Optional[Claim], by: Mapping[str, str]) -> None:
        """Raise unless this run may release; the lease of one that it says to be over ends."""
        self.check(claim)
        holder = self.holder()
        if claim is not None and holder is not None and holder.run in claim.instead and holder.run != claim.run:
            self.end(by)

    def take(self, claim: Claim, by: Mapping[str, str]) -> None:
        """Take it, or raise; also again, by the run that has it."""
        self.admit(replace(claim, held=False), by)
        self._write(claim, by, time.time())

    def begin(self, claim: Optional[Claim], by: Mapping[str, str]) -> None:
        """Before a swap: the run that has the lease has its whole time again, and one without it leaves its name.

        Else one that had the lease before could come back late and not know that another one was here.
        """
        last = self.last()
        if claim is None or last is None:
            return
        if last.run != claim.run:
            self._write(claim, by, time.time(), GIVEN_BACK)
        elif claim.held:
            self._write(claim, by, last.since)

    def give_back(self, run: str) -> bool:
        """Whether this run had it."""
        last = self.last()
        if last is None or last.run != run or last.state != HELD:
            return False
        self._save(replace(last, state=GIVEN_BACK))
        return True

    def end(self, by: Mapping[str, str]) -> Optional[Lease]:
        """End the lease of whoever has it; that run may release nothing more here."""
        holder = self.holder()
        if holder is not None:
            self._save(replace(holder, state=ENDED, ended_by=parse_by(by)))
            self._journal.record("lease_ended", lease=holder.run, of=dict(holder.by), by=parse_by(by))
        return holder

    def told(self) -> Optional[dict[str, Any]]:
        """The last one for people and programs: who, since when, and for how long yet (left, 0 where it is over)."""
        last = self.last()
        if last is None:
            return None
        hidden = ("boot", "taken", "seconds")
        shown = {name: value for name, value in asdict(last).items() if name not in hidden}
        return {**shown, "left": round(last.left(self._moment()), 1)}

    def _write(self, claim: Claim, by: Mapping[str, str], since: float, state: str = HELD) -> None:
        moment, last = self._moment(), self.last()
        seconds = claim.seconds if 0 < claim.seconds < math.inf else 0.0
        self._save(
            Lease(
                claim.run,
                moment.boot,
                moment.seconds,
                min(seconds, LONGEST),
                since,
                state,
                name=claim.name,
                version=claim.version,
                process=dict(claim.process),
                by=parse_by(by),
                over=_over(last, claim.run),
            )
        )

    def _save(self, lease: Lease) -> None:
        files.write_atomic(self._path, json.dumps(asdict(lease)) + "\n", 0o644)

    def _leased(self, holder: Lease) -> SlipwayError:
        until, fix = "", f"wait for that run to end, or, where it is dead, set release_end_lease to {holder.run}"
        if self._is_paused():
            until, fix = f"; it is {PAUSED}", how_to_decide(self._name)
        described = describe_lease(holder, self._moment())
        return SlipwayError("leased", f"{self._name} is being released by {described}{until}.", fix, lease=self.told())

    def _is_paused(self) -> bool:
        return Store(self._layout).is_paused()

    def _lost(self, last: Optional[Lease]) -> SlipwayError:
        other = f"{who(last)} has taken it since" if last is not None else "it is not there any more"
        look = "see what the other run has released" if last is not None else "see who has removed it"
        return SlipwayError(
            "lease_lost",
            f"This run had the lease of {self._name} on this host, and {other}. Nothing was changed here.",
            f"{look}, then release again",
        )

    def _was_ended(self, last: Lease) -> SlipwayError:
        ended = describe_by(last.ended_by) or "somebody"
        return SlipwayError(
            "lease_ended",
            f"This run had the lease of {self._name} on this host, and it was ended by {ended}. Nothing was changed "
            "here.",
            "see why it was ended, then release again",
        )


def _over(last: Optional[Lease], run: str) -> list[str]:
    """The runs that are over when this one follows the last one."""
    if last is None:
        return []
    ended = [*last.over, *([] if last.state == HELD else [last.run])]
    return [one for one in ended if one != run][-REMEMBERED:]


def who(lease: Lease) -> str:
    """Who has taken it."""
    return describe_by({name: text for name, text in lease.by.items() if name != "reason"}) or "another run"


def describe_lease(lease: Lease, moment: Moment) -> str:
    """Owner, run, since when, for how long yet, and why."""
    since = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(lease.since))
    run = f", run {lease.name}" if lease.name else ""
    version = f", version {lease.version}" if lease.version else ""
    reason = f": {lease.by['reason']}" if lease.by.get("reason") else ""
    return f"{who(lease)}{run}{version}, since {since}, for at most {lease.left(moment):.0f} s more{reason}"
