# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a service keeps its releases and what it remembers. This file is PRIVATE to the collection."""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import json
import os
import time
import uuid
from dataclasses import asdict, dataclass, field
from typing import Any, Iterator, Mapping, Optional

from .. import _files
from .._errors import SlipwayError
from .model import Settings, is_release_id, validate_name

STATE_ROOT = "/var/lib/slipway"
CONFIG_ROOT = "/etc"
UNIT_ROOT = "/etc/systemd/system"
PROXY_ROOT = "/etc/haproxy/slipway.live"
# The events that end a transaction.
OUTCOMES = ("committed", "rolled_back", "refused", "given_up")
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

    def health_file(self, release_id: str) -> str:
        return os.path.join(self.release(release_id), "health.json")

    def instance(self, release_id: str) -> str:
        return f"{self.name}@{release_id}.service"

    def rehearsal(self, release_id: str) -> str:
        return f"{self.name}-rehearsal@{release_id}.service"

    @property
    def rehearsal_socket(self) -> str:
        return f"{self.name}-rehearsal.socket"

    def current_id(self) -> Optional[str]:
        return _files.link_name(self.current)

    def last_good_id(self) -> Optional[str]:
        return _files.link_name(self.last_good)

    def staged(self) -> list[str]:
        """The ids of all complete releases on this host, oldest first."""
        try:
            entries = list(os.scandir(self.releases))
        except FileNotFoundError:
            return []
        found = [e for e in entries if is_release_id(e.name) and e.is_dir(follow_symlinks=False)]
        return [e.name for e in sorted(found, key=lambda e: e.stat().st_mtime)]

    def manifest(self, release_id: str) -> dict[str, Any]:
        """What release.json says; empty where the release or its manifest is not readable."""
        return _read_object(os.path.join(self.release(release_id), "release.json")) or {}


@dataclass
class Transaction:
    """The one swap in flight. Times are seconds since the epoch; reason is that of a rollback nobody has asked for.

    deadline is when the host takes it back unless somebody confirms it, None for one that is not to be confirmed.
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
        _files.make_directory(self.layout.state, 0o700)
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

    def begin(self, to: str, source: Optional[str], strategy: str, kind: str, reason: str = "") -> Transaction:
        return Transaction(uuid.uuid4().hex, "INTENT", to, source, strategy, time.time(), kind, reason)

    def save(self, transaction: Transaction) -> None:
        _files.write_atomic(self._state, json.dumps(asdict(transaction)) + "\n", 0o644)

    def load(self) -> Optional[Transaction]:
        """The transaction a run has left in flight, or None."""
        try:
            with open(self._state, encoding="utf-8") as stream:
                return Transaction(**json.load(stream))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise SlipwayError(
                "damaged_state",
                f"{self._state} is not readable as a transaction: {error}.",
                "look at journal.jsonl beside it, make sure the right release runs, then remove that file",
            ) from error

    def clear(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._state)
            _files.fsync_directory(self.layout.state)

    def save_settings(self, settings: Settings) -> None:
        """Keep how the service is treated, for the tool on the host. A health check may hold secrets: root only."""
        _files.write_atomic(self._settings, json.dumps(asdict(settings)) + "\n", 0o600)

    def differs(self, release_id: str, settings: Settings) -> bool:
        """Whether the host would treat the release otherwise than these settings say."""
        wanted = json.loads(json.dumps(asdict(settings)))
        return _read_object(self._settings) != wanted or self.health(release_id) != wanted["health"]

    def propose_settings(self, settings: Settings) -> None:
        """Keep them for the time when the release they came with is confirmed."""
        _files.write_atomic(self._proposed, json.dumps(asdict(settings)) + "\n", 0o600)

    def accept_settings(self) -> bool:
        """Whether there were any."""
        try:
            os.rename(self._proposed, self._settings)
        except FileNotFoundError:
            return False
        _files.fsync_directory(self.layout.state)
        return True

    def drop_settings(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._proposed)

    def save_health(self, release_id: str, health: Mapping[str, Any]) -> None:
        """Keep beside a release how it is asked whether it is healthy. That may hold secrets: root only."""
        _files.write_atomic(self.layout.health_file(release_id), json.dumps(dict(health)) + "\n", 0o600)

    def health(self, release_id: str) -> Optional[dict[str, Any]]:
        """How this release is asked; None where it does not say."""
        return _read_object(self.layout.health_file(release_id))

    def record(self, event: str, **details: Any) -> None:
        """Append one event to the journal and make it durable; a line that was torn before it stays by itself."""
        entry = {"time": round(time.time(), 3), "event": event, **details}
        descriptor = os.open(self._journal, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            line = f"{json.dumps(entry)}\n".encode()
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            while line:
                line = line[os.write(descriptor, line) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def journal(self) -> list[dict[str, Any]]:
        """All readable events, oldest first; a line that a power cut has torn is skipped."""
        try:
            with open(self._journal, encoding="utf-8", errors="replace") as stream:
                lines = stream.read().splitlines()
        except FileNotFoundError:
            return []
        events = []
        for line in lines:
            with contextlib.suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict):
                    events.append(event)
        return events

    def outcomes(self) -> list[dict[str, Any]]:
        """One entry per finished transaction: the history an operator reads."""
        return [e for e in self.journal() if e.get("event") in OUTCOMES]

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
            return Settings(**json.load(stream))
    except FileNotFoundError:
        raise SlipwayError(
            "unknown_service", f"{name} has never been released on this host.", "slipway status lists the services"
        ) from None
    except (ValueError, TypeError) as error:
        raise SlipwayError(
            "damaged_settings", f"{path} is not readable: {error}.", "release the service again"
        ) from error


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
