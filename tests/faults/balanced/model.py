"""What a row is: a fault, when it happens, and the one outcome that the fleet must have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from bench import HOSTS, Moment

OLD, NEW = "old", "new"
RELEASED, TAKEN_BACK, KEPT = "released", "taken back", "not taken back"
FAILED, NOT_TOUCHED, GONE = "failed", "not touched", "unreachable"
SUCCEEDS, FAILS, DIES = "succeeds", "fails", "is killed"


class Each(NamedTuple):
    """One word for every host; but: by its place, the hosts that differ."""

    rest: str
    but: Mapping[int, str] = {}

    def words(self) -> list[str]:
        return [self.but.get(place, self.rest) for place in range(HOSTS)]


NOBODY: frozenset[int] = frozenset()
CANARY = 0
SECOND = frozenset((1, 2, 3, 4))  # the places of the second batch
ALL_OLD, ALL_NEW = Each(OLD), Each(NEW)
# Nobody confirms the canary's release.
STOPPED = Each(NOT_TOUCHED, {CANARY: FAILED})


@dataclass(frozen=True)
class Row:
    """ends: what each host runs once its deadlines have passed, before any other run.

    run: how the run itself ends. verdicts: its table; None where it never comes to it. booked: the hosts that it fails.
    says: what it must say. lost: the hosts whose own requests users may lose. out: the hosts that the balancer does not
    have back until the next run. steps: each host leaves the balancer around its swap. at: where an engine stands still
    until the fault has happened. act: the fault. compare: seconds of each comparison; 0 is none.
    elsewhere: the next ordinary run comes from another controller. as_awx: ansible-runner runs it, in a container.
    """

    name: str
    title: str
    ends: Each
    run: str
    verdicts: Each | None = None
    booked: frozenset[int] = NOBODY
    says: tuple[str, ...] = ()
    lost: frozenset[int] = NOBODY
    out: frozenset[int] = NOBODY
    steps: bool = False
    variables: Mapping[str, Any] = field(default_factory=dict)
    at: Moment | None = None
    act: Callable[[Any], None] | None = None
    compare: int = 0
    rate: int = 40
    mix: str = ""
    elsewhere: bool = False
    as_awx: bool = False


@dataclass
class Result:
    """What a row did; broken names what was not as it had to be."""

    name: str
    title: str
    sent: int = 0
    failed: int = 0
    of: dict[str, int] = field(default_factory=dict)
    ended: str = ""
    next_run: str = ""
    seconds: float = 0.0
    commit: str = ""
    broken: list[str] = field(default_factory=list)
