"""Hosts behind one HAProxy, and what is released on them."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import inside
import lab
import play
import table
from background import Run
from balancer import BACKEND, Balancer
from client import Load
from waiting import wait

PORT, HOSTS, WEIGHT = 8080, 3, 100
FIRST, SECOND = "1.0.0", "2.0.0"
HERE = Path(__file__).resolve().parent
STEPS = HERE.parent / "balanced" / "steps"
NO_STEPS = dict.fromkeys(("release_before_swap_tasks", "release_after_swap_tasks", "release_after_verdict_tasks"), "")


class Front(Balancer):
    def _configuration(self) -> str:
        return super()._configuration().replace("default-server", f"default-server weight {WEIGHT}")


class Bench:
    def __init__(self, name: str, work: Path) -> None:
        self._work, self._name = work, name
        told = json.loads((lab.folder(name) / "inventory.yml").read_text())
        hosts: dict[str, Any] = told["all"]["hosts"]
        *self._names, self._front = list(hosts)
        self._containers = {host: f"slipway-{name}-{host}" for host in hosts}
        told["all"]["children"] = {"shop": {"hosts": {host: {} for host in self._names}}}
        self._inventory = lab.folder(name) / "fronted.yml"
        self._inventory.write_text(json.dumps(told))
        addresses = {host: str(hosts[host]["ansible_host"]) for host in self._names}
        front = str(hosts[self._front]["ansible_host"])
        self.balancer = Front(self._containers[self._front], front, addresses, PORT)
        self.url = self.balancer.url

    def set_up(self) -> None:
        if set(self.serves().values()) != {FIRST}:
            _require(self.play("site", FIRST, table.Case("", {}, True, more={**NO_STEPS, "release_compare": {}})))
        self.balancer.set_up()

    def play(self, name: str, version: str, case: table.Case) -> play.Play:
        return play.playbook(name, self._inventory, {**self._variables(version), **case.variables})

    def _variables(self, version: str) -> dict[str, Any]:
        return {
            "slipway_hosts": "shop",
            "service_name": "shop",
            "service_swap": "socket",
            "service_listen": [str(PORT)],
            "site_harden": False,
            "release_version": version,
            "release_src": str(self._work / f"shop-{version}"),
            "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 30},
            "release_soak_time": 1,
            "release_serial": [1, "100%"],
            "release_force": True,
            "release_before_swap_tasks": str(STEPS / "out.yml"),
            "release_after_swap_tasks": str(STEPS / "back.yml"),
            "release_after_verdict_tasks": str(HERE / "steps" / "whole.yml"),
            "balancer_hosts": [self._front],
            "balancer_backend": BACKEND,
            "release_compare": {"haproxy": [self._front], "backend": BACKEND, "time": 30, "interval": 3},
        }

    def serves(self) -> dict[str, str]:
        """The version on each host."""
        return {host: self._version(self._containers[host]) for host in self._names}

    @staticmethod
    def _version(container: str) -> str:
        return inside.run(container, "readlink", "/opt/shop/current", check=False).rpartition("/")[2].partition("-")[0]

    def weights(self) -> dict[str, str]:
        """What HAProxy gives each host now, and at first."""
        shown = [self.balancer.ask(f"get weight {BACKEND}/{host}").strip() for host in self._names]
        return dict(zip(self._names, shown))

    def take_back(self) -> None:
        if set(self.serves().values()) != {FIRST}:
            _require(self.play("rollback", FIRST, table.Case("", {}, True)))

    @contextmanager
    def watching(self, case: table.Case, client: Load) -> Iterator[None]:
        """Marks the time in which the canary has less than its weight; and reloads HAProxy once, if that is so."""
        over = threading.Event()

        def watch() -> None:
            begun, reloads = 0.0, case.reloads
            while not over.wait(0.5):
                is_less = self._is_less()
                now = time.time()
                if is_less and not begun:
                    begun = now
                if begun and not is_less:
                    client.mark("share", begun, now)
                    begun = 0.0
                if reloads and self._has_second():
                    time.sleep(10)
                    inside.run(self._containers[self._front], "systemctl", "reload", "haproxy")
                    reloads = False

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _is_less(self) -> bool:
        """Whether the canary serves with a part of its weight."""
        is_up = self.balancer.states()[self._names[0]] == "up"
        return is_up and not self.weights()[self._names[0]].startswith(str(WEIGHT))

    def _has_second(self) -> bool:
        return self._version(self._containers[self._names[0]]) == SECOND

    def kill(self, case: table.Case, client: Load) -> None:
        """A run that is killed as soon as the canary has its share, which it then keeps."""
        more = {**self._variables(SECOND), **case.variables}
        run = Run("release", self._inventory, more, environment={}, log=lab.folder(self._name) / "killed.log")
        wait("the canary has its share", self._is_less, 300)
        time.sleep(5)
        run.cancel(signal.SIGKILL)
        if not self._is_less():
            raise SystemExit("the canary has its whole weight, although nobody has judged it")


def _require(done: play.Play) -> None:
    if done.code:
        raise SystemExit(done.output[-6000:])
