# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A release that waits for a person, and what that person says. This file is PRIVATE to the collection.

The engine holds the service's lock meanwhile, so the word comes as a file beside the state. It names the transaction
that it is about, and nothing else counts.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import dataclass, field
from typing import Any, Callable, Mapping, Optional

from .._core import files
from .._core.errors import SlipwayError
from .state.layout import Layout, read_object
from .state.store import Store, Transaction

FILE = "resume.json"
# What a person says, and what stands in the records where nobody has said anything or the release has failed first.
RESUMED, SENT_BACK = "resumed", "sent_back"
NOT_RESUMED, FAILED = "not_resumed", "failed"
# How a release goes back that was only too slow.
GOES_BACK = (NOT_RESUMED, SENT_BACK)
_FIX = "see what the release logged, then release a version that is faster"


def _path(layout: Layout) -> str:
    return os.path.join(layout.state, FILE)


def say(layout: Layout, txn: str, word: str, by: Mapping[str, str]) -> None:
    """Write down what a person wants of this transaction; who writes it may be gone then."""
    files.write_atomic(_path(layout), json.dumps({"txn": txn, "word": word, "by": dict(by)}) + "\n", 0o600)


def heard(layout: Layout, txn: str) -> Optional[Mapping[str, Any]]:
    """What a person has said of this transaction; a word about any other one is removed."""
    if not os.path.lexists(_path(layout)):
        return None
    told = read_object(_path(layout)) or {}
    if told.get("txn") == txn and told.get("word") in (RESUMED, SENT_BACK):
        return told
    forget(layout)
    return None


def forget(layout: Layout) -> None:
    """No word stays for a later transaction."""
    files.remove_link(_path(layout))


def what_to_type(service: str) -> str:
    """The two commands by which a person decides."""
    return f"go on: sudo slipway resume {service}; back now: sudo slipway resume {service} --back"


def describe_now(paused: Mapping[str, Any], service: str) -> str:
    """What a release waits for, until when and why, and what to type."""
    since, until = (_clock(paused.get(name)) for name in ("since", "until"))
    typed = what_to_type(service)
    return (
        f"is paused since {since} because {paused.get('reason')}; it goes back at {until}. "
        f"{typed[0].upper()}{typed[1:]}"
    )


def _clock(stamp: Any) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(float(stamp or 0)))


def describe(paused: Mapping[str, Any]) -> str:
    """The pause of a transaction that has ended, in one line."""
    ends = {
        RESUMED: "was resumed",
        SENT_BACK: "was sent back",
        NOT_RESUMED: "nobody resumed it",
        FAILED: "the release failed meanwhile",
    }
    by = f" by {paused['by']}" if paused.get("by") else ""
    seconds = paused.get("seconds")
    lasted = f"for {seconds:.0f} s, then " if isinstance(seconds, (int, float)) else ""
    return f"{lasted}{ends.get(str(paused.get('ended')), 'it ended')}{by}; {paused.get('reason')}"


@dataclass
class Pause:
    """One pause of one transaction. wait: returns when `over` does, or the time has passed; it raises what is wrong."""

    store: Store
    transaction: Transaction
    seconds: float
    reason: str
    told: dict[str, Any] = field(default_factory=dict)

    def hold(self, wait: Callable[[float, Callable[[], bool]], None]) -> None:
        """Return once a person has said to go on; raise where the release has to go back."""
        self._begin()
        try:
            wait(self.seconds, lambda: self._word() is not None)
            word = self._word()
            if word is None:
                self.told["ended"] = NOT_RESUMED
                raise SlipwayError(
                    "not_resumed",
                    f"{self.reason}. It was paused for {self.seconds:g} s, and nobody resumed it.",
                    "see what the release logged, or release it again with release_force: true and resume it in time",
                )
            self._note(RESUMED, word)
        finally:
            self._end()

    def _begin(self) -> None:
        now, txn = time.time(), self.transaction
        forget(self.store.layout)
        self.told.update(reason=self.reason, since=round(now, 3), ended=FAILED)
        txn.paused = {"since": now, "until": now + self.seconds, "reason": self.reason}
        self.store.save(txn)
        self.store.journal.record("paused", txn=txn.txn, release=txn.to, phase=txn.phase, **txn.paused)

    def _word(self) -> Optional[Mapping[str, Any]]:
        """Raise at once where it is to go back, whatever else is waited for."""
        word = heard(self.store.layout, self.transaction.txn)
        if word is not None and word["word"] == SENT_BACK:
            with contextlib.suppress(OSError):  # what cannot be written down must not keep it from going back
                self._note(SENT_BACK, word)
            raise SlipwayError("sent_back", f"{self.reason}. Somebody sent it back while it was paused.", _FIX)
        return word

    def _note(self, said: str, word: Mapping[str, Any]) -> None:
        """Write down what a person has said, who that is and why."""
        by = word["by"] if isinstance(word.get("by"), dict) else {}
        person, txn = str(by.get("person") or ""), self.transaction
        self.told.update(ended=said, **({"by": person} if person else {}))
        self.store.journal.record(said, txn=txn.txn, release=txn.to, phase=txn.phase, by=by)

    def _end(self) -> None:
        """Nothing waits any more. What cannot be written down must not keep a release from going back."""
        txn = self.transaction
        self.told["seconds"] = round(time.time() - self.told["since"], 1)
        txn.paused = {}
        with contextlib.suppress(OSError):
            self.store.save(txn)
            forget(self.store.layout)
