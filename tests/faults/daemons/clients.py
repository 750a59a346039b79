"""The clients that are not the project's own: wrk and the websockets of Debian's python3-websockets, on a lab host."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import inside
import rows

HERE = Path(__file__).resolve().parent
PACKAGES = ("wrk", "python3-websockets")
# Each of the connections waits so long before its next request: the machine is not what is measured.
CONNECTIONS, PAUSE_MS = 8, 50
PACE = f"function delay() return {PAUSE_MS} end\n"
LONGEST_S = 3600
REQUESTS = "requests"
END_S = 60.0
FOLDER = "/opt/daemons"


def prepare(container: str) -> str:
    """Have the clients on that host; return their versions."""
    inside.script(container, f"mkdir -p {FOLDER}; printf '%s' '{PACE}' > {FOLDER}/pace.lua")
    install(container, *PACKAGES)
    subprocess.run(["docker", "cp", "-q", str(HERE / "sockets.py"), f"{container}:{FOLDER}/sockets.py"], check=True)
    shown = inside.run(container, "dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES)
    return ", ".join(shown.splitlines())


def install(container: str, *packages: str) -> None:
    names = " ".join(packages)
    command = f"apt-get -qq update && apt-get -qq install -y --no-install-recommends {names}"
    script = f"dpkg -s {names} || {{ export DEBIAN_FRONTEND=noninteractive; {command}; }}"
    inside.script(container, f"{{ {script}; }} >/dev/null 2>&1")


class Client:
    """A program on the host, until it is told to end."""

    def __init__(self, container: str, name: str, *argv: str) -> None:
        self._container, self._pid = container, f"{FOLDER}/{name}.pid"
        started = ["sh", "-c", f'echo $$ > {self._pid}; exec "$@"', name, *argv]
        self._process = subprocess.Popen(
            ["docker", "exec", container, *started], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def end(self) -> str:
        """What it says when it is interrupted."""
        inside.script(self._container, f"kill -INT $(cat {self._pid})")
        said, errors = self._process.communicate(timeout=END_S)
        if self._process.returncode:
            raise RuntimeError(f"a client ended with {self._process.returncode}: {errors or said}")
        return said

    def kill(self) -> None:
        if self._process.poll() is None:
            inside.attempt(self._container, "sh", "-c", f"kill -KILL $(cat {self._pid})")
            self._process.wait(timeout=END_S)


def wrk(container: str, url: str) -> Client:
    connections = ("-t", "1", "-c", str(CONNECTIONS), "-d", f"{LONGEST_S}s", "--timeout", "20s")
    return Client(container, "wrk", "wrk", *connections, "-s", f"{FOLDER}/pace.lua", url)


def read_wrk(said: str) -> dict[str, int]:
    """Its requests, and its errors by kind; those of kind 0 are left out."""
    sent = re.search(r"(\d+) requests in", said)
    if sent is None:
        raise RuntimeError(f"wrk did not say how many requests it sent: {said}")
    errors = dict(re.findall(r"(connect|read|write|timeout) (\d+)", said))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    counted = {REQUESTS: sent.group(1), **errors, "status": bad.group(1) if bad else "0"}
    return {name: int(count) for name, count in counted.items() if name == REQUESTS or int(count)}


def sockets(container: str, address: str, talk: rows.Talk) -> Client:
    argv = ("python3", f"{FOLDER}/sockets.py", f"ws://{address}{talk.path}", talk.sends, talk.expects)
    return Client(container, "sockets", *argv)


def read_sockets(said: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(said)
    return found
