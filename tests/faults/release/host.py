"""A lab host as the fault table sees it: over SSH, with file systems small enough to be filled and a fault's tools."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import vm
from injecting import INJECT, PYTHON, RUN, TOOLS, WRAPPER

# What a release is written to, so that a full or read-only disk is that of the service alone.
SMALL = {"/opt": "192m", "/var/lib/slipway": "4m"}

CLEAN = f"""
rm -rf {RUN} /opt/filler /var/lib/slipway/filler; mkdir -p {RUN}
mount -o remount,rw,size={SMALL["/opt"]} /opt; mount -o remount,rw,size={SMALL["/var/lib/slipway"]} /var/lib/slipway
systemctl stop 'stranger*' 2>/dev/null || true
"""


@dataclass(frozen=True)
class Service:
    """One service of a host, per strategy. own_environment: whether each row releases another environment."""

    name: str
    port: int
    variables: dict[str, Any]
    own_environment: bool = True


class HostError(Exception):
    """A host that does not do what the table needs."""


class Host:
    """commands run as root over SSH, on a connection of their own."""

    def __init__(self, name: str, inventory: Path) -> None:
        found = json.loads(inventory.read_text())["all"]
        variables = found["hosts"][name]
        self.name, self.inventory = name, inventory
        self.address = variables["ansible_host"]
        self.what = f"{name} ({variables.get('lab_suite', 'machine')})"
        self._ssh = [
            "ssh", "-p", str(variables.get("ansible_port", 22)), "-i", found["vars"]["ansible_ssh_private_key_file"],
            *shlex.split(found["vars"]["ansible_ssh_common_args"]),
            "-o", "BatchMode=yes", "-o", "ControlMaster=auto", "-o", "ControlPersist=30",
            "-o", f"ControlPath={inventory.parent}/mux-{name}", f"root@{self.address}",
        ]  # fmt: skip

    def run(self, script: str, check: bool = True, stdin: str = "") -> str:
        done = subprocess.run([*self._ssh, script], input=stdin, capture_output=True, text=True, check=False)
        if check and done.returncode != 0:
            raise HostError(f"{self.name}: {script}: {done.stdout}{done.stderr}")
        return done.stdout.strip()

    def write(self, path: str, content: str, mode: str = "0644") -> None:
        self.run(f"install -D -m {mode} /dev/stdin {path}", stdin=content)

    def port(self, inside: int) -> int:
        """Where this port of the host is reached from here."""
        return inside

    def url(self, inside: int) -> str:
        return f"http://{self.address}:{self.port(inside)}"

    def set_up(self) -> None:
        self.run("apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y socat 2>&1")
        for path, size in SMALL.items():
            self.run(f"mkdir -p {path}; mountpoint -q {path} || mount -t tmpfs -o size={size},mode=0755 slipway {path}")
        self.put_tools()

    def put_tools(self) -> None:
        self.write(f"{TOOLS}/sitecustomize.py", INJECT.read_text())
        self.write(PYTHON, WRAPPER, "0755")
        self.clean()

    def clean(self) -> None:
        self.run(CLEAN)

    def plan(self, event: str, match: str, nth: int, after: bool, do: str) -> None:
        found = {"event": event, "match": match, "nth": nth, "after": after, "do": do}
        self.write(f"{RUN}/plan.json", json.dumps(found))

    def exists(self, path: str) -> bool:
        return self.run(f"test -e {path} && echo yes || true") == "yes"

    def busy(self, service: str) -> bool:
        """Whether an engine holds the lock, or PID 1 has a job for the service."""
        lock = f"/var/lib/slipway/{service}/lock"
        return (
            self.run(
                f"test ! -e {lock} || flock -n {lock} true || echo locked; systemctl list-jobs --plain --no-legend"
                f" | grep -w '{service}' || true; systemctl list-units --plain --no-legend '{service}@*'"
                " --state=deactivating"
            )
            != ""
        )

    def journal(self, service: str) -> list[dict[str, Any]]:
        text = self.run(f"cat /var/lib/slipway/{service}/journal.jsonl 2>/dev/null || true")
        found = []
        for line in text.splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return found

    def status(self, service: str) -> dict[str, Any]:
        text = self.run(f"test ! -x /usr/local/sbin/slipway || slipway status {service} --json || true")
        told = json.loads(text) if text else []
        return told[0] if isinstance(told, list) and told else {}  # of a failure, the tool tells in an object

    def purge(self, service: str) -> None:
        """As if the service had never been."""
        self.run(
            f"systemctl disable --now {service}.socket {service}.service 2>/dev/null;"
            f"systemctl stop '{service}*' 2>/dev/null; rm -rf /opt/{service} /var/lib/slipway/{service} /etc/{service}"
            f" /etc/slipway/watch/{service}.json"
            f" /etc/systemd/system/{service}[.@-]* /etc/haproxy/slipway.*/{service}.cfg;"
            " systemctl is-active --quiet haproxy && systemctl reload haproxy;"
            " systemctl daemon-reload; systemctl reset-failed; true"
        )

    def versions(self, port: int, asks: int = 12) -> set[str]:
        """Who answers: each question on a connection of its own, so that each may reach another release."""
        found = set()
        for _number in range(asks):
            try:
                with urllib.request.urlopen(f"{self.url(port)}/version", timeout=3) as answer:
                    found.add(str(json.load(answer)["version"]))
            except (urllib.error.URLError, OSError, ValueError):
                continue
        return found


class MachineHost(Host):
    """A virtual machine of the lab: its disk is a file system that a power cut can leave half-written."""

    def __init__(self, machine: vm.Machine) -> None:
        super().__init__(machine.name, machine.inventory)
        self._machine = machine

    def port(self, inside: int) -> int:
        return self._machine.port(inside)

    def set_up(self) -> None:
        self.put_tools()

    def clean(self) -> None:
        self.run(f"rm -rf {RUN}; mkdir -p {RUN}")

    def cut_power(self) -> None:
        """Off at once, and on again; return when nothing is starting any more."""
        self._machine.cut()
        self._machine.boot()
