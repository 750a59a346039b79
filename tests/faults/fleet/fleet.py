"""A fleet whose hosts vanish: how it is played on, how a host vanishes, and what has changed on which of them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import background
import play
from vanishing import SERVICE, Cuts, Host
from waiting import wait

# What a run could have changed on a host: its releases, what the engine remembers, and its configuration.
STATE = rf"""
readlink /opt/{SERVICE}/current /opt/{SERVICE}/last-good; ls /opt/{SERVICE}/releases
cd /var/lib/slipway/{SERVICE} && sha256sum state.json journal.jsonl settings.json 2>/dev/null
find /etc -type f ! -path '/etc/hosts' ! -path '/etc/resolv.conf' -exec sha256sum {{}} + | sort -k2
"""


class Run(background.Run):
    """A playbook on the fleet."""

    def until_phase(self, host: Host, phase: str) -> None:
        """The host itself looks often enough for a phase of a few milliseconds."""
        state = f"/var/lib/slipway/{SERVICE}/state.json"
        loop = f'until grep -qE \'"phase": ?"{phase}"\' {state} 2>/dev/null; do sleep 0.02; done'
        looking = subprocess.Popen(["docker", "exec", host.container, "timeout", "300", "sh", "-c", loop])
        self.until(f"{phase} on {host.name}", lambda: looking.poll() is not None)
        assert looking.returncode == 0, f"{host.name} did not come to {phase}"


class Fleet:
    def __init__(self, inventory: Path, hosts: list[Host], cuts: Cuts) -> None:
        self.inventory, self.hosts, self._cuts = inventory, hosts, cuts
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
        self._before = {host.name: self._state(host) for host in self.hosts}

    @staticmethod
    def _state(host: Host) -> str:
        return host.run("sh", "-c", STATE, check=False)

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
        self._cuts.clear()
        for host in self.hosts:
            host.file.write_text(host.address)

    def values(self, version: str, **more: Any) -> dict[str, Any]:
        source = {"release_version": version, "release_src": str(self._binaries / f"shop-{version}")}
        return {**self.variables, **source, **more}

    def start(self, name: str, version: str, *flags: str, **more: Any) -> Run:
        return Run(name, self.inventory, self.values(version, **more), *flags, environment=self.environment)

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
        return [place for place, host in enumerate(self.hosts) if self._state(host) != self._before[host.name]]
