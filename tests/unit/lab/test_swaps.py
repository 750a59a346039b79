"""The promise of the socket strategy, without systemd: a parent that holds the listening socket starts the next version
on it, waits until it is ready and stops the old one, while the load client counts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable, Iterator

import pytest

SWAPS = 5
RATE = 200
SECONDS = 8

# LISTEN_PID has to hold the pid of the process that becomes the service.
ACTIVATE = """
import os, sys
fd, program = int(sys.argv[1]), sys.argv[2]
if fd != 3:
    os.dup2(fd, 3)
    os.close(fd)
os.execve(program, [program], {**os.environ, "LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid())})
"""


class Manager:
    """What PID 1 does for a socket unit and the services that share it."""

    def __init__(self, directory: Path) -> None:
        self.log = directory / "log"
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self.listening.getsockname()[1]
        self.notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify_path = f"\0slipway-test-{os.getpid()}-{self.port}"
        self.notified.bind(self.notify_path)
        self.notified.settimeout(10)
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, program: Path) -> subprocess.Popen[bytes]:
        # As systemd does without NonBlocking=yes, also to the process that is serving.
        os.set_blocking(self.listening.fileno(), True)
        env = {"NOTIFY_SOCKET": self.notify_path.replace("\0", "@"), "APP_BOOT_DELAY": "200ms"}
        fd = self.listening.fileno()
        with self.log.open("a") as log:
            argv = [sys.executable, "-c", ACTIVATE, str(fd), str(program)]
            process = subprocess.Popen(argv, env=env, pass_fds=[fd], stderr=log)
        self.running.append(process)
        while b"READY=1" not in self.notified.recv(4096):
            pass
        return process

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()
        self.listening.close()
        self.notified.close()


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def test_swaps_under_load_lose_nothing(
    manager: Manager, shop: Callable[[str], Path], load: Path, tmp_path: Path
) -> None:
    versions = [shop("1.0.0"), shop("2.0.0")]
    serving = manager.start(versions[0])
    marks, report_file = tmp_path / "marks.jsonl", tmp_path / "report.json"
    argv = [str(load), "-url", f"shop=http://127.0.0.1:{manager.port}/", "-rate", str(RATE), "-duration", f"{SECONDS}s"]
    argv += ["-json", str(report_file), "-marks", str(marks), "-interval", "0", "-slow-ms", "300", "-stream-ms", "1000"]
    client = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    try:
        for n in range(1, SWAPS + 1):
            time.sleep(0.4)
            began = time.time()
            old, serving = serving, manager.start(versions[n % 2])
            old.terminate()
            assert old.wait(10) == 0
            with marks.open("a") as file:
                file.write(json.dumps({"name": f"swap {n}", "start": began, "end": time.time()}) + "\n")
        assert client.wait(SECONDS + 10) == 0
    finally:
        client.kill()
        client.wait()

    report = json.loads(report_file.read_text())
    assert report["failure_samples"] == []
    assert report["total"]["failed"] == 0
    assert report["total"]["sent"] == RATE * SECONDS
    assert [mark["name"] for mark in report["marks"]] == [f"swap {n}" for n in range(1, SWAPS + 1)]
    for mark in report["marks"]:
        assert set(mark["versions"]) == {"1.0.0", "2.0.0"}, "the two did not overlap"
