"""Run the collection's playbooks and modules as a user does, and give what they said back to Python."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Call:
    """The arguments of a module, and whether it is only to predict."""

    arguments: dict[str, Any]
    check: bool = False


@dataclass(frozen=True)
class Play:
    """How a playbook ended. seconds is wall-clock time."""

    code: int
    seconds: float
    output: str

    @property
    def recap(self) -> dict[str, dict[str, int]]:
        """The PLAY RECAP as {host: {"ok": …, "changed": …, "failed": …}}."""
        found: dict[str, dict[str, int]] = {}
        for line in self.output.partition("PLAY RECAP")[2].splitlines()[1:]:
            host, colon, rest = line.partition(":")
            if colon:
                found[host.strip()] = {k: int(v) for k, v in (pair.split("=") for pair in rest.split())}
        return found


def environment(root: Path = CHECKOUT, collections: Path | None = None) -> dict[str, str]:
    """What ansible-playbook needs to run the collection at root, by default this checkout's."""
    collections = collections or root / ".work" / "collections"
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(root / "ansible.cfg"),
        "ANSIBLE_COLLECTIONS_PATH": str(collections),
        "ANSIBLE_NOCOLOR": "1",
    }


def playbook(name: str, inventory: Path, variables: dict[str, Any], *flags: str, log: Path | None = None) -> Play:
    """Run playbooks/NAME.yml, or a playbook by its path or full collection name."""
    path = CHECKOUT / "playbooks" / f"{name}.yml"
    argv = ["ansible-playbook", str(path) if path.exists() else name, "-i", str(inventory)]
    argv += ["-e", json.dumps(variables), *flags]
    begun = time.monotonic()
    done = subprocess.run(argv, env=environment(), cwd=CHECKOUT, capture_output=True, text=True, check=False)
    play = Play(done.returncode, time.monotonic() - begun, done.stdout + done.stderr)
    if log:
        with log.open("a") as stream:
            stream.write(f"$ {' '.join(argv)}\n{play.output}\n")
    return play


def module(name: str, arguments: dict[str, Any], inventory: Path, *flags: str) -> dict[str, dict[str, Any]]:
    """Run one module on all hosts; return {host: result}."""
    return _results(["ansible", "all", "-i", str(inventory), "-m", name, "-a", json.dumps(arguments), *flags])[0]


def modules(name: str, calls: Sequence[Call], inventory: Path) -> list[dict[str, dict[str, Any]]]:
    """Run one module once for each call, as root, in one play that goes on after a failure; {host: result} of each."""
    tasks = [{name: call.arguments, "check_mode": call.check, "ignore_errors": True} for call in calls]
    play = [{"hosts": "all", "gather_facts": False, "become": True, "tasks": tasks}]
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
        file.write(json.dumps(play))
        file.flush()
        return _results(["ansible-playbook", file.name, "-i", str(inventory)])


def results(name: str, inventory: Path, variables: dict[str, Any]) -> tuple[int, list[dict[str, Any]]]:
    """Run a playbook; its exit status, and what each task has said on each host."""
    path = CHECKOUT / "playbooks" / f"{name}.yml"
    argv = ["ansible-playbook", str(path) if path.exists() else name, "-i", str(inventory)]
    code, plays = _told([*argv, "-e", json.dumps(variables)])
    return code, [result for one in plays for task in one["tasks"] for result in task["hosts"].values()]


def _results(argv: list[str]) -> list[dict[str, dict[str, Any]]]:
    """What each task of the first play has said."""
    return [task["hosts"] for task in _told(argv)[1][0]["tasks"]]


def _told(argv: list[str]) -> tuple[int, list[dict[str, Any]]]:
    """The exit status, and the plays with their tasks."""
    extra = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json", "ANSIBLE_LOAD_CALLBACK_PLUGINS": "1"}
    done = subprocess.run(
        argv, env={**environment(), **extra}, cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    found = re.search(r"^\{$", done.stdout, re.MULTILINE)  # a table that a task has shown stands before it
    if found is None:
        raise RuntimeError(f"{' '.join(argv)} failed: {done.stderr or done.stdout}")
    return done.returncode, json.loads(done.stdout[found.start() :])["plays"]
