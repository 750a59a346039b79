# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a service keeps its releases and what it remembers. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import math
import os
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any, Iterator, Mapping, Optional, Sequence

from ..._core import files, json_lines
from ..._core.errors import SlipwayError
from ..._core.paths import STATE_ROOT, UNIT_ROOT
from ..phases import Phase
from .model import Settings, is_release_id, validate_name

CONFIG_ROOT = "/etc"
PROXY_ROOT = "/etc/haproxy/slipway.live"
# The events that end a transaction.
OUTCOMES = ("committed", "rolled_back", "refused", "given_up")
_ENDS = (*OUTCOMES, "left_as_is")
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
    )
)


@dataclass(frozen=True)
class Layout:
    """Every path of one service."""

    name: str
    root: str
    state_root: str = STATE_ROOT
    config_root: str = CONFIG_ROOT
    unit_root: str = UNIT_ROOT
    proxy_root: str = PROXY_ROOT

    @property
    def releases(self) -> str:
        return os.path.join(self.root, "releases")

    @property
    def current(self) -> str:
        return os.path.join(self.root, "current")

    @property
    def last_good(self) -> str:
        return os.path.join(self.root, "last-good")

    @property
    def state(self) -> str:
        return os.path.join(self.state_root, self.name)

    @property
    def boot_file(self) -> str:
        return os.path.join(self.state, "boot.env")

    @property
    def slots(self) -> str:
        """Which of the local ports each release has, strategy `proxy`; the units read it."""
        return os.path.join(self.state, "slots")

    @property
    def proxy_record(self) -> str:
        """Part of HAProxy's configuration: to which of the local ports it leads users when it starts."""
        return os.path.join(self.proxy_root, f"{self.name}.cfg")

    @property
    def config(self) -> str:
        return os.path.join(self.config_root, self.name)

    @property
    def template_unit(self) -> str:
        return os.path.join(self.unit_root, f"{self.name}@.service")

    @property
    def socket_unit(self) -> str:
        return os.path.join(self.unit_root, f"{self.name}.socket")

    @property
    def guard_unit(self) -> str:
        return os.path.join(self.unit_root, f"{self.name}-guard.service")

    @property
    def own_units(self) -> tuple[str, ...]:
        """The units that a release is staged with, and that come back with it; each needs those before it."""
        return (self.guard_unit, self.socket_unit, self.template_unit)

    @property
    def units(self) -> str:
        """The folder with these units as the next release will take them along."""
        return os.path.join(self.config, "units")

    def release_units(self, release_id: str) -> str:
        """The folder with these units as the release was staged with them."""
        return os.path.join(self.release(release_id), "units")

    def release(self, release_id: str) -> str:
        return os.path.join(self.releases, release_id)

    def binary(self, release_id: str) -> str:
        return os.path.join(self.release(release_id), "bin", self.name)

    @property
    def released(self) -> str:
        """What each release was when it was staged, and how it is asked whether it is healthy."""
        return os.path.join(self.state, "released")

    def sums(self, release_id: str) -> str:
        """The digests of its files, for sha256sum(1)."""
        return os.path.join(self.released, f"{release_id}.sha256")

    def kept_manifest(self, release_id: str) -> str:
        return os.path.join(self.released, f"{release_id}.json")

    def health_file(self, release_id: str) -> str:
        return os.path.join(self.released, f"{release_id}.health.json")

    def instance(self, release_id: str) -> str:
        return f"{self.name}@{release_id}.service"

    def rehearsal(self, release_id: str) -> str:
        return f"{self.name}-rehearsal@{release_id}.service"

    @property
    def rehearsal_socket(self) -> str:
        return f"{self.name}-rehearsal.socket"

    def current_id(self) -> Optional[str]:
        return files.link_name(self.current)

    def last_good_id(self) -> Optional[str]:
        return files.link_name(self.last_good)

    def staged(self) -> list[str]:
        """The ids of all complete releases on this host, oldest first."""
        try:
            entries = list(os.scandir(self.releases))
        except FileNotFoundError:
            return []
        found = [e for e in entries if is_release_id(e.name) and e.is_dir(follow_symlinks=False)]
        return [e.name for e in sorted(found, key=lambda e: e.stat().st_mtime)]

    def manifest(self, release_id: str) -> dict[str, Any]:
        """What release.json said when it was staged; empty where the release or its manifest is not readable."""
        kept = self.kept_manifest(release_id)
        path = kept if os.path.exists(kept) else os.path.join(self.release(release_id), "release.json")
        return _read_object(path) or {}


