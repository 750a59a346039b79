# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host in memory: systemctl, the clock and /proc are played, the files are real ones below a folder.

Every act that changes something, and every question to systemd, is an effect. Faults can make any one of them fail,
or end the process there the way SIGKILL does: nothing after it happens, not even what stands in a `finally`.
"""

from __future__ import annotations

import contextlib
import copy
import errno
import glob
import json
import math
import os
import shutil
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible_collections.slipway.go.plugins.module_utils._core import files, json_lines
from ansible_collections.slipway.go.plugins.module_utils._core.errors import SlipwayError
from ansible_collections.slipway.go.plugins.module_utils._core.files import sha256_file
from ansible_collections.slipway.go.plugins.module_utils._health.outcome import Attempt
from ansible_collections.slipway.go.plugins.module_utils._host import connections, journald, processes, sockets, systemd
from ansible_collections.slipway.go.plugins.module_utils._release import (
    background_drain,
    confirm_timer,
    context,
    gate,
    integrity,
    once,
    outcome,
    pause,
    preflight,
    recovery,
    rehearsal,
    stage,
    staged_units,
    transaction,
)
from ansible_collections.slipway.go.plugins.module_utils._release.engine import Engine
from ansible_collections.slipway.go.plugins.module_utils._release.outcome import Outcome
from ansible_collections.slipway.go.plugins.module_utils._release.periods import BEFORE
from ansible_collections.slipway.go.plugins.module_utils._release.probe import Probe, ProbePlan
from ansible_collections.slipway.go.plugins.module_utils._release.state import journal, store
from ansible_collections.slipway.go.plugins.module_utils._release.state.layout import Layout
from ansible_collections.slipway.go.plugins.module_utils._release.state.model import Artefact, Settings, Spec
from ansible_collections.slipway.go.plugins.module_utils._release.state.store import Store
from ansible_collections.slipway.go.plugins.module_utils._release.strategies import (
    backend,
    handover,
    haproxy,
    proxy,
    slots,
    socket,
    traffic,
)
from ansible_collections.slipway.go.plugins.module_utils._release.verbs import confirm, drain, release
from ansible_collections.slipway.go.plugins.module_utils._units.installer import UnitFile

NAME = "shop"
REHEARSAL_SOCKET = "/run/shop-rehearsal.sock"
REHEARSAL_PORT = "18080"
URL = "http://127.0.0.1:8080/readyz"
GROUP_ID = os.getgid()
# What tells the strategies apart in the template unit, and what all have.
VERIFIES = "ExecStartPre=sha256sum"
TEMPLATES = {
    "socket": f"Sockets=shop.socket\n{VERIFIES}",
    "proxy": f"EnvironmentFile=slots/%i.env\n{VERIFIES}",
    "reload": f"Environment=PORT=8080\n{VERIFIES}",
    "restart": f"Environment=PORT=8080\n{VERIFIES}",
}
BEGAN = 1_000_000.0
LISTENING = {str(inode) for inode in range(5000, 5100)}


class Killed(BaseException):
    """The process is gone. Not an Exception, so that nothing can handle it."""


@dataclass
class Faults:
    """What goes wrong in one run: at which effect, and how.

    fail: the effect does not happen, and says so.       late: it happens, and yet an error is reported.
    full: from then on, nothing new can be written.      kill: it happens, and then the process is gone.
    torn: like kill, but of what it was to write, only half arrives.
    """

    how: str = ""
    at: int = -1
    seen: list[str] = field(default_factory=list)
    dead: bool = False
    # Another process goes down and comes back, before the effect.
    bounce: Callable[[], None] = lambda: None

    def effect(self, name: str, act: Callable[[], Any], error: Callable[[], Exception], grows: bool = False) -> Any:
        if self.dead:
            raise Killed
        number = len(self.seen)
        self.seen.append(name)
        if self.how == "bounce" and number == self.at:
            self.bounce()
        if (self.how == "fail" and number == self.at) or (self.how == "full" and grows and number >= self.at >= 0):
            raise error()
        try:
            done = act()
        finally:
            if number == self.at and self.how in ("kill", "torn"):
                self.dead = True
                raise Killed
        if number == self.at and self.how == "late":
            raise error()
        return done

    def half(self, data: bytes) -> bytes:
        """What of a write arrives."""
        return data[: len(data) // 2] if self.how == "torn" and len(self.seen) == self.at else data


class Stream:
    """What os.fdopen returns, with its writes as effects."""

    def __init__(self, descriptor: int, path: str, host: FakeOs) -> None:
        self._descriptor, self._path, self._host = descriptor, path, host

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def flush(self) -> None:
        pass

    def write(self, data: bytes) -> int:
        return self._host.write(self._descriptor, data)


class FakeOs:
    """The module os, as far as it changes files: each change is an effect. The disk's cache needs no syncing here."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._names: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _name(self, path: str) -> str:
        return path[len(self._host.folder) + 1 :]

    def _effect(self, what: str, path: Any, act: Callable[[], Any], grows: bool = False) -> Any:
        where = self._names[path] if isinstance(path, int) else self._name(path)

        def error() -> OSError:
            return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), where)

        return self._host.faults.effect(f"{what} {where}", act, error, grows)

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if not flags & (os.O_WRONLY | os.O_RDWR):
            descriptor = os.open(path, flags)
        else:
            grows = not os.path.exists(path)
            descriptor = self._effect("open", path, lambda: os.open(path, flags, mode), grows)
        self._names[descriptor] = self._name(path)
        return descriptor

    def fdopen(self, descriptor: int, _mode: str) -> Stream:
        return Stream(descriptor, self._names[descriptor], self)

    def write(self, descriptor: int, data: bytes) -> int:
        part = self._host.faults.half(data)
        return self._effect("write", descriptor, lambda: os.write(descriptor, part), True)

    def pwrite(self, descriptor: int, data: bytes, offset: int) -> int:
        part = self._host.faults.half(data)
        return self._effect("write", descriptor, lambda: os.pwrite(descriptor, part, offset), True)

    def fsync(self, descriptor: int) -> None:
        self._effect("fsync", descriptor, lambda: None)

    def ftruncate(self, descriptor: int, size: int) -> None:
        self._effect("truncate", descriptor, lambda: os.ftruncate(descriptor, size))

    def fchmod(self, descriptor: int, mode: int) -> None:
        self._effect("chmod", descriptor, lambda: os.fchmod(descriptor, mode))

    def fchown(self, descriptor: int, uid: int, gid: int) -> None:
        self._effect("chown", descriptor, lambda: os.fchown(descriptor, uid, gid))

    def chmod(self, path: str, mode: int) -> None:
        self._effect("chmod", path, lambda: os.chmod(path, mode))

    def chown(self, path: str, uid: int, gid: int) -> None:
        self._effect("chown", path, lambda: os.chown(path, uid, gid))

    def makedirs(self, path: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        if os.path.isdir(path) and exist_ok:
            return
        self._effect("mkdir", path, lambda: os.makedirs(path, mode, exist_ok), True)

    def rename(self, source: str, target: str) -> None:
        def act() -> None:
            os.rename(source, target)
            self._host.clock.now += 1.0  # directories of the same tick have no order
            os.utime(target, (self._host.clock.now,) * 2, follow_symlinks=False)

        self._effect("rename", target, act)

    def symlink(self, source: str, target: str) -> None:
        self._effect("symlink", target, lambda: os.symlink(source, target), True)

    def unlink(self, path: str) -> None:
        if not os.path.lexists(path):
            raise FileNotFoundError(path)
        self._effect("unlink", path, lambda: os.unlink(path))

    def rmtree(self, path: str, ignore_errors: bool = False) -> None:
        """shutil.rmtree, which can stop in the middle like the real one."""
        for base, folders, names in os.walk(path, topdown=False):
            for name in sorted(names):
                self._tolerate(ignore_errors, "unlink", os.path.join(base, name), os.unlink)
            for name in sorted(folders):
                self._tolerate(ignore_errors, "rmdir", os.path.join(base, name), os.rmdir)
        self._tolerate(ignore_errors, "rmdir", path, os.rmdir)

    def _tolerate(self, tolerate: bool, what: str, path: str, act: Callable[[str], None]) -> None:
        try:
            self._effect(what, path, lambda: act(path))
        except OSError:
            if not tolerate:
                raise


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = BEGAN

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0, "time.sleep refuses this"
        self.now += seconds


@dataclass
class Behaviour:
    """How the releases of one version behave. Counts are questions to systemd or health checks."""

    boots: bool = True
    loops: bool = False  # what does not boot is tried again and again (Restart=)
    ready_after: int = 1
    ready: bool = True
    restarts_after: int | None = None  # up, then replaced by a new process
    dies_after: int | None = None  # up, then gone for good
    healthy: bool = True
    sick_after: int | None = None  # healthy checks, then failing ones
    fails_first: int = 0  # failing checks, then healthy ones
    answer_takes: float = 0.01  # seconds, of a check that passes
    check_takes: float = 0.01  # seconds, of a check that fails
    elsewhere: bool = False  # listens on another port than it was told
    deaf: str = ""  # at this further public port, nothing listens
    inherits: bool = True  # takes the socket it is passed
    plays_along: bool = False  # in rehearsal, none of this shows
    loses: str = ""  # in this period of the probe, users get no answer
    logs: tuple[str, ...] = ()
    keeps_open: int = 0  # connections that last longer than any drain
    leaves_after: float = math.inf  # seconds until they end, once it has been told to end
    answers: str = ""  # to a check that fails
    ends_in_handover: bool = False  # is started by the one before it, and ends before it is ready
    runs_a_copy: bool = False  # executes another file than the release's
    slow: bool = False  # its users wait


@dataclass
class Instance:
    """One instance of shop@.service; that of the strategy reload runs what was current, or has been handed over to."""

    unit: str
    behaviour: Behaviour
    state: str = "inactive"
    pid: int = 0
    restarts: int = 0
    inode: str | None = None
    polls: int = 0
    checks: int = 0
    failed: bool = False
    killed: bool = False
    address: str | None = None  # behind HAProxy: where it listens itself
    more: dict[str, str] = field(default_factory=dict)  # the same behind each further public port
    inherited: bool = False  # started by a unit with Sockets=; otherwise it opens the port itself
    runs: str = ""
    deadline: float | None = None  # it has been told to end, and is killed then
    left_at: float = math.inf  # and ends by itself then
    wanted: bool = False  # has been started meanwhile
    next: tuple[int, str] | None = None  # the process that a handover has started, and its release
    next_polls: int = 0
    leaving: dict[int, tuple[str, int]] = field(default_factory=dict)  # processes that drain: release, moments left

    @property
    def fixed(self) -> bool:
        return self.unit == f"{NAME}@current.service"

    @property
    def release_id(self) -> str:
        return self.runs or self.unit.partition("@")[2][: -len(".service")]

    @property
    def rehearses(self) -> bool:
        return self.unit.startswith(f"{NAME}-rehearsal@")


class FakeProbe(Probe):
    """Asks nobody; a release that loses requests is found out at once."""

    def __init__(self, host: Host, plan: ProbePlan) -> None:
        super().__init__(plan)
        self._host = host
        self._seen: list[str] = []

    def start(self, period: str = BEFORE) -> None:
        self.mark(period)

    def mark(self, period: str) -> str:
        self._seen.append(period)
        return super().mark(period)

    def figures(self) -> dict[str, Any]:
        return {period: {} for period in self._seen}

    def objection(self, period: str, planned: float = 0.0) -> SlipwayError | None:
        running = [i.behaviour.loses for i in self._host.systemd.instances.values() if i.state == "active"]
        lost = SlipwayError("probe_failed", f"requests failed {period}.", "look at the release")
        return lost if period in running and period in self._seen else None


def read(path: str) -> str:
    with open(path, encoding="utf-8") as stream:
        return stream.read()


def version_of(release_id: str) -> str:
    return release_id.rsplit("-", 1)[0]


class FakeSystemd(systemd.Systemd):
    """systemctl(1) in memory, as far as the engine uses it; below the class it plays, the commands are the real ones.

    Units are what their files said at the last daemon-reload. An instance of a template with Sockets= takes what
    shop.socket holds when it starts; any other opens the port itself, which nobody else may have then.
    """

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.loaded: dict[str, str] = {}
        self.enabled: set[str] = set()
        self.instances: dict[str, Instance] = {}
        self.socket: str | None = None
        self.rehearsal_socket = False
        self.umbrella = False
        self.umbrella_failed = False
        self.on_start: Callable[[str], None] = lambda _release_id: None
        self.pids = 100
        self.inodes = 5000
        self.commands: list[str] = []
        self.once_units: dict[str, str] = {}
        self.lowest = 99
        self.lowest_more: dict[str, int] = {}
        self.lowest_chosen = 99
        self.most = 0

    # What the tests ask.

    def running(self) -> list[str]:
        """The ids of the releases that run."""
        return [i.release_id for i in self.instances.values() if i.state == "active" and not i.rehearses]

    def rehearsing(self) -> list[str]:
        """What runs in rehearsal, and its socket."""
        found = [i.unit for i in self.instances.values() if i.state in ("active", "activating") and i.rehearses]
        return found + ["the socket"] * self.rehearsal_socket

    def serving(self) -> list[str]:
        """The ids of the releases that users reach."""
        return [i.release_id for i in self.instances.values() if i.state == "active" and self._reached(i)]

    def serving_at(self, port: str) -> list[str]:
        """The ids of the releases that users of a further public port reach."""
        there = self.host.haproxy.open_addresses(port)
        return [i.release_id for i in self.instances.values() if i.state == "active" and i.more.get(port) in there]

    def serving_chosen(self) -> list[str]:
        """The ids of the releases that chosen users reach."""
        there = self.host.haproxy.chosen_addresses()
        return [i.release_id for i in self.instances.values() if i.state == "active" and i.address in there]

    def _reached(self, found: Instance) -> bool:
        if found.address is not None and not found.rehearses:
            return found.address in self.host.haproxy.open_addresses()
        if found.rehearses or not found.inherited:
            return not found.rehearses
        return found.inode is not None and self.socket in (found.inode, None)  # what PID 1 has closed, others have open

    @property
    def inherits(self) -> bool:
        """Whether instances that start now take the socket."""
        return "Sockets=" in self.loaded.get(f"{NAME}@.service", "")

    def reload(self) -> None:
        self.loaded = {}
        for path in self.host.layout.own_units:
            if os.path.exists(path):
                self.loaded[os.path.basename(path)] = read(path)

    def instance(self, release_id: str) -> Instance:
        fixed = self.instances.get(f"{NAME}@current.service")
        if fixed is not None and fixed.state != "inactive" and fixed.runs == release_id:
            return fixed
        return self._get(f"{NAME}@{release_id}.service")

    def die(self, release_id: str) -> None:
        """The release crashes and does not come back."""
        found = self.instance(release_id)
        found.state, found.pid, found.inode = "activating" if found.behaviour.loops else "failed", 0, None
        found.behaviour.boots = False

    def reboot(self) -> None:
        """PID 1 ends and begins."""
        for found in self.instances.values():
            found.state, found.pid, found.inode, found.restarts = "inactive", 0, None, 0
            found.next, found.leaving, found.deadline, found.wanted = None, {}, None, False
        self.host.drains = {}
        self.once_units = {}
        for folder in (self.host.runtime_units, self.host.transient_units):
            shutil.rmtree(folder, ignore_errors=True)
        self.socket, self.umbrella, self.rehearsal_socket = None, False, False
        self.umbrella_failed = False
        self.reload()
        self.host.haproxy.restart()
        for start in (self._start_socket, self._start_umbrella):
            if start == self._start_umbrella or f"{NAME}.socket" in self.enabled & set(self.loaded):
                with contextlib.suppress(SlipwayError):  # a unit that fails at boot is nobody's exception
                    start()

    def restart_service(self) -> None:
        """Somebody types systemctl restart shop: what runs is restarted (PartOf=), and what is good is started."""
        up = [found for found in self.instances.values() if found.state == "active"]
        for found in up:
            found.state, found.pid, found.inode = "inactive", 0, None
        self.umbrella = False
        for found in up:
            self._start(found)
            self._wait(found)
        with contextlib.suppress(SlipwayError):  # the one before may not find its port free
            self._start_umbrella()

    # What the engine asks.

    def call(self, *arguments: str, timeout: float | None = None, check: bool = True) -> str:
        command = " ".join(arguments)

        def error() -> SlipwayError:
            return SlipwayError("command_failed", f"systemctl {command} failed (1): injected")

        def act() -> str:
            self.commands.append(command)
            try:
                return self._do(list(arguments))
            finally:
                self.count()

        try:
            return str(self.host.faults.effect(f"systemctl {command}", act, error))
        except SlipwayError:
            if check:
                raise
            return ""

    def count(self) -> None:
        self.lowest = min(self.lowest, len(self.serving()))
        self.lowest_chosen = min(self.lowest_chosen, len(self.serving_chosen()))
        for port in self.lowest_more:
            self.lowest_more[port] = min(self.lowest_more[port], len(self.serving_at(port)))
        self.most = max(self.most, len(self.running()))

    def _do(self, arguments: list[str]) -> str:
        verb, *rest = [a for a in arguments if a not in ("--no-block", "--quiet", "--signal=KILL", "--")]
        if verb == "daemon-reload":
            self.reload()
            return ""
        if verb in ("enable", "disable"):
            return self._do_enable(verb, rest)
        if verb == "list-units":
            assert rest[:-1] == ["--plain", "--no-legend", "--full", "--all"], rest
            prefix, star, suffix = rest[-1].partition("*")
            assert (star, suffix) == ("*", ".service"), rest
            found = [i for i in self.instances.values() if i.unit.startswith(prefix)]
            return "".join(f"{i.unit} loaded {i.state} x A release of it\n" for i in found)
        if "--property=NeedDaemonReload,Id" in rest:
            return "\n".join(self._stale(unit.replace("@*.", "@.")) for unit in rest[1:])
        unit, *more = [a for a in rest if not a.startswith("--property=")]
        if more:
            assert verb == "show", arguments
            return "\n".join(self._do(["show", one]) for one in (unit, *more))
        if unit == "haproxy.service":
            assert verb in ("start", "show"), arguments
            return f"ActiveState=active\nMainPID={self.host.haproxy.pid}\n" if verb == "show" else ""
        if unit.startswith(f"slipway-drain-{NAME}:"):
            return self._do_drain(verb, unit)
        if unit.startswith(f"slipway-once-{NAME}:"):
            return self._do_once(verb, unit)
        own = {
            f"{NAME}.socket": self._do_socket,
            f"{NAME}-rehearsal.socket": self._do_rehearsal_socket,
            f"{NAME}.service": self._do_umbrella,
        }
        if unit in own:
            return own[unit](verb)
        return self._do_instance(verb, self._get(unit), "--no-block" in arguments)

    def _do_drain(self, verb: str, unit: str) -> str:
        assert verb in ("kill", "stop"), verb
        if verb == "stop":
            self.host.forget_drain(unit.partition(":")[2][: -len(".service")])
        return ""

    def _do_once(self, verb: str, unit: str) -> str:
        """The unit of a command that is run once: it does its work as it starts, and ends when it has been asked."""
        state = self.once_units.get(unit)
        if verb == "start":
            assert os.path.exists(os.path.join(self.host.runtime_units, unit)), f"{unit} has no file"
            self.host.migrations.append(unit)
            self.once_units[unit] = "activating"
        elif verb == "show":
            there = state or os.path.exists(os.path.join(self.host.runtime_units, unit))
            if state == "activating":
                self.once_units[unit] = "active" if self.host.migrates == "well" else "failed"
            result = "timeout" if self.host.migrates == "hangs" else "exit-code" if state == "failed" else "success"
            return (
                f"LoadState={'loaded' if there else 'not-found'}\nActiveState={state or 'inactive'}\n"
                f"Result={result}\nExecMainStatus={int(state == 'failed')}\n"
            )
        else:
            assert verb in ("stop", "reset-failed"), verb
            self.once_units.pop(unit, None)
        return ""

    def _do_umbrella(self, verb: str) -> str:
        if verb == "show":
            down = "failed" if self.umbrella_failed else "inactive"
            return f"ActiveState={'active' if self.umbrella else down}\n"
        assert verb == "start", verb
        self._start_umbrella()
        return ""

    def _do_rehearsal_socket(self, verb: str) -> str:
        unit = f"{NAME}-rehearsal.socket"
        if self.host.strategy != "socket":
            assert verb in ("stop", "reset-failed"), verb
            raise SlipwayError("command_failed", f"systemctl {verb} {unit} failed (5): Unit {unit} not loaded.")
        self.rehearsal_socket = self.rehearsal_socket if verb == "reset-failed" else verb == "start"
        return ""

    def _stale(self, unit: str) -> str:
        path = os.path.join(self.host.layout.unit_root, unit)
        stale = unit in self.loaded and (not os.path.exists(path) or read(path) != self.loaded[unit])
        return f"Id={unit}\nNeedDaemonReload={'yes' if stale else 'no'}\n"

    def _do_enable(self, verb: str, rest: list[str]) -> str:
        names = {a for a in rest if a != "--now"}
        assert names <= {f"{NAME}.socket", f"{NAME}-guard.service"}, rest
        if verb == "enable":
            assert names <= set(self.loaded), f"{rest}: no such unit"
            self.enabled |= names
        else:
            self.enabled -= names
            if "--now" in rest and f"{NAME}.socket" in names:
                self.socket = None
        return ""

    def _do_instance(self, verb: str, found: Instance, no_block: bool) -> str:
        if verb == "show":
            self._step(found)
            return self._show(found)
        if verb == "start":
            self._start(found)
            if not no_block:
                self._wait(found)
        elif verb == "stop" and found.pid and found.behaviour.keeps_open and self.host.drain_background:
            self._stop_in_time(found, no_block)
        elif verb in ("stop", "kill"):
            found.killed = found.killed or (found.pid != 0 and found.behaviour.keeps_open > 0)
            found.deadline = None
            found.state = "inactive" if found.state != "failed" else "failed"
            found.pid, found.inode, found.next, found.leaving = 0, None, None, {}
        elif verb == "reload":
            self._reload(found)
        elif verb == "restart":
            found.state, found.restarts = "inactive", 0
            self._start(found)
            if not no_block:
                self._wait(found)
        else:
            assert verb == "reset-failed", verb
            found.restarts, found.failed, found.killed = 0, False, False
            if found.state == "failed":
                found.state = "inactive"
        return ""

    def _stop_in_time(self, found: Instance, no_block: bool) -> None:
        """It has users: it ends when they have left, or is killed when PID 1 has waited long enough."""
        if found.deadline is None:
            drop_in = background_drain._drop_in(found.unit)
            allowed = float(read(drop_in).rpartition("=")[2]) if os.path.exists(drop_in) else 30.0
            found.state, found.inode, now = "deactivating", None, self.host.clock.now
            found.deadline, found.left_at = now + allowed, now + found.behaviour.leaves_after
        if not no_block:
            self.host.clock.now = max(self.host.clock.now, min(found.deadline, found.left_at))
            self._end_in_time(found)

    def _end_in_time(self, found: Instance) -> None:
        now = self.host.clock.now
        if found.deadline is None or now < min(found.deadline, found.left_at):
            return
        found.killed = found.deadline < found.left_at
        found.state, found.pid, found.deadline = "inactive", 0, None
        if found.wanted:
            found.wanted = False
            self._start(found)

    def _reload(self, found: Instance) -> None:
        """What the main process does when it is told to hand over; systemctl does not care how that ends."""
        if found.state != "active":
            raise SlipwayError("command_failed", f"systemctl reload {found.unit} failed (1): not active")
        to = self._current()
        if not self._verified(to):  # ExecReload=
            return
        if found.next is None and self._whole(to) and self.host.behave(version_of(to)).boots:
            self.pids += 1
            self.on_start(to)
            found.next, found.next_polls = (self.pids, to), 0

    def _take_over(self, found: Instance) -> None:
        """One moment in a handover."""
        found.leaving = {pid: (i, left - 1) for pid, (i, left) in found.leaving.items() if left > 1}
        if found.next is None:
            return
        found.next_polls += 1
        pid, release_id = found.next
        behaviour = self.host.behave(version_of(release_id))
        if behaviour.ends_in_handover:
            found.next = found.next if found.next_polls < 2 else None
        elif behaviour.ready and found.next_polls >= behaviour.ready_after:
            found.leaving[found.pid] = (found.runs, 10_000 if found.behaviour.keeps_open else 3)
            found.pid, found.runs, found.behaviour, found.next = pid, release_id, behaviour, None
            found.polls, found.checks = 0, 0

    def processes(self, _layout: Layout, unit: str) -> dict[int, str]:
        """handover.running: what /proc shows of one unit."""
        found = self._get(unit)
        there = {pid: release_id for pid, (release_id, _left) in found.leaving.items()}
        if found.next:
            there[found.next[0]] = found.next[1]
        return {**there, found.pid: found.runs} if found.pid and not found.behaviour.runs_a_copy else there

    def kill(self, pid: int, _number: int) -> None:
        """handover.kill."""

        def act() -> None:
            for found in self.instances.values():
                found.leaving.pop(pid, None)
                if found.next and found.next[0] == pid:
                    found.next = None

        with contextlib.suppress(ProcessLookupError):
            self.host.faults.effect("kill a process", act, ProcessLookupError)

    def _current(self) -> str:
        return os.path.basename(os.path.realpath(self.host.layout.release("current")))

    def _whole(self, release_id: str) -> bool:
        release = self.host.layout.release(release_id)
        return all(os.path.exists(os.path.join(release, part)) for part in (f"bin/{NAME}", "environment"))

    def _verified(self, release_id: str) -> bool:
        """What sha256sum(1) says, where the template has it asked."""
        if VERIFIES not in self.loaded.get(f"{NAME}@.service", ""):
            return True
        try:
            kept = integrity.kept(self.host.layout, release_id) or {}
            release = self.host.layout.release(release_id)
            return bool(kept) and all(sha256_file(os.path.join(release, name)) == kept[name] for name in kept)
        except OSError:
            return False

    def connect(self) -> None:
        """Somebody connects; where nothing runs, PID 1 has the guard start what boots."""
        if self.socket is not None and not any(i.state in ("active", "activating") for i in self.instances.values()):
            found = self._get(f"{NAME}@{self.host.boot_id()}.service")
            self._start(found)
            self._step(found)

    def _do_socket(self, verb: str) -> str:
        if f"{NAME}.socket" not in self.loaded and self.socket is None and verb != "show":
            raise SlipwayError("command_failed", f"systemctl {verb} {NAME}.socket failed (5): not loaded")
        if verb == "show":
            return f"ActiveState={'active' if self.socket else 'inactive'}\nListen=[::]:8080 (Stream)\n"
        if verb in ("start", "restart"):  # not before the instances have stopped that it is stopping
            for found in self.instances.values():
                if found.deadline is not None:
                    self.host.clock.now = max(self.host.clock.now, min(found.deadline, found.left_at))
                    self._end_in_time(found)
        if verb in ("stop", "restart"):
            self.socket = None
        if verb in ("start", "restart"):
            self._start_socket()
        return ""

    def _get(self, unit: str) -> Instance:
        if unit not in self.instances:
            found = self.instances[unit] = Instance(unit, Behaviour())
            found.behaviour = self.host.behaviour_of(found)
        return self.instances[unit]

    def _start_socket(self) -> None:
        if self.socket is not None or not os.path.exists(self.host.layout.boot_file):  # ConditionPathExists=
            return
        if f"{NAME}-guard.service" not in self.loaded:
            raise SlipwayError(
                "command_failed", f"systemctl start {NAME}.socket failed (1): guard not loaded, refusing"
            )
        if any(not i.inherited for i in self._holders()):
            raise SlipwayError("command_failed", f"systemctl start {NAME}.socket failed (1): Address already in use")
        self.inodes += 1
        self.socket = str(self.inodes)

    def _holders(self) -> list[Instance]:
        """Who has the port, other than PID 1. Sockets of PID 1 share it with one another (ReusePort=)."""
        up = [i for i in self.instances.values() if i.state in ("active", "activating") and not i.rehearses]
        return [i for i in up if i.address is None and (not i.inherited or i.inode is not None)]

    def _start_umbrella(self) -> None:
        if self.umbrella or not os.path.exists(self.host.layout.boot_file):
            return
        if os.path.islink(self.host.layout.last_good):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.host.layout.current)
            os.symlink(os.readlink(self.host.layout.last_good), self.host.layout.current)
        boots = str(self.host.boot_id())
        self.umbrella_failed = True
        try:
            integrity.verify(self.host.layout, self.host.store, self._current() if boots == "current" else boots)
        except SlipwayError as error:
            raise SlipwayError(
                "command_failed", f"systemctl start {NAME}.service failed (1): see journalctl"
            ) from error
        found = self._get(f"{NAME}@{boots}.service")
        self._start(found)
        self._wait(found)
        self.umbrella, self.umbrella_failed = True, False

    def _start(self, found: Instance) -> None:
        if found.state in ("active", "activating"):
            return
        if found.deadline is not None:
            found.wanted = True
            return
        if found.fixed:
            found.runs = self._current()
            found.behaviour = self.host.behaviour_of(found)
        whole = self._whole(found.release_id) and self._verified(found.release_id)
        found.inherited, found.inode = self.inherits, None
        taken: Any = not (found.inherited or found.rehearses) and (self.socket is not None or self._holders())
        found.address, found.more = None, {}
        if "slots" in self.loaded.get(f"{NAME}@.service", ""):
            found.address, found.more = self.host.address_of(found), self.host.more_addresses_of(found)
            others = [i for i in self.instances.values() if i is not found and i.state in ("active", "activating")]
            taken = found.address is None or any(i.address == found.address and i.pid for i in others)
        if not whole or not found.behaviour.boots or taken:
            found.state, found.failed = "activating" if found.behaviour.loops else "failed", True
            found.restarts += found.behaviour.loops
            return
        self.pids += 1
        self.on_start(found.release_id)
        found.state, found.pid, found.polls, found.checks = "activating", self.pids, 0, 0
        if found.inherited and not found.rehearses:
            with contextlib.suppress(SlipwayError):
                self._start_socket()  # Sockets= implies Wants=
            found.inode = self.socket if found.behaviour.inherits else None

    def _wait(self, found: Instance) -> None:
        for _ignored in range(found.behaviour.ready_after + 1):
            self._step(found)
        if found.state == "activating":
            found.state, found.pid, found.inode = "failed", 0, None
        if found.state != "active":
            raise SlipwayError("command_failed", f"systemctl start {found.unit} failed (1): see journalctl")

    def _step(self, found: Instance) -> None:
        """One moment in the life of an instance."""
        self._end_in_time(found)
        self._take_over(found)
        behaviour = found.behaviour
        found.polls += 1
        if found.state == "activating" and found.pid == 0:  # Restart= has its next try
            found.state = "inactive"
            self._start(found)
        elif found.state == "activating" and behaviour.ready and found.polls >= behaviour.ready_after:
            found.state, found.polls = "active", 0
        elif found.state == "active" and behaviour.dies_after is not None and found.polls > behaviour.dies_after:
            found.state, found.pid, found.inode, found.failed = "failed", 0, None, True
        elif found.state == "active" and found.polls == behaviour.restarts_after:
            self.pids += 1
            found.pid, found.restarts = self.pids, found.restarts + 1

    def _show(self, found: Instance) -> str:
        trying = "start" if found.pid else "auto-restart"
        values = {
            "LoadState": "loaded",
            "ActiveState": found.state,
            "SubState": {"active": "running", "activating": trying}.get(found.state, "dead"),
            "MainPID": found.pid,
            "NRestarts": found.restarts,
            "Result": "timeout" if found.killed else "exit-code" if found.failed else "success",
            "ExecMainStatus": 1 if found.failed else 0,
        }
        return "".join(f"{key}={value}\n" for key, value in values.items())


