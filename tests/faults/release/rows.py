"""The rows of the fault table. Another strategy is one line in PHASES and one service in __main__.py."""

from __future__ import annotations

import time
from typing import Any

from host import RUN, wait
from model import (
    CUT_SSH,
    DOWN_IN_BETWEEN,
    GOES_ON,
    KILL,
    NEW,
    NOTHING,
    ONLY_NEW,
    ONLY_OLD,
    PAUSE,
    Moment,
    Row,
)

PHASES = {
    "socket": ("INTENT", "OVERLAP", "FLIP", "DRAIN", "SOAK", "COMMIT"),
    "restart": ("INTENT", "DRAIN", "FLIP", "START", "SOAK", "COMMIT"),
}
# `restart` has no release that could serve between the two; it is stopped and started, and that is its downtime.
SERVES = {"restart": DOWN_IN_BETWEEN}
LOST = {"restart": frozenset(("any",))}
STATE, TREE = "/var/lib/slipway", "/opt"


def fill(folder: str) -> str:
    return f"dd if=/dev/zero of={folder}/filler bs=4k; true"


def free(folder: str) -> str:
    return f"rm -f {folder}/filler"


def read_only(folder: str) -> str:
    """A mount on top, because the engine's lock is a file that is open for writing below it."""
    return f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"


def promise(strategy: str) -> dict[str, Any]:
    return {"serves": SERVES.get(strategy, GOES_ON), "lost": LOST.get(strategy, frozenset())}


def kills(strategy: str, kind: str, edges: tuple[str, ...] = ("begin", "end")) -> list[Row]:
    words = {"begin": "as {} begins", "end": "as {} ends"}
    return [
        Row(
            f"SIGKILL of the engine", words[edge].format(phase), strategy, kind,
            at=Moment(edge, f"^{phase}$"), do=KILL, **promise(strategy),
        )  # fmt: skip
        for phase in PHASES[strategy]
        for edge in edges
    ]


def killed(when: str, event: str, match: str, strategy: str = "socket", after: bool = False, **more: Any) -> Row:
    given = {**promise(strategy), **more}
    return Row("SIGKILL of the engine", when, strategy, at=Moment(event, match, after=after), do=KILL, **given)


KILLS = [
    killed("as STAGE begins", "os.mkdir", r"releases/\.tmp-[^/]*$", serves=ONLY_OLD),
    killed("with half of the artefact written", "open", r"\.tmp-.*/environment$", serves=ONLY_OLD),
    killed("as STAGE ends", "os.rename", r"releases/\.tmp-", serves=ONLY_OLD),
    killed("in REHEARSE", "subprocess.Popen", r"start --no-block \w+-rehearsal@", after=True, serves=ONLY_OLD),
    *kills("socket", "release"),
    killed("in OVERLAP, with the new one starting", "subprocess.Popen", r"start --no-block \w+@", after=True),
    killed("in DRAIN, with the old one stopping", "subprocess.Popen", r"systemctl .*stop \w+@", after=True),
    killed("in COMMIT, before last-good is turned", "os.rename", r"last-good\.tmp"),
    killed("as PRUNE begins", "begin", "^PRUNE$", serves=ONLY_NEW),
    *kills("socket", "rollback", ("begin",)),
    *kills("restart", "release"),
    *kills("restart", "rollback", ("begin",)),
]

ROWS = KILLS
