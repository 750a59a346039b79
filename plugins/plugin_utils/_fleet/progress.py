# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a run shows while it waits for its hosts: one plain line at a time. This file is PRIVATE to the collection.

The task of each host runs in a process of its own. Beside the module that it waits for, a thread asks the host how far
it is, over the connection that is open anyway, and keeps the answer in the temporary folder of the run. A line is about
all hosts of the batch, and whichever process finds that one is due shows it, so that many hosts have no more lines than
few. Nothing that happens here reaches the release.
"""

from __future__ import annotations

import contextlib
import contextvars
import copy
import fcntl
import hashlib
import json
import math
import os
import shlex
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ansible import constants
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.slipway.go.plugins.module_utils._core.paths import STATE_ROOT
from ansible_collections.slipway.go.plugins.module_utils._core.table import plain
from ansible_collections.slipway.go.plugins.module_utils._release.pause import what_to_type
from ansible_collections.slipway.go.plugins.module_utils._release.progress import FILE
from ansible_collections.slipway.go.plugins.module_utils._release.strategies.verdict import FAIL, INCONCLUSIVE, PASS
from ansible_collections.slipway.go.plugins.plugin_utils._action import fresh
from ansible_collections.slipway.go.plugins.plugin_utils._fleet.plans import count
from ansible_collections.slipway.go.plugins.plugin_utils._run import this_run

# Seconds from one line to the next while nothing changes, and from one to the next at all.
EVERY, APART = 15.0, 3.0
# Seconds from one question to a host to the next, and how many the controller asks all hosts in a second.
PAUSE, QUESTIONS = 5.0, 4.0
# Seconds for which a line, or the end of a task, waits for a question that is on its way.
PATIENCE = 2.0
_MISSED = 3  # so many questions in a row without an answer are the last
_NAMES = 3  # so many hosts are named
_REASON = 300  # the longest text of a host that a line has
_LONG = 20  # what is longer is no name of a phase
_FOLDER, _SHOWN = "slipway-progress", "shown.json"
# What the controller does itself.
ASKS, UPLOADS, CONFIRMS, GOES_BACK, CONCLUDES = "PREFLIGHT", "UPLOAD", "PROBATION", "ROLLBACK", "CONCLUSION"
THROUGH, FAILED = "through", "failed"

Note = Mapping[str, Any]


class About(NamedTuple):
    """What a line is about. hosts: those of the batch, parallel at a time. batch: which one it is, in words."""

    kind: str
    service: str
    version: str
    hosts: tuple[str, ...]
    batch: str = ""
    parallel: int = 1

    @property
    def together(self) -> int:
        """How many hosts have their turn at the same time."""
        return max(min(self.parallel, len(self.hosts)), 1)

    @property
    def pause(self) -> float:
        """From one question to a host to the next one."""
        return max(PAUSE, self.together / QUESTIONS)

    def first(self, host: str) -> float:
        """Before the first one: those that begin at the same time are asked one after the other."""
        place = self.hosts.index(host) % self.together if host in self.hosts else 0
        return PAUSE / 2 + self.pause * place / self.together


def about(kind: str, service: str, version: str, variables: Mapping[str, Any], among: Collection[str] = ()) -> About:
    """The same of a task with these variables, without the batch in words.

    among: the hosts that have the service, as far as that is known; else those that preflight has asked about it.
    """
    own = str(variables.get("inventory_hostname"))
    batch = tuple(variables.get("ansible_play_batch") or [own])
    known = among or (variables.get("release_previews") or {}).get(service) or ()
    hosts = tuple(host for host in batch if host in known) if own in known else batch
    return About(kind, service, version, hosts, parallel=int(variables.get("ansible_forks") or 1))


def batch_words(host: str, batch: Sequence[str], groups: Sequence[Sequence[str]]) -> str:
    """Which batch this is. groups: the hosts batch by batch, as far as the variables say."""
    everyone = [one for group in groups for one in group]
    place = next((i for i, group in enumerate(groups) if host in group and set(batch) <= set(group)), None)
    if len(everyone) < 2:
        return ""
    if place is None:  # a play of somebody's own has other batches
        return f"{count(len(batch), 'host')} of {len(everyone)}"
    return f"batch {place + 1} of {len(groups)}"


def parse(text: str, run: str) -> dict[str, Any]:
    """What a host says of a release by this run; empty where it says none. On a terminal, more stands before it."""
    for one in reversed(text.splitlines()):
        with contextlib.suppress(ValueError, RecursionError):
            told = json.loads(one)
            if isinstance(told, dict) and told.get("run") == run:
                return _understood(told)
    return {}


def _understood(told: Mapping[str, Any]) -> dict[str, Any]:
    traffic = told.get("traffic")
    found: dict[str, Any] = {"phase": plain(str(told.get("phase")))[:_LONG]}
    found.update({name: float(told[name]) for name in ("left", "within") if _is_number(told.get(name))})
    if isinstance(traffic, Mapping) and _is_pair(traffic.get("new")) and _is_pair(traffic.get("old")):
        found["traffic"] = {"new": traffic["new"], "old": traffic["old"], "verdict": traffic.get("verdict")}
    if _is_pair(told.get("probe")):
        found["probe"] = told["probe"]
    paused = told.get("paused")
    if isinstance(paused, Mapping) and _is_number(paused.get("until")):
        found["paused"] = {"reason": plain(str(paused.get("reason")))[:_REASON], "until": float(paused["until"])}
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def line(about: About, notes: Mapping[str, Note], now: float) -> str:
    """How far the hosts of the batch are. notes: what is known of each that has begun."""
    running = {host: notes[host] for host in about.hosts if host in notes and not notes[host].get("ended")}
    ends = [str(note["ended"]) for note in notes.values() if note.get("ended")]
    still = len(about.hosts) - len(running) - len(ends)
    parts = [_doing(phase, hosts, running, now) for phase, hosts in _by_phase(running)]
    parts += [f"{ends.count(end)} {end}" for end in (THROUGH, FAILED) if end in ends and len(about.hosts) > 1]
    parts += [f"{still} to come"] if still > 0 else []
    title = ", ".join(one for one in (f"{about.service} {about.version}".strip(), about.batch) if one)
    told = running.values()
    return " ".join([f"{title}: {'; '.join(parts)}.", *_left(told, now), *_evidence(told), *_paused(about, running)])


def _paused(about: About, running: Mapping[str, Note]) -> Iterator[str]:
    """Why the first of those waits that wait for a person, and what that person is to type."""
    waiting = {host: note["paused"] for host, note in running.items() if "paused" in note}
    for host, paused in list(waiting.items())[:1]:
        until = time.strftime("%H:%M:%S UTC", time.gmtime(paused["until"]))
        yield f"Paused: {paused['reason']}. Goes back at {until}."
        yield f"On {host}, {what_to_type(about.service)}."


def _by_phase(running: Mapping[str, Note]) -> list[tuple[str, list[str]]]:
    found: dict[str, list[str]] = {}
    for host, note in running.items():
        found.setdefault(str(note["phase"]), []).append(host)
    return list(found.items())


def _doing(phase: str, hosts: Sequence[str], running: Mapping[str, Note], now: float) -> str:
    names = ", ".join(hosts) if len(hosts) <= _NAMES else count(len(hosts), "host")
    if len(running) > 1:
        return f"{names} in {phase}"
    note = running[hosts[0]]
    took = round(now - note["since"])
    lasts = f" for {seconds(took)}" if took > 0 else ""
    limit = f"{' of' if lasts else ', for'} at most {seconds(note['within'])}" if note.get("within") else ""
    return f"{names} in {phase}{lasts}{limit}"


def _left(running: Sequence[Note] | Any, now: float) -> Iterator[str]:
    left = max((note["left"] - (now - note["read"]) for note in running if "left" in note), default=0.0)
    if left >= 1:
        yield f"At least {seconds(left)} left."


def _evidence(running: Sequence[Note] | Any) -> Iterator[str]:
    traffic = [note["traffic"] for note in running if "traffic" in note and note["traffic"]["new"][0]]
    probes = [note["probe"] for note in running if "probe" in note]
    if traffic:
        new, old = (_failed([one[side] for one in traffic]) for side in ("new", "old"))
        verdicts = [str(one["verdict"]) for one in traffic]
        worst = next((verdict for verdict in (FAIL, INCONCLUSIVE) if verdict in verdicts), PASS)
        beside = f", {old} with the one before" if any(one["old"][0] for one in traffic) else ""
        yield f"Users' requests: {new} with the new release{beside}; verdict so far: {worst}."
    elif probes:
        yield f"Probe: {_failed(probes)}."


def _failed(pairs: Sequence[Sequence[float]]) -> str:
    return f"{sum(failed for _all, failed in pairs):g} of {sum(every for every, _failed in pairs):.0f} failed"


def seconds(value: float) -> str:
    whole = max(round(value), 0)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


def age(shown: Mapping[str, Any], now: float) -> float:
    """Of the last line, of whichever process; shown: what stands in its file."""
    at = shown.get("at")
    return now - at if isinstance(at, (int, float)) and at <= now else math.inf


def is_due(shown: Mapping[str, Any], key: str, host: str, phase: str, now: float) -> bool:
    """Whether a line is to be shown now: at once where this host is in another phase than the last one has said.

    Of other hosts, processes that began at different times know differently: one that has failed is no part of a batch.
    """
    phases = shown.get("phases") if shown.get("key") == key else None
    is_news = not isinstance(phases, dict) or phases.get(host) != phase
    return age(shown, now) >= (APART if is_news else EVERY)


class Board:
    """What the processes of a run know of each other's hosts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, about: About, host: str, note: Note) -> None:
        self._folder.mkdir(exist_ok=True)
        path = self._path(about, host)
        own = path.with_suffix(".new")
        own.write_text(json.dumps(note), "utf-8")
        own.replace(path)

    def notes(self, about: About) -> dict[str, Note]:
        found = {}
        for host in about.hosts:
            with contextlib.suppress(FileNotFoundError, ValueError):
                found[host] = json.loads(self._path(about, host).read_text("utf-8"))
        return found

    def _path(self, about: About, host: str) -> Path:
        name = "\0".join((about.kind, about.service, host)).encode(errors="surrogateescape")
        return self._folder / f"{hashlib.sha256(name).hexdigest()}.json"

    def turn(self, about: About, host: str, phase: str, now: float) -> dict[str, Note]:
        """What is known of the hosts, where the process of this one is to show a line of it now; else nothing."""
        key = f"{about.kind} {about.service}"
        with open(self._folder / _SHOWN, "a+", encoding="utf-8") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.seek(0)
            try:
                loaded = json.load(stream)
            except ValueError:
                loaded = {}
            shown = loaded if isinstance(loaded, dict) else {}
            if not is_due(shown, key, host, phase, now):
                return {}
            notes = self.notes(about)
            stream.truncate(0)
            json.dump({"at": now, "key": key, "phases": {one: note["phase"] for one, note in notes.items()}}, stream)
            return notes


