# Copyright (c) Slipway maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""systemd through systemctl(1). This file is PRIVATE to the collection."""

from __future__ import annotations

import glob
import re
import time
from dataclasses import dataclass
from typing import Optional, Sequence

from .._core import command
from .._core.errors import SlipwayError

POLL = 0.05
_PROPERTIES = ("LoadState", "ActiveState", "SubState", "MainPID", "NRestarts", "Result", "ExecMainStatus", "Job")
_LIBRARIES = ("/usr/lib/systemd", "/lib/systemd", "/usr/lib64/systemd", "/usr/lib/*/systemd")


def release_of_systemd() -> int:
    """257, by the name of its library; 0 where that is not where it is looked for."""
    paths = [path for folder in _LIBRARIES for path in glob.glob(f"{folder}/libsystemd-shared-*.so")]
    releases = (re.search(r"-(\d+)[^/]*\.so\Z", path) for path in paths)
    return max((int(found.group(1)) for found in releases if found is not None), default=0)


@dataclass(frozen=True)
class UnitState:
    """What systemd says of a unit at one moment."""

    load: str
    active: str
    sub: str
    main_pid: int
    restarts: int
    result: str
    exit_status: int
    job: int = 0

    @property
    def up(self) -> bool:
        return self.active == "active"

    @property
    def running(self) -> bool:
        """Up, also while it is being reloaded."""
        return self.active in ("active", "reloading")

    @property
    def busy(self) -> bool:
        """PID 1 is starting, reloading or stopping it, and gives up by itself in time; not between two tries."""
        trying = self.active == "activating" and not self.sub.startswith("auto-restart")
        return trying or self.active in ("reloading", "deactivating")

    @property
    def settled_down(self) -> bool:
        """Not running, and no job is queued that would change it (a start is queued before it acts)."""
        return self.active in ("inactive", "failed") and self.job == 0

    def describe(self) -> str:
        parts = [f"{self.active} ({self.sub})"]
        if self.result not in ("", "success"):
            parts.append(f"result {self.result}")
        if self.exit_status:
            parts.append(f"exit status {self.exit_status}")
        if self.restarts:
            parts.append(f"restarted {self.restarts} times")
        return ", ".join(parts)


