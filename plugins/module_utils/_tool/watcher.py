# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The watch of all services in one process, slipway-watch.service. PRIVATE to the collection.

A process for every look would spend nearly all of its time on starting. This one looks, and decides as `slipway watch
SHOP` does. What is to be done after a look is left to SHOP-watch.service, which runs that command: this process may end
at any moment, and a look that hangs holds up no other service.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import sys
import threading
import time
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, Optional

from .._core import files
from .._core.errors import SlipwayError
from .._core.paths import WATCH_ROOT
from .._host import notify
from .._host.systemd import Systemd
from .._release.operator import metrics
from .._release.operator.operator import WatchOptions, operator
from .._release.operator.watch import NOTHING, Policy

INTERVAL = 10.0
TICK = 5.0  # seconds until a new file or a new tool is seen
LIMIT = 300.0  # seconds of a look after which nothing can be hoped for
REMIND = Policy.remind  # seconds until the same failure is told again
ENDING = 5.0  # seconds that a new tool waits for looks of the old one
CALL = 30.0  # seconds for systemd to take a job
DEFECT = "defect"
END = ".json"
# How it ends. The unit starts it again after all but the first.
NOTHING_LEFT, HANGING, REPLACED = 0, 1, 75


@dataclass(frozen=True)
class Watched:
    """One service as it is to be watched: interval is the seconds from the end of a look to the next one."""

    service: str
    interval: float
    options: WatchOptions


@dataclass(frozen=True)
class Seen:
    """What a look has come to: why it has to be followed by a run of the service's own; empty where all is well.

    failure is the code of a look that has failed itself.
    """

    service: str
    why: str = ""
    failure: str = ""


def parse(service: str, text: str) -> Watched:
    """The options of a file; those that it does not have, or that are none, are the defaults."""
    try:
        given = json.loads(text)
    except ValueError:
        given = None
    options: Mapping[str, Any] = given if isinstance(given, dict) else {}

    def number(name: str, default: float, least: float) -> float:
        value = options.get(name)
        usable = isinstance(value, (int, float)) and not isinstance(value, bool) and least <= value < float("inf")
        return value if usable and value is not None else default

    default = Policy()
    policy = Policy(
        fall=int(number("fall", default.fall, 1)),
        backoff=number("backoff", default.backoff, 0),
        cap=number("cap", default.cap, 0),
        rollback=int(number("rollback", default.rollback, 0)),
    )
    return Watched(service, number("interval", INTERVAL, 1), WatchOptions(policy, str(options.get("metrics") or "")))


class Folder:
    """The services that are to be watched; a file is read again when it has changed."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._read: dict[str, tuple[tuple[int, ...], Watched]] = {}

    def read(self) -> dict[str, Watched]:
        try:
            names = [name[: -len(END)] for name in os.listdir(self._path) if name.endswith(END)]
        except OSError:
            names = []
        self._read = {name: self._read[name] for name in names if name in self._read}
        return {name: one for name in names if (one := self.of(name))}

    def of(self, service: str) -> Optional[Watched]:
        """How this service is to be watched now; None where it is not."""
        path = os.path.join(self._path, f"{service}{END}")
        found = identity(path)
        if not found:
            return None
        known = self._read.get(service)
        if known is None or known[0] != found:
            known = self._read[service] = (found, parse(service, files.text(path)))
        return known[1]


class Schedule:
    """Whose turn it is. Times are seconds of one clock that never goes back."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}
        self._begun: dict[str, float] = {}

    def keep(self, watched: Mapping[str, Watched], now: float) -> None:
        """Watch these and no others; new ones are spread over their interval, so that they do not all ask at once."""
        self._due = {name: due for name, due in self._due.items() if name in watched}
        new = sorted(watched.keys() - self._due.keys() - self._begun.keys())
        for number, name in enumerate(new, 1):
            self._due[name] = now + watched[name].interval * number / len(new)
        for name in self._due.keys() & watched.keys():  # a shorter interval holds from now on
            self._due[name] = min(self._due[name], now + watched[name].interval)

    def due(self, now: float) -> list[str]:
        """Those whose turn it is, the longest overdue first."""
        return sorted((name for name, due in self._due.items() if due <= now), key=lambda name: self._due[name])

    def begin(self, name: str, now: float) -> None:
        self._due.pop(name, None)
        self._begun[name] = now

    def end(self, name: str, watched: Mapping[str, Watched], now: float) -> None:
        self._begun.pop(name, None)
        if name in watched:
            self._due[name] = now + watched[name].interval

    @property
    def busy(self) -> bool:
        return bool(self._begun)

    def hanging(self, now: float, limit: float) -> list[str]:
        """Those whose look takes too long."""
        return sorted(name for name, begun in self._begun.items() if now - begun > limit)

    def next(self, otherwise: float) -> float:
        """When the next one is due."""
        return min(self._due.values(), default=otherwise)


