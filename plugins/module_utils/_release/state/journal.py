# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What has happened to a service, and what follows from that. This file is PRIVATE to the collection.

journal.jsonl has one event a line and is only ever appended to. An outcome is an event that ends a transaction.
"""

from __future__ import annotations

import math
import os
import time
from typing import IO, Any, Container, Mapping, Optional, Sequence

from ..._core import json_lines
from ..._core.errors import SlipwayError

# In the event of a rollback: the release that it left was good here, and was taken back for what happened elsewhere.
WITHDRAWN = "withdrawn"
# The events that end a transaction.
OUTCOMES = ("committed", "rolled_back", "refused", "given_up")
ENDS = (*OUTCOMES, "left_as_is")
_ENDING = tuple(f'"{name}"'.encode() for name in (*OUTCOMES, "counted", "diagnosed", "drained", "once"))
# Failures that are the release's own; others, such as a missing unit, say nothing about it.
RELEASE_FAULTS = frozenset(
    (
        "not_started",
        "start_timeout",
        "unhealthy",
        "unhealthy_in_soak",
        "crashed",
        "socket_not_inherited",
        "probe_failed",
        "taken_back",
        "not_handed_over",
        "canary_failed",
        "not_resumed",
        "sent_back",
    )
)

Event = Mapping[str, Any]


class Journal:
    """The history of one service.

    Verbs ask again and again how transactions have ended. Those lines are read once, and after that only what was
    appended: a history of years must not slow a release down.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: Optional[tuple[int, int]] = None
        self._offset = 0
        self._endings: list[dict[str, Any]] = []

    def record(self, event: str, **details: Any) -> None:
        """Append one event and make it durable."""
        entry = {"time": round(time.time(), 3), "event": event, **details}
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            json_lines.append(descriptor, entry)
        finally:
            os.close(descriptor)

    def events(self) -> list[dict[str, Any]]:
        """All readable events, oldest first; a line that a power cut has torn is skipped."""
        return [event for event in map(_event, self._lines()) if event is not None]

    def unreadable_lines(self) -> int:
        """How many lines of the journal are skipped."""
        return sum(_event(line) is None for line in self._lines())

    def _lines(self) -> list[str]:
        try:
            with open(self._path, encoding="utf-8", errors="replace") as stream:
                return [line for line in stream.read().split("\n") if line.strip()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise self._unreadable(error) from error

    def _ended(self) -> list[dict[str, Any]]:
        """The outcomes, and what was counted, diagnosed, drained and run once, oldest first."""
        try:
            with open(self._path, "rb") as stream:
                found = os.fstat(stream.fileno())
                self._forget_unless((found.st_dev, found.st_ino), found.st_size)
                stream.seek(self._offset)
                last = self._read_on(stream)
                return [*self._endings, *last]
        except FileNotFoundError:
            self._file = None
            return []
        except OSError as error:
            raise self._unreadable(error) from error

    def _forget_unless(self, file: tuple[int, int], size: int) -> None:
        """Begin anew where it is another file, or a shorter one."""
        if file != self._file or size < self._offset:
            self._file, self._offset, self._endings = file, 0, []

    def _read_on(self, stream: IO[bytes]) -> list[dict[str, Any]]:
        """Take in whole lines; return what a last line says that may not be whole yet."""
        for line in stream:
            event = _event(line.decode(errors="replace")) if any(name in line for name in _ENDING) else None
            ending = [event] if event is not None else []
            if not line.endswith(b"\n"):
                return ending
            self._endings += ending
            self._offset += len(line)
        return []

    def _unreadable(self, error: OSError) -> SlipwayError:
        return SlipwayError(
            "damaged_journal",
            f"{self._path} cannot be read: {why(error)}.",
            "move it away: the history begins anew, and releases marked bad are forgotten",
        )

    def outcomes(self) -> list[dict[str, Any]]:
        """One entry per finished transaction: the history an operator reads."""
        return [e for e in self._ended() if e.get("event") in OUTCOMES]

    def history(self) -> list[dict[str, Any]]:
        """The outcomes, each failed one with what its release has said, each other one with the drains after it."""
        ended = self._ended()
        said = {e.get("txn"): e for e in ended if e.get("event") == "diagnosed"}
        outcomes = [{**_said(said.get(e.get("txn") or "none", {})), **e} for e in self.outcomes()]
        for drained in (e for e in ended if e.get("event") == "drained"):
            for swap in [e for e in outcomes if _has_left(e, drained)][-1:]:
                if not isinstance(swap.get("drained"), list):
                    swap["drained"] = []
                swap["drained"].append(drained)
        return outcomes

    def good(self) -> list[str]:
        """The releases that were committed and that nobody has rolled back from, the most recent last."""
        good: list[str] = []
        for entry in self.outcomes():
            if entry.get("event") != "committed":
                continue
            rolled_back_from = entry.get("previous") if entry.get("kind") == "rollback" else None
            good = [i for i in good if i not in (rolled_back_from, entry.get("release"))] + [str(entry.get("release"))]
        return good

    def bad(self) -> dict[str, dict[str, Any]]:
        """The releases that failed here or that somebody rolled back from, each with the event that says so."""
        bad: dict[str, dict[str, Any]] = {}
        for event in self.outcomes():
            release = str(event.get("release"))
            if event["event"] == "committed":
                bad.pop(release, None)
                if event.get("kind") == "rollback" and event.get("previous") and not event.get(WITHDRAWN):
                    bad[str(event["previous"])] = event
            elif event.get("kind") == "release" and event.get("code") in RELEASE_FAULTS:
                bad[release] = event
        return bad

    def strategy_of(self, release_id: str) -> Optional[str]:
        """How a release was swapped in, by the journal."""
        strategies = [
            e.get("strategy") for e in self.outcomes() if e["event"] == "committed" and e["release"] == release_id
        ]
        return str(strategies[-1]) if strategies and strategies[-1] else None

    def last_outcome(self) -> Event:
        """How the last transaction ended; empty where none ever did."""
        return next(reversed(self.outcomes()), {})

    def outcome_of(self, txn: Optional[str]) -> Event:
        """How this transaction ended, or the last one; empty where none has."""
        return next((event for event in reversed(self.outcomes()) if txn in (None, event.get("txn"))), {})

    def has_gone_back(self) -> bool:
        """Whether the last transaction led back to where the service had been before.

        A release that was refused counts as gone back from: whoever takes back what has just failed, on this host or on
        many at once, does not mean the one that has served all along.
        """
        last = self.last_outcome()
        return bool((last.get("event") == "committed") == (last.get("kind") == "rollback"))

    def rolled_back_since_release(self) -> bool:
        """Whether there was a rollback, or an attempt at one, since somebody released something last."""
        for event in reversed(self.outcomes()):
            if event.get("kind") == "rollback":
                return True
            if event.get("event") == "committed":
                break
        return False

    def earlier_good(self, staged: Container[str], *other_than: Optional[str]) -> list[str]:
        """Those of these releases that were good, without the excepted, the most recent first."""
        return [name for name in reversed(self.good()) if name in staged and name not in other_than]

    def last_tried(self) -> list[str]:
        """What the last transaction was about: the releases that it has brought, left or refused."""
        last = self.last_outcome()
        return [name for name in (last.get("release"), last.get("previous")) if isinstance(name, str)]

    def last_once(self, key: str) -> Event:
        """What is known last of a command that is run once for a version; empty where nothing is."""
        ended = reversed(self._ended())
        return next((e for e in ended if e.get("event") == "once" and e.get("once") == key), {})

    def every_once(self) -> dict[str, Event]:
        """The same of each such command, by its key."""
        return {str(e.get("once")): e for e in self._ended() if e.get("event") == "once"}

    def last_count_of(self, release_id: Optional[str]) -> Optional[Event]:
        """The requests of users that had been counted when this release had proven itself last."""
        return next(
            (e for e in reversed(self._ended()) if e.get("event") == "counted" and e.get("release") == release_id), None
        )


def run_of(current: Optional[str], outcomes: Sequence[Event]) -> str:
    """The run that has brought what serves; empty where it did not say, or where something was rolled back since."""
    committed = [event for event in outcomes if event.get("event") == "committed"]
    last = committed[-1] if committed else {}
    return str(last.get("run") or "") if last.get("kind") == "release" and last.get("release") == current else ""


def brought_by(release_id: str, outcomes: Sequence[Event]) -> str:
    """The run that has brought this release last; empty where it did not say."""
    kinds = [e for e in outcomes if e.get("event") == "committed" and e.get("kind") == "release"]
    return next((str(e.get("run") or "") for e in reversed(kinds) if e.get("release") == release_id), "")


def _has_left(swap: Event, drained: Event) -> bool:
    """Whether that drain may be one that this swap has begun."""
    left = swap.get("draining")
    return isinstance(left, list) and drained.get("release") in left and swap.get("started", 0) <= drained["time"]


def _said(event: Event) -> dict[str, Any]:
    return {key: event[key] for key in ("log", "answer") if key in event}


def is_number(value: Any) -> bool:
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # a number with hundreds of digits
        return False


def why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _event(line: str) -> Optional[dict[str, Any]]:
    """The event of one line of a journal; None where it is none that can be used."""
    event = json_lines.parse(line)
    if event is None or not isinstance(event.get("event"), str) or not is_number(event.get("time")):
        return None
    usable = event["event"] not in OUTCOMES or isinstance(event.get("release"), str)
    return event if usable and isinstance(event.get("probe") or {}, dict) else None
