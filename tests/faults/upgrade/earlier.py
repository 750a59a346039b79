"""Two versions of the collection that are played on the same host."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside
import play


@dataclass(frozen=True)
class Host:
    inventory: Path
    container: str

    def run(self, *argv: str, check: bool = True) -> str:
        return inside.run(self.container, *argv, check=check)

    def phase(self, service: str) -> str:
        state = self.run("cat", f"/var/lib/slipway/{service}/state.json", check=False)
        return str(json.loads(state)["phase"]) if state else ""

    def serves(self, service: str) -> str:
        return self.run("readlink", f"/opt/{service}/current").rpartition("/")[2].partition("-")[0]

    def deadline(self, service: str) -> float:
        """When the release in flight is taken back, in seconds since the epoch."""
        told = json.loads(self.run("slipway", "status", service, "--json", check=False))[0]
        return float(told["in_flight"]["deadline"])

    def last(self, service: str) -> str:
        """The last event of the service's history, as the tool on the host tells it."""
        return str(json.loads(self.run("slipway", "history", service, "--json"))[0]["event"])


@dataclass(frozen=True)
class Collection:
    root: Path
    path: Path

    def _argv(self, playbook: Path, host: Host, variables: dict[str, Any]) -> list[str]:
        return ["ansible-playbook", str(playbook), "-i", str(host.inventory), "-e", json.dumps(variables)]

    def attempt(self, name: str | Path, host: Host, variables: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        playbook = name if isinstance(name, Path) else self.root / "playbooks" / f"{name}.yml"
        return subprocess.run(
            self._argv(playbook, host, variables),
            env=play.environment(self.root, self.path),
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
            timeout=900,
        )

    def play(self, name: str | Path, host: Host, variables: dict[str, Any]) -> str:
        done = self.attempt(name, host, variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def begin(self, name: str, host: Host, variables: dict[str, Any]) -> subprocess.Popen[bytes]:
        argv = self._argv(self.root / "playbooks" / f"{name}.yml", host, variables)
        return subprocess.Popen(
            argv,
            env=play.environment(self.root, self.path),
            cwd=self.root,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
