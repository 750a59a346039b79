"""A fleet whose hosts vanish: how it is played on, how a host vanishes, and what has changed on which of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside
import play
from processes import kill_tree
from waiting import wait

NOBODY = "172.17.0.250"  # an address that the lab's network has not given to anybody
SERVICE = "shop"
# What a run could have changed on a host: its releases, what the engine remembers, and its configuration.
STATE = rf"""
readlink /opt/{SERVICE}/current /opt/{SERVICE}/last-good; ls /opt/{SERVICE}/releases
cd /var/lib/slipway/{SERVICE} && sha256sum state.json journal.jsonl settings.json 2>/dev/null
find /etc -type f ! -path '/etc/hosts' ! -path '/etc/resolv.conf' -exec sha256sum {{}} + | sort -k2
"""


@dataclass(frozen=True)
class Host:
    name: str
    address: str
    container: str
    file: Path

    def run(self, *argv: str, check: bool = True) -> str:
        return inside.run(self.container, *argv, check=check)

    def serves(self) -> str:
        return self.run("readlink", f"/opt/{SERVICE}/current", check=False).rpartition("/")[2].partition("-")[0]

    def phase(self) -> str:
        told = self.run("cat", f"/var/lib/slipway/{SERVICE}/state.json", check=False)
        return str(json.loads(told)["phase"]) if told else ""

    def state(self) -> str:
        return self.run("sh", "-c", STATE, check=False)

    def vanish(self) -> None:
        """Before a connection: its address is nobody's."""
        self.file.write_text(NOBODY)

    def cut(self, *only: str) -> None:
        """Also in the middle of a task: its packets are dropped; only: those that match."""
        self.file.write_text(self.address)
        argv = ["iptables", "-A", "SLIPWAY-FLEET", "-d", self.address, "-p", "tcp", "--dport", "22", *only]
        subprocess.run([*argv, "-j", "DROP"], check=True)


def _take_interrupts() -> None:
    """Whatever started the tests in the background may have had them ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Run:
    """A playbook that runs, and what it has said so far."""

    def __init__(self, fleet: Fleet, name: str, variables: dict[str, Any], flags: tuple[str, ...]) -> None:
        argv = ["ansible-playbook", str(play.CHECKOUT / "playbooks" / f"{name}.yml"), "-i", str(fleet.inventory)]
        self._log = fleet.inventory.parent / "run.log"
        with self._log.open("w") as stream:
            self._process = subprocess.Popen(
                [*argv, "-e", json.dumps(variables), *flags],
                env={**play.environment(), "ANSIBLE_TIMEOUT": "4", **fleet.environment},
                cwd=play.CHECKOUT,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_take_interrupts,
            )

    def said(self) -> str:
        return self._log.read_text()

    def until(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 300
        while not condition():
            assert self._process.poll() is None, f"the run ended before {what}:\n{self.said()}"
            assert time.monotonic() < deadline, f"{what}: not within 300 s:\n{self.said()}"
            time.sleep(0.1)

    def until_phase(self, host: Host, phase: str) -> None:
        """The host itself looks often enough for a phase of a few milliseconds."""
        state = f"/var/lib/slipway/{SERVICE}/state.json"
        loop = f'until grep -qE \'"phase": ?"{phase}"\' {state} 2>/dev/null; do sleep 0.02; done'
        looking = subprocess.Popen(["docker", "exec", host.container, "timeout", "300", "sh", "-c", loop])
        self.until(f"{phase} on {host.name}", lambda: looking.poll() is not None)
        assert looking.returncode == 0, f"{host.name} did not come to {phase}"

    def cancel(self, number: int) -> None:
        """As whoever cancels a job does: an interrupt for the process group, or the death of all that it has begun."""
        if number == signal.SIGKILL:
            kill_tree(self._process.pid)
        else:
            os.killpg(self._process.pid, number)

    def end(self) -> play.Play:
        begun = time.monotonic()
        try:
            self._process.wait(timeout=420)
        except subprocess.TimeoutExpired:
            self.cancel(signal.SIGKILL)
            self._process.wait()
        return play.Play(self._process.returncode, time.monotonic() - begun, self.said())


class Fleet:
    def __init__(self, inventory: Path, hosts: list[Host]) -> None:
        self.inventory, self.hosts = inventory, hosts
        self.environment: dict[str, str] = {}
        self.variables: dict[str, Any] = {}
        self._before: dict[str, str] = {}

    def prepare(self, binaries: Path) -> None:
        """2.0.0 on every host and 1.0.0 before it, nothing in flight."""
        self.back()
        self.variables = {
            "service_name": SERVICE,
            "service_listen": ["8080"],
            "service_watch_interval": 3600,
            "release_health": {"url": "http://127.0.0.1:8080/readyz", "deadline": 10},
            "release_start_timeout": 15,
            "release_drain_timeout": 5,
            "release_soak_time": 0,
            "release_confirm": 2,
        }
        self._binaries = binaries
        if {host.serves() for host in self.hosts} != {"2.0.0"} or any(map(self._marked, self.hosts)):
            for host in self.hosts:
                self._wipe(host)
            # A connection that is shared with the case would not notice that its host has vanished.
            self.environment = {"ANSIBLE_SSH_CONTROL_PATH_DIR": str(self.inventory.parent / "connections")}
            for version in ("1.0.0", "2.0.0"):
                done = self.play("site", version, release_serial="100%", ansible_ssh_extra_args="")
                assert done.code == 0, done.output
        self.variables["release_soak_time"] = 2
        self.environment = {}
        self._before = {host.name: host.state() for host in self.hosts}

    @staticmethod
    def _marked(host: Host) -> bool:
        told = json.loads(host.run("slipway", "status", SERVICE, "--json", check=False) or "[{}]")[0]
        history = json.loads(host.run("slipway", "history", SERVICE, "--json", check=False) or "[]")
        return bool(told.get("in_flight") or told.get("bad") or len(history) != 2)

    @staticmethod
    def _wipe(host: Host) -> None:
        units = f"'{SERVICE}*'"
        host.run(
            "sh",
            "-c",
            f"systemctl stop {units} 'release-{SERVICE}*' 'slipway-deadman*'; rm -rf /opt/{SERVICE} /var/lib/slipway"
            f" /etc/{SERVICE}; rm -f /etc/systemd/system/{SERVICE}*; systemctl daemon-reload; systemctl reset-failed",
            check=False,
        )

    def back(self) -> None:
        """Every host can be reached again."""
        subprocess.run(["iptables", "-F", "SLIPWAY-FLEET"], check=True)
        for host in self.hosts:
            host.file.write_text(host.address)

    def values(self, version: str, **more: Any) -> dict[str, Any]:
        source = {"release_version": version, "release_src": str(self._binaries / f"shop-{version}")}
        return {**self.variables, **source, **more}

    def start(self, name: str, version: str, *flags: str, **more: Any) -> Run:
        return Run(self, name, self.values(version, **more), flags)

    def play(self, name: str, version: str, *flags: str, **more: Any) -> play.Play:
        return self.start(name, version, *flags, **more).end()

    def settle(self) -> None:
        """Until no host has a release in flight any more."""
        self.back()
        wait("nothing is in flight", lambda: not any(host.phase() for host in self.hosts), 240)

    def serves(self) -> list[str]:
        return [host.serves() for host in self.hosts]

    def changed(self) -> list[int]:
        """The places of the hosts on which anything has changed since the case began."""
        return [place for place, host in enumerate(self.hosts) if host.state() != self._before[host.name]]