class Failures:
    """Looks that fail themselves: the same failure of a service is told once, and then as often as any alert."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, float]] = {}

    def is_new(self, seen: Seen, now: float) -> bool:
        if not seen.failure:
            self._told.pop(seen.service, None)
            return True
        # A process that has just been started may know more than this one, whatever is the matter with it.
        if seen.failure == DEFECT:
            return True
        last, at = self._told.get(seen.service, ("", 0.0))
        if last == seen.why and now - at < REMIND:
            return False
        self._told[seen.service] = (seen.why, now)
        return True


def identity(path: str) -> tuple[int, ...]:
    """Another one for every file that was put there; empty where there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def look(watched: Watched) -> Seen:
    """One look at a service, whatever is the matter with it."""
    try:
        decision = operator(watched.service).watch(watched.options, acts=False)
    except SlipwayError as error:
        if error.code == "unknown_service":  # the role has set it up, and no release has come yet
            return Seen(watched.service)
        return Seen(watched.service, str(error), error.code)
    except OSError as error:
        return Seen(watched.service, f"{error.strerror or error} {error.filename or ''}".rstrip(), "os_error")
    except Exception as error:
        return Seen(watched.service, f"a defect: {error!r}", DEFECT)
    acts = decision.action != NOTHING
    return Seen(watched.service, f"{decision.action}: {decision.message}" if acts else "")


class Watcher:
    """Looks at each service in a thread of its own, and has the service's own unit do what is to be done."""

    def __init__(
        self,
        folder: str = WATCH_ROOT,
        replaceable: Iterable[str] = (),
        systemd: Optional[Systemd] = None,
        look: Callable[[Watched], Seen] = look,
    ) -> None:
        self._folder = Folder(folder)
        self._replaceable = list(replaceable)
        self._began_as = self._identities()
        self._systemd = systemd or Systemd(CALL)
        self._look = look
        self._schedule = Schedule()
        self._failures = Failures()
        self._watched: dict[str, Watched] = {}
        self._ended: queue.SimpleQueue[str] = queue.SimpleQueue()

    def _identities(self) -> list[tuple[int, ...]]:
        return [identity(path) for path in self._replaceable]

    @property
    def is_replaced(self) -> bool:
        """Whether another tool, or another Python, is where this one was; not while there is none."""
        return any(now and now != then for now, then in zip(self._identities(), self._began_as))

    def run(self) -> int:
        """Watch until there is a reason to end, which is the exit code."""
        notify.notify(notify.READY)
        tick = time.monotonic()
        while True:
            now = time.monotonic()
            if now >= tick:
                tick = now + TICK
                code = self._tick(now)
                if code is not None:
                    return code
            for name in self._schedule.due(now):
                self._begin(name, now)
            self._collect(min(tick, self._schedule.next(tick)) - now)

    def _tick(self, now: float) -> Optional[int]:
        """See what has changed around this process; return how to end where there is nothing to go on with."""
        self._watched = self._folder.read()
        self._schedule.keep(self._watched, now)
        hanging = self._schedule.hanging(now, LIMIT)
        for name in hanging:  # it cannot be ended, and holds the service's lock
            self._hand_over(Seen(name, f"a look has not ended within {LIMIT:g} s"))
        if hanging:
            return HANGING
        if self.is_replaced:
            self._await_looks()
            return REPLACED
        if not self._watched and not self._schedule.busy:
            return NOTHING_LEFT
        notify.notify(notify.ALIVE)
        return None

    def _await_looks(self) -> None:
        end = time.monotonic() + ENDING
        while self._schedule.busy and time.monotonic() < end:
            self._collect(end - time.monotonic())

    def _begin(self, name: str, now: float) -> None:
        self._schedule.begin(name, now)
        threading.Thread(target=self._attend, args=(name,), name=name, daemon=True).start()

    def _attend(self, name: str) -> None:
        try:
            watched = self._folder.of(name)
            seen = self._look(watched) if watched else Seen(name)
            if self._failures.is_new(seen, time.monotonic()) and seen.why:
                self._hand_over(seen)
            if watched:
                self._take_back(watched)
        finally:
            self._ended.put(name)

    def _take_back(self, watched: Watched) -> None:
        """Where this was the last look, or the last one that was told there, nobody would correct its verdict."""
        told, now = watched.options.metrics, self._folder.of(watched.service)
        if told and (now is None or now.options.metrics != told):
            with contextlib.suppress(OSError):
                os.unlink(metrics.path(told, watched.service))

    def _collect(self, seconds: float) -> None:
        """Wait that long at most for a look to end."""
        try:
            name = self._ended.get(timeout=max(0.0, seconds))
        except queue.Empty:
            return
        self._schedule.end(name, self._watched, time.monotonic())

    def _hand_over(self, seen: Seen) -> None:
        """Have the service's own unit look again and do what is to be done; it gives the alert, too."""
        unit = f"{seen.service}-watch.service"
        sys.stderr.write(f"{seen.service}: {seen.why}; {unit} sees to it\n")
        try:
            self._systemd.start(unit)
        except SlipwayError as error:
            sys.stderr.write(f"{seen.service}: {error}\n")


def serve() -> int:
    """What slipway-watch.service runs."""
    code = Watcher(replaceable=(os.path.abspath(sys.argv[0]), os.path.realpath(sys.executable))).run()
    if code != NOTHING_LEFT:
        sys.stderr.flush()
        os._exit(code)  # looks that go on are not waited for
    return code