@dataclass
class Transaction:
    """The one swap in flight. Times are seconds since the epoch; reason is that of a rollback nobody has asked for.

    deadline is when the host takes it back unless somebody confirms it, None for one that is not to be confirmed. run
    is the name of the run that it belongs to, where that has one.
    """

    txn: str
    phase: str
    to: str
    source: Optional[str]
    strategy: str
    started: float
    kind: str = "release"
    reason: str = ""
    deadline: Optional[float] = None
    measured: dict[str, Any] = field(default_factory=dict)
    run: str = ""

    @classmethod
    def parse(cls, loaded: Any) -> Transaction:
        """The transaction that a file says; ValueError or TypeError where it says none."""
        found = cls(**loaded)
        texts = (found.txn, found.phase, found.strategy, found.kind)
        numbers = (found.started, found.started if found.deadline is None else found.deadline)
        if not all(isinstance(text, str) and text for text in texts) or not isinstance(found.reason, str):
            raise ValueError("one of its texts is none")
        if not all(is_release_id(name) for name in (found.to, found.source) if name is not None) or found.to is None:
            raise ValueError("it names no release")
        if not all(map(_is_number, numbers)) or not isinstance(found.measured, dict):
            raise ValueError("one of its numbers is none")
        return found


class Store:
    """state.json (one transaction in flight), journal.jsonl (append-only history) and the lock of one service."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._state = os.path.join(layout.state, "state.json")
        self._journal = os.path.join(layout.state, "journal.jsonl")
        self._settings = os.path.join(layout.state, "settings.json")
        self._proposed = os.path.join(layout.state, "settings.next.json")
        self._lock = os.path.join(layout.state, "lock")

    @contextlib.contextmanager
    def locked(self, timeout: float) -> Iterator[None]:
        """Hold the service's lock; flock(2) ends with its holder, so a killed run leaves nothing to clean."""
        files.make_directory(self.layout.state, 0o700)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            self._acquire(descriptor, timeout)
            holder = {"pid": os.getpid(), "user": _who(), "since": time.time()}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _acquire(self, descriptor: int, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise self._busy(descriptor, timeout) from None
                time.sleep(0.1)

    def _busy(self, descriptor: int, timeout: float) -> SlipwayError:
        try:
            holder = json.loads(os.pread(descriptor, 4096, 0))
            who = f"{holder['user']} (pid {holder['pid']}) for {time.time() - holder['since']:.0f} s"
        except (ValueError, KeyError, TypeError):
            who = "another run"
        return SlipwayError(
            "locked",
            f"{self.layout.name} is being released by {who}; waited {timeout:g} s.",
            "wait for that run to end, or raise release_lock_timeout",
        )

    def begin(
        self, to: str, source: Optional[str], strategy: str, kind: str, reason: str = "", run: str = ""
    ) -> Transaction:
        return Transaction(uuid.uuid4().hex, Phase.INTENT, to, source, strategy, time.time(), kind, reason, run=run)

    def save(self, transaction: Transaction) -> None:
        files.write_atomic(self._state, json.dumps(asdict(transaction)) + "\n", 0o644)

    def load(self) -> Optional[Transaction]:
        """The transaction a run has left in flight, or None."""
        try:
            with open(self._state, encoding="utf-8") as stream:
                return Transaction.parse(json.load(stream))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, RecursionError, OSError) as error:
            raise SlipwayError(
                "damaged_state",
                f"{self._state} is not readable as a transaction: {_why(error)}.",
                f"run slipway recover {self.layout.name} on the host, which rebuilds it from the journal",
            ) from error

    def repair(self) -> None:
        """Where state.json is damaged, put it aside and write what the journal says; the caller holds the lock."""
        try:
            self.load()
        except SlipwayError as damage:
            left = self._from_journal(damage)
            aside = f"{self._state}.damaged"
            remove(aside)
            os.rename(self._state, aside)
            files.fsync_directory(self.layout.state)
            if left is not None:
                self.save(left)
            self.record("repaired", txn=left.txn if left else None, reason=damage.message)

    def _from_journal(self, damage: SlipwayError) -> Optional[Transaction]:
        """The transaction that is in flight by the journal; None where it says that none is."""
        events = self.journal()
        phases = [event for event in events if event["event"] == "phase"]
        txn = phases[-1].get("txn") if phases else None
        over = not phases or any(event.get("txn") == txn for event in events if event["event"] in _ENDS)
        if not over:
            with contextlib.suppress(ValueError, TypeError):
                return self._begun([event for event in phases if event.get("txn") == txn])
        elif self.layout.current_id() == self.layout.last_good_id():
            return None
        raise SlipwayError(
            damage.code,
            f"{damage.message} The journal beside it does not say what was in flight.",
            f"make sure that the right release of {self.layout.name} runs, then remove that file",
        )

    def _begun(self, phases: Sequence[Mapping[str, Any]]) -> Transaction:
        first, last = phases[0], phases[-1]
        to, served = str(last.get("to")), self._good_before(first)
        source = first.get("source", served if served != to else None)
        told = {
            "txn": last.get("txn"),
            "phase": last.get("phase"),
            "to": to,
            "source": source,
            "started": first["time"],
            "run": str(last.get("run") or ""),
            "deadline": last.get("deadline"),
        }
        strategy = first.get("strategy") or self.layout.manifest(to).get("strategy")
        return Transaction.parse({**told, "strategy": strategy, "kind": first.get("kind", "release")})

    def _good_before(self, event: Mapping[str, Any]) -> Optional[str]:
        """The release that served then, for a journal of a version that did not write it down."""
        before = [e for e in self.outcomes() if e["event"] == "committed" and e["time"] <= event["time"]]
        return str(before[-1]["release"]) if before else None

    def strategy_of(self, release_id: str) -> Optional[str]:
        """How a release was swapped in, by the journal."""
        found = [e.get("strategy") for e in self.outcomes() if e["event"] == "committed" and e["release"] == release_id]
        return str(found[-1]) if found and found[-1] else None

    def clear(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._state)
            files.fsync_directory(self.layout.state)

    def save_settings(self, settings: Settings) -> None:
        """Keep how the service is treated, for the tool on the host. A health check may hold secrets: root only."""
        files.write_atomic(self._settings, json.dumps(asdict(settings)) + "\n", 0o600)

    def kept(self, otherwise: int) -> int:
        """How many releases stay, by the settings that are in force."""
        keep = (_read_object(self._settings) or {}).get("keep")
        return keep if isinstance(keep, int) and keep >= 2 else otherwise

    def differs(self, release_id: str, settings: Settings) -> bool:
        """Whether the host would treat the release otherwise than these settings say."""
        wanted = json.loads(json.dumps(asdict(settings)))
        return _read_object(self._settings) != wanted or self.health(release_id) != wanted["health"]

    def propose_settings(self, settings: Settings) -> None:
        """Keep them for the time when the release they came with is confirmed."""
        files.write_atomic(self._proposed, json.dumps(asdict(settings)) + "\n", 0o600)

    def accept_settings(self) -> bool:
        """Whether there were any."""
        try:
            os.rename(self._proposed, self._settings)
        except FileNotFoundError:
            return False
        files.fsync_directory(self.layout.state)
        return True

    def drop_settings(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._proposed)

    def save_health(self, release_id: str, health: Mapping[str, Any]) -> None:
        """Keep how a release is asked whether it is healthy. That may hold secrets: root only."""
        files.make_directory(self.layout.released, 0o700)
        files.write_atomic(self.layout.health_file(release_id), json.dumps(dict(health)) + "\n", 0o600)

    def health(self, release_id: str) -> Optional[dict[str, Any]]:
        """How this release is asked; None where it does not say."""
        kept = self.layout.health_file(release_id)
        if os.path.exists(kept) or os.path.exists(self.layout.sums(release_id)):
            return _read_object(kept)
        return _read_object(os.path.join(self.layout.release(release_id), "health.json"))  # of a version before this

    def record(self, event: str, **details: Any) -> None:
        """Append one event to the journal and make it durable."""
        entry = {"time": round(time.time(), 3), "event": event, **details}
        descriptor = os.open(self._journal, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            json_lines.append(descriptor, entry)
        finally:
            os.close(descriptor)

    def record_phase(self, transaction: Transaction, **details: Any) -> None:
        """What the transaction can be rebuilt from where state.json is damaged."""
        if transaction.run:
            details["run"] = transaction.run
        if transaction.deadline is not None:
            details["deadline"] = transaction.deadline
        self.record("phase", txn=transaction.txn, phase=transaction.phase, to=transaction.to, **details)

    def journal(self) -> list[dict[str, Any]]:
        """All readable events, oldest first; a line that a power cut has torn is skipped."""
        return [event for event in map(_event, self._lines()) if event is not None]

    def unreadable_lines(self) -> int:
        """How many lines of the journal are skipped."""
        return sum(_event(line) is None for line in self._lines())

    def _lines(self) -> list[str]:
        try:
            with open(self._journal, encoding="utf-8", errors="replace") as stream:
                return [line for line in stream.read().split("\n") if line.strip()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SlipwayError(
                "damaged_journal",
                f"{self._journal} cannot be read: {_why(error)}.",
                "move it away; the history begins anew, and releases marked bad are forgotten",
            ) from error

    def outcomes(self) -> list[dict[str, Any]]:
        """One entry per finished transaction: the history an operator reads."""
        return [e for e in self.journal() if e.get("event") in OUTCOMES]

    def good(self) -> list[str]:
        """The releases that were committed and that nobody has rolled back from, the most recent last."""
        good: list[str] = []
        for entry in self.outcomes():
            if entry.get("event") != "committed":
                continue
            left = entry.get("previous") if entry.get("kind") == "rollback" else None
            good = [i for i in good if i not in (left, entry.get("release"))] + [str(entry.get("release"))]
        return good

    def bad(self) -> dict[str, dict[str, Any]]:
        """The releases that failed or that somebody rolled back from, each with the event that says so."""
        found: dict[str, dict[str, Any]] = {}
        for event in self.outcomes():
            release = str(event.get("release"))
            if event["event"] == "committed":
                found.pop(release, None)
                if event.get("kind") == "rollback" and event.get("previous"):
                    found[str(event["previous"])] = event
            elif event.get("kind") == "release" and event.get("code") in RELEASE_FAULTS:
                found[release] = event
        return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _event(line: str) -> Optional[dict[str, Any]]:
    """The event of one line of a journal; None where it is none that can be used."""
    event = json_lines.parse(line)
    if event is None or not isinstance(event.get("event"), str) or not _is_number(event.get("time")):
        return None
    usable = event["event"] not in OUTCOMES or isinstance(event.get("release"), str)
    return event if usable and isinstance(event.get("probe") or {}, dict) else None


def _read_object(path: str) -> Optional[dict[str, Any]]:
    """The JSON object in a file; None where there is none that can be read."""
    try:
        with open(path, encoding="utf-8") as stream:
            loaded = json.load(stream)
    except (OSError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None


def load_settings(name: str, state_root: str = STATE_ROOT) -> Settings:
    """How the last release of this service was treated."""
    path = os.path.join(state_root, validate_name(name), "settings.json")
    try:
        with open(path, encoding="utf-8") as stream:
            settings = Settings(**json.load(stream))
        if settings.name != name or not isinstance(settings.health, dict):
            raise ValueError("it is not that of this service")
        return settings
    except (FileNotFoundError, NotADirectoryError):
        raise SlipwayError(
            "unknown_service", f"{name} has never been released on this host.", "slipway status lists the services"
        ) from None
    except (ValueError, TypeError, AttributeError, RecursionError, OSError, SlipwayError) as error:
        raise SlipwayError(
            "damaged_settings", f"{path} is not readable: {_why(error)}.", "release the service again"
        ) from error


def remove(path: str) -> None:
    """Remove a file or a folder; nothing where there is none."""
    if os.path.isdir(path) and not os.path.islink(path):
        files.remove_tree(path)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def services(state_root: str = STATE_ROOT) -> list[str]:
    """The names of all services that have been released on this host."""
    try:
        return sorted(e.name for e in os.scandir(state_root) if os.path.exists(os.path.join(e.path, "settings.json")))
    except FileNotFoundError:
        return []


def _who() -> str:
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
