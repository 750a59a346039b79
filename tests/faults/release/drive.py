"""Runs one row on one host, under load, and holds what happened against what the row promises."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import play
from client import Load
from host import PYTHON, RUN, Host, HostError, Service
from model import BOTH, CUT_SSH, KILL, NEW, NOTHING, OLD, Moment, Result, Row
from waiting import wait

RATE = 100
RUN_TIMEOUT = 600.0
VERSIONS = ("1.0.0", "2.0.0")


class Run:
    """One ansible-playbook process."""

    def __init__(self, name: str, host: Host, variables: dict[str, Any], log: Path) -> None:
        self._log = log.open("w+")
        argv = ["ansible-playbook", str(play.CHECKOUT / "playbooks" / f"{name}.yml"), "-i", str(host.inventory)]
        argv += ["-l", host.name, "-e", json.dumps(variables)]
        # A connection of its own, so that cutting it cuts this run and no other.
        environment = {**play.environment(), "ANSIBLE_SSH_ARGS": "-C -o ControlMaster=no"}
        self.process = subprocess.Popen(
            argv, env=environment, cwd=play.CHECKOUT, stdout=self._log, stderr=subprocess.STDOUT
        )

    def wait(self, patience: int = 1) -> tuple[int, str]:
        code = self.process.wait(timeout=RUN_TIMEOUT * patience)
        self._log.seek(0)
        return code, self._log.read()

    def kill(self) -> None:
        """The controller is gone at once, with everything it had started."""
        family = descendants(self.process.pid)
        for pid in (self.process.pid, *family):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def descendants(pid: int) -> list[int]:
    found = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in path.read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


class NoLoad:
    """For a host that is off during its fault."""

    def mark(self, name: str, start: float, end: float) -> None:
        pass

    def report(self) -> dict[str, Any]:
        return {"marks": [], "total": {"failures": {}}, "failure_samples": []}

    def kill(self) -> None:
        pass


def health(port: int, patience: int = 1) -> dict[str, Any]:
    return {"url": f"http://127.0.0.1:{port}/readyz", "deadline": 6 * patience, "timeout": patience}


class Bench:
    """One host with a service for each strategy; takes one row after the other. patience: how slow the host is."""

    def __init__(
        self, host: Host, services: dict[str, Service], binaries: Path, work: Path, load: bool = True, patience: int = 1
    ) -> None:
        self.host, self.services, self.binaries, self.work = host, services, binaries, work
        self.load, self.patience = load, patience
        self.run: Run | None = None
        self.second: Run | None = None
        self.row_variables: dict[str, Any] = {}
        self.second_variables: dict[str, Any] = {}
        self.service = next(iter(services.values()))
        self.log = work

    def variables(self, service: Service, version: str, **more: Any) -> dict[str, Any]:
        return {
            "site_harden": False,
            "service_name": service.name,
            "service_listen": [str(service.port)],
            "service_start_timeout": 8 * self.patience,
            "service_drain_timeout": 10 * self.patience,
            "release_version": version,
            "release_src": str(self.binaries / f"shop-{version}"),
            "release_health": health(service.port, self.patience),
            "release_soak_time": 1,
            "release_confirm": 0,  # most rows are about the swap; those of PROBATION say otherwise
            "release_keep": 3,
            **service.variables,
            **more,
        }

    def play(self, name: str, variables: dict[str, Any], log: str) -> tuple[int, str]:
        return Run(name, self.host, variables, self.log / f"{log}.log").wait(self.patience)

    def prepare(self) -> None:
        """Every service in its first release."""
        self.log = self.work
        self.host.set_up()
        for service in self.services.values():
            if self.host.status(service.name).get("health") != "pass":
                self._site(service)

    def _site(self, service: Service) -> None:
        self.host.purge(service.name)
        code, output = self.play("site", self.variables(service, VERSIONS[0]), f"site-{service.name}")
        if code:
            raise HostError(f"{self.host.name}: no first release of {service.name}:\n{output[-2000:]}")

    def execute(self, row: Row, number: int) -> Result:
        result = Result(row, self.host.what)
        self.log = self.work / f"row-{number:03d}-{self.host.name}"
        self.log.mkdir(parents=True, exist_ok=True)
        result.log = str(self.log)
        self.service = self.services["socket" if row.first else row.strategy]
        begun = time.monotonic()
        try:
            self._execute(row, number, result)
        except (HostError, subprocess.TimeoutExpired, OSError, ValueError) as error:
            result.broken.append(f"the row could not be run: {error}")
        for run in (self.run, self.second):
            if run and run.process.poll() is None:  # it would go on in what the next row begins with
                run.kill()
        if result.broken:
            self._forget(result)
        elif row.prepared:  # what the host keeps for the next release is another configuration than that of all others
            self._start_anew(result)
        result.seconds = time.monotonic() - begun
        return result

    def _forget(self, result: Result) -> None:
        """Keep what a broken row has left for whoever looks into it, and start anew."""
        look = f"slipway status {self.service.name}; slipway history {self.service.name}; journalctl -n 150 --no-pager"
        (self.log / "host.log").write_text(self.host.run(look, check=False))
        self._start_anew(result)

    def _start_anew(self, result: Result) -> None:
        try:
            self.host.clean()
            self._site(self.service)
        except (HostError, subprocess.TimeoutExpired) as error:
            result.broken.append(str(error))

    def _execute(self, row: Row, number: int, result: Result) -> None:
        host, service = self.host, self.service
        host.clean()
        if row.first:
            host.purge(service.name)
        serving = host.status(service.name).get("version") if not row.first else None
        old = str(serving)
        new = VERSIONS[1] if serving == VERSIONS[0] else VERSIONS[0]
        good = self.variables(service, new, release_environment=self._environment(str(number)))
        if row.kind == "rollback":
            code, output = self.play(row.prepare, {**good, **row.prepared}, "prepare")
            if code:
                raise HostError(f"nothing to roll back from: {output[-1500:]}")
            old, new = new, old
            good = self.variables(service, new, release_environment=self._environment(f"{number} again"))
        self.row_variables = self._faulty(row, good, number)
        good.update(row.mended)
        host.run(self._script(row.before))
        load = self._load() if self.load else NoLoad()
        try:
            time.sleep(0.5)
            report = self._under_load(row, load, (old, new), good, result)
        finally:
            load.kill()
        self._judge_load(row, report, new, result)

    def _load(self) -> Load:
        """From before the fault until after the repair."""
        patience = ("-timeout", "20s")  # a machine that stands still for seconds loses nothing
        url = self.host.url(self.service.port)
        return Load(self.binaries / "load", self.log, [url], RATE, "-stream-ms", "1000", *patience)

    def _faulty(self, row: Row, good: dict[str, Any], number: int) -> dict[str, Any]:
        variables = {**good, **row.variables}
        environment = {**self._environment(str(number)), **row.variables.get("release_environment", {})}
        source = str(variables["release_src"]).replace("@", str(self.binaries))
        return {
            **variables,
            "release_environment": environment,
            "release_src": source,
            "ansible_python_interpreter": PYTHON,
        }

    def _environment(self, row: str) -> dict[str, str]:
        """What makes the release of each row another one."""
        return {"ROW": row} if self.service.own_environment else {}

    def _playbook(self, row: Row) -> str:
        return row.playbook or ("site" if row.first else row.kind)

    def _under_load(
        self, row: Row, load: Load | NoLoad, names: tuple[str, str], good: dict[str, Any], result: Result
    ) -> dict[str, Any]:
        host, service = self.host, self.service
        begun = time.time()
        self.second, self.second_variables = None, row.second or {}
        if row.earlier:
            self._plan(row.earlier, KILL)
            self.play(self._playbook(row), self.row_variables, "earlier")
        if row.at:
            self._plan(row.at, row.do)
        self.run = Run(self._playbook(row), host, self.row_variables, self.log / "fault.log")
        if row.meanwhile:
            row.meanwhile(self)
        code, output = self.run.wait(self.patience)
        if self.second:
            self._judge_second(row, *self.second.wait(), result)
        self.wait("the engine and PID 1 are done", lambda: not host.busy(service.name))
        if row.then:
            row.then(self)
        if row.at and host.exists(f"{RUN}/plan.json"):
            result.broken.append("the moment of the fault never came")
        self._judge_run(row, code, output, result)
        result.served = self._serving(names)
        if row.settled:
            result.broken += [f"before the next run, {one}" for one in self._unsettled()]
        if result.served not in row.serves:
            result.broken.append(f"{result.served} serves afterwards; promised: {' or '.join(sorted(row.serves))}")
        load.mark("fault", begun, time.time())
        host.run(f"rm -f {RUN}/plan.json; {self._script(row.after)}")
        self._repair(row, names, good, result, load)
        return load.report()

    def _plan(self, at: Moment, do: str) -> None:
        self.host.plan(at.event, at.match, at.nth, at.after, self._script(do))

    def _script(self, script: str) -> str:
        return script.replace("SERVICE", self.service.name) or "true"

    def start_second(self) -> None:
        """Another run for the same service, of a release of its own."""
        variables = {**self.row_variables, **self.second_variables}
        variables["release_environment"] = {**variables["release_environment"], "SECOND": "1"}
        self.second = Run("release", self.host, variables, self.log / "second.log")

    def second_ended(self) -> bool:
        return self.second is None or self.second.process.poll() is not None

    def _judge_second(self, row: Row, code: int, output: str, result: Result) -> None:
        flat = " ".join(output.split())
        if row.second_says and (code == 0 or not re.search(row.second_says, flat)):
            result.broken.append(f"the second run did not say {row.second_says!r}: {flat[-300:]}")
        if not row.second_says and code:
            result.broken.append(f"the second run failed: {flat[-700:]}")

    def _serving(self, names: tuple[str, str]) -> str:
        found = self.host.versions(self.service.port)
        words = {names[0]: OLD, names[1]: NEW}
        if len(found) == 2:
            return BOTH
        return words.get(found.pop(), "a stranger") if found else NOTHING

    def _judge_run(self, row: Row, code: int, output: str, result: Result) -> None:
        flat = " ".join(output.split())
        told = re.search(r"(?:msg: |\[ERROR\]: )(.{0,300})", flat)
        result.said = "" if code == 0 else (told.group(1) if told else flat[-300:])
        if row.says == "" and code != 0:
            result.broken.append(f"the run failed: {result.said}")
        if row.says and (code == 0 or not re.search(row.says, flat)):
            result.broken.append(f"the run {'succeeded' if code == 0 else 'did not say'} {row.says!r}")
        if "Traceback" in output and row.do not in (KILL, CUT_SSH):
            result.broken.append("a traceback reached the operator")

    def _repair(
        self, row: Row, names: tuple[str, str], good: dict[str, Any], result: Result, load: Load | NoLoad
    ) -> None:
        """The next ordinary run, with nothing said but what it always says."""
        host, service = self.host, self.service
        left = len(host.journal(service.name))
        begun = time.time()
        code, output = self.play(row.next_playbook or self._playbook(row), good, "next")
        load.mark("next run", begun, time.time())
        events = host.journal(service.name)[left:]
        result.next_run = tell(events, code)
        if code:
            result.broken.append(f"the next ordinary run failed: {' '.join(output.split())[-700:]}")
            return
        self.wait("PID 1 is done", lambda: not host.busy(service.name))
        result.broken += self._unhealthy(names[1], output)

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        wait(what, condition, seconds * self.patience)

    def _unsettled(self) -> list[str]:
        """What is not as it should be once a host has been left to itself."""
        status = self.host.status(self.service.name)
        current = status.get("current")
        wanted = {
            "health": "pass",
            "last_good": current,
            "in_flight": None,
        }
        found = [
            f"{key} is {status.get(key)!r}, not {want!r}" for key, want in wanted.items() if status.get(key) != want
        ]
        running = status.get("running", [])
        return found if len(running) == 1 else [*found, f"{len(running)} units run: {running}"]

    def _unhealthy(self, version: str, output: str) -> list[str]:
        """What is not as a finished release leaves it."""
        host, service = self.host, self.service
        found = self._unsettled()
        leftovers = host.run(
            f"find /opt/{service.name} /var/lib/slipway/{service.name} /etc/systemd/system -name '*.tmp-*'"
            f"; systemctl show --property=NeedDaemonReload,Id '{service.name}*' | grep -B1 NeedDaemonReload=yes"
            f"; systemctl --failed --plain --no-legend '{service.name}*'"
            f"; systemctl list-units --plain --no-legend '{service.name}-rehearsal*'"
        )
        if leftovers:
            found.append(f"left behind: {' '.join(leftovers.split())}")
        if (served := host.versions(service.port)) != {version}:
            found.append(f"{served or 'nothing'} answers, not {version}")
        return found

    def _judge_load(self, row: Row, report: dict[str, Any], new: str, result: Result) -> None:
        during = {mark["name"]: mark for mark in report["marks"]}
        result.sent = during.get("fault", {}).get("sent", 0)
        result.failures = during.get("fault", {}).get("failures", {})
        unexpected = {k: n for k, n in report["total"]["failures"].items() if not row.lost & {k, "any"}}
        if unexpected:
            samples = [f"{s['at']:.3f} {s['kind']} {s['failure']} {s['error']}" for s in report["failure_samples"][:3]]
            result.broken.append(f"lost requests: {unexpected} ({'; '.join(samples)})")
        if not row.exposed and during.get("fault", {}).get("versions", {}).get(new):
            result.broken.append(f"the release that failed answered {during['fault']['versions'][new]} requests")


def tell(events: list[dict[str, Any]], code: int) -> str:
    """What a run did, in words, from its journal."""
    words = {"rolled_back": "restores the old one", "given_up": "gives up both", "refused": "refuses it"}
    said = []
    begun = {e.get("txn") for e in events if e.get("event") == "phase"}
    for event in events:
        if event.get("event") == "committed":
            own = event.get("txn") in begun
            said.append(
                ("rolls back" if event.get("kind") == "rollback" else "releases") if own else "commits the new one"
            )
        elif event.get("event") in words:
            first = event["event"] == "rolled_back" and not event.get("serving")
            said.append("removes the unproven one" if first else words[event["event"]])
        elif event.get("event") == "left_as_is":
            said.append("leaves it as it is")
    return ("" if code == 0 else "FAILS: ") + (", then ".join(said) or "changes nothing")
