"""What a row of the fault table is: a fault, when it happens, and what is promised for then and for afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

OLD, NEW, BOTH, NOTHING = "old", "new", "old and new", "nothing"
GOES_ON = frozenset((OLD, NEW, BOTH))
DOWN_IN_BETWEEN = frozenset((OLD, NEW, NOTHING))
ONLY_OLD = frozenset((OLD,))
ONLY_NEW = frozenset((NEW,))

KILL = "kill -KILL $ENGINE"
# Every process of this connection, and not the one that waits for others.
CUT_SSH = """
p=$ENGINE
while [ "$p" -gt 1 ]; do
  parent=$(awk '/^PPid:/ {print $2}' /proc/$p/status)
  case $(cat /proc/$p/comm) in sshd*) [ "$parent" -gt 1 ] && victims="$victims $p";; esac
  p=$parent
done
kill -KILL $victims
"""


@dataclass(frozen=True)
class Moment:
    """When: an audit event of Python (sys.addaudithook) whose text matches, or `begin` or `end` of a phase."""

    event: str
    match: str
    nth: int = 1
    after: bool = False


@dataclass(frozen=True)
class Row:
    """One fault and its promise.

    do: shell, on the host, at that moment; $ENGINE is the engine's process.
    before, after: shell on the host before the run, and what an operator does about the cause before the next one.
    says: what the run has to say where it has to fail; None where it may end either way, "" where it has to succeed.
    lost: kinds of failure (of the load client, or "any") that may happen, because no release could have served.
    exposed: whether a user may have reached the new release.
    first: the service has never been released.
    settled: the host has finished or undone it by itself, with no further run.
    earlier: a run that is killed then comes before.
    then: what happens once the run has ended.
    second: the variables of a second run meanwhile, and what it has to say.
    prepare, prepared: how the release is made that a rollback leaves.
    mended: more variables of the next ordinary run.
    """

    fault: str
    when: str
    strategy: str = "socket"
    kind: str = "release"
    at: Moment | None = None
    do: str = ""
    before: str = ""
    after: str = ""
    variables: dict[str, Any] = field(default_factory=dict)
    playbook: str = ""
    meanwhile: Callable[[Any], None] | None = None
    says: str | None = None
    serves: frozenset[str] = GOES_ON
    lost: frozenset[str] = frozenset()
    exposed: bool = True
    first: bool = False
    settled: bool = False
    earlier: Moment | None = None
    then: Callable[[Any], None] | None = None
    second: dict[str, Any] | None = None
    second_says: str = ""
    prepare: str = "release"
    prepared: dict[str, Any] = field(default_factory=dict)
    mended: dict[str, Any] = field(default_factory=dict)
    next_playbook: str = ""

    @property
    def title(self) -> str:
        return f"{self.strategy} {self.kind}: {self.fault}, {self.when}"


@dataclass
class Result:
    """What a row did; broken names the promises that were not kept."""

    row: Row
    host: str
    sent: int = 0
    failures: dict[str, int] = field(default_factory=dict)
    said: str = ""
    served: str = ""
    next_run: str = ""
    seconds: float = 0.0
    broken: list[str] = field(default_factory=list)
    log: str = ""