class Watch:
    """Shows how far one host and those beside it are, for as long as the block lasts.

    read: asks the host; raises where it gives no answer. Without it, lines tell what the controller does, and for how
    long.
    """

    def __init__(
        self,
        about: About,
        host: str,
        board: Board,
        read: Callable[[], Mapping[str, Any]] | None = None,
        show: Callable[[str], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._about = about
        self._host = host
        self._board = board
        self._read = read
        self._show = show
        self._clock = clock
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._missed = 0
        self._note: dict[str, Any] = {"phase": ASKS, "since": clock()}
        self._thread: threading.Thread | None = None
        self._question: threading.Thread | None = None
        self.failed = False

    def __enter__(self) -> Watch:
        if self._show is not None:
            with contextlib.suppress(Exception):  # instead of what was kept of a task of this host before
                self._board.keep(self._about, self._host, self._note)
            self._thread = _begin(self._work)
        return self

    def __exit__(self, kind: Any, _error: Any, _traceback: Any) -> None:
        self._stop.set()
        if self._thread is None:
            return
        with self._lock, contextlib.suppress(Exception):  # no line comes after this, whoever still waits for a host
            self._note["ended"] = FAILED if kind is not None or self.failed else THROUGH
            self._board.keep(self._about, self._host, self._note)
        self._thread.join(PATIENCE)

    def enter(self, phase: str) -> None:
        """What the controller itself does from now on."""
        with self._lock:
            self._take({"phase": phase})

    def _work(self) -> None:
        pause = self._about.first(self._host)
        while not self._stop.wait(pause):
            self.turn()
            pause = self._about.pause

    def turn(self) -> None:
        """Ask the host, and show a line where one is due."""
        if self._read is not None and (self._question is None or not self._question.is_alive()):
            self._question = _begin(self._ask)
        if self._question is not None:
            self._question.join(PATIENCE)  # a host that hangs holds up no line
        with self._lock, contextlib.suppress(Exception):
            if self._note.get("ended"):
                return
            now = self._clock()
            self._board.keep(self._about, self._host, self._note)
            notes = self._board.turn(self._about, self._host, str(self._note["phase"]), now)
            if self._show is not None and notes:
                self._show(line(self._about, notes, now))

    def _ask(self) -> None:
        try:
            news = self._read() if self._read is not None else {}
            self._missed = 0
        except Exception:  # whatever a connection raises: the task itself finds out what is the matter
            self._missed += 1
            self._read = None if self._missed >= _MISSED else self._read
            return
        with self._lock:
            if news and not self._note.get("ended"):
                self._take(news)

    def _take(self, news: Mapping[str, Any]) -> None:
        now = self._clock()
        since = self._note["since"] if news["phase"] == self._note["phase"] else now
        self._note = {**news, "since": since, "read": now}


def _begin(work: Callable[[], None]) -> threading.Thread | None:
    """A thread for it, which ends with the process; what Ansible keeps of the task goes by context."""
    made = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    try:
        made.start()
    except RuntimeError:  # a controller that has no thread left has other worries
        return None
    return made


def show(text: str) -> None:
    """To the output of the run, at once: Ansible takes it out of the process of a task by its queue."""
    Display().display(plain(text))


def paced(
    say: Callable[[Mapping[str, Any], float], str],
    tell: Callable[[str], None] = show,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[Mapping[str, Any], float], None]:
    """Shows what `say` makes of figures and seconds, no more often than every EVERY seconds. It never raises."""
    last = -math.inf

    def shown(told: Mapping[str, Any], left: float) -> None:
        nonlocal last
        if clock() - last >= EVERY - 0.5:  # a pause of EVERY seconds may be a little shorter by another clock
            last = clock()
            with contextlib.suppress(Exception):
                tell(say(told, left))

    return shown


def reader(action: ActionBase, service: str) -> Callable[[], Mapping[str, Any]] | None:
    """Asks the host of that task what a release of the service is doing; None where that would be a new login."""
    connection = fresh.beside(action._connection, action._play_context)
    if connection is None:
        return None
    beside: Any = copy.copy(action)
    beside._connection = connection
    command = shlex.join(["cat", os.path.join(STATE_ROOT, service, FILE)])
    run = this_run.this().id

    def read() -> Mapping[str, Any]:
        return parse(str(beside._low_level_execute_command(command).get("stdout", "")), run)

    return read


def watch(action: ActionBase, meant: About, variables: Mapping[str, Any], asks: bool = False) -> Watch:
    """A watch over the host of that task. asks: whether the host is asked how far it is."""
    host = str(variables.get("inventory_hostname"))
    board = Board(Path(constants.DEFAULT_LOCAL_TMP) / _FOLDER)
    task = action._task
    if task.check_mode or task.no_log or task.async_val:
        return Watch(meant, host, board)
    read = None
    with contextlib.suppress(Exception):  # whatever a connection of somebody else's is like
        read = reader(action, meant.service) if asks else None
    return Watch(meant, host, board, read, show)
