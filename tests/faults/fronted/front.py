"""Hosts behind one HAProxy, and what is released on them."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import inside
import lab
import play
import table
from balancer import BACKEND, Balancer

PORT, HOSTS = 8080, 3
FIRST, SECOND = "1.0.0", "2.0.0"
STEPS = Path(__file__).resolve().parent.parent / "balanced" / "steps"


class Bench:
    def __init__(self, name: str, work: Path) -> None:
        self._work = work
        told = json.loads((lab.folder(name) / "inventory.yml").read_text())
        hosts: dict[str, Any] = told["all"]["hosts"]
        *self._names, self._front = list(hosts)
        self._containers = {host: f"slipway-{name}-{host}" for host in hosts}
        told["all"]["children"] = {"shop": {"hosts": {host: {} for host in self._names}}}
        self._inventory = lab.folder(name) / "fronted.yml"
        self._inventory.write_text(json.dumps(told))
        addresses = {host: str(hosts[host]["ansible_host"]) for host in self._names}
        front = str(hosts[self._front]["ansible_host"])
        self.balancer = Balancer(self._containers[self._front], front, addresses, PORT)
        self.url = self.balancer.url

    def set_up(self) -> None:
        _require(self.play("site", FIRST, table.Case("", {}, True)))
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
            "balancer_hosts": [self._front],
            "balancer_backend": BACKEND,
            "release_compare": {"haproxy": [self._front], "backend": BACKEND, "time": 30, "interval": 3},
        }

    def serves(self) -> dict[str, str]:
        """The version on each host."""
        return {host: self._version(self._containers[host]) for host in self._names}

    @staticmethod
    def _version(container: str) -> str:
        return inside.run(container, "readlink", "/opt/shop/current").rpartition("/")[2].partition("-")[0]

    def weights(self) -> dict[str, str]:
        """What HAProxy gives each host now, and at first."""
        shown = [self.balancer.ask(f"get weight {BACKEND}/{host}").strip() for host in self._names]
        return dict(zip(self._names, shown))

    def take_back(self) -> None:
        if set(self.serves().values()) != {FIRST}:
            _require(self.play("rollback", FIRST, table.Case("", {}, True)))

    @contextmanager
    def doing(self, meanwhile: str) -> Iterator[None]:
        yield


def _require(done: play.Play) -> None:
    if done.code:
        raise SystemExit(done.output[-6000:])
