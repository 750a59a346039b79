# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""This run of Ansible: its id, when it began, its process, and which leases it has. PRIVATE to the collection.

Each task of each host runs in a process of its own. What they share is the temporary folder of the run, which Ansible
makes when it starts and removes when it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible import constants

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_IDENTITY = "slipway-run"
_FILE = "run.json"
_LEASES = "slipway-leases"
_ROLLBACKS = "slipway-rollbacks"
_ONCE = "slipway-once"
# States of a process that only waits for its parent to take notice of its end.
_DEAD = ("Z", "X")


class Run(NamedTuple):
    """began: seconds since the epoch."""

    id: str
    began: float


def _folder() -> Path:
    return Path(constants.DEFAULT_LOCAL_TMP)


def this() -> Run:
    """The same for all tasks and hosts of this run, and for no other."""
    path = _folder() / _IDENTITY
    with contextlib.suppress(FileNotFoundError):
        return _read(path)
    own = path.with_name(f"{_IDENTITY}.{os.urandom(8).hex()}")  # threads share the number of their process
    own.mkdir()
    (own / _FILE).write_text(json.dumps({"id": os.urandom(8).hex(), "began": time.time()}), encoding="utf-8")
    try:
        os.rename(own, path)  # replaces no folder with something in it (rename(2)), and needs no hard links
    except OSError:
        shutil.rmtree(own)
    return _read(path)  # where another host's task was faster, that one's


def _read(path: Path) -> Run:
    told = json.loads((path / _FILE).read_text(encoding="utf-8"))
    return Run(str(told["id"]), float(told["began"]))


def process() -> dict[str, Any]:
    """The process of this run, for another run on the same machine; empty where the system cannot tell."""
    try:
        return {**_here(), "pid": os.getppid(), "started": _started(os.getppid())}
    except (OSError, ValueError, IndexError):
        return {}


def has_ended(told: Mapping[str, Any]) -> bool:
    """Whether that run was one of this very machine whose process is gone. Of other machines nothing is known."""
    try:
        if not told or any(told.get(name) != value for name, value in _here().items()):
            return False
        return _started(int(told["pid"])) != told["started"]
    except FileNotFoundError:
        return True
    except (OSError, ValueError, IndexError, KeyError, TypeError):
        return False


def _here() -> dict[str, Any]:
    """What two processes that see each other have in common: a container numbers its processes for itself."""
    return {"boot": BOOT_ID.read_text(encoding="ascii").strip(), "namespace": os.stat("/proc/self/ns/pid").st_ino}


def _started(pid: int) -> int:
    """When it began, in ticks since the boot (proc(5)): the number of a process is used again."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    if fields[0] in _DEAD:
        raise FileNotFoundError(pid)
    return int(fields[19])


def note_lease(service: str, host: str) -> None:
    """This run is about to take the lease of that service on that host."""
    folder = _leases(host)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / service).touch()


def forget_lease(service: str, host: str) -> None:
    (_leases(host) / service).unlink(missing_ok=True)


def has_lease(service: str, host: str) -> bool:
    return service in leased(host)


def leased(host: str) -> list[str]:
    """The services of which this run has the lease on that host."""
    folder = _leases(host)
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _leases(host: str) -> Path:
    return _folder() / _LEASES / hashlib.sha256(host.encode()).hexdigest()


def is_first(what: str) -> bool:
    """True once in this run, for whoever asks first."""
    folder = _folder() / _ONCE
    folder.mkdir(exist_ok=True)
    try:
        (folder / what).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def made_once(what: str, make: Callable[[], str]) -> str:
    """What `make` gives, made by whichever task of this run needs it first; others wait for that one."""
    folder = _folder() / _ONCE
    folder.mkdir(exist_ok=True)
    with open(folder / what, "a+", encoding="utf-8") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        made = stream.read()
        if not made:
            made = make()
            stream.write(made)
        return made


def note_rollback(service: str, host: str, answer: Mapping[str, Any]) -> None:
    """How this run's rollback of that service has ended on that host."""
    folder = _folder() / _ROLLBACKS
    folder.mkdir(exist_ok=True)
    text = json.dumps({"service": service, "host": host, "answer": answer}, default=str)
    (folder / hashlib.sha256(f"{service} {host}".encode()).hexdigest()).write_text(text, encoding="utf-8")


def rollbacks() -> dict[str, dict[str, dict[str, Any]]]:
    """The same, by service and host."""
    folder = _folder() / _ROLLBACKS
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in folder.glob("*"):
        told = json.loads(path.read_text(encoding="utf-8"))
        found.setdefault(told["service"], {})[told["host"]] = told["answer"]
    return found
