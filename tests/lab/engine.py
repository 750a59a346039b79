"""The container engine of the lab: use the one that runs, else start one and later stop that one.

Detects rather than assumes: whether an engine answers, whether this user may start one, the cgroup version, and
whether privileged containers are allowed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

RUNTIME = Path("/run/slipway-lab")
PIDFILE = RUNTIME / "dockerd.pid"
LOG = Path("/var/log/slipway-lab-dockerd.log")
HELD = "SLIPWAY_LAB_ENGINE_HELD"  # set while an outer `lab.py run` answers for the engine
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30


class LabError(Exception):
    """Something the person at the keyboard can fix; the message says how."""


def say(text: str) -> None:
    print(f"lab: {text}", file=sys.stderr, flush=True)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a slow step and say afterwards how long it took."""
    say(f"{text} …")
    begun = time.monotonic()
    yield
    say(f"{text}: {time.monotonic() - begun:.0f} s")


def run(argv: Sequence[str], check: bool = True, timeout: float | None = None, stdin: str | None = None) -> str:
    """Run argv and return its standard output; a failure becomes a LabError with what the command said."""
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout, check=False)
    except FileNotFoundError as error:
        raise LabError(f"{argv[0]} is not installed. Fix: apt-get install the package that brings {argv[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(argv[:3])} … did not end within {timeout} s") from error
    if check and done.returncode != 0:
        raise LabError(f"{' '.join(argv)} failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout if done.returncode == 0 else ""


def docker(*arguments: str, check: bool = True, timeout: float | None = None, stdin: str | None = None) -> str:
    return run(["docker", *arguments], check, timeout, stdin).strip()


def apt_install(*packages: str) -> None:
    """Install what is missing, on a Debian-like machine and as root; say what to do everywhere else."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise LabError(f"missing: {', '.join(packages)}. Fix: install them, or run this as root on Debian or Ubuntu")
    with step(f"installing {', '.join(packages)} with apt"):
        run(["apt-get", "-qq", "update"], check=False)
        run(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", "install", "-y", *packages])


@contextlib.contextmanager
def machine_lock(name: str) -> Iterator[None]:
    """One engine start and one image build at a time on this machine."""
    folder = RUNTIME if os.geteuid() == 0 else Path(f"/tmp/slipway-lab-{os.geteuid()}")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return (
        subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode
        == 0
    )


def start() -> None:
    """Leave with an engine that answers. One that this call starts is stopped again by stop()."""
    with machine_lock("engine"):
        if answers():
            return
        if os.geteuid() != 0:
            raise LabError(
                "no Docker engine answers and this is not root. "
                "Fix: start Docker and join the docker group, or run the same command as root"
            )
        if shutil.which("dockerd") is None:
            apt_install("docker.io")
            if answers():
                return
        _spawn()


def _spawn() -> None:
    RUNTIME.mkdir(parents=True, exist_ok=True)
    with step("starting dockerd"), LOG.open("w") as log:
        daemon = subprocess.Popen(
            ["dockerd", "--pidfile", str(PIDFILE)],
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not answers():
            if daemon.poll() is not None or time.monotonic() > deadline:
                tail = "\n".join(LOG.read_text().splitlines()[-5:])
                raise LabError(f"dockerd did not start. Its log ({LOG}) ends with:\n{tail}")
            time.sleep(0.3)


def _own_pid() -> int | None:
    """The engine start() has started, if it is still that process."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(PIDFILE.read_text())
        if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
            return pid
    return None


def stop() -> None:
    """Stop the engine if start() started it and no container is left that needs it."""
    with machine_lock("engine"):
        pid = _own_pid()
        if pid is None or os.environ.get(HELD):
            return
        if docker("ps", "--quiet", check=False):
            say("dockerd stays up: containers still run on it")
            return
        with step("stopping dockerd"):
            os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_TIMEOUT_S
            while _own_pid() is not None and time.monotonic() < deadline:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)  # where this very process has started it
                time.sleep(0.2)


def cgroup_version() -> str:
    return docker("info", "--format", "{{.CgroupVersion}}") or "1"


def allows_privileged(image: str) -> bool:
    done = subprocess.run(
        ["docker", "run", "--rm", "--privileged", image, "/bin/true"], capture_output=True, check=False
    )
    return done.returncode == 0
