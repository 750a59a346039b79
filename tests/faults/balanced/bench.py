"""Ten hosts behind a HAProxy, what is released on them, and the way back to a known state after every row."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lab
import play
import prometheus
from background import Run
from balancer import BACKEND, Balancer
from engine import docker
from injecting import INJECT, PAUSE, PYTHON, RUN, TOOLS, WRAPPER
from vanishing import SERVICE, Cuts, Host, with_files
from waiting import wait

HERE = Path(__file__).resolve().parent
# Fewer are for work on the rows themselves.
HOSTS = int(os.environ.get("SLIPWAY_BALANCED_HOSTS", "10"))
PORT, SCRAPE = 8080, 2
SERIAL = ["1", "4", "100%"]
FIRST, SECOND = "1.0.0", "2.0.0"
# Every request takes as long in the release before: a millisecond is too little to be twice as slow.
BEFORE = {"APP_SLOW_RATIO": "1", "APP_SLOW_MS": "20"}
STATE = f"/var/lib/slipway/{SERVICE}"
# A rehearsal is not in flight yet; the lock says that the engine is there.
LOOK = f"""readlink /opt/{SERVICE}/current || echo
if [ -e {STATE}/lock ] && ! flock --shared --nonblock {STATE}/lock true; then echo locked; else echo; fi
cat {STATE}/state.json 2>/dev/null"""
# Another machine, as far as a run can tell: it sees none of the processes here.
ELSEWHERE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "sh", "-c",
             'hostname elsewhere; exec "$@"', "sh")  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """On which host (by its place) and when: `begin` or `end` of a phase, or another event of inject/sitecustomize."""

    host: int
    event: str
    match: str
    nth: int = 1


class Bench:
    def __init__(self, name: str, work: Path) -> None:
        self.name, self.work, self.folder = name, work, lab.folder(name)
        told = json.loads((self.folder / "inventory.yml").read_text())
        self._front = list(told["all"]["hosts"])[-1]
        for host, variables in told["all"]["hosts"].items():  # one that was off in an earlier call may have moved
            variables["ansible_host"] = lab.address_of(f"slipway-{name}-{host}")
        self.cuts = Cuts(f"SLIPWAY-{name[:16].upper()}")
        hosts = with_files(told, self.folder, name, self.cuts)
        self.hosts, self.front = hosts[:HOSTS], hosts[-1]
        for host in self.hosts:
            told["all"]["hosts"][host.name]["ansible_python_interpreter"] = PYTHON
        names = [host.name for host in self.hosts]
        told["all"]["children"] = {"shop": {"hosts": {name: {} for name in names}}}
        self.inventory = self.folder / "balanced.yml"
        self.inventory.write_text(json.dumps(told))
        self.balancer = Balancer(
            self.front.container, self.front.address, {host.name: host.address for host in self.hosts}, PORT
        )
        self.prometheus = ""
        self._armed: int | None = None
        self._busy: list[int] = []
        self._pool = ThreadPoolExecutor(HOSTS)

    @property
    def names(self) -> list[str]:
        return [host.name for host in self.hosts]

    def set_up(self) -> None:
        """1.0.0 and 2.0.0 have been released on all hosts, and HAProxy has all of them."""
        for host in self.hosts:
            self._write(host, f"{TOOLS}/sitecustomize.py", INJECT.read_text())
            self._write(host, PYTHON, WRAPPER, "0755")
        self.settle()
        if len(set(self.serves())) != 1 or self.serves()[0] not in (FIRST, SECOND):
            for version in (FIRST, SECOND):
                done = self.start("site", version, release_serial="100%").end(1500)
                if done.code:
                    raise SystemExit(done.output[-6000:])
        self.balancer.set_up()

    @staticmethod
    def _write(host: Host, path: str, text: str, mode: str = "0644") -> None:
        argv = ["docker", "exec", "-i", host.container, "install", "-D", "-m", mode, "/dev/stdin", path]
        subprocess.run(argv, input=text, text=True, check=True)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """With a Prometheus that knows all hosts."""
        addresses = {host.name: host.address for host in self.hosts}
        folder = self.folder / "prometheus"
        folder.mkdir(exist_ok=True)
        with prometheus.watching(addresses, PORT, SCRAPE, folder) as self.prometheus:
            yield

    def variables(self, version: str) -> dict[str, Any]:
        return {
            "slipway_hosts": "shop",
            "service_name": SERVICE,
            "service_swap": "socket",
            "service_listen": [str(PORT)],
            "site_harden": False,
            "release_version": version,
            "release_src": str(self.work / f"shop-{version}"),
            "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 10},
            "release_environment": BEFORE,
            "release_start_timeout": 12,
            "release_drain_timeout": 5,
            "release_soak_time": 2,
            "release_confirm": 30,
            "release_serial": SERIAL,
        }

    def steps(self) -> dict[str, Any]:
        """Each host leaves the balancer before its swap, and comes back after it."""
        return {
            "release_before_swap_tasks": str(HERE / "steps" / "out.yml"),
            "release_after_swap_tasks": str(HERE / "steps" / "back.yml"),
            "balancer_hosts": [self._front],
            "balancer_backend": BACKEND,
        }

    def compare(self, seconds: int) -> dict[str, Any]:
        return {"release_compare": prometheus.compare(self.prometheus, SCRAPE, seconds), "release_min_requests": 100}

    def start(
        self,
        name: str,
        version: str,
        *flags: str,
        log: str = "run",
        elsewhere: bool = False,
        as_awx: bool = False,
        **more: Any,
    ) -> Run:
        runner = (sys.executable, str(HERE / "as_awx.py")) if as_awx else ()
        return Run(
            name, self.inventory, {**self.variables(version), **more}, *flags,
            # A connection that is shared with the row before would not notice that its host has vanished.
            environment={"ANSIBLE_FORKS": "10"},
            prefix=(*(ELSEWHERE if elsewhere or as_awx else ()), *runner),
            log=self.folder / f"{log}.log",
        )  # fmt: skip

    def look(self) -> list[tuple[str, str]]:
        """The version on each host, and the phase that it is in, or that the engine has the lock; empty for none."""
        return list(self._pool.map(self._look, self.hosts))

    @staticmethod
    def _look(host: Host) -> tuple[str, str]:
        current, locked, state = (host.run("sh", "-c", LOOK, check=False) + "\n\n").split("\n", 2)
        phase = str(json.loads(state)["phase"]) if state.strip() else locked
        return current.rpartition("/")[2].partition("-")[0], phase

    def _is_settled(self) -> bool:
        """All hosts are looked at only once those that were busy are not any more."""
        self._busy = [place for place in self._busy if self._look(self.hosts[place])[1]]
        if not self._busy:
            self._busy = [place for place, (_version, phase) in enumerate(self.look()) if phase]
        return not self._busy

    def serves(self) -> list[str]:
        return [version for version, _phase in self.look()]

    def arm(self, moment: Moment) -> None:
        """The engine on that host stops at that moment, until go()."""
        plan = {"event": moment.event, "match": moment.match, "nth": moment.nth, "after": False, "do": PAUSE}
        self._armed = moment.host
        self.hosts[moment.host].run("rm", "-rf", RUN)  # of a call that was killed
        self._write(self.hosts[moment.host], f"{RUN}/plan.json", json.dumps(plan))

    def reached(self, moment: Moment) -> bool:
        return self.hosts[moment.host].run("ls", f"{RUN}/reached", check=False) != ""

    def go(self, moment: Moment) -> None:
        self.hosts[moment.host].run("touch", f"{RUN}/go")

    def off(self, place: int) -> None:
        """Its plug is pulled."""
        docker("kill", self.hosts[place].container)

    def on(self, place: int) -> None:
        host = self.hosts[place]
        docker("start", host.container)
        lab.wait_until_running(host.container)
        address = lab.moved(host.container, host.address)
        if address != host.address:
            self.hosts[place] = Host(host.name, address, host.container, host.file, self.cuts)
            self.hosts[place].file.write_text(address)
            self.balancer.moved(host.name, address)

    def heal(self) -> None:
        """Every host is on and can be reached, and nothing waits for a moment any more."""
        self.cuts.clear()
        running = docker("ps", "--format", "{{.Names}}").split()
        for place, host in enumerate(self.hosts):
            if host.container not in running:
                self.on(place)
        for host in [*self.hosts, self.front]:
            host.file.write_text(host.address)

    def settle(self) -> None:
        """Until no host has a release in flight any more, as their deadlines have it."""
        self.heal()
        if self._armed is not None:
            self.hosts[self._armed].run("sh", "-c", f"rm -f {RUN}/plan.json; touch {RUN}/go", check=False)
        wait("nothing is in flight", self._is_settled, 240, pause=1.0)
        if self._armed is not None:
            self.hosts[self._armed].run("rm", "-rf", RUN)
            self._armed = None


def table(done: play.Play) -> dict[str, list[str]]:
    """Each host's row: host, from, to, verdict, failed requests, p99, what runs now, what is left to do."""
    shown = done.output.rpartition("\nHOST  ")[2].partition("PLAY RECAP")[0]
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in shown.splitlines()[1:]]
    return {row[0]: row for row in rows if len(row) == 8}