class FakeHaproxy:
    """HAProxy in memory, with one worker; everything it is told or asked is an effect."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.servers_now: dict[str, haproxy.Server] = {}
        self.own_now: dict[str, haproxy.Server] = {}
        self.more_now: dict[str, dict[str, haproxy.Server]] = {}  # by the backend of each further public port
        self.pid = 0
        self.restart()

    def restart(self) -> None:
        """What it does after any end: what its configuration says."""
        self.pid += 1
        path = self.host.layout.proxy_record
        record = slots.Record({"a": "127.0.0.1:18080", "b": "127.0.0.1:18081"}, "a")
        if os.path.exists(path):
            record = slots.parse_record(read(path))
        self.servers_now = {
            slot: haproxy.Server("ready" if slot == record.live else "maint", address, 100, 0, 0, 0)
            for slot, address in record.addresses.items()
        }
        self.own_now = dict(self.servers_now)
        self.more_now = {}
        for port, local in self.host.more.items():
            told = record.more.get(port, {})
            servers = {
                slot: haproxy.Server(
                    "ready" if slot == record.live and slot in told else "maint",
                    told.get(slot, f"127.0.0.1:{local[slots.SLOTS.index(slot)]}"), 100, 0, 0, 0,
                )
                for slot in slots.SLOTS
            }  # fmt: skip
            self.more_now[f"slipway-{NAME}:{port}"] = servers
            self.more_now[f"slipway-{NAME}:{port}.own"] = dict(servers)
        if self.host.chosen:
            of_users = {"": self.servers_now, **{f":{p}": self.more_now[f"slipway-{NAME}:{p}"] for p in self.host.more}}
            for port, servers in of_users.items():
                self.more_now[f"slipway-{NAME}{port}.chosen"] = dict(servers)

    def chosen_addresses(self) -> set[str]:
        servers = self.more_now.get(f"slipway-{NAME}.chosen", {})
        return {server.address for server in servers.values() if server.state == "ready"}

    def open_addresses(self, port: str = "") -> set[str]:
        servers = self.more_now.get(f"slipway-{NAME}:{port}", {}) if port else self.servers_now
        return {server.address for server in servers.values() if server.state == "ready"}

    def _effect(self, what: str, act: Callable[[], Any]) -> Any:
        def counted() -> Any:
            try:
                return act()
            finally:
                self.host.systemd.count()

        def error() -> SlipwayError:
            return SlipwayError("proxy_unreachable", "HAProxy does not answer", "injected")

        return self.host.faults.effect(f"haproxy {what}", counted, error)

    def _set(self, server: str, **values: Any) -> None:
        backend, _slash, slot = server.partition("/")
        servers = self._of(backend)
        servers[slot] = servers[slot]._replace(**values)

    def _of(self, backend: str) -> dict[str, haproxy.Server]:
        first = {f"slipway-{NAME}": self.servers_now, f"slipway-{NAME}.own": self.own_now}
        return first[backend] if backend in first else self.more_now.get(backend, {})

    def workers(self) -> list[haproxy.Worker]:
        workers: list[haproxy.Worker] = self._effect("workers", lambda: [haproxy.Worker(7, False)])
        return workers

    def servers(self, _worker: haproxy.Worker, backend: str) -> dict[str, haproxy.Server]:
        servers: dict[str, haproxy.Server] = self._effect("servers", lambda: dict(self._of(backend)))
        return servers

    def times(self, _worker: haproxy.Worker, _table: str) -> dict[str, dict[int, int]]:
        self.host.act_as_person()
        if not self.host.users:
            return {}
        asked = int((self.host.clock.now - BEGAN) * self.host.users)
        there = {found.address: found for found in self.host.systemd.instances.values()}
        slow = {slot for slot, server in self.servers_now.items() if _is_slow(there.get(server.address))}
        return {slot: {400 if slot in slow else 12: asked} for slot in self.servers_now}

    def set_address(self, _worker: haproxy.Worker, server: str, address: str) -> None:
        self._effect(f"set {server} {address}", lambda: self._set(server, address=address))

    def set_state(self, _worker: haproxy.Worker, server: str, state: str) -> None:
        self._effect(f"set {server} {state}", lambda: self._set(server, state=state))

    def set_weight(self, _worker: haproxy.Worker, server: str, weight: int) -> None:
        self._effect(f"set {server} {weight} %", lambda: self._set(server, weight=weight))


def _is_slow(found: Instance | None) -> bool:
    return found is not None and found.behaviour.slow


def copy_tree(source: str, target: str) -> None:
    """What shutil.copytree does, fast: files of releases never change, so that a second name is copy enough."""
    os.mkdir(target)
    for entry in os.scandir(source):
        path = os.path.join(target, entry.name)
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), path)
        elif entry.is_dir():
            copy_tree(entry.path, path)
        elif "/releases/" in source:
            os.link(entry.path, path)
        else:
            with open(entry.path, "rb") as read, open(path, "wb") as written:
                written.write(read.read())
    status = os.stat(source)
    os.chmod(target, status.st_mode)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


class Host:
    """One host, from bare to whatever a test makes of it."""

    def __init__(self, folder: str, strategy: str = "socket") -> None:
        self.folder = folder
        self.strategy = strategy
        self.clock = Clock()
        self.faults = Faults()
        self.behaviours: dict[str, Behaviour] = {}
        self.layout = Layout(
            NAME,
            root=os.path.join(folder, "opt", NAME),
            state_root=os.path.join(folder, "var"),
            config_root=os.path.join(folder, "etc"),
            unit_root=os.path.join(folder, "units"),
            proxy_root=os.path.join(folder, "haproxy"),
            ports_root=os.path.join(folder, "ports"),
        )
        self.chosen = False  # whether some users meet a new release first
        self.more: dict[str, tuple[int, int]] = {}  # the local ports behind further public ports
        self.proxy: dict[str, Any] = {}
        self.probe: dict[str, Any] = {}
        self.haproxy = FakeHaproxy(self)
        self.systemd = FakeSystemd(self)
        self.health: dict[str, Any] = {"url": URL, "deadline": 5}
        self.keep = 5
        self.start_timeout = 60.0
        self.soak_time = 1.0
        self.confirm = 60.0
        self.timer: str | None = None  # the transaction it would take back
        self.drain_background = 0.0
        self.users = 0.0  # requests a second at each release that has some
        self.shortened: list[tuple[str, float]] = []  # the transactions taken back earlier, and in how many seconds
        self.answers = ""  # what a person says of a release that is paused, and after how many seconds
        self.answers_after = 5.0
        self.log: list[dict[str, str]] = []  # what was sent to journald
        self.migrations: list[str] = []  # the units of all attempts at what is run once
        self.migrates = "well"  # or "badly", or it "hangs"
        self.drains: dict[str, float] = {}  # the releases whose users it waits for, and how long
        self.rehearsal = ""
        self.own = "any" if strategy == "reload" else ""  # the same environment for all releases
        for path in (self.layout.unit_root, self.layout.units, os.path.join(self.layout.config, "config")):
            os.makedirs(path, exist_ok=True)
        self.write_unit("first")
        with open(os.path.join(self.layout.config, "environment"), "w", encoding="utf-8") as stream:
            stream.write('SHARED="yes"\n')
        with open(os.path.join(self.layout.config, "config", "shop.toml"), "w", encoding="utf-8") as stream:
            stream.write("[shop]\n")

    def write_unit(self, text: str, unit: str = f"{NAME}.socket") -> None:
        """What the role `service` does when this unit has changed; the others become what the strategy asks."""
        told = "".join(f"\nEnvironment=PORT_{port.upper()}={local[0]}" for port, local in self.more.items())
        wanted = {f"{NAME}@.service": TEMPLATES[self.strategy] + told}
        if self.strategy == "socket":
            wanted[f"{NAME}.socket"] = "ListenStream=8080"
            wanted[f"{NAME}-guard.service"] = "Type=oneshot"
        for name in map(os.path.basename, self.layout.own_units):
            path = os.path.join(self.layout.units, name)
            if name not in wanted:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            elif name == unit or not os.path.exists(path) or f"\n{wanted[name]}\n# " not in read(path):
                with open(path, "w", encoding="utf-8") as stream:
                    stream.write(f"# {text}\n{wanted[name]}\n# /var/lib/slipway/{NAME}\n")
        self._put_in_force([UnitFile(name, read(os.path.join(self.layout.units, name))) for name in wanted])

    def _put_in_force(self, wanted: list[UnitFile]) -> None:
        names = {unit.name for unit in wanted}
        absent = [name for name in map(os.path.basename, self.layout.own_units) if name not in names]
        now, gone = staged_units.in_force(wanted, absent, self.layout, lambda _socket: self.systemd.socket is not None)
        others = staged_units.besides_former(self.layout)
        for unit in (unit for unit in now if others(unit.name)):
            with open(os.path.join(self.layout.unit_root, unit.name), "w", encoding="utf-8") as stream:
                stream.write(unit.content)
        for name in filter(others, gone):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.layout.unit_root, name))
        self.systemd.reload()
        if self.layout.current_id() is None:
            self.systemd.enabled = {f"{NAME}.socket"} & {unit.name for unit in wanted}

    def switch(self, strategy: str) -> None:
        """service_swap has another value, and the role has been applied."""
        self.strategy = strategy
        self.apply_role()
        if self.rehearsal:
            self.rehearse()

    def have_ports(self, **more: tuple[int, int]) -> Host:
        """service_more_ports has another value, and the roles have been applied."""
        self.more = more
        os.makedirs(self.layout.ports_root, exist_ok=True)
        with open(os.path.join(self.layout.ports_root, f"{NAME}.json"), "w", encoding="utf-8") as stream:
            json.dump({"ports": [18080, 18081], "more": {"grpc": [18082, 18083], **more}}, stream)
        self.apply_role()
        self.haproxy.restart()
        return self

    def have_chosen(self, chosen: bool = True) -> Host:
        """proxy_canary_for has been set, or emptied, and the role has been applied."""
        self.chosen = chosen
        os.makedirs(os.path.dirname(self.layout.proxy_config), exist_ok=True)
        with open(self.layout.proxy_config, "w", encoding="utf-8") as stream:
            stream.write(f"\nbackend slipway-{NAME}.chosen from slipway-{NAME}\n" if chosen else "")
        self.haproxy.restart()
        return self

    def apply_role(self) -> None:
        """The role `service` once more, with nothing new."""
        self.write_unit("as it was", "none")

    def install(self, monkeypatch: Any) -> Host:
        """Let the engine work on this host, in this clock's time."""
        played = FakeOs(self)
        for module in (files, json_lines, store, journal, stage, slots, once):
            monkeypatch.setattr(module, "os", played)
        monkeypatch.setattr(files, "remove_tree", lambda path: played.rmtree(path, ignore_errors=True))
        monkeypatch.setattr(handover, "running", self.systemd.processes)
        monkeypatch.setattr(handover, "kill", self.systemd.kill)
        for module in (
            systemd,
            store,
            journal,
            gate,
            once,
            outcome,
            pause,
            recovery,
            rehearsal,
            confirm,
            drain,
            release,
            handover,
            stage,
            transaction,
            backend,
            proxy,
            socket,
            traffic,
        ):
            monkeypatch.setattr(module, "time", self.clock)
        monkeypatch.setattr(gate, "attempt", self._attempt)
        monkeypatch.setattr(journald, "last_lines", self._last_lines)
        monkeypatch.setattr(journald, "written_by", self._last_lines)
        monkeypatch.setattr(journald, "send", self.log.append)
        monkeypatch.setattr(confirm_timer, "TOOL", "/bin/true")
        monkeypatch.setattr(confirm_timer, "arm", self._arm)
        monkeypatch.setattr(confirm_timer, "shorten", self._shorten)
        monkeypatch.setattr(confirm_timer, "disarm", self._disarm)
        monkeypatch.setattr(confirm_timer, "deadline", lambda _name, txn: self.clock.now if self.timer == txn else None)
        monkeypatch.setattr(background_drain, "RUNTIME_UNITS", self.runtime_units)
        monkeypatch.setattr(background_drain, "TRANSIENT_UNITS", self.transient_units)
        monkeypatch.setattr(background_drain, "arm", self._arm_drain)
        monkeypatch.setattr(context, "Probe", lambda plan: FakeProbe(self, plan))
        monkeypatch.setattr(proxy, "Haproxy", lambda: self.haproxy)
        monkeypatch.setattr(processes, "socket_inodes", self._socket_inodes)
        monkeypatch.setattr(processes, "environment", self._environment)
        monkeypatch.setattr(sockets, "listening_inodes", lambda: LISTENING)
        monkeypatch.setattr(sockets, "tcp_listeners", dict)
        monkeypatch.setattr(connections, "accepted", self._accepted)
        monkeypatch.setattr(processes, "alive", lambda pid: self._accepted(pid, set()) is not None)
        monkeypatch.setattr(preflight, "linkage_problems", lambda layout, release_id: [])
        return self

    def copy(self, folder: str) -> Any:
        """The same host once more, in another folder."""
        copy_tree(self.folder, folder)
        twin = type(self).__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.folder = folder
        twin.clock = copy.copy(self.clock)
        twin.faults = Faults()
        twin.drains = dict(self.drains)
        twin.migrations = list(self.migrations)
        twin.log = []
        twin.behaviours = copy.deepcopy(self.behaviours)
        moved = {k: str(v).replace(self.folder, folder, 1) for k, v in vars(self.layout).items()}
        twin.layout = Layout(**moved)
        # A real host is never moved; its settings say where its releases are.
        for path in glob.glob(os.path.join(twin.layout.state_root, "*", "settings*.json")):
            with open(path, encoding="utf-8") as stream:
                text = stream.read()
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(text.replace(self.folder + "/", folder + "/"))
        twin.systemd = copy.copy(self.systemd)
        twin.systemd.host = twin
        twin.haproxy = copy.copy(self.haproxy)
        twin.haproxy.host = twin
        twin.haproxy.servers_now = dict(self.haproxy.servers_now)
        twin.haproxy.own_now = dict(self.haproxy.own_now)
        twin.haproxy.more_now = {backend: dict(servers) for backend, servers in self.haproxy.more_now.items()}
        twin.systemd.commands = []
        twin.systemd.once_units = dict(self.systemd.once_units)
        twin.systemd.enabled = set(self.systemd.enabled)
        twin.systemd.instances = copy.deepcopy(self.systemd.instances)
        for found in twin.systemd.instances.values():
            found.behaviour = twin.behaviour_of(found)
        twin.watch()
        return twin

    # What the world does.

    def behave(self, version: str) -> Behaviour:
        return self.behaviours.setdefault(version, Behaviour())

    def behaviour_of(self, found: Instance) -> Behaviour:
        behaviour = self.behave(version_of(found.release_id))
        return Behaviour() if found.rehearses and behaviour.plays_along else behaviour

    def _attempt(self, check: Any, deadline: float | None = None) -> Any:
        if check.identity is None:  # a command, or a unit of another service: what serves answers for all
            return Attempt("pass", "ok", "healthy")
        release_id = check.identity.executable.split("/")[-3]
        found = self.systemd.instance(release_id)
        if found.address is not None or self.layout.manifest(release_id).get("strategy") == "proxy":
            port = check.connection.endpoint.port
            found = self._at_port(release_id, port)
            if f"127.0.0.1:{port}" in found.more.values():
                deaf = found.more.get(found.behaviour.deaf) == f"127.0.0.1:{port}"
                return Attempt("fail", "refused", "nothing listens there") if deaf else Attempt("pass", "ok", "accepts")
        elif (
            check.connection.endpoint.path == REHEARSAL_SOCKET or str(check.connection.endpoint.port) == REHEARSAL_PORT
        ):
            found = self.systemd.instances.get(f"{NAME}-rehearsal@{release_id}.service", Instance("", Behaviour()))
        if found.state != "active" or (found.behaviour.elsewhere and check.connection.endpoint.port != 8080):
            return Attempt("fail", "refused", "nothing listens there")
        found.checks += 1
        behaviour = found.behaviour
        if deadline is not None and behaviour.healthy and self.clock.now + behaviour.answer_takes > deadline:
            self.clock.now = max(self.clock.now, deadline)
            return Attempt("fail", "timeout", "no complete answer in time", clipped=True)
        well = behaviour.sick_after is None or found.checks <= behaviour.sick_after
        if behaviour.healthy and well and found.checks > behaviour.fails_first:
            self.clock.now += behaviour.answer_takes
            return Attempt("pass", "ok", "healthy")
        self.clock.now += behaviour.check_takes
        return Attempt("fail", "status", "HTTP 503", answer=behaviour.answers.encode())

    def _accepted(self, pid: int, _ports: set[int]) -> int | None:
        for found in self.systemd.instances.values():
            if pid and found.pid == pid:
                return found.behaviour.keeps_open
            if pid in found.leaving:
                return self.behave(version_of(found.leaving[pid][0])).keeps_open
        return None

    def _last_lines(self, unit: str, _since: float, _until: float, count: int) -> list[str]:
        def act() -> list[str]:
            return list(self.systemd._get(unit).behaviour.logs[-count:])

        return list(self.faults.effect("journalctl", act, lambda: SlipwayError("command_failed", "injected")))

    def _arm(self, _service: str, txn: str, _seconds: float) -> None:
        def act() -> None:
            self.timer = txn

        self.faults.effect("arm", act, lambda: SlipwayError("no_timer", "injected"))

    def _shorten(self, _service: str, txn: str, seconds: float) -> None:
        def act() -> None:
            self.shortened.append((txn, seconds))

        self.faults.effect("shorten", act, lambda: SlipwayError("no_timer", "injected"))

    def _arm_drain(self, service: str, release_id: str, seconds: float, _stop_timeout: float) -> None:
        def act() -> None:
            self.drains[release_id] = seconds
            os.makedirs(self.transient_units, exist_ok=True)
            with open(os.path.join(self.transient_units, background_drain.unit(service, release_id)), "w"):
                pass

        self.faults.effect("arm a drain", act, lambda: SlipwayError("command_failed", "injected"))

    def _disarm(self, _service: str, txn: str) -> None:
        def act() -> None:
            self.timer = None if self.timer == txn else self.timer

        with contextlib.suppress(OSError):
            self.faults.effect("disarm", act, lambda: OSError("injected"))

    def _at_port(self, release_id: str, port: int) -> Instance:
        """Which instance of this release listens there."""
        for unit in (f"{NAME}@{release_id}.service", f"{NAME}-rehearsal@{release_id}.service"):
            found = self.systemd.instances.get(unit)
            if found is not None and f"127.0.0.1:{port}" in (found.address, *found.more.values()) and found.pid:
                return found
        return Instance("", Behaviour())

    def address_of(self, found: Instance) -> str | None:
        """Where its unit tells it to listen."""
        name = f"{found.release_id}{'.rehearsal' if found.rehearses else ''}.env"
        path = os.path.join(self.layout.slots, name)
        if not os.path.exists(path):
            return None if found.rehearses else "127.0.0.1:18080"
        told = dict(line.partition("=")[::2] for line in read(path).splitlines() if "=" in line)
        assert told["SLIPWAY_ADDRESS"] == f"127.0.0.1:{told['PORT']}"
        return told["SLIPWAY_ADDRESS"]

    def more_addresses_of(self, found: Instance) -> dict[str, str]:
        """Where it tells it to listen beside that."""
        path = os.path.join(self.layout.slots, f"{found.release_id}{'.rehearsal' if found.rehearses else ''}.env")
        lines = read(path).splitlines() if os.path.exists(path) else []
        told = [line.removeprefix("PORT_").partition("=") for line in lines if line.startswith("PORT_")]
        return {port.lower(): f"127.0.0.1:{local}" for port, _equals, local in told}

    def rehearse(self) -> Host:
        """From now on, releases are rehearsed."""
        self.rehearsal = {"socket": REHEARSAL_SOCKET, "proxy": "slot"}.get(self.strategy, REHEARSAL_PORT)
        return self

    def _socket_inodes(self, pid: int) -> set[str]:
        if pid == 1:
            return {self.systemd.socket} if self.systemd.socket else set()
        held = [i.inode for i in self.systemd.instances.values() if i.pid == pid]
        return {inode for inode in held if inode}

    def _environment(self, pid: int) -> dict[str, str]:
        told = [i.address for i in self.systemd.instances.values() if i.pid == pid and i.address]
        return {"PORT": "8080", **({"SLIPWAY_ADDRESS": told[0]} if told else {})}

    # What the tests do.

    def artefact(self, version: str) -> Artefact:
        path = os.path.join(self.folder, "artefacts", version)
        if not os.path.exists(path):
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as stream:
                stream.write(f"the binary of {version}\n")
        return Artefact(sha256=sha256_file(path), size=os.path.getsize(path), path=path)

    def spec(self, version: str, **changes: Any) -> Spec:
        import grp

        values: dict[str, Any] = {
            "version": version,
            "strategy": self.strategy,
            "artefact": self.artefact(version),
            "group": grp.getgrgid(GROUP_ID).gr_name,
            "environment": {"OWN": self.own or version},
            "rehearsal": self.rehearsal,
        }
        return Spec(**{**values, **changes})

    def settings(self) -> Settings:
        return Settings(
            NAME,
            self.layout.root,
            health=self.health,
            start_timeout=self.start_timeout,
            soak_time=self.soak_time,
            keep=self.keep,
            lock_timeout=0,
            confirm=self.confirm,
            proxy=self.proxy,
            probe=self.probe,
            drain_background=self.drain_background,
        )

    @property
    def runtime_units(self) -> str:
        return os.path.join(self.folder, "run")

    def finish_drain(self, version: str, hurried: Callable[[], bool] = lambda: False) -> int | None:
        """What the unit does that waits for the users of this release."""
        return self._finish_drain(self.id_of(version), hurried)

    def _finish_drain(self, release_id: str, hurried: Callable[[], bool] = lambda: False) -> int | None:
        until = self.clock.now + self.drains[release_id]
        cut = self.engine().finish_drain(release_id, until, hurried)
        self.forget_drain(release_id)
        self.systemd.count()
        return cut

    def forget_drain(self, release_id: str) -> None:
        """Nothing waits for the users of this release any more."""
        self.drains.pop(release_id, None)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.transient_units, background_drain.unit(NAME, release_id)))

    @property
    def transient_units(self) -> str:
        return os.path.join(self.folder, "transient")

    def engine(self) -> Engine:
        return Engine(self.settings(), self.layout, self.systemd)

    def id_of(self, version: str) -> str:
        return stage.content(self.spec(version), self.layout).release_id()

    def stage(self, version: str) -> None:
        """Put it on the host, inert."""
        content = stage.content(self.spec(version), self.layout)
        stage.stage(self.spec(version), self.layout, content.release_id(), content)

    def release(self, version: str, **changes: Any) -> Outcome:
        """As the controller does it: what waits for its word gets it."""
        done = self.swap(version, **changes)
        if done.unconfirmed:
            done.phases.update(self.engine().confirm(done.unconfirmed).phases)
        return done

    def act_as_person(self) -> None:
        """What another process writes is no effect of the run."""
        state = os.path.join(self.layout.state, "state.json")
        told = json.loads(read(state)) if self.answers and os.path.exists(state) else {}
        if told.get("paused") and self.clock.now >= told["paused"]["since"] + self.answers_after:
            self.say(told["txn"], self.answers)

    def say(self, txn: str, word: str) -> None:
        with open(os.path.join(self.layout.state, pause.FILE), "w", encoding="utf-8") as stream:
            json.dump({"txn": txn, "word": word, "by": {"person": "alice"}}, stream)

    def forget(self, release_id: str) -> None:
        """A version before this one has staged it, and kept nothing of it elsewhere."""
        for path in (self.layout.sums(release_id), self.layout.kept_manifest(release_id)):
            os.unlink(path)

    def swap(self, version: str, **changes: Any) -> Outcome:
        """The controller is gone before it could confirm."""
        return self.engine().release(self.spec(version, **changes))

    def expire(self) -> None:
        """The timer fires, if it runs."""
        txn, self.timer = self.timer, None
        if txn is not None:
            self.engine().recover(txn)

    def rollback(self, wanted: str | None = None, **more: Any) -> Outcome:
        return self.engine().rollback(wanted, **more)

    def watch(self) -> None:
        """Forget the extremes seen so far."""
        self.systemd.lowest = len(self.systemd.serving())
        self.systemd.lowest_chosen = len(self.systemd.serving_chosen())
        self.systemd.lowest_more = {port: len(self.systemd.serving_at(port)) for port in self.more}
        self.systemd.most = 0

    def reboot(self) -> None:
        """Power off and on; at the end of the boot, slipway-recover.service settles what was in flight."""
        self.systemd.reboot()
        self.timer = None
        if os.path.exists(os.path.join(self.layout.state, "settings.json")):
            with contextlib.suppress(SlipwayError):
                self.engine().recover()

    # What the tests see.

    @property
    def store(self) -> Store:
        return Store(self.layout)

    def boot_id(self) -> str | None:
        path = self.layout.boot_file
        return read(path).strip().partition("=")[2] if os.path.exists(path) else None

    def leftovers(self) -> list[str]:
        """Files that only a run in flight should have."""
        found = []
        for base, folders, names in os.walk(self.folder):
            found += [
                os.path.join(base, n)
                for n in folders + names
                if ".tmp-" in n or n in ("state.json", "settings.next.json")
            ]
        return found

    def settled(self) -> str:
        """The id of the one release that runs, serves, is current, last good and what the next boot starts.

        It runs in its own units, and what drained beside it has ended.
        """
        for release_id in list(self.drains):
            self._finish_drain(release_id)
        (running,) = self.systemd.running()
        assert not [i for i in self.systemd.instances.values() if i.state == "activating" and not i.rehearses]
        assert self.systemd.serving() == [running]
        assert self.layout.current_id() == running
        assert self.layout.last_good_id() == running
        assert self.boot_id() == ("current" if self.layout.manifest(running)["strategy"] == "reload" else running)
        assert self.store.load() is None
        assert running in self.layout.staged()
        assert self.systemd.umbrella, "systemctl stop shop would stop nothing"
        found = self.systemd.instance(running)
        proxied = self.layout.manifest(running)["strategy"] == "proxy"
        assert (found.address is not None) == proxied, "it runs in the units of another release"
        if proxied:
            before, more_before = dict(self.haproxy.servers_now), self.haproxy.more_now
            self.haproxy.restart()
            assert self.haproxy.open_addresses() == {found.address}, "a restart of HAProxy leads users elsewhere"
            there = {found.address} if self.chosen else set()
            assert self.haproxy.chosen_addresses() == there, "a restart of HAProxy leads chosen users elsewhere"
            self.haproxy.servers_now = before
            for port in self.more:
                has = [running] if port in found.more else []
                assert self.systemd.serving_at(port) == has, f"a restart of HAProxy leads users of {port} elsewhere"
            self.haproxy.more_now = more_before
            assert self.haproxy.chosen_addresses() == there, "chosen users are led elsewhere"
            for port in self.more:
                has = [running] if port in found.more else []
                assert self.systemd.serving_at(port) == has, f"users of {port} are led elsewhere"
                ready = self.haproxy.open_addresses(port)
                assert ready == ({found.more[port]} if has else set()), ready
        inherited = self.layout.manifest(running)["strategy"] == "socket"
        assert found.inherited == inherited, "it runs in the units of another release"
        assert found.inode == self.systemd.socket, "PID 1 has another socket open"
        return running


BAD = {
    "cannot start": (Behaviour(boots=False), "not_started"),
    "never ready": (Behaviour(ready=False), "was not ready within"),
    "unhealthy": (Behaviour(healthy=False), "did not become healthy"),
    "dies while it is asked": (Behaviour(dies_after=1), "did not stay up"),
    "dies in the soak": (Behaviour(dies_after=4), "did not stay up"),
    "is restarted in the soak": (Behaviour(restarts_after=4), "did not stay up"),
    "sick in the soak": (Behaviour(sick_after=3), "failed 3 checks in a row"),
    "hangs in the soak": (Behaviour(sick_after=2, check_takes=5.0), "failed 3 checks in a row"),
}
