"""A host that pulls its state, the host with the repository, and the person who signs commits."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import inside
import lab
import play

PORT = 8080
ALICE, MALLORY = "alice@example.com", "mallory@example.com"
UNIT = "slipway-pull.service"
COLLECTIONS = "/usr/share/ansible/collections"
NEEDED = ("ansible/posix", "community/general")
# The roles and hosts of the lab need no hardening, and a soak that is long enough to be cut short.
VARIABLES: dict[str, Any] = {
    "service_name": "shop",
    "service_listen": [str(PORT)],
    "site_harden": False,
    "release_src": "/srv/artefacts/shop-{{ release_version }}",
    "release_health": {"url": f"http://127.0.0.1:{PORT}/readyz", "deadline": 20},
    "release_soak_time": 3,
    "slipway_notices": [{"name": "file", "command": ["/usr/bin/tee", "--append", "/root/notices"]}],
}


@dataclass(frozen=True)
class Ended:
    """How a run of the unit has ended, with its log."""

    result: str
    log: str

    @property
    def good(self) -> bool:
        return self.result == "success"


class State:
    """The repository as the person who signs has it."""

    def __init__(self, folder: Path, url: str, key: Path) -> None:
        self.path, self._key = folder / "state", key
        self.keys = {name: folder / name for name in (ALICE, MALLORY)}
        for path in self.keys.values():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        self.path.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.git("remote", "add", "origin", url)

    def line(self, name: str) -> str:
        """The line of a file of allowed signers."""
        return f'{name} namespaces="git" {Path(f"{self.keys[name]}.pub").read_text().strip()}'

    def git(self, *arguments: str) -> str:
        known = self._key.with_name("known_hosts")
        environment = {
            **os.environ,
            **{f"GIT_{who}_{what}": "a@example.com" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_SSH_COMMAND": f"ssh -i {self._key} -o IdentitiesOnly=yes -o UserKnownHostsFile={known}",
        }
        argv = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout.strip()

    def write(self, host: str, version: str, wave: int, more: Mapping[str, Any]) -> None:
        (self.path / "local.yml").write_text("- name: Bring this host up to date\n  import_playbook: slipway.go.site\n")
        (self.path / "inventory").mkdir(exist_ok=True)
        variables = {**VARIABLES, "release_version": version, **more}
        # Somebody else could push to the same hosts with this inventory.
        hosts = {host: {"ansible_host": "192.0.2.1"}}
        told = {"all": {"vars": variables, "hosts": hosts}}
        (self.path / "inventory" / "hosts.yml").write_text(json.dumps(told, indent=1))
        (self.path / "wave").write_text(f"{wave}\n")

    def commit(self, signer: str = ALICE) -> str:
        self.git("add", "--all")
        key = self.keys.get(signer)
        signed = ["-c", "gpg.format=ssh", "-c", f"user.signingKey={key}"] if key else []
        self.git(*signed, "commit", "--quiet", "--allow-empty", "--message=x", "-S" if key else "--no-gpg-sign")
        return self.git("rev-parse", "HEAD")

    def push(self) -> None:
        self.git("push", "--quiet", "--force", "origin", "HEAD:refs/heads/main")


class Site:
    """container: the host that pulls. server: the one with the repository."""

    def __init__(self, folder: Path, inventory: Path, name: str) -> None:
        self.inventory = inventory
        hosts = json.loads(inventory.read_text())["all"]["hosts"]
        (self.host, one), (_other, other) = hosts.items()
        self.address, self._server_address = one["ansible_host"], other["ansible_host"]
        self.container, self.server = (f"slipway-{name}-{host}" for host in hosts)
        self.url = f"ssh://root@{self._server_address}/srv/state.git"
        self.state = State(folder, self.url, inventory.with_name("id_ed25519"))
        self.settings: dict[str, Any] = {
            "pull_repository": self.url,
            "pull_signers": [self.state.line(ALICE)],
            "pull_interval": 86400,
            "pull_splay": 0,
        }

    # Setting up

    def prepare(self, folder: Path, binaries: Path) -> None:
        inside.run(self.server, "apt-get", "update", "-q")
        inside.run(self.server, "apt-get", "install", "-q", "-y", "git")
        inside.run(self.server, "git", "init", "--quiet", "--bare", "--initial-branch=main", "/srv/state.git")
        self.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/root/.ssh/id_ed25519")
        public = self.run("cat", "/root/.ssh/id_ed25519.pub")
        inside.script(self.server, f"echo '{public}' >> /root/.ssh/authorized_keys")
        host_key = inside.run(self.server, "cat", "/etc/ssh/ssh_host_ed25519_key.pub")
        inside.script(self.container, f"echo '{self._server_address} {host_key}' >> /root/.ssh/known_hosts")
        inside.run(self.container, "mkdir", "-p", "/srv/artefacts", COLLECTIONS)
        for path in binaries.glob("shop-[0-9].0.0"):
            lab.docker("cp", str(path), f"{self.container}:/srv/artefacts/")
        self._install_collections(folder)

    def _install_collections(self, folder: Path) -> None:
        """As a host gets them: the tarball of this checkout, and those that it needs."""
        collections = lab.CHECKOUT / ".work" / "collections" / "ansible_collections"
        subprocess.run(
            ["ansible-galaxy", "collection", "build", "--output-path", str(folder), str(lab.CHECKOUT)],
            check=True,
            capture_output=True,
            env=play.environment(),
        )
        (tarball,) = folder.glob("slipway-go-*.tar.gz")
        with tarfile.open(folder / "collections.tar", "w") as archive:
            for name in NEEDED:
                archive.add(collections / name, f"ansible_collections/{name}")
            with tarfile.open(tarball) as own:
                for member in own.getmembers():
                    content = own.extractfile(member) if member.isfile() else None
                    member.name = f"ansible_collections/slipway/go/{member.name}"
                    archive.addfile(member, content)
        lab.docker("cp", str(folder / "collections.tar"), f"{self.container}:/root/")
        self.run("tar", "-x", "--no-same-owner", "-f", "/root/collections.tar", "-C", COLLECTIONS)

    def set_up(self, folder: Path, **changed: Any) -> play.Play:
        """Apply the role over SSH, as whoever installs hosts does."""
        path = folder / "pull.yml"
        role = {"ansible.builtin.import_role": {"name": "slipway.go.pull"}}
        path.write_text(json.dumps([{"hosts": self.host, "gather_facts": False, "tasks": [role]}]))
        return play.playbook(str(path), self.inventory, {**self.settings, **changed})

    # The host

    def run(self, *argv: str, check: bool = True) -> str:
        return inside.run(self.container, *argv, check=check)

    def begin(self) -> None:
        self.run("systemctl", "reset-failed", UNIT, check=False)
        self.run("systemctl", "start", "--no-block", UNIT)

    def pull(self) -> Ended:
        """One run of the unit, as the timer starts it."""
        self.run("systemctl", "reset-failed", UNIT, check=False)
        inside.attempt(self.container, "systemctl", "start", UNIT)
        return self.ended()

    def ended(self) -> Ended:
        told = dict(
            line.split("=", 1)
            for line in self.run("systemctl", "show", UNIT, "--property=Result,InvocationID").splitlines()
        )
        assert told["InvocationID"], "no pull has run"
        log = self.run("journalctl", f"_SYSTEMD_INVOCATION_ID={told['InvocationID']}", "--output=cat")
        return Ended(told["Result"], log)

    def has_pulled(self) -> bool:
        """Whether a pull has begun since the unit is there, and none runs."""
        told = self.run("systemctl", "show", UNIT, "--property=InvocationID,ActiveState").splitlines()
        return "InvocationID=" not in told and "ActiveState=activating" not in told

    def is_active(self) -> bool:
        return self.run("systemctl", "is-active", UNIT, check=False) == "activating"

    def current(self) -> str:
        """The version that is the release."""
        return self.run("readlink", "/opt/shop/current", check=False).rpartition("/")[2].partition("-")[0]

    def history(self) -> list[dict[str, Any]]:
        told = inside.attempt(self.container, "slipway", "history", "shop", "--json").stdout
        found: list[dict[str, Any]] = json.loads(told) if told.startswith("[") else []
        return found

    def publish(self, version: str, signer: str = ALICE, wave: int = 9, **more: Any) -> str:
        self.state.write(self.host, version, wave, more)
        commit = self.state.commit(signer)
        self.state.push()
        return commit
