"""A repository of git with signed commits, the host that pulls from it, and a stand-in for Ansible."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ansible_collections.slipway.go.plugins.module_utils._pull.pull import Place, pull
from ansible_collections.slipway.go.plugins.module_utils._pull.settings import Settings

ALICE, MALLORY = "alice@example.com", "mallory@example.com"
_ENVIRONMENT = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.com",
    "PATH": os.environ["PATH"],
}


def make_keys(folder: Path) -> dict[str, Path]:
    """Keys of SSH, by the name of their owner."""
    keys = {name: folder / name for name in (ALICE, MALLORY)}
    for path in keys.values():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    return keys


class Remote:
    """keys: by the name of their owner; who has none does not sign."""

    def __init__(self, folder: Path, keys: Mapping[str, Path]) -> None:
        self.path, self.keys = folder / "remote", keys
        self.signers = folder / "signers"
        self.signers.write_text(f'{ALICE} namespaces="git" {self.public(ALICE)}')
        self.git("init", "--quiet", "--initial-branch=main", str(self.path), within="/")

    def public(self, name: str) -> str:
        return Path(f"{self.keys[name]}.pub").read_text()

    def git(self, *arguments: str, within: str = "") -> str:
        argv = ["git", "-C", within or str(self.path), *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True, env=_ENVIRONMENT).stdout.strip()

    def commit(self, signer: str = ALICE, **contents: str) -> str:
        """A commit with these files: its name."""
        before = {} if (self.path / "local.yml").exists() else {"local.yml": "[]\n"}
        for name, text in {**before, **contents}.items():
            (self.path / name).write_text(text)
        self.git("add", "--all")
        key = self.keys.get(signer)
        signed = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"] if key else []
        self.git(*signed, "commit", "--quiet", "--allow-empty", "--message=x", "-S" if key else "--no-gpg-sign")
        return self.git("rev-parse", "HEAD")


class Puller:
    """A host. runs: the arguments and variables of each start of Ansible, with what it found of local.yml."""

    def __init__(self, folder: Path, remote: Remote, **settings: Any) -> None:
        self.place = Place(str(folder / "host"))
        programs = folder / "programs"
        programs.mkdir(exist_ok=True)
        self.inventory = programs / "ansible-inventory"
        self.knows_host(True)
        given = {"host": "web1", "playbook": "local.yml", "inventory": "inventory", "branch": "main", **settings}
        self.settings = Settings(
            repository=f"file://{remote.path}",
            signers=str(remote.signers),
            ansible=str(programs / "ansible-playbook"),
            environment={"GIT_CONFIG_GLOBAL": os.devnull},
            **given,
        )
        self.runs: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.ends_with = 0

    def knows_host(self, known: bool) -> None:
        """Or has an inventory that cannot be read."""
        if known:
            self.answers("@all:\n  |--@ungrouped:\n  |  |--web0\n  |  |--web1")
        else:
            self.answers("", "no such host", 1)

    def answers(self, text: str, errors: str = "", code: int = 0) -> None:
        """What ansible-inventory says."""
        self.inventory.write_text(f"#!/bin/sh\necho '{text}'\necho '{errors}' >&2\nexit {code}\n")
        self.inventory.chmod(0o755)

    def start(self, argv: Sequence[str], folder: str, variables: Mapping[str, str], _kept: int) -> int:
        self.runs.append(
            {"argv": list(argv), "variables": variables, "playbook": Path(folder, "local.yml").read_text()}
        )
        return self.ends_with

    def pull(self, check: bool = False, **settings: Any) -> None:
        pull(replace(self.settings, **settings), self.said.append, self.place, check, self.start)

    @property
    def applied(self) -> list[str]:
        """What each run found in its playbook."""
        return [run["playbook"] for run in self.runs]
