# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a service remembers: the transaction in flight, settings, the lock. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Iterator, Mapping, Optional, Sequence

from ..._core import files
from ..._core.errors import SlipwayError, sentence
from ..._core.paths import STATE_ROOT
from ..phases import Phase
from .journal import ENDS, Journal, is_number, why
from .layout import Layout, read_object
from .model import PAUSE, Settings, is_release_id, validate_name

PAUSED = "paused until somebody decides"


@dataclass
class Transaction:
    """The one swap in flight. Times are seconds since the epoch; reason is that of a rollback nobody has asked for.

    deadline is when the host takes it back unless somebody confirms it, None for one that is not to be confirmed. run
    is the name of the run that it belongs to, where that has one. by is who has asked for it. paused says since when,
    until when and why it waits for a person, and is empty where it does not.
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
    by: dict[str, str] = field(default_factory=dict)
    paused: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, loaded: Any) -> Transaction:
        """The transaction that a file says; ValueError or TypeError where it says none."""
        transaction = cls(**loaded)
        texts = (transaction.txn, transaction.phase, transaction.strategy, transaction.kind)
        numbers = (transaction.started, transaction.started if transaction.deadline is None else transaction.deadline)
        if not all(isinstance(text, str) and text for text in texts) or not isinstance(transaction.reason, str):
            raise ValueError("one of its texts is none")
        if (
            not all(is_release_id(name) for name in (transaction.to, transaction.source) if name is not None)
            or transaction.to is None
        ):
            raise ValueError("it names no release")
        if not all(map(is_number, numbers)) or not all(
            isinstance(one, dict) for one in (transaction.measured, transaction.by, transaction.paused)
        ):
            raise ValueError("one of its numbers is none")
        return transaction


class Store:
    """state.json (one transaction in flight), the settings, the journal and the lock of one service."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._state = os.path.join(layout.state, "state.json")
        self.journal = Journal(os.path.join(layout.state, "journal.jsonl"))
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
            holder = {"pid": os.getpid(), "user": person(), "since": time.time()}
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def is_free(self) -> bool:
        """Whether no run is at work, so that what is in flight was cut short or waits to be confirmed."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

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
        name, fix = self.layout.name, "wait for that run to end, or raise release_lock_timeout"
        if self.is_paused():
            who, fix = f"{who}, and is {PAUSED}", how_to_decide(name)
        return SlipwayError(
            "locked",
            f"{name} is being released by {who}; waited {timeout:g} s, as release_lock_timeout allows.",
            fix,
        )

    def is_paused(self) -> bool:
        """Whether a run waits for a person."""
        with contextlib.suppress(SlipwayError):
            in_flight = self.load()
            return in_flight is not None and bool(in_flight.paused) and not self.is_free()
        return False

    def begin(
        self,
        to: str,
        source: Optional[str],
        strategy: str,
        kind: str,
        reason: str = "",
        run: str = "",
        by: Optional[Mapping[str, str]] = None,
    ) -> Transaction:
        begun, known = time.time(), dict(by or {})
        return Transaction(
            os.urandom(16).hex(), Phase.INTENT, to, source, strategy, begun, kind, reason, run=run, by=known
        )

    def save(self, transaction: Transaction) -> None:
        told = {name: value for name, value in asdict(transaction).items() if value or name != "paused"}
        files.write_atomic(self._state, json.dumps(told) + "\n", 0o644)  # an older tool on the host knows no pause

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
                f"{self._state} is not readable as a transaction: {why(error)}.",
                f"run sudo slipway recover {self.layout.name} on the host, which rebuilds it from the journal",
            ) from error

    def repair(self) -> None:
        """Where state.json is damaged, put it aside and write what the journal says; the caller holds the lock."""
        try:
            self.load()
        except SlipwayError as damage:
            in_flight = self._from_journal(damage)
            aside = f"{self._state}.damaged"
            remove(aside)
            os.rename(self._state, aside)
            files.fsync_directory(self.layout.state)
            if in_flight is not None:
                self.save(in_flight)
            self.journal.record("repaired", txn=in_flight.txn if in_flight else None, reason=damage.message)

    def _from_journal(self, damage: SlipwayError) -> Optional[Transaction]:
        """The transaction that is in flight by the journal; None where it says that none is."""
        events = self.journal.events()
        phases = [event for event in events if event["event"] == "phase"]
        txn = phases[-1].get("txn") if phases else None
        over = not phases or any(event.get("txn") == txn for event in events if event["event"] in ENDS)
        if not over:
            with contextlib.suppress(ValueError, TypeError):
                return self._begun([event for event in phases if event.get("txn") == txn])
        elif self.layout.current_id() == self.layout.last_good_id():
            return None
        raise SlipwayError(
            damage.code,
            f"{sentence(damage.message)} The journal beside it does not say what was in flight.",
            f"make sure that the right release of {self.layout.name} runs, then remove that file",
        )

    def _begun(self, phases: Sequence[Mapping[str, Any]]) -> Transaction:
        first, last = phases[0], phases[-1]
        to, served = str(last.get("to")), self._good_before(first)
        source = first.get("source", served if served != to else None)
        fields = {
            "txn": last.get("txn"),
            "phase": last.get("phase"),
            "to": to,
            "source": source,
            "started": first["time"],
            "run": str(last.get("run") or ""),
            "by": first.get("by") or {},
            "deadline": last.get("deadline"),
        }
        strategy = first.get("strategy") or self.layout.manifest(to).get("strategy")
        return Transaction.parse({**fields, "strategy": strategy, "kind": first.get("kind", "release")})

    def _good_before(self, event: Mapping[str, Any]) -> Optional[str]:
        """The release that served then, for a journal of a version that did not write it down."""
        before = [e for e in self.journal.outcomes() if e["event"] == "committed" and e["time"] <= event["time"]]
        return str(before[-1]["release"]) if before else None

    def clear(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._state)
            files.fsync_directory(self.layout.state)

    def point_boot(self, instance: str) -> None:
        """Have PID 1 start this instance at boot, and when the service's socket has nobody to answer."""
        files.write_atomic(self.layout.boot_file, f"SLIPWAY_RELEASE={instance}\n", 0o644)

    def boot_instance(self) -> Optional[str]:
        """What PID 1 starts then."""
        try:
            with open(self.layout.boot_file, encoding="utf-8") as stream:
                return stream.read().strip().partition("=")[2] or None
        except (FileNotFoundError, ValueError):
            return None

    def save_settings(self, settings: Settings) -> None:
        """Keep how the service is treated, for the tool on the host. A health check may hold secrets: root only."""
        files.write_atomic(self._settings, json.dumps(_written(settings)) + "\n", 0o600)

    def has_settings(self) -> bool:
        return os.path.exists(self._settings)

    def forget_settings(self) -> None:
        """The tool on the host knows the service no more."""
        files.remove_link(self._settings)

    def kept(self, otherwise: int) -> int:
        """How many releases stay, by the settings that are in force."""
        keep = (read_object(self._settings) or {}).get("keep")
        return keep if isinstance(keep, int) and keep >= 2 else otherwise

    def differs(self, release_id: str, settings: Settings) -> bool:
        """Whether the host would treat the release otherwise than these settings say."""
        wanted = json.loads(json.dumps(_written(settings)))
        return read_object(self._settings) != wanted or self.health(release_id) != wanted["health"]

    def propose_settings(self, settings: Settings) -> None:
        """Keep them for the time when the release they came with is confirmed."""
        files.write_atomic(self._proposed, json.dumps(_written(settings)) + "\n", 0o600)

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
            return read_object(kept)
        return read_object(os.path.join(self.layout.release(release_id), "health.json"))  # of a version before this

    def record_phase(self, transaction: Transaction, **details: Any) -> None:
        """What the transaction can be rebuilt from where state.json is damaged."""
        if transaction.run:
            details["run"] = transaction.run
        if transaction.deadline is not None:
            details["deadline"] = transaction.deadline
        self.journal.record("phase", txn=transaction.txn, phase=transaction.phase, to=transaction.to, **details)


def how_to_decide(name: str) -> str:
    """The fix where a service is paused."""
    return f"run sudo slipway resume {name} on the host to have it go on, or sudo slipway resume {name} --back"


def _written(settings: Settings) -> dict[str, Any]:
    """The settings as the host keeps them; without a pause, an older tool there can read them too."""
    told = asdict(settings)
    pauses = settings.proxy.get("slow") == PAUSE
    told["proxy"] = {
        name: value for name, value in told["proxy"].items() if pauses or name not in ("slow", "pause_time")
    }
    return told


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
            "unknown_service",
            f"{name} has never been released on this host.",
            "choose a service that sudo slipway status lists",
        ) from None
    except (ValueError, TypeError, AttributeError, RecursionError, OSError, SlipwayError) as error:
        raise SlipwayError(
            "damaged_settings", f"{path} is not readable: {why(error)}.", "release the service again"
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


def person() -> str:
    """Who runs this, also through sudo(8)."""
    import getpass  # only who writes into the journal asks

    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