def parse_properties(text: str) -> dict[str, str]:
    """The KEY=VALUE lines of `systemctl show` for one unit; what systemd does not know is absent, not an error."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key: value for key, separator, value in pairs if separator}


def parse_ports(text: str) -> set[int]:
    """The TCP ports in what `systemctl show` says a socket unit listens on; old versions have another form."""
    stream = r"^(?:Listen=(?![/@])(?:\S*:)?(\d+) \(Stream\)|ListenStream=(?![/@])(?:\S*:)?(\d+))$"
    return {int(new or old) for new, old in re.findall(stream, text, re.MULTILINE)}


def parse_show(text: str) -> UnitState:
    values = parse_properties(text)

    def number(key: str) -> int:
        try:
            return int(values.get(key) or 0)
        except ValueError:
            return 0

    return UnitState(
        load=values.get("LoadState", ""),
        active=values.get("ActiveState", ""),
        sub=values.get("SubState", ""),
        main_pid=number("MainPID"),
        restarts=number("NRestarts"),
        result=values.get("Result", ""),
        exit_status=number("ExecMainStatus"),
        job=number("Job"),
    )


class Systemd:
    """The few things the engine asks of PID 1. timeout is in seconds for one call."""

    def __init__(self, timeout: float = command.SECONDS) -> None:
        self.timeout = timeout

    def call(self, *arguments: str, timeout: Optional[float] = None, check: bool = True) -> str:
        done = self._run(*arguments, timeout=timeout)
        return (done.require_success() if check else done).text

    def _run(self, *arguments: str, timeout: Optional[float] = None) -> command.Finished:
        argv = ["systemctl", "--no-pager", "--no-ask-password", *arguments]
        return command.run(argv, timeout or self.timeout)

    def is_active(self, unit: str) -> bool:
        return self._run("is-active", "--quiet", unit).code == 0

    def is_enabled(self, unit: str) -> bool:
        """Whether PID 1 starts the unit at boot; one that is not there is not enabled."""
        return self._run("is-enabled", "--quiet", unit).code == 0

    def show(self, unit: str) -> UnitState:
        return parse_show(self.call("show", f"--property={','.join(_PROPERTIES)}", unit))

    def show_each(self, *units: str) -> list[UnitState]:
        """The same of each of these units, in one call: a program that is started costs more than what it is asked."""
        shown = self.call("show", f"--property={','.join(_PROPERTIES)}", *units)
        return [parse_show(block) for block in shown.strip().split("\n\n")]

    def stale(self, *files: str) -> list[str]:
        """The units that PID 1 knows from these unit files as they no longer are."""
        units = [name.replace("@.", "@*.") for name in files]
        shown = self.properties_of_each(("NeedDaemonReload", "Id"), *units)
        return [unit["Id"] for unit in shown if unit.get("NeedDaemonReload") == "yes"]

    def properties_of_each(self, names: Sequence[str], *units: str) -> list[dict[str, str]]:
        """What systemd says of these units, which may be patterns."""
        shown = self.call("show", f"--property={','.join(names)}", *units, check=False) if units else ""
        return [parse_properties(block) for block in shown.split("\n\n")]

    def properties(self, unit: str, *names: str) -> dict[str, str]:
        """What systemd says of these, empty where it says nothing."""
        shown = self.call("show", f"--property={','.join(names)}", "--", unit)
        return {**dict.fromkeys(names, ""), **parse_properties(shown)}

    def start(self, unit: str) -> None:
        """Start without waiting: the caller watches, with its own deadline."""
        self.call("start", "--no-block", unit)

    def start_and_wait(self, unit: str) -> None:
        self.call("start", unit)

    def stop(self, unit: str, timeout: float) -> bool:
        """Stop and wait; return whether it ended by itself: systemd kills what outlives the unit's TimeoutStopSec."""
        self.call("stop", unit, timeout=timeout)
        result = parse_show(self.call("show", "--property=Result", unit, check=False)).result
        self.call("reset-failed", unit, check=False)
        return result != "timeout"

    def restart(self, unit: str) -> None:
        """Restart without waiting, as start() does."""
        self.call("restart", "--no-block", unit)

    def restart_and_wait(self, unit: str) -> None:
        self.call("restart", unit)

    def wait_active(self, unit: str, timeout: float) -> UnitState:
        """Return the unit's state once it is active; fail as soon as it cannot become so."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.show(unit)
            if state.up:
                return state
            if state.settled_down or state.restarts > 0:
                raise SlipwayError(
                    "not_started", f"{unit} did not start: {state.describe()}.", f"see journalctl -u '{unit}'"
                )
            if time.monotonic() >= deadline:
                raise SlipwayError(
                    "start_timeout",
                    f"{unit} was not ready within {timeout:g} s: {state.describe()}.",
                    f"see journalctl -u '{unit}', or raise release_start_timeout",
                )
            time.sleep(POLL)

    def end(self, unit: str, timeout: float, margin: float) -> bool:
        """Stop and wait; what does not end in time is killed. Return whether it ended by itself."""
        try:
            return self.stop(unit, timeout)
        except SlipwayError as error:
            if error.code != "command_timeout":
                raise
            self.call("kill", "--signal=KILL", unit, check=False)
            self.stop(unit, margin)
            return False

    def socket_ports(self, unit: str) -> set[int]:
        """The TCP ports an active socket unit listens on."""
        shown = self.call("show", "--property=ActiveState,Listen", unit)
        if "ActiveState=active" not in shown:
            return set()
        return parse_ports(shown)

    def listening_sockets(self) -> list[tuple[str, set[int]]]:
        """Each active socket unit with the TCP ports it listens on."""
        shown = self.call("show", "--property=Id,ActiveState,Listen", "*.socket").split("\n\n")
        active = [block for block in shown if "ActiveState=active" in block]
        return [(parse_properties(block).get("Id", "?"), parse_ports(block)) for block in active]

    def _told_to_stop(self) -> list[str]:
        """The units that PID 1 has been told to stop and has not stopped yet; not those it restarts."""
        jobs = [line.split() for line in self.call("list-jobs", "--plain", "--no-legend").splitlines()]
        return [job[1] for job in jobs if len(job) > 2 and job[2] == "stop"]

    def stopping(self, name: str) -> list[str]:
        """The socket and the instances of a service that PID 1 has been told to stop and has not stopped yet."""
        return [unit for unit in self._told_to_stop() if unit == f"{name}.socket" or unit.startswith(f"{name}@")]

    def close_with(self, name: str) -> None:
        """Stop the socket of a service that is being stopped: systemd before 249 knows no PropagatesStopTo=."""
        socket = f"{name}.socket"
        if f"{name}.service" in self._told_to_stop() and self.show(socket).up:
            self.call("stop", "--no-block", socket)

    def active_instances(self, name: str) -> list[str]:
        """The instances of name@.service that run or try to."""
        listed = self.call("list-units", "--plain", "--no-legend", "--full", "--all", f"{name}@*.service")
        rows = [line.split() for line in listed.splitlines()]
        return [
            row[0] for row in rows if len(row) > 2 and row[2] in ("active", "activating", "reloading", "deactivating")
        ]
