"""Real services, unpacked from Debian packages and started by hand on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from ansible_collections.slipway.go.tests.integration.health.asking import Start

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[2] / ".work" / "health-services"


@pytest.fixture(scope="session")
def root() -> Path:
    """Where the packages are unpacked."""
    done = subprocess.run([str(HERE / "services.sh"), str(CACHE)], stderr=subprocess.PIPE, check=False)
    if done.returncode == 3:
        pytest.skip(done.stderr.decode().strip())
    assert done.returncode == 0, done.stderr.decode()
    return CACHE / "root"


@pytest.fixture
def program(root: Path) -> Callable[[str], str]:
    def find(name: str) -> str:
        return next(str(path) for path in (root / "usr/bin" / name, root / "usr/sbin" / name) if path.exists())

    return find


@pytest.fixture
def start(root: Path, tmp_path: Path) -> Iterator[Start]:
    """Run a program until the test is over."""
    running: list[subprocess.Popen[bytes]] = []
    libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))

    def run(argv: list[str], **options: Any) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "LD_LIBRARY_PATH": libraries, "HOME": str(tmp_path), **options.pop("env", {})}
        options["start_new_session"] = True
        with open(tmp_path / f"{Path(argv[0]).name}.{len(running)}.log", "wb") as log:
            running.append(subprocess.Popen(argv, env=environment, stdout=log, stderr=log, cwd=tmp_path, **options))
        return running[-1]

    yield run
    for process in running:
        # Workers outlive a master that is killed: end the whole group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def copy(program: Callable[[str], str], tmp_path: Path) -> Callable[[str, str], str]:
    """A file of its own with the same content: another release of the same program."""

    def make(name: str, release: str) -> str:
        path = tmp_path / release / name
        path.parent.mkdir()
        shutil.copy(program(name), path)
        return str(path)

    return make
